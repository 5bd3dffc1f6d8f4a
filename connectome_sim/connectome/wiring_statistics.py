"""Wiring statistics as a frozen value: cells, profiles over ring offset, variation. Knows no single neuron and no file.

Offset = ring angle of the postsynaptic minus that of the presynaptic neuron. Bin k of `BINS` holds
22.5 k <= offset < 22.5 (k + 1) degrees: exactly 22.5 k between columnar types, 22.5 k + 11.25 to or from a Delta7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from connectome_sim.connectome.anatomy import circuit_class

BINS = 16  # of 22.5 degrees: the half-tiles of the ellipsoid body
GLOMERULI = 9  # on each side of the protocerebral bridge


@dataclass(frozen=True)
class Block:
    """Connections of one group of neurons onto another; a group is a class with ring angles, else a database type.

    Attributes:
        post: postsynaptic group.
        pre: presynaptic group.
        pre_side: side of the presynaptic neurons, "" for both sides together.
        pairs: connected pairs per offset bin; a single number where a group has no ring angle.
        synapses: synapses per offset bin, likewise.
    """

    post: str
    pre: str
    pre_side: str
    pairs: tuple[int, ...]
    synapses: tuple[int, ...]


@dataclass(frozen=True)
class PairVariation:
    """How the connections of a type pair vary around their profile. CVs are of factors, without noise of single pairs.

    Attributes:
        minimum: fewest synapses of a connection that the dataset lists.
        in_cv: CV of the in-factor of the postsynaptic cells for this pair alone, on top of what a cell shares.
        out_cv: the same for the out-factor of the presynaptic cells.
        dispersion: 1 / shape of the gamma noise of a connected pair; 0 leaves multinomial (Poisson-like) noise alone.
        in_by_glomerulus: mean in-factor in glomeruli 1 to 9, both sides together; empty where cells have none.
        out_by_glomerulus: the same for the out-factor.
    """

    minimum: int
    in_cv: float
    out_cv: float
    dispersion: float
    in_by_glomerulus: tuple[float, ...] = ()
    out_by_glomerulus: tuple[float, ...] = ()


@dataclass(frozen=True)
class SharedVariation:
    """How much a cell is larger or smaller than its like towards everyone.

    Attributes:
        in_cv: CV of the in-factor that all inputs of a cell share.
        out_cv: CV of the out-factor that all its outputs share.
        correlation: of the two, in [0, 1].
    """

    in_cv: float
    out_cv: float
    correlation: float


@dataclass(frozen=True)
class WiringStatistics:
    """Numbers from which a connectome of the circuit can be drawn.

    Attributes:
        source: dataset, version, sha256, citation, and how the numbers were computed.
        signs: class -> +1 or -1, in the order of the classes.
        cells: database type -> instance name -> number of cells.
        blocks: connected pairs and synapses; groups without a connection are left out.
        variation: (postsynaptic class, presynaptic class) -> variation.
        shared: class -> shared variation.
    """

    source: Mapping[str, str]
    signs: Mapping[str, int]
    cells: Mapping[str, Mapping[str, int]]
    blocks: tuple[Block, ...]
    variation: Mapping[tuple[str, str], PairVariation]
    shared: Mapping[str, SharedVariation]

    @property
    def classes(self) -> tuple[str, ...]:
        """Circuit classes in order."""
        return tuple(self.signs)

    def totals(self) -> np.ndarray:
        """Synapses per type pair, int64 [post class, pre class], in the order of ``classes``."""
        return self._sum("synapses")

    def connected_pairs(self) -> np.ndarray:
        """Connected pairs per type pair, int64 [post class, pre class], in the order of ``classes``."""
        return self._sum("pairs")

    def _sum(self, what: str) -> np.ndarray:
        table = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        for block in self.blocks:
            post, pre = (self.classes.index(circuit_class(group)) for group in (block.post, block.pre))
            table[post, pre] += sum(getattr(block, what))
        return table
