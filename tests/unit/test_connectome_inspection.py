"""The summary of a connectome: presynaptic rows, and small enough to read."""

import json
from dataclasses import replace

import numpy as np

from connectome_sim.connectome.inspection import as_text, inspect
from connectome_sim.connectome.io.matrix import from_matrix


def test_the_summary_counts_cells_and_synapses_by_pre_then_post() -> None:
    c = from_matrix(np.array([[0, 1500], [0, 2]]), orientation="post_pre", types=["EPG", "PEG"], dataset="small fly")
    summary = inspect(c)
    assert (summary["neurons"], summary["pairs"], summary["synapses"]) == (2, 2, 1502)
    assert summary["synapses_by_type_pair"]["PEG"]["EPG"] == 1500
    assert json.loads(json.dumps(summary)) == summary
    text = as_text(summary)
    assert "small fly" in text
    assert [line.split() for line in text.splitlines()[-2:]] == [["EPG", "0", "0"], ["PEG", "1,500", "2"]]


def test_a_whole_dataset_is_summed_up_by_circuit_class() -> None:
    types = [f"CL{i}" for i in range(40)] + ["ER4m", "ER4d", "PEN_a(PEN1)"]
    c = from_matrix(np.zeros((43, 43)), orientation="post_pre", types=types)
    summary = inspect(c)
    assert summary["types"] == 43
    assert summary["cells"] == {"PEN_a": 1, "ER": 2}
    assert summary["synapses_by_type_pair"] == {}
    assert "ER" in as_text(summary)


def test_a_whole_dataset_needs_no_database_types() -> None:
    c = from_matrix(np.zeros((40, 40)), orientation="post_pre", types=["EPG", *(f"CL{i}" for i in range(39))])
    c = c.replaced(step="unnamed", neurons=replace(c.neurons, database_type=np.full(40, "")))
    assert inspect(c)["cells"] == {"EPG": 1}
