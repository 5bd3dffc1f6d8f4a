"""What null models and deviations keep exactly, on connectomes of any shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectome_sim import circular
from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.connectome.deviations import DEVIATIONS, CircularSymmetry, MirrorSymmetry, Missed
from connectome_sim.connectome.nulls import NULLS, BlockMeans, IdealRing, Rewire, ShuffleLabels, ShuffleSigns
from connectome_sim.connectome.rings import circular_mean, mirrored_mean
from tests import typed_ring

TYPES = ("EPG", "PEN_a", "Delta7")
FEW = settings(max_examples=15)  # of each of a dozen models


def connectomes() -> st.SearchStrategy[tuple]:
    """Three types of one to six neurons, a seed and a share of connected pairs, for ``built``."""
    sizes = st.tuples(*[st.integers(1, 6)] * 3)
    return st.tuples(sizes, st.integers(0, 10_000), st.sampled_from([0.2, 0.5, 0.9, 1.0]))


def built(drawn: tuple) -> Connectome:
    """A random connectome: some neurons without side or angle, sparse to dense, autapses too."""
    sizes, seed, share = drawn
    types = np.repeat(TYPES, sizes)
    n, rng = len(types), np.random.default_rng(seed)
    counts = rng.integers(1, 40, (n, n)) * (rng.random((n, n)) < share)
    angle = np.where(rng.random(n) < 0.8, 2 * np.pi / 16 * rng.integers(0, 16, n), np.nan)
    assume(counts.any())
    return Connectome(
        Neurons(
            id=np.array([str(i) for i in range(n)]),
            type=types,
            database_type=types,
            instance=np.array([""] * n),
            side=rng.choice(["", "L", "R"], n),
            glomerulus=np.zeros(n, dtype=np.int64),
            ring_angle=angle,
        ),
        sp.csr_array(counts),
        Provenance("by hand"),
        signs=Signs({"EPG": 1, "PEN_a": 1, "Delta7": -1}),
    )


def by_block(connectome: Connectome, what: Callable[[np.ndarray], list]) -> list:
    counts, index = connectome.dense(), connectome.type_index
    return [what(counts[np.ix_(index == a, index == b)]) for a in range(3) for b in range(3)]


QUANTITIES: dict[str, Callable[[Connectome], object]] = {
    "synapses per type pair": lambda c: c.totals().tolist(),
    "synapses": lambda c: int(c.counts.data.sum()),
    "counts of each block (as a multiset)": lambda c: by_block(c, lambda b: sorted(b[b > 0].tolist())),
    "counts (as a multiset)": lambda c: sorted(c.counts.data.tolist()),
    "connections onto each neuron from each type": lambda c: by_block(c, lambda b: (b > 0).sum(axis=1).tolist()),
    "connections from each neuron onto each type": lambda c: by_block(c, lambda b: (b > 0).sum(axis=0).tolist()),
    "synapses onto each neuron from each type": lambda c: by_block(c, lambda b: b.sum(axis=1).tolist()),
    "connected pairs": lambda c: (c.dense() > 0).tolist(),
    "every count": lambda c: c.dense().tolist(),
    "the graph up to the names of its nodes, hence degrees and synapses of its nodes (as multisets)": lambda c: sorted(
        zip(
            c.dense().sum(axis=0).tolist(),
            c.dense().sum(axis=1).tolist(),
            (c.dense() > 0).sum(axis=0).tolist(),
            (c.dense() > 0).sum(axis=1).tolist(),
            c.dense().diagonal().tolist(),
            strict=True,
        )
    ),
    "neurons per type": lambda c: [(c.neurons.type == t).sum() for t in c.types],
    "excitatory and inhibitory types (their number)": lambda c: sorted(c.signs.by_type.values()),
}


@pytest.mark.parametrize("name", NULLS)
@FEW
@given(connectome=connectomes(), seed=st.integers(0, 1000))
def test_a_null_model_keeps_what_it_says_it_keeps(name: str, connectome: tuple, seed: int) -> None:
    connectome = built(connectome)
    null = NULLS[name]()
    drawn = null(connectome, np.random.default_rng(seed))
    for quantity in null.preserves:
        assert QUANTITIES[quantity](drawn) == QUANTITIES[quantity](connectome), quantity
    assert drawn.neurons is connectome.neurons and drawn.provenance.history[-1] == null.name


@pytest.mark.parametrize("name", NULLS)
def test_a_null_model_changes_the_rest_and_is_the_same_for_the_same_seed(name: str) -> None:
    connectome = typed_ring.connectome()
    first, again, other = (NULLS[name]()(connectome, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.equals(again)
    if name != "ideal_ring":  # this one is ideal already
        assert not np.array_equal(first.dense(), connectome.dense()) or first.signs != connectome.signs
    if name not in ("shuffle_signs", "ideal_ring"):  # few types; nothing to draw
        assert not np.array_equal(first.dense(), other.dense())


@FEW
@given(connectome=connectomes(), seed=st.integers(0, 100))
def test_rewiring_makes_no_connection_of_a_neuron_onto_itself(connectome: tuple, seed: int) -> None:
    connectome = built(connectome)
    drawn = Rewire()(connectome, np.random.default_rng(seed))
    np.testing.assert_array_equal(drawn.dense().diagonal(), connectome.dense().diagonal())


def test_relabelling_is_a_permutation_of_rows_and_columns() -> None:
    connectome = typed_ring.connectome()
    drawn = ShuffleLabels()(connectome, np.random.default_rng(5))
    order = np.random.default_rng(5).permutation(connectome.n_neurons)
    np.testing.assert_array_equal(drawn.dense(), connectome.dense()[order][:, order])


@FEW
@given(connectome=connectomes(), seed=st.integers(0, 100))
def test_block_means_are_as_even_as_whole_synapses_can_be(connectome: tuple, seed: int) -> None:
    drawn = BlockMeans()(built(connectome), np.random.default_rng(seed))
    for spread in by_block(drawn, lambda b: [np.ptp(b), np.ptp(b.sum(axis=0)), np.ptp(b.sum(axis=1))]):
        assert max(spread) <= 1


def test_an_ideal_ring_looks_the_same_from_every_heading_but_for_single_synapses() -> None:
    connectome = typed_ring.connectome()
    drawn = IdealRing()(connectome, np.random.default_rng(0))
    epg = connectome.neurons.type == "EPG"
    block = drawn.dense()[np.ix_(epg, epg)]
    rolled = np.array([np.roll(row, -i) for i, row in enumerate(block)])
    assert np.ptp(rolled, axis=0).max() <= 1


def test_signs_of_one_kind_cannot_be_shuffled() -> None:
    one_sign = typed_ring.connectome().replaced(step="by hand", signs=Signs({t: 1 for t in TYPES}))
    with pytest.raises(Exception, match="both signs"):
        ShuffleSigns()(one_sign, np.random.default_rng(0))


# --- deviations ---


@pytest.mark.parametrize("name", DEVIATIONS)
@FEW
@given(connectome=connectomes(), seed=st.integers(0, 100))
def test_at_level_zero_a_deviation_changes_nothing(name: str, connectome: tuple, seed: int) -> None:
    connectome = built(connectome)
    same = DEVIATIONS[name](0.0)(connectome, np.random.default_rng(seed))
    np.testing.assert_array_equal(same.dense(), connectome.dense())


@pytest.mark.parametrize("kind", [MirrorSymmetry, CircularSymmetry])
@FEW
@given(connectome=connectomes(), level=st.sampled_from([0.3, 1.0]))
def test_symmetry_keeps_the_synapses_of_every_type_pair(kind: type, connectome: tuple, level: float) -> None:
    connectome = built(connectome)
    drawn = kind(level)(connectome, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.totals(), connectome.totals())


@FEW
@given(connectome=connectomes())
def test_merged_neurons_keep_their_synapses(connectome: tuple) -> None:
    connectome = built(connectome)
    merged = DEVIATIONS["merge"](0.5)(connectome, np.random.default_rng(0))
    assert merged.counts.data.sum() == connectome.counts.data.sum()
    assert set(merged.neurons.id) <= set(connectome.neurons.id)
    np.testing.assert_array_equal(merged.totals().sum(), connectome.totals().sum())


def test_full_symmetry_is_symmetric() -> None:
    """The mean over a place and its mirror image, seen in the mirror, is itself; so is a mean by offset, turned."""
    connectome = typed_ring.connectome()
    neurons = connectome.neurons
    mean = mirrored_mean(connectome)
    mirror = np.deg2rad(337.5) - neurons.ring_angle
    other = np.select([neurons.side == "L", neurons.side == "R"], ["R", "L"], "")
    image = []
    for kind, side, angle in zip(neurons.type, other, mirror, strict=True):
        same = (neurons.type == kind) & (neurons.side == side)
        near = circular.distance(neurons.ring_angle, np.full(len(same), angle)) < 1e-6
        image.append(np.flatnonzero(same & near)[0] if (same & near).any() else -1)
    at = np.flatnonzero(np.array(image) >= 0)
    assert len(at) == 16  # EPG; the places of the others have no mirror image here
    np.testing.assert_allclose(mean[np.ix_(at, at)], mean[np.ix_(np.array(image)[at], np.array(image)[at])])
    epg = np.flatnonzero(neurons.type == "EPG")
    turned = circular_mean(connectome)[np.ix_(epg, epg)]
    np.testing.assert_allclose(np.roll(turned, (1, 1), axis=(0, 1)), turned)


def test_each_synapse_is_missed_with_the_chance_stated() -> None:
    connectome = typed_ring.connectome()
    total = connectome.counts.data.sum()
    kept = [Missed(0.25)(connectome, np.random.default_rng(s)).counts.data.sum() / total for s in range(20)]
    # binomial: SD of one share is sqrt(0.75 0.25 / total), of the mean of 20 a further sqrt(20) smaller; 4 of those
    assert abs(np.mean(kept) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / total / 20)


@pytest.mark.parametrize("level", [-0.1, 1.5])
def test_a_level_out_of_range_is_refused(level: float) -> None:
    with pytest.raises(Exception, match="wanted 0 to 1"):
        Missed(level)
