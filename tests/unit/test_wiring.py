"""Claims about the wiring: orientation, signs, normalisation, and which way velocity enters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from connectome_sim import circular
from connectome_sim.connectome.anatomy import head_direction_circuit
from connectome_sim.connectome.io import hemibrain
from connectome_sim.errors import DataError, SelectionError
from connectome_sim.model import Wiring
from tests.unit.circuits import COUNTS, SIGNS, connectome, wiring


def test_connections_are_post_by_pre_signed_by_the_presynaptic_type_and_normalised() -> None:
    """By hand: 30 synapses onto 5 neurons, so c0 = 6; the column of Delta7 is negative."""
    wanted = COUNTS / 6.0 * np.array([1, 1, 1, 1, -1])
    np.testing.assert_allclose(wiring().connections.numpy(), wanted, rtol=1e-15)


def test_normalised_input_of_a_neuron_is_one_on_average() -> None:
    assert wiring().connections.abs().sum(dim=1).mean().item() == pytest.approx(1.0, rel=1e-14)


def test_a_sign_override_holds_for_its_type_pair_only() -> None:
    changed = connectome(overrides={("PEN_a", "Delta7"): 1})
    connections = Wiring.from_connectome(changed, velocity_types=("PEN_a",), dtype=torch.float64).connections
    assert connections[2, 4].item() == pytest.approx(2 / 6)
    assert connections[0, 4].item() == pytest.approx(-4 / 6)


def test_type_pairs_with_synapses_are_post_by_pre() -> None:
    # rows post, columns pre: EPG, PEN_a, Delta7
    assert wiring().pair_present.tolist() == [[False, True, True], [True, False, True], [True, False, False]]
    assert wiring().type_signs.tolist() == [[1, 1, -1]] * 3


def test_right_pen_is_excited_by_positive_angular_velocity_and_left_pen_inhibited() -> None:
    w = wiring()
    assert w.velocity_side.tolist() == [0, 0, -1, 1, 0]
    assert w.velocity_type_index.tolist() == [-1, -1, 0, 0, -1]
    stated = Wiring.from_connectome(connectome(), velocity_types=("PEN_a",), velocity_signs={"PEN_a": -1})
    assert stated.velocity_side.tolist() == [0, 0, 1, -1, 0]


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        # left GLNO inhibits right PEN: positive velocity must calm the left GLNO, so that right PEN is released
        ([[0, 9], [9, 0]], [-1.0, 1.0]),
        # left GLNO inhibits left PEN: the other way round
        ([[9, 0], [0, 9]], [1.0, -1.0]),
    ],
    ids=["crossed", "uncrossed"],
)
def test_the_velocity_sign_of_glno_follows_from_the_pen_it_inhibits(
    targets: list[list[int]], wanted: list[float]
) -> None:
    types, sides = ("EPG", "PEN_a", "PEN_a", "GLNO", "GLNO"), ("", "L", "R", "L", "R")
    counts = np.zeros((5, 5), dtype=np.int64)
    counts[1:3, 3:5] = targets  # post PEN left, right; pre GLNO left, right
    w = Wiring.from_connectome(connectome(counts, types, sides), velocity_types=("GLNO",))
    assert w.velocity_side.tolist() == [0, 0, 0, *wanted]


def test_a_velocity_type_whose_sign_cannot_be_inferred_must_be_stated() -> None:
    types, sides = ("EPG", "PEN_a", "GLNO"), ("", "L", "R")
    circuit = connectome(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]), types, sides)
    with pytest.raises(SelectionError, match="velocity.signs"):
        Wiring.from_connectome(circuit, velocity_types=("GLNO",))
    w = Wiring.from_connectome(circuit, velocity_types=("GLNO",), velocity_signs={"GLNO": -1})
    assert w.velocity_side.tolist() == [0, 0, -1]


def test_heading_is_read_from_epg_with_a_ring_angle() -> None:
    assert wiring().epg_mask.tolist() == [True, True, False, False, False]
    assert wiring().ring_angle[:2].tolist() == [0.0, 1.0]


def test_membership_gathers_exactly() -> None:
    values = torch.tensor([0.1, 1 / 3, 7e-9], dtype=torch.float64)
    assert torch.equal(wiring().membership @ values, values[wiring().type_index])


def test_another_precision_keeps_indices_and_masks() -> None:
    single = wiring().to(dtype=torch.float32)
    assert single.connections.dtype == single.velocity_side.dtype == torch.float32
    assert single.type_index.dtype == torch.int64
    assert single.epg_mask.dtype == torch.bool


@pytest.mark.parametrize(
    ("circuit", "options", "message"),
    [
        (connectome(), {"velocity_types": ("PEN_b",)}, "no neuron of type 'PEN_b'"),
        (connectome(), {"heading_type": "E-PG"}, "no neuron of type 'E-PG'"),
        (connectome(sides=("", "", "L", "", "")), {}, "neuron 3 of velocity type 'PEN_a': got side ''"),
        (connectome(np.zeros((5, 5), dtype=np.int64)), {}, "no synapse"),
        (connectome(), {"velocity_signs": {"PEN_a": 2}}, "got 2, wanted"),
    ],
)
def test_a_circuit_that_cannot_be_wired_is_refused(circuit: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Wiring.from_connectome(circuit, **{"velocity_types": ("PEN_a",), **options})  # type: ignore[arg-type]


def test_a_type_without_a_sign_is_refused() -> None:
    unsigned = connectome(signs={name: sign for name, sign in SIGNS.items() if name != "Delta7"})
    with pytest.raises(DataError, match="Delta7"):
        Wiring.from_connectome(unsigned, velocity_types=("PEN_a",))


@pytest.mark.real_data
@pytest.mark.parametrize("pen", ["PEN_a", "PEN_b"])
def test_in_the_hemibrain_velocity_excites_the_pen_that_push_the_bump_up(hemibrain_dir: Path, pen: str) -> None:
    """PEN excite EPG about +55 (right) and -56 degrees (left) from their own place on the ring (measured, v1.2)."""
    circuit = head_direction_circuit(hemibrain.read(hemibrain_dir), classes=("EPG", "PEN_a", "PEN_b"))
    w = Wiring.from_connectome(circuit, dtype=torch.float64)
    angle, is_pen = w.ring_angle.numpy(), circuit.neurons.type == pen
    for side in (1, -1):
        rows, columns = w.epg_mask.numpy(), is_pen & (w.velocity_side.numpy() == side)
        offset = circular.difference(angle[rows][:, None], angle[columns][None, :])
        pull = (w.connections.numpy()[np.ix_(rows, columns)] * np.exp(1j * offset)).sum()
        assert np.rad2deg(np.angle(pull)) == pytest.approx(55 * side, abs=10)
