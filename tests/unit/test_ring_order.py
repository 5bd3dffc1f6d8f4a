"""Ring order from synapse counts: exact on rings whose angles are known, close on drawn and real wiring."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from connectome_sim import circular
from connectome_sim.connectome import statistics
from connectome_sim.connectome.anatomy import CIRCUITS, labelled_circuit
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hemibrain
from connectome_sim.connectome.ring_order import misalignment, placed, ring_places
from connectome_sim.errors import ConfigError, DataError, SelectionError
from connectome_sim.model import Wiring

HALF_WEDGE = np.radians(11.25)
N = 24
ANGLES = circular.evenly_spaced(N)


def bump(offset: np.ndarray) -> np.ndarray:
    return np.round(100 * np.exp(3 * (np.cos(offset) - 1)))


def ring_counts(shift: float = 0.0) -> np.ndarray:
    return bump(ANGLES[:, None] - ANGLES + shift)


def test_an_even_ring_is_found_exactly() -> None:
    # a circulant similarity has sines and cosines as eigenvectors, whatever the shape of the bump
    assert misalignment(ring_places([ring_counts()]).angle, ANGLES) < 1e-6


def test_kinds_of_partners_that_are_shifted_against_each_other_agree() -> None:
    places = ring_places([ring_counts(), ring_counts(1.0), np.zeros((N, 3))])
    assert misalignment(places.angle, ANGLES) < 1e-6
    assert places.eigenvalues[1] == pytest.approx(places.eigenvalues[0])
    assert (np.diff(places.eigenvalues) <= 1e-12).all()


def test_the_order_of_neurons_and_their_numbers_of_synapses_do_not_matter() -> None:
    random = np.random.default_rng(0)
    uneven = random.poisson(ring_counts())
    order = random.permutation(N)
    sizes = random.integers(1, 9, size=(N, 1))
    plain = ring_places([uneven]).angle
    assert misalignment(ring_places([uneven[order]]).angle, plain[order]) < 1e-6
    assert misalignment(ring_places([uneven * sizes]).angle, plain) < 1e-6


def test_shuffled_counts_show_no_ring() -> None:
    random = np.random.default_rng(1)
    with pytest.raises(DataError, match="these counts show no ring; state ring angles"):
        ring_places([random.permuted(ring_counts(), axis=1)])


def test_a_line_is_no_ring() -> None:
    place = np.linspace(0, 1, N)
    with pytest.raises(DataError, match=r"wanted a pair \(the second at least 0.5 of the first\)"):
        ring_places([np.round(100 * np.exp(-(((place[:, None] - place) / 0.6) ** 2)))])


@pytest.mark.parametrize("profiles", [[], [np.zeros((N, N))], [np.ones((3, 5))]])
def test_too_few_neurons_or_no_synapse_is_refused(profiles: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match="wanted at least 4 with partners in common"):
        ring_places(profiles)


def test_a_neuron_lies_at_the_mean_of_its_partners() -> None:
    # by hand: 3 synapses at 0 and 3 at 90 degrees; all at 180; none at all; a partner without a place counts nothing
    angle = np.array([0.0, np.pi / 2, np.pi, np.nan])
    found = placed(np.array([[3, 3, 0, 0], [0, 0, 5, 7], [0, 0, 0, 4]]), angle)
    np.testing.assert_allclose(found[:2], [np.pi / 4, np.pi])
    assert np.isnan(found[2])


def test_misalignment_ignores_rotation_and_reflection_and_nothing_else() -> None:
    assert misalignment(0.7 - ANGLES, ANGLES) < 1e-12
    apart = np.where(np.arange(N) % 2, 0.1, -0.1)  # by hand: RMS of +-0.1 around their mean
    assert misalignment(ANGLES + apart + 3.0, ANGLES) == pytest.approx(0.1)


def epg_angles(circuit: Connectome) -> dict[str, float]:
    neurons = circuit.neurons
    epg = neurons.type == "EPG"
    return dict(zip(neurons.id[epg].tolist(), neurons.ring_angle[epg].tolist(), strict=True))


def compared(whole: Connectome, circuit: str) -> tuple[float, float]:
    """Misalignment of EPG angles from the matrix with the anatomical ones, rad, and without the reflection."""
    wanted = epg_angles(labelled_circuit(whole, classes=CIRCUITS[circuit]))
    found = epg_angles(labelled_circuit(whole, classes=CIRCUITS[circuit], ring_order="matrix"))
    a, b = (np.array([angles[name] for name in wanted]) for angles in (found, wanted))
    return misalignment(a, b), float(np.std(circular.difference(a - b, circular.mean((a - b)[:, None]))))


@pytest.mark.real_data
@pytest.mark.parametrize("circuit", ["core", "core_er"])
def test_on_the_real_connectome_the_matrix_agrees_with_the_anatomy_within_half_a_wedge(
    hemibrain_dir: Path, circuit: str
) -> None:
    misaligned, same_way = compared(hemibrain.read(hemibrain_dir), circuit)
    assert misaligned < HALF_WEDGE
    assert np.degrees(misaligned) == pytest.approx(7.2, abs=0.1)  # frozen: what README.md states
    assert same_way == pytest.approx(misaligned)  # sides of the PEN turn the ring the anatomical way round


@pytest.mark.parametrize(("name", "circuit"), [("hemibrain_core", "core"), ("hemibrain_core_er", "core_er")])
@pytest.mark.parametrize("seed", range(3))
def test_on_drawn_wiring_the_matrix_agrees_with_the_anatomy(name: str, circuit: str, seed: int) -> None:
    misaligned, same_way = compared(statistics.draw(statistics.load(name), seed), circuit)
    assert misaligned < HALF_WEDGE
    assert same_way == pytest.approx(misaligned)


@pytest.fixture(scope="module")
def drawn() -> Connectome:
    return statistics.draw(statistics.load("hemibrain_core"), 0)


def unnamed(whole: Connectome, *, sides: bool) -> Connectome:
    """The same counts and types without an instance name, with the sides of the cells or without."""
    named = labelled_circuit(whole, classes=CIRCUITS["core"])
    nothing = np.full(named.n_neurons, "")
    side = named.neurons.side if sides else nothing
    angle = np.full(named.n_neurons, np.nan)
    return replace(named, neurons=replace(named.neurons, instance=nothing, side=side, ring_angle=angle))


def test_no_instance_name_is_read(drawn: Connectome) -> None:
    found = labelled_circuit(unnamed(drawn, sides=True), classes=CIRCUITS["core"], ring_order="matrix")
    wanted = labelled_circuit(drawn, classes=CIRCUITS["core"], ring_order="matrix")
    np.testing.assert_array_equal(found.neurons.id, wanted.neurons.id)
    np.testing.assert_allclose(found.neurons.ring_angle, wanted.neurons.ring_angle)
    np.testing.assert_array_equal(found.neurons.side, wanted.neurons.side)
    with pytest.raises(DataError, match="does not parse"):
        labelled_circuit(unnamed(drawn, sides=True), classes=CIRCUITS["core"])


def test_without_sides_there_is_a_ring_but_no_way_to_take_the_velocity(drawn: Connectome) -> None:
    found = labelled_circuit(unnamed(drawn, sides=False), classes=CIRCUITS["core"], ring_order="matrix")
    a, b = epg_angles(found), epg_angles(labelled_circuit(drawn, classes=CIRCUITS["core"]))
    assert misalignment(np.array([a[name] for name in b]), np.array(list(b.values()))) < HALF_WEDGE
    with_signs = replace(found, signs=drawn.signs)
    with pytest.raises(SelectionError, match="fill the side column"):
        Wiring.from_connectome(with_signs)


def test_the_ring_begins_at_the_first_epg_and_the_step_is_noted(drawn: Connectome) -> None:
    found = labelled_circuit(drawn, classes=CIRCUITS["core"], ring_order="matrix")
    assert min(epg_angles(found).items(), key=lambda item: (len(item[0]), item[0]))[1] == 0
    assert found.provenance.history[-1].endswith("ring angles from the counts")
    assert np.isfinite(found.neurons.ring_angle).all()


def test_stated_angles_are_replaced(drawn: Connectome) -> None:
    stated = labelled_circuit(drawn, classes=CIRCUITS["core"])
    found = labelled_circuit(stated, classes=CIRCUITS["core"], ring_order="matrix")
    assert not np.allclose(found.neurons.ring_angle, stated.neurons.ring_angle)
    again = labelled_circuit(found, classes=CIRCUITS["core"])
    np.testing.assert_array_equal(again.neurons.ring_angle, found.neurons.ring_angle)


def test_an_unknown_order_is_refused(drawn: Connectome) -> None:
    with pytest.raises(ConfigError, match="ring_order: got 'names', wanted one of anatomy, matrix"):
        labelled_circuit(drawn, classes=CIRCUITS["core"], ring_order="names")
