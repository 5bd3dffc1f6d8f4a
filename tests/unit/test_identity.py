"""What a dataset is, by its content: the same digests whatever the order, and an error where a claim does not hold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.identity import KnownDataset, measured, recognised
from connectome_sim.connectome.io import known_datasets
from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import DataError

TYPES = ["A", "A", "B", "B", "R", "R"]
COUNTS = np.array(  # [post, pre]
    [
        [0, 2, 1, 0, 4, 0],
        [5, 0, 0, 1, 2, 0],
        [0, 1, 0, 0, 0, 9],
        [0, 0, 3, 0, 0, 0],
        [0, 7, 0, 0, 1, 3],
        [1, 0, 0, 0, 5, 0],
    ]
)


def animal(counts: np.ndarray = COUNTS, order: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> Connectome:
    index = np.array(order)
    return from_matrix(
        counts[np.ix_(index, index)],
        orientation="post_pre",
        types=np.array(TYPES)[index],
        ids=[str(9 + i) for i in index],  # 9 and 10: as numbers, not as text
        instances=[f"{TYPES[i]}_{i}" for i in index],
    )


def release(**changes: object) -> KnownDataset:
    parts = (
        measured(animal(), name="core", types=["A", "B"]),
        measured(animal(), name="ring", types=["R"], partners=["A", "B"], min_count=3),
    )
    dataset = KnownDataset(
        name="animal", version="v1", citation="Somebody 2020", licence="none", source="", releases=("animal_v1",),
        parts=parts,
    )  # fmt: skip
    return replace(dataset, **changes)  # type: ignore[arg-type]


def changed(post: int, pre: int, count: int) -> np.ndarray:
    counts = COUNTS.copy()
    counts[post, pre] = count
    return counts


def test_a_part_counts_what_belongs_to_it() -> None:
    core, ring = release().parts
    assert (core.neurons, core.pairs, core.synapses) == (4, 6, 13)  # by hand
    assert (ring.neurons, ring.pairs, ring.synapses) == (2, 5, 28)  # 4, 9, 7, 3, 5; 2, 1 and 1 are too weak
    assert str(ring) == "2 neurons, 5 pairs of 3 or more synapses, 28 synapses"


def test_the_order_of_rows_does_not_matter() -> None:
    found = recognised(animal(order=(5, 3, 0, 4, 2, 1)), known=[release()], label="x")
    assert (found.provenance.dataset, found.provenance.version) == ("animal", "v1")
    assert found.provenance.citation == "Somebody 2020"
    assert found.provenance.history[-1].startswith("content as published in animal v1: core: 4 neurons, 6 pairs, 13")


@pytest.mark.parametrize(("post", "pre", "count"), [(0, 4, 2), (4, 0, 1), (0, 4, 1)])
def test_connections_that_belong_to_no_part_do_not_matter(post: int, pre: int, count: int) -> None:
    assert count < 3
    weak = COUNTS[post, pre] < 3
    found = measured(animal(changed(post, pre, count)), name="ring", types=["R"], partners=["A", "B"], min_count=3)
    assert (found == release().parts[1]) == weak


@pytest.mark.parametrize("cell", [(1, 0, 6), (0, 3, 1), (3, 2, 0), (2, 5, 8)])
def test_one_synapse_more_or_less_is_another_dataset(cell: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="not animal v1 as published .its neurons of type A, B, R are those"):
        recognised(animal(changed(*cell)), known=[release()], label="x")


def test_numbers_that_agree_do_not_hide_other_content() -> None:
    counts = COUNTS.copy()
    counts[1, 0], counts[0, 1] = COUNTS[0, 1], COUNTS[1, 0]
    with pytest.raises(DataError, match="core: got (.*), wanted \\1, the same numbers of other content .sha256: got"):
        recognised(animal(counts), known=[release()], label="x")


def test_what_is_not_used_is_not_compared() -> None:
    other_ring = animal(changed(2, 5, 8))
    found = recognised(other_ring, known=[release()], label="x", used=lambda name: name in "AB")
    assert found.provenance.version == "v1"
    assert "ring" not in found.provenance.history[-1]
    with pytest.raises(DataError, match="ring: got 2 neurons, 5 pairs of 3 or more synapses, 27 synapses, wanted 2"):
        recognised(other_ring, known=[release()], label="x")


def strangers() -> Connectome:
    return from_matrix(COUNTS, orientation="post_pre", types=TYPES, citation="nobody")  # other ids and instances


def test_data_of_another_animal_are_unknown_and_cited_as_nothing() -> None:
    found = recognised(strangers(), known=[release()], label="mine")
    assert (found.provenance.dataset, found.provenance.version) == ("unknown dataset 'mine'", "")
    assert found.provenance.citation == ""
    assert found.provenance.sha256
    assert found.provenance.history[-1] == "its content is that of no release known here (animal v1)"


@pytest.mark.parametrize(
    ("claim", "label", "reason"),
    [("animal", "x", "asked for by that name"), ("", "animal_v1-copy", "named animal_v1-copy")],
)
def test_a_name_is_a_claim_that_has_to_hold(claim: str, label: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"not animal v1 as published .{reason}.: core: got .*own_name=NAME"):
        recognised(strangers(), known=[release()], label=label, claim=claim)


def test_a_name_without_any_of_the_cells_is_refused() -> None:
    nothing = from_matrix(COUNTS, orientation="post_pre", types=["C"] * 6)
    with pytest.raises(DataError, match="it holds none of its neurons"):
        recognised(nothing, known=[release()], label="x", claim="animal")


@pytest.mark.parametrize("make", [strangers, lambda: animal(changed(1, 0, 6))], ids=["another animal", "changed"])
def test_an_own_name_reads_what_differs_without_its_version(make: Callable[[], Connectome]) -> None:
    found = recognised(make(), known=[release()], label="animal_v1", claim="animal", own_name="cut")
    assert (found.provenance.dataset, found.provenance.version) == ("unknown dataset 'cut'", "")
    assert found.provenance.citation == ""


def test_an_own_name_does_not_rename_what_is_as_published() -> None:
    assert recognised(animal(), known=[release()], label="x", own_name="mine").provenance.dataset == "animal"


def test_missing_cells_and_types_that_look_like_them_are_named() -> None:
    renamed = animal()
    types = np.array(["A", "A", "B ", "B", "R", "R"])
    renamed = replace(renamed, neurons=replace(renamed.neurons, type=types, database_type=types))
    with pytest.raises(DataError, match=r"B: 1 of 2 neurons .types that look like them: 'B '"):
        recognised(renamed, known=[release()], label="x")


def test_digests_survive_their_file(tmp_path: Path) -> None:
    known_datasets.write(release(), tmp_path / "animal.json")
    assert known_datasets.read(tmp_path / "animal.json") == release()


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"parts": [1]}', '{"parts": [], "releases": [], "colour": 1}'])
def test_a_damaged_file_of_digests_is_a_typed_error(tmp_path: Path, damage: str) -> None:
    (tmp_path / "x.json").write_text(damage)
    with pytest.raises(DataError, match="x.json: no digests of a release"):
        known_datasets.read(tmp_path / "x.json")


def test_the_digests_that_ship_state_their_source_and_hold_no_neuron() -> None:
    (hemibrain,) = known_datasets.load()
    assert all((hemibrain.citation, hemibrain.licence, hemibrain.source, hemibrain.releases))
    core, ring = hemibrain.parts[:2]
    assert (core.neurons, core.pairs, core.synapses) == (152, 9_722, 129_473)
    assert (core.pairs + ring.pairs, core.synapses + ring.synapses) == (31_442, 428_278)  # of the wiring statistics
    assert "387023620" not in str(hemibrain)  # a neuron of the core
