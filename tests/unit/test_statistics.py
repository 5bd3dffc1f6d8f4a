"""Wiring statistics: what ships, what is drawn from it, what is refused. Known numbers: hemibrain v1.2 itself."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from connectome_sim.connectome.anatomy import CORE, head_direction_circuit
from connectome_sim.connectome.io import wiring_statistics as files
from connectome_sim.connectome.statistics import draw, load, measure
from connectome_sim.connectome.wiring_statistics import SharedVariation
from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir

CORE_CELLS = {"EPG": 46, "EPGt": 4, "PEN_a": 20, "PEN_b": 22, "PEG": 18, "Delta7": 42}


@pytest.fixture(scope="module")
def core():
    return load("hemibrain_core")


@pytest.fixture(scope="module")
def ring():
    return load("hemibrain_core_er")


@pytest.fixture(scope="module")
def drawn(core):
    return draw(core, 0)


def test_the_drawn_core_has_the_known_cells_pairs_and_synapses(drawn):
    types = drawn.neurons.type.tolist()
    assert {name: types.count(name) for name in drawn.types} == CORE_CELLS
    assert drawn.counts.nnz == 9_722
    assert drawn.counts.sum() == 129_473


def test_the_drawn_core_with_ring_neurons_has_the_known_cells_and_input_to_epg(ring):
    connectome = draw(ring, 0)
    assert connectome.n_neurons == 409
    er_to_epg = connectome.totals()[connectome.types.index("EPG"), connectome.types.index("ER")]
    assert er_to_epg == 11_630 + 24_070 + 32_272 + 24_869 + 3_719 + 713
    assert (connectome.neurons.type == "ER").sum() == 257


@pytest.mark.parametrize("seed", [0, 1])
def test_totals_and_connected_pairs_of_every_type_pair_are_those_of_the_statistics(core, seed):
    connectome = draw(core, seed)
    assert connectome.types == core.classes
    np.testing.assert_array_equal(connectome.totals(), core.totals())
    connected = replace(connectome, counts=(connectome.counts > 0).astype(np.int64))
    np.testing.assert_array_equal(connected.totals(), core.connected_pairs())


def test_the_profile_measured_on_a_drawn_connectome_is_the_one_it_was_drawn_from(ring):
    measured = measure(draw(ring, 3))
    assert set(measured.blocks) == set(ring.blocks)
    assert measured.cells == ring.cells


def test_a_seed_repeats_itself_and_another_seed_differs(core, drawn):
    again, other = draw(core, 0), draw(core, 1)
    np.testing.assert_array_equal(again.dense(), drawn.dense())
    assert again.provenance == drawn.provenance
    assert (other.dense() != drawn.dense()).mean() > 0.1
    assert other.provenance.sha256 != drawn.provenance.sha256


def test_a_drawn_connectome_says_that_it_is_drawn(drawn):
    assert drawn.provenance.dataset == "wiring statistics (hemibrain v1.2)"
    assert re.fullmatch(r"[0-9a-f]{64}", drawn.provenance.sha256)
    assert "Scheffer et al. 2020" in drawn.provenance.citation
    assert "seed 0" in drawn.provenance.history[-1]
    assert all(re.fullmatch(r"drawn-\d{4}", name) for name in drawn.neurons.id)


def test_a_drawn_connectome_passes_through_the_selection_like_a_read_one(drawn):
    circuit = head_direction_circuit(drawn, classes=CORE)
    np.testing.assert_array_equal(circuit.neurons.id, drawn.neurons.id)
    np.testing.assert_array_equal(circuit.neurons.ring_angle, drawn.neurons.ring_angle)
    assert circuit.signs == drawn.signs
    assert np.isfinite(drawn.neurons.ring_angle).all()


def test_no_neuron_synapses_onto_itself(drawn):
    assert drawn.counts.diagonal().sum() == 0


def test_a_left_pen_excites_the_epg_about_56_degrees_behind_and_a_right_one_55_ahead(drawn):
    # the offset of a PEN from its own glomerulus, measured on the dataset
    neurons, counts = drawn.neurons, drawn.dense()
    for side, expected in (("L", -56), ("R", 55)):
        post, pre = neurons.type == "EPG", (neurons.type == "PEN_a") & (neurons.side == side)
        offset = neurons.ring_angle[post][:, None] - neurons.ring_angle[pre]
        mean = np.angle((counts[np.ix_(post, pre)] * np.exp(1j * offset)).sum())
        assert np.degrees(mean) == pytest.approx(expected, abs=3)


def test_variation_put_in_is_found_again(core):
    # Delta7 from EPG: 42 cells with about 410 synapses each from 46 cells, where noise of single pairs averages out
    pair = ("Delta7", "EPG")
    changed = replace(
        core,
        variation={**core.variation, pair: replace(core.variation[pair], in_cv=0.4)},
        shared={name: SharedVariation(0.0, 0.0, 0.0) for name in core.classes},
    )
    found = [measure(draw(changed, seed)).variation[pair].in_cv for seed in range(3)]
    assert np.mean(found) == pytest.approx(0.4, rel=0.15)


@pytest.mark.parametrize("name", ["hemibrain_core", "hemibrain_core_er"])
def test_what_ships_is_no_table_of_neurons(name):
    text = (data_dir() / "wiring_statistics" / f"{name}.json").read_text(encoding="utf-8")
    assert len(text) < 60_000
    content = json.loads(text)
    content["source"].pop("sha256")
    numbers = [int(number) for number in re.findall(r"(?<![\w.])\d+(?![\w.])", json.dumps(content))]
    assert max(numbers) < 1_000_000  # hemibrain identifiers have nine digits and more
    counted = [
        n
        for row in content["profiles"].values()
        for sides in row.values()
        for entry in sides.values()
        for n in entry["synapses"]
        if n
    ]
    assert len(counted) < 9_722 / 5  # the core holds 9,722 connections


def test_source_and_licence_are_stated(core, ring):
    for statistics in (core, ring):
        assert "eLife 9:e57443" in statistics.source["citation"]
        assert statistics.source["licence"] == "CC-BY 4.0"
        assert statistics.source["computed_with"] == "connectome_sim.connectome.statistics.measure"


def test_written_and_read_again_is_the_same(ring, tmp_path):
    path = tmp_path / "again.json"
    files.write(ring, path)
    assert load(path) == ring
    assert path.read_bytes() == (data_dir() / "wiring_statistics" / "hemibrain_core_er.json").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again.json"]


def test_a_file_that_cannot_be_written_leaves_nothing(core, tmp_path):
    with pytest.raises(DataError, match="core.json: cannot write .No such file or directory"):
        files.write(core, tmp_path / "absent" / "core.json")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match="hemibrain_core"):
        load("hemibrian_core")


def _set(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def _drop(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("format", value="something"), "format: got 'something', wanted 'connectome-sim wiring statistics'"),
        (_set("format_version", value=2), "format_version: got 2, wanted 1"),
        (_drop("profiles"), "entry 'profiles' is missing"),
        (_drop("source", "citation"), "source: entry 'citation' is missing"),
        (_set("signs", "EPG", value=0), "signs, EPG: got 0, wanted \\+1 or -1"),
        (_set("signs", "PEG", value=2), "signs, PEG: got 2"),
        (_set("cells", value=[1, 2]), "cells: got .*, wanted a table"),
        (_set("cells", "EPG", "EPG(PB08)_L1", value=-2), "EPG\\(PB08\\)_L1: got -2"),
        (_set("cells", "EPG", "EPG(PB08)_L1", value=2.5), "got 2.5, wanted a whole number"),
        (_set("cells", "EPG", "EPG(PB08)", value=2), "does not parse"),
        (_set("cells", "PEG", "EPG(PB08)_L1", value=2), "got an instance of EPG, wanted one of PEG"),
        (_set("cells", "FB1A", value={"FB1A_L": 1}), "cells, FB1A: class '' is not among"),
        (_drop("cells", "PEG"), "no cells of class PEG"),
        (_set("totals", "EPG", "PEN_a", value=13_487), "totals, EPG, PEN_a: got 13487, wanted 13486"),
        (_drop("totals", "EPG", "PEN_a"), "totals, EPG: entry 'PEN_a' is missing"),
        (_set("profiles", "EPG", "PEN_a", "L", "pairs", value=[1, 2]), "wanted a list of 16 numbers"),
        (_set("profiles", "EPG", "PEN_a", "L", "synapses", 3, value="6"), "PEN_a, L, synapses, number 3: got '6'"),
        (_set("profiles", "EPG", "PEN_a", "L", "synapses", 3, value=4), "bin 3: got 4 synapses on 0 connected pairs"),
        (_set("profiles", "EPG", "PEN_a", "X", value={}), "got side 'X'"),
        (_set("profiles", "EPG", "PEN_c", value={"L": {"pairs": [0] * 16, "synapses": [0] * 16}}), "'PEN_c' is none"),
        (_drop("variation", "EPG", "PEN_a"), "variation, EPG: entry 'PEN_a' is missing"),
        (_set("variation", "EPG", "PEN_a", "in_cv", value=-0.1), "in_cv: got -0.1"),
        (_set("variation", "EPG", "PEN_a", "in_cv", value=float("nan")), "in_cv: got nan"),
        (_set("variation", "EPG", "PEN_a", "minimum", value=0), "minimum: got 0"),
        (_set("variation", "EPG", "PEN_a", "in_by_glomerulus", value=[1.0]), "wanted a list of 0 or 9 numbers"),
        (_drop("shared", "EPG"), "shared: entry 'EPG' is missing"),
        (_set("shared", "EPG", "correlation", value=1.5), "correlation: got 1.5, wanted a number from 0 to 1"),
    ],
)
def test_a_bad_file_is_refused_and_the_entry_named(tmp_path, shipped_content, change, message):
    content = copy.deepcopy(shipped_content)
    change(content)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        load(path)


@pytest.fixture(scope="module")
def shipped_content():
    return json.loads((data_dir() / "wiring_statistics" / "hemibrain_core.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"format": ', "line 1: no JSON"), (b"\xff\xfe", "UTF-8"), (b"[]", "wanted a table"), (None, "cannot be read")],
)
def test_a_file_that_is_no_json_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(path)


def test_more_connections_than_pairs_of_cells_are_refused(core):
    cells = {name: {instance: 1 for instance in instances} for name, instances in core.cells.items()}
    with pytest.raises(DataError, match="wanted at most .* the pairs of cells at that offset"):
        draw(replace(core, cells=cells), 0)


def test_profiles_of_absent_database_types_are_refused(ring):
    cells = {name: instances for name, instances in ring.cells.items() if name != "ER4m"}
    with pytest.raises(DataError, match="ER4m.*no cells of that group"):
        draw(replace(ring, cells=cells), 0)


def test_a_class_with_and_without_ring_angles_is_refused(drawn):
    angle = drawn.neurons.ring_angle.copy()
    angle[0] = np.nan
    with pytest.raises(DataError, match="class EPG: some neurons have a ring angle, some have none"):
        measure(replace(drawn, neurons=replace(drawn.neurons, ring_angle=angle)))


def test_a_ring_neuron_without_a_side_is_refused(drawn):
    side = np.where(np.arange(drawn.n_neurons) == 5, "", drawn.neurons.side)
    with pytest.raises(DataError, match="drawn-.*has a ring angle but no side"):
        measure(replace(drawn, neurons=replace(drawn.neurons, side=side)))
