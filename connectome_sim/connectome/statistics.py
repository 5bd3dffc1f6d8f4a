"""Wiring statistics at work: measured on a circuit, loaded, drawn from. Knows no neuron of a published dataset.

The model of a count is our own. Within a type pair, side and ring offset, the pairs that connect are those whose
exponential clocks ring first, with rate w = (in-factor of the postsynaptic) x (out-factor of the presynaptic cell), and
their synapses are spread such that the mean over all pairs is proportional to w, with gamma noise on top. Factors are
log-normal around the mean of their glomerulus. Every offset keeps its connected pairs and synapses exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.anatomy import circuit_class, head_direction_circuit
from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance
from connectome_sim.connectome.io import wiring_statistics as files
from connectome_sim.connectome.variation import variation
from connectome_sim.connectome.wiring_statistics import BINS, Block, PairVariation, WiringStatistics
from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir

__all__ = ["WiringStatistics", "digest", "draw", "load", "measure"]


def load(name: str | Path) -> WiringStatistics:
    """Wiring statistics that ship (``hemibrain_core``, ``hemibrain_core_er``), by name, or any, by the path of a file.

    Raises:
        DataError: no statistics of that name, or a file that is not what it claims to be.
    """
    if isinstance(name, Path) or name.endswith(".json"):
        return files.read(Path(name))
    folder = data_dir() / "wiring_statistics"
    shipped = sorted(path.stem for path in folder.glob("*.json"))
    if name not in shipped:
        raise DataError(f"wiring statistics {name!r}: wanted one of {', '.join(shipped)}, or the path of a .json file")
    return files.read(folder / f"{name}.json")


def measure(connectome: Connectome) -> WiringStatistics:
    """Wiring statistics of a circuit that `head_direction_circuit` has labelled.

    Synapses of a neuron onto itself are left out.

    Raises:
        DataError: a class holds neurons with and without a ring angle, a neuron with a ring angle has no side, or a
            class has no sign.
    """
    neurons, counts = connectome.neurons, connectome.dense()
    groups = _groups(neurons)
    connectome.signs.table(connectome.types)  # every class has a sign, or an error
    blocks = []
    expected = np.zeros(counts.shape)
    for post, pre, side, bins in _bins(neurons, groups):
        found = [counts[pairs] for pairs in bins]
        pairs, synapses = tuple(int((c > 0).sum()) for c in found), tuple(int(c.sum()) for c in found)
        if sum(pairs):
            blocks.append(Block(post, pre, side, pairs, synapses))
        for where, total in zip(bins, synapses, strict=True):
            expected[where] = total / max(len(where[0]), 1)
    by_pair, shared = variation(neurons, connectome.types, counts, expected)
    cells: dict[str, dict[str, int]] = {}
    for database_type, instance in zip(neurons.database_type, neurons.instance, strict=True):
        of_type = cells.setdefault(str(database_type), {})
        of_type[str(instance)] = of_type.get(str(instance), 0) + 1
    origin = connectome.provenance
    source = {
        "dataset": origin.dataset,
        "version": origin.version,
        "sha256": digest(neurons, counts),
        "citation": origin.citation,
        "computed_with": "connectome_sim.connectome.statistics.measure",
    }
    signs = {name: connectome.signs.by_type[name] for name in connectome.types}
    return WiringStatistics(source, signs, cells, tuple(blocks), by_pair, shared)


def _groups(neurons: Neurons) -> np.ndarray:
    """Group of each neuron: its class where it has a ring angle, else its database type."""
    on_ring = np.isfinite(neurons.ring_angle)
    if mixed := sorted(set(neurons.type[on_ring]) & set(neurons.type[~on_ring])):
        raise DataError(
            f"class {mixed[0]}: some neurons have a ring angle, some have none; wanted all of a class alike"
        )
    if (sideless := on_ring & ~np.isin(neurons.side, ("L", "R"))).any():
        raise DataError(f"neuron {neurons.id[sideless][0]}: has a ring angle but no side; wanted side L or R")
    return np.where(on_ring, neurons.type, neurons.database_type)


def _bins(neurons: Neurons, groups: np.ndarray) -> Iterator[tuple[str, str, str, list[tuple[np.ndarray, np.ndarray]]]]:
    """Each block of pairs that could connect: post group, pre group, pre side, (post, pre) indices per offset bin."""
    names = list(dict.fromkeys(str(group) for group in groups))
    on_ring = set(groups[np.isfinite(neurons.ring_angle)])
    for post in names:
        for pre in names:
            profiled = {post, pre} <= on_ring
            for side in ("L", "R") if profiled else ("",):
                pre_mask = (groups == pre) & (neurons.side == side) if profiled else groups == pre
                i, j = np.meshgrid(np.flatnonzero(groups == post), np.flatnonzero(pre_mask), indexing="ij")
                i, j = i[i != j], j[i != j]  # no synapses of a neuron onto itself
                if not profiled:
                    yield post, pre, side, [(i, j)]
                    continue
                steps = (neurons.ring_angle[i] - neurons.ring_angle[j]) * BINS / (2 * math.pi)
                k = np.floor(steps + 1e-6).astype(int) % BINS  # angles are multiples of half a bin, up to rounding
                yield post, pre, side, [(i[k == b], j[k == b]) for b in range(BINS)]


def draw(statistics: WiringStatistics, seed: int) -> Connectome:
    """A connectome drawn from the statistics: whole counts, the same for the same seed.

    Connected pairs and synapses of every type pair, side and offset are those of the statistics; which cells have them
    and in what number differs from seed to seed. Cells are sorted, labelled and signed as by `head_direction_circuit`.

    Raises:
        DataError: the statistics ask for more connections in a bin than there are pairs of cells.
    """
    rng = np.random.default_rng(seed)
    circuit = _unconnected(statistics)
    neurons = circuit.neurons
    in_factor, out_factor = _drawn_factors(statistics, neurons, rng)
    blocks = {(b.post, b.pre, b.pre_side): b for b in statistics.blocks}
    counts = np.zeros((len(neurons), len(neurons)), dtype=np.int64)
    for post, pre, side, bins in _bins(neurons, _groups(neurons)):
        block = blocks.pop((post, pre, side), None)
        if block is None:
            continue
        pair = circuit_class(post), circuit_class(pre)
        for k, (i, j) in enumerate(bins):
            if block.pairs[k] > len(i):
                raise DataError(
                    f"wiring statistics, {pre} {side} -> {post}, offset bin {k}: got {block.pairs[k]} connected pairs, "
                    f"wanted at most {len(i)}, the pairs of cells at that offset; correct 'cells' or 'profiles'"
                )
            weight = in_factor[pair][i] * out_factor[pair][j]
            counts[i, j] = _drawn_counts(weight, block.pairs[k], block.synapses[k], statistics.variation[pair], rng)
    if blocks:
        raise DataError(f"wiring statistics, connections {next(iter(blocks))}: no cells of that group; correct 'cells'")
    return replace(circuit, counts=sp.csr_array(counts), provenance=_provenance(statistics, neurons, counts, seed))


def _unconnected(statistics: WiringStatistics) -> Connectome:
    """The cells of the statistics without a connection."""
    rows = [(t, name) for t, instances in statistics.cells.items() for name, n in instances.items() for _ in range(n)]
    n = len(rows)
    database_type, instance = np.array(rows, dtype=str).T
    neurons = Neurons(
        id=np.array([f"drawn-{i:04d}" for i in range(1, n + 1)]),
        type=database_type,
        database_type=database_type,
        instance=instance,
        side=np.full(n, "", dtype=str),
        glomerulus=np.zeros(n, dtype=np.int64),
        ring_angle=np.full(n, np.nan),
    )
    bare = Connectome(neurons, sp.csr_array((n, n), dtype=np.int64), Provenance(""))
    return head_direction_circuit(bare, classes=statistics.classes, signs=statistics.signs)


def _drawn_factors(
    statistics: WiringStatistics, neurons: Neurons, rng: np.random.Generator
) -> tuple[dict[tuple[str, str], np.ndarray], dict[tuple[str, str], np.ndarray]]:
    """In- and out-factor of every neuron [N] per (post class, pre class); one outside the class."""
    shared_in, shared_out = np.ones(len(neurons)), np.ones(len(neurons))
    for name, shared in statistics.shared.items():
        members = neurons.type == name
        first, second = _standard_normal(int(members.sum()), rng), _standard_normal(int(members.sum()), rng)
        mixed = shared.correlation * first + math.sqrt(1 - shared.correlation**2) * second
        shared_in[members], shared_out[members] = _log_normal(first, shared.in_cv), _log_normal(mixed, shared.out_cv)

    def factor(shared: np.ndarray, name: str, cv: float, by_glomerulus: tuple[float, ...]) -> np.ndarray:
        members = neurons.type == name
        result = np.ones(len(neurons))
        result[members] = shared[members] * _log_normal(_standard_normal(int(members.sum()), rng), cv)
        if by_glomerulus:
            result[members] *= np.array(by_glomerulus)[neurons.glomerulus[members] - 1]
        return result

    in_factor, out_factor = {}, {}
    for (post, pre), pair in statistics.variation.items():
        in_factor[post, pre] = factor(shared_in, post, pair.in_cv, pair.in_by_glomerulus)
        out_factor[post, pre] = factor(shared_out, pre, pair.out_cv, pair.out_by_glomerulus)
    return in_factor, out_factor


def _log_normal(standard: np.ndarray, cv: float) -> np.ndarray:
    """Standard normal numbers as log-normal ones with mean 1 and coefficient of variation ``cv``."""
    variance = math.log1p(cv**2)
    return np.exp(math.sqrt(variance) * standard - variance / 2)


def _standard_normal(n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` normal numbers scaled to mean 0, SD 1: with a few cells the measured CV must not get lost in sampling."""
    sample = rng.standard_normal(n)
    sd = sample.std(ddof=1) if n > 1 else 0.0
    return (sample - sample.mean()) / sd if sd > 0 else np.zeros(n)


def _drawn_counts(
    weight: np.ndarray, pairs: int, synapses: int, variation: PairVariation, rng: np.random.Generator
) -> np.ndarray:
    """Counts of the pairs of one bin: exactly ``pairs`` connected, exactly ``synapses`` in all, mean ~ weight."""
    counts = np.zeros(len(weight), dtype=np.int64)
    if pairs == 0:
        return counts
    # the first to ring of exponential clocks with rate weight: sampling without replacement
    connected = np.argsort(rng.exponential(size=len(weight)) / weight, kind="stable")[:pairs]
    probability = _inclusion(weight, pairs)[connected]
    # given a connection, its mean count is what makes the mean over all pairs proportional to the weight
    mean = weight[connected] / probability * synapses / weight.sum()
    dispersion = variation.dispersion
    noise = rng.gamma(1 / dispersion, dispersion, pairs) if dispersion > 0 else np.ones(pairs)
    share = np.maximum(mean - variation.minimum, 0.1) * np.maximum(noise, 1e-12)
    beyond = synapses - pairs * variation.minimum
    counts[connected] = variation.minimum + rng.multinomial(beyond, share / share.sum())
    return counts


def _inclusion(weight: np.ndarray, pairs: int) -> np.ndarray:
    """Probability 1 - exp(-t weight) of a pair to be among the first ``pairs``, t such that they sum to ``pairs``."""
    if pairs == len(weight):
        return np.ones(len(weight))
    t = 0.0
    for _ in range(50):  # Newton on a concave increasing function, from the left: never overshoots
        silent = np.exp(-t * weight)
        t += (pairs - (1 - silent).sum()) / (weight * silent).sum()
    return 1 - np.exp(-t * weight)


def _provenance(statistics: WiringStatistics, neurons: Neurons, counts: np.ndarray, seed: int) -> Provenance:
    source = statistics.source
    return Provenance(
        dataset=f"wiring statistics ({source['dataset']} {source['version']})",
        version=source["version"],
        sha256=digest(neurons, counts),
        citation=source["citation"],
        history=(f"drawn from wiring statistics, seed {seed}: {', '.join(statistics.classes)}; no neuron is real",),
    )


def digest(neurons: Neurons, counts: np.ndarray) -> str:
    """SHA-256 of identifiers, database types, instance names and counts [post, pre], in this order of neurons."""
    content = hashlib.sha256()
    for row in zip(neurons.id, neurons.database_type, neurons.instance, strict=True):
        content.update(("\t".join(row) + "\n").encode())
    content.update(counts.astype("<i8").tobytes())
    return content.hexdigest()
