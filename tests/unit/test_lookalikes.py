"""Types that look like a wanted one: each spelling that is seen for these cells is named, and no other type is."""

import logging

import numpy as np
import pytest

from connectome_sim.connectome.anatomy import CLASSES, CORE, labelled_circuit
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.inspection import as_text, inspect
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.connectome.lookalikes import lookalikes
from connectome_sim.errors import SelectionError


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("Delta7_a", "Delta7"),
        ("Delta7a", "Delta7"),
        ("delta7", "Delta7"),
        ("Δ7", "Delta7"),
        ("Delta 7", "Delta7"),
        ("P-EN1", "PEN"),
        ("PEN1", "PEN"),
        ("PEN_a/PEN1", "PEN"),
        ("E-PG", "EPG"),
        ("EPG ", "EPG"),
        ("EPGt ", "EPGt"),
        ("er4m", "ER"),
    ],
)
def test_other_spellings_of_a_type_are_seen(name: str, like: str) -> None:
    assert lookalikes([name], CLASSES) == {name: like}


@pytest.mark.parametrize("name", ["", "EPG", "PFNa", "ERROR", "ELP", "hDeltaB", "PFL3", "CL141", "vDeltaA", "PEP"])
def test_other_types_are_not(name: str) -> None:
    assert lookalikes([name], CLASSES) == {}


CELLS = {"EPG": "EPG_L1", "EPGt": "EPGt_L9", "PEN_a": "PEN_a_L2", "PEN_b": "PEN_b_L2", "PEG": "PEG_L1",
         "Delta7": "Delta7_L4R5_R", "Delta7_a": "Delta7_L3R6_R", "CL141": "CL141_L"}  # fmt: skip


def whole(**renamed: str) -> Connectome:
    types = [renamed.get(name, name) for name in CELLS]
    return from_matrix(np.ones((8, 8)), orientation="post_pre", types=types, instances=list(CELLS.values()))


def test_a_circuit_says_which_types_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        circuit = labelled_circuit(whole(), classes=CORE)
    assert circuit.n_neurons == 6
    wanted = "left out, though their types look like those of the circuit: 'Delta7_a' (1 cells, like Delta7)"
    assert circuit.provenance.history[-1] == wanted
    assert caplog.messages == [wanted]


def test_a_circuit_without_such_types_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    circuit = labelled_circuit(whole(Delta7_a="CL142"), classes=CORE)
    assert not caplog.messages
    assert len(circuit.provenance.history) == 2  # from a matrix; the selection


def test_only_types_like_the_wanted_ones_are_named(caplog: pytest.LogCaptureFixture) -> None:
    labelled_circuit(whole(), classes=["EPG", "PEG"])
    assert not caplog.messages


def test_a_class_that_is_missing_comes_with_the_types_that_look_like_it() -> None:
    with pytest.raises(SelectionError, match="no neuron of class EPG .* though similar: 'Delta7_a'.*'E-PG' .1 cells"):
        labelled_circuit(whole(EPG="E-PG"), classes=CORE)


def test_inspection_names_them() -> None:
    summary = inspect(whole())
    assert summary["similar"] == "'Delta7_a' (1 cells, like Delta7)"
    assert "similar   not taken for types of the circuit: 'Delta7_a'" in as_text(summary)
    assert "similar" not in as_text(inspect(whole(Delta7_a="CL142")))
