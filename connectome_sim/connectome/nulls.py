"""Null models of a connectome: what of the wiring is kept, and everything else drawn anew. Pure; knows no network.

Each is a small frozen object with a name, the quantities that it preserves exactly, and a function of a connectome and
a generator. "Connections" are connected pairs, "block" is all pairs of one postsynaptic and one presynaptic type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import Generator

from connectome_sim.array_axes import BoolArray, IntArray
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.rings import blocks, ideal_mean, off_diagonal, whole
from connectome_sim.errors import SelectionError

TRADES_PER_ROW = 10  # chosen: Strona et al. 2014 (Nature Communications 5:4114) find 5 to be enough


@dataclass(frozen=True)
class Rewire:
    """Connections drawn anew within each block, degrees kept (the curveball algorithm of Strona et al. 2014).

    Two postsynaptic neurons of a block trade presynaptic partners that only one of them has, again and again. Then each
    row deals its own counts to its new partners at random. A connection of a neuron onto itself stays where it is.
    """

    name: ClassVar[str] = "degree-preserving rewiring"
    preserves: ClassVar[tuple[str, ...]] = (
        "synapses per type pair",
        "counts of each block (as a multiset)",
        "connections onto each neuron from each type",
        "connections from each neuron onto each type",
        "synapses onto each neuron from each type",
    )

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The rewired connectome."""
        counts = connectome.dense()
        for post, pre in blocks(connectome):
            at, free = np.ix_(post, pre), off_diagonal(post, pre)
            counts[at] = _rewired(counts[at], free, random)
        return _with(connectome, counts, self.name)


@dataclass(frozen=True)
class ShuffleWeights:
    """Who is connected stays; the counts of each block are dealt to its connections at random."""

    name: ClassVar[str] = "weight shuffle"
    preserves: ClassVar[tuple[str, ...]] = (
        "synapses per type pair",
        "counts of each block (as a multiset)",
        "connected pairs",
    )

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The shuffled connectome."""
        counts = connectome.dense()
        for post, pre in blocks(connectome):
            at = np.ix_(post, pre)
            block = counts[at]
            block[block > 0] = random.permutation(block[block > 0])
            counts[at] = block
        return _with(connectome, counts, self.name)


@dataclass(frozen=True)
class ShuffleLabels:
    """The wiring stays; labels (type, side, ring angle, identifier) are dealt to its places at random."""

    name: ClassVar[str] = "label shuffle"
    preserves: ClassVar[tuple[str, ...]] = (
        "synapses",
        "counts (as a multiset)",
        "the graph up to the names of its nodes, hence degrees and synapses of its nodes (as multisets)",
        "neurons per type",
    )

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The relabelled connectome."""
        order = random.permutation(connectome.n_neurons)
        return _with(connectome, connectome.dense()[np.ix_(order, order)], self.name)


@dataclass(frozen=True)
class ShuffleSigns:
    """Counts stay; the signs of the presynaptic types are dealt to the types at random, not as they were."""

    name: ClassVar[str] = "sign shuffle"
    preserves: ClassVar[tuple[str, ...]] = ("every count", "excitatory and inhibitory types (their number)")

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The connectome with other signs.

        Raises:
            SelectionError: all types have the same sign, so that no other order exists.
        """
        types, signs = connectome.types, connectome.signs
        own = np.array([signs.by_type[name] for name in types])
        if (own == own[0]).all():
            raise SelectionError(f"sign shuffle: got {len(types)} types of one sign, wanted both signs")
        while True:
            drawn = random.permutation(own)
            if (drawn != own).any():
                break
        by_type = {**signs.by_type, **dict(zip(types, drawn.tolist(), strict=True))}
        return connectome.replaced(step=self.name, signs=replace(signs, by_type=by_type))


@dataclass(frozen=True)
class BlockMeans:
    """Every pair of a block has the same count, as nearly as whole synapses allow.

    That is the mean rounded down; the synapses that are left go to different pairs, spread as evenly over rows and over
    columns as can be, rows and columns in random order.
    """

    name: ClassVar[str] = "block means"
    preserves: ClassVar[tuple[str, ...]] = ("synapses per type pair",)

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The homogeneous connectome."""
        counts = connectome.dense()
        for post, pre in blocks(connectome):
            at = np.ix_(post, pre)
            low, left = divmod(int(counts[at].sum()), len(post) * len(pre))
            counts[at] = low
            rows, columns = _even_pairs(left, len(post), len(pre))
            counts[random.permutation(post)[rows], random.permutation(pre)[columns]] += 1
        return _with(connectome, counts, self.name)


@dataclass(frozen=True)
class IdealRing:
    """Counts depend on types, presynaptic side and offset around the ring only, left as right, up to whole synapses.

    The profile of each block is the connectome's own mean; blocks of a type without ring angles become their mean.
    """

    name: ClassVar[str] = "ideal ring"
    preserves: ClassVar[tuple[str, ...]] = ("synapses per type pair",)

    def __call__(self, connectome: Connectome, random: Generator) -> Connectome:
        """The ideal ring."""
        return _with(connectome, whole(ideal_mean(connectome), connectome, random), self.name)


Null = Rewire | ShuffleWeights | ShuffleLabels | ShuffleSigns | BlockMeans | IdealRing

NULLS: Mapping[str, type[Null]] = {
    "rewire": Rewire,
    "shuffle_weights": ShuffleWeights,
    "shuffle_labels": ShuffleLabels,
    "shuffle_signs": ShuffleSigns,
    "block_means": BlockMeans,
    "ideal_ring": IdealRing,
}
"""Name in a configuration -> null model."""


def _with(connectome: Connectome, counts: IntArray, step: str) -> Connectome:
    return connectome.replaced(step=step, counts=sp.csr_array(counts))


def _rewired(block: IntArray, free: BoolArray, random: Generator) -> IntArray:
    """A block with its off-diagonal connections rewired; see `Rewire`."""
    partners = [set(np.flatnonzero(row).tolist()) for row in (block > 0) & free]
    # a partner that a row may not have is that row's own neuron
    barred = [set(np.flatnonzero(row).tolist()) for row in ~free]
    for _ in range(TRADES_PER_ROW * len(partners) if len(partners) > 1 else 0):
        i, j = random.choice(len(partners), size=2, replace=False)
        mine = sorted(partners[i] - partners[j] - barred[j])
        theirs = sorted(partners[j] - partners[i] - barred[i])
        pool = random.permutation(np.array(mine + theirs, dtype=np.int64)).tolist()
        if not mine or not theirs:
            continue
        partners[i] = (partners[i] - set(mine)) | set(pool[: len(mine)])
        partners[j] = (partners[j] - set(theirs)) | set(pool[len(mine) :])
    result = np.where(free, 0, block)
    for row, chosen in enumerate(partners):
        own = block[row][(block[row] > 0) & free[row]]
        result[row, sorted(chosen)] = random.permutation(own)
    return result


def _even_pairs(number: int, rows: int, columns: int) -> tuple[IntArray, IntArray]:
    """``number`` different pairs, of which each row and each column has as many as any other, give or take one.

    k -> (k mod rows, (k mod columns + k // lcm) mod columns) meets every pair once in rows * columns steps.
    """
    k = np.arange(number)
    return k % rows, (k % columns + k // np.lcm(rows, columns)) % columns
