"""The real hemibrain v1.2 against published and independently counted numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from connectome_sim import circular
from connectome_sim.connectome.anatomy import CIRCUITS, CORE, EXR, head_direction_circuit
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.download import download
from connectome_sim.connectome.io import graph, hdf5, hemibrain, known_datasets
from connectome_sim.errors import ConfigError
from connectome_sim.resources import data_dir

pytestmark = pytest.mark.real_data

# Synapses of hemibrain v1.2, presynaptic row, postsynaptic column, counted from three independent exports.
TOTALS = np.array(
    [
        [7980, 97, 5128, 5157, 5765, 17286],
        [19, 20, 165, 209, 366, 412],
        [13486, 90, 3177, 1989, 79, 12],
        [8417, 83, 1951, 4270, 134, 19],
        [499, 32, 81, 1309, 211, 20],
        [6664, 1054, 2754, 9800, 6123, 24615],
    ]
)
CELLS = {"EPG": 46, "EPGt": 4, "PEN_a": 20, "PEN_b": 22, "PEG": 18, "Delta7": 42}
ER_TO_EPG = {"ER1": 11630, "ER2": 24070, "ER3": 32272, "ER4": 24869, "ER5": 3719, "ER6": 713}  # of 3 or more synapses


@pytest.fixture(scope="module")
def whole(hemibrain_dir: Path) -> Connectome:
    return hemibrain.read(hemibrain_dir)


@pytest.fixture(scope="module")
def core(whole: Connectome) -> Connectome:
    return head_direction_circuit(whole, classes=CORE)


def offsets(c: Connectome, post: np.ndarray, pre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ring angle of post minus pre, rad, and synapses, for all pairs of two groups."""
    angle = c.neurons.ring_angle
    return circular.difference(angle[post][:, None], angle[pre][None, :]), c.dense()[np.ix_(post, pre)]


def test_the_dataset_is_recognised(whole: Connectome) -> None:
    assert whole.n_neurons == 21_739
    assert (whole.provenance.dataset, whole.provenance.version) == ("hemibrain", "v1.2")
    assert "Scheffer" in whole.provenance.citation


def test_the_digests_that_ship_are_those_of_the_tables(hemibrain_dir: Path, tmp_path: Path) -> None:
    script = data_dir() / "known_datasets" / "derive.py"
    subprocess.run([sys.executable, script, hemibrain_dir, tmp_path], check=True, capture_output=True)
    (shipped,) = known_datasets.load()
    assert known_datasets.read(tmp_path / "hemibrain_v1.2.json") == shipped


def test_the_real_tables_pass_the_check_of_a_download(hemibrain_dir: Path) -> None:
    # a dataset that is there is checked, digest and circuit, and left alone: no network is needed
    assert download("hemibrain", folder=hemibrain_dir.parent, progress=False) == hemibrain_dir


def test_the_core_has_the_published_numbers(core: Connectome) -> None:
    assert {t: int((core.neurons.type == t).sum()) for t in core.types} == CELLS
    assert (core.n_neurons, core.counts.nnz, core.counts.sum()) == (152, 9_722, 129_473)


def test_every_type_pair_has_its_published_total(core: Connectome) -> None:
    assert core.types == CORE
    np.testing.assert_array_equal(core.totals().T, TOTALS)


def test_ring_neurons_add_257_cells_and_more_than_half_of_the_input_to_epg(whole: Connectome) -> None:
    c = head_direction_circuit(whole, classes=CIRCUITS["core_er"], min_count=3)
    assert c.n_neurons == 409
    epg = c.neurons.type == "EPG"
    family = np.array([t[:3] for t in c.neurons.database_type])
    counts = c.dense()
    found = {name: int(counts[np.ix_(epg, family == name)].sum()) for name in ER_TO_EPG}
    assert found == ER_TO_EPG
    assert counts[np.ix_(epg, c.neurons.type == "ER")].sum() > 0.5 * counts[epg].sum()


def test_the_widest_circuit_has_eight_exr_types_and_needs_their_signs(whole: Connectome) -> None:
    with pytest.raises(ConfigError, match=r"no sign for ExR1.*EL.*[+]connectome.signs=\{ExR1: -1, ...\}"):
        head_direction_circuit(whole, classes=CIRCUITS["core_er_exr_el"])
    c = head_direction_circuit(whole, classes=CIRCUITS["core_er_exr_el"], signs={"EL": 1, "ExR": 1})
    assert c.n_neurons == 409 + 26 + 18
    assert c.types == (*CORE, "ER", *EXR, "EL")


def test_87_percent_of_epg_to_epg_synapses_lie_within_one_step_of_the_ring(core: Connectome) -> None:
    epg = core.neurons.type == "EPG"
    offset, counts = offsets(core, epg, epg)
    near = abs(offset) <= np.radians(22.6)
    assert counts[near].sum() / counts.sum() == pytest.approx(0.87, abs=0.005)
    # the claim is worth something: one step is 3 of 16 half-tiles
    assert near.mean() < 0.2


@pytest.mark.parametrize("cell_type", ["PEN_a", "PEN_b"])
@pytest.mark.parametrize(("side", "degrees"), [("L", -56), ("R", 55)])
def test_a_pen_excites_epg_an_eighth_of_a_turn_and_more_away(
    core: Connectome, cell_type: str, side: str, degrees: float
) -> None:
    pen = (core.neurons.type == cell_type) & (core.neurons.side == side)
    offset, counts = offsets(core, core.neurons.type == "EPG", pen)
    mean = np.degrees(np.angle((counts * np.exp(1j * offset)).sum()))
    assert mean == pytest.approx(degrees, abs=2)


@pytest.mark.parametrize("cell_type", ["EPG", "PEN_b", "PEG"])
def test_delta7_outputs_lie_at_its_own_angle(core: Connectome, cell_type: str) -> None:
    # ring angle of Delta7 = where it sends its output: what it inhibits peaks there
    delta7, target = core.neurons.type == "Delta7", core.neurons.type == cell_type
    offset, counts = offsets(core, target, delta7)
    mean = np.degrees(np.angle((counts * np.exp(1j * offset)).sum()))
    assert abs(mean) < 12


def test_delta7_gets_its_input_from_epg_on_the_other_side(core: Connectome) -> None:
    delta7, epg = core.neurons.type == "Delta7", core.neurons.type == "EPG"
    offset, counts = offsets(core, delta7, epg)
    mean = np.degrees(np.angle((counts * np.exp(1j * offset)).sum()))
    assert abs(mean) > 168


def test_the_in_degree_of_epg_varies_by_16_percent(core: Connectome) -> None:
    epg = core.neurons.type == "EPG"
    inputs = core.dense()[epg].sum(axis=1)
    assert inputs.std() / inputs.mean() == pytest.approx(0.16, abs=0.01)


def test_the_real_circuit_survives_its_file_and_a_graph(core: Connectome, tmp_path: Path) -> None:
    hdf5.write(core, tmp_path / "connectome.h5")
    assert hdf5.read(tmp_path / "connectome.h5").equals(core)
    assert graph.from_networkx(graph.to_networkx(core)).equals(core)
