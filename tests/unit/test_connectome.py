"""The connectome value: what it refuses, what it keeps, which axis is which."""

import numpy as np
import pytest
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.errors import DataError, SelectionError


def neurons(types: list[str], **changes: np.ndarray) -> Neurons:
    n = len(types)
    fields = {
        "id": np.array([str(9 + i) for i in range(n)]),
        "type": np.array(types),
        "database_type": np.array(types),
        "instance": np.full(n, ""),
        "side": np.full(n, ""),
        "glomerulus": np.zeros(n, dtype=np.int64),
        "ring_angle": np.full(n, np.nan),
    }
    return Neurons(**{**fields, **changes})


def connectome(counts: list[list[float]], types: list[str] | None = None) -> Connectome:
    return Connectome(neurons(types or ["A"] * len(counts)), sp.csr_array(np.array(counts)), Provenance("test"))


def test_rows_are_postsynaptic() -> None:
    # by hand: 5 synapses from the B neuron (column 1) onto the A neuron (row 0)
    c = connectome([[0, 5, 1], [0, 2, 0], [0, 0, 0]], ["A", "B", "A"])
    assert c.types == ("A", "B")
    assert c.totals().tolist() == [[1, 5], [0, 2]]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": np.array(["9", "11"])},
        {"type": np.array(["A", "B"])},
        {"side": np.array(["L", "R"])},
        {"ring_angle": np.array([0.5, 1.001])},
        {"ring_angle": np.array([0.5, np.nan])},
    ],
)
def test_the_digest_tells_circuits_apart_and_not_their_sources(changes: dict[str, np.ndarray]) -> None:
    counts = sp.csr_array(np.array([[0, 5], [1, 2]]))
    labels = {"ring_angle": np.array([0.5, 1.0])}
    one = Connectome(neurons(["A", "A"], **labels), counts, Provenance("test", sha256="ab"))
    same = Connectome(neurons(["A", "A"], ring_angle=np.array([0.5, 1.0 + 1e-9])), counts, Provenance("other"))
    assert one.sha256 == same.sha256
    assert one.sha256 != Connectome(neurons(["A", "A"], **{**labels, **changes}), counts, Provenance("test")).sha256
    assert one.sha256 != Connectome(neurons(["A", "A"], **labels), counts.T.tocsr(), Provenance("test")).sha256


def test_stored_zeros_are_dropped_and_duplicates_summed() -> None:
    counts = sp.csr_array(([1, 2, 0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    c = Connectome(neurons(["A", "A"]), counts, Provenance("test"))
    assert c.counts.nnz == 1
    assert c.dense().tolist() == [[0, 3], [0, 0]]


def test_nothing_in_it_can_be_changed() -> None:
    source = np.array(["A", "A"])
    c = Connectome(neurons(["A", "A"], type=source), sp.csr_array(np.eye(2)), Provenance("test"))
    source[0] = "B"
    assert c.neurons.type[0] == "A"
    for array in (c.neurons.type, c.counts.data, c.counts.indices):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(TypeError):
        Signs({"A": 1}).by_type["A"] = -1  # type: ignore[index]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[0, 1]], r"got shape \(1, 2\), wanted \(1, 1\)"),
        ([[0.0, np.nan], [0, 0]], "not finite"),
        ([[0.0, np.inf], [0, 0]], "not finite"),
        ([[0, 1.5], [0, 0]], r"got 1.5, wanted whole numbers"),
        ([[0, -2], [0, 0]], "got -2, wanted zero or more"),
        ([[0, 1j], [0, 0]], "got dtype complex128"),
    ],
)
def test_counts_that_are_no_counts_are_refused(counts: list[list[float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        connectome(counts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": np.array(["1", "2", "1"])}, "'id': 1 appears 2 times, wanted once"),
        ({"id": np.array([1.0, 2.0, 3.0])}, "'id': got dtype float64, wanted strings"),
        ({"id": np.array([1, 2, 3])}, "'id': got dtype int64, wanted strings"),
        ({"side": np.array(["L"])}, r"'side': got shape \(1,\), wanted \(3,\)"),
    ],
)
def test_a_neuron_table_that_is_none_is_refused(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        neurons(["A", "A", "A"], **changes)


def test_selection_takes_rows_and_columns_in_the_order_asked_for() -> None:
    c = connectome([[0, 1, 2], [3, 0, 4], [5, 6, 0]]).select(np.array([2, 0]), step="two of three")
    assert c.dense().tolist() == [[0, 5], [2, 0]]
    assert c.neurons.id.tolist() == ["11", "9"]
    assert c.provenance.history == ("two of three",)


def test_a_mask_selects_like_indices() -> None:
    c = connectome([[0, 1, 2], [3, 0, 4], [5, 6, 0]])
    by_mask = c.select(np.array([True, False, True]), step="x")
    assert by_mask.equals(c.select(np.array([0, 2]), step="x"))


def test_an_empty_selection_is_refused_by_name() -> None:
    with pytest.raises(SelectionError, match="'nobody' is empty: none of 2 neurons of test"):
        connectome([[0, 1], [1, 0]]).select(np.array([False, False]), step="nobody")


def test_a_sign_is_that_of_the_presynaptic_type_unless_the_pair_has_its_own() -> None:
    signs = Signs({"A": 1, "B": -1}, {("A", "B"): 1, ("C", "B"): 1})
    assert signs.table(["A", "B"]).tolist() == [[1, 1], [1, -1]]


def test_signs_that_are_missing_or_no_signs_are_refused() -> None:
    with pytest.raises(DataError, match="no sign for presynaptic type.* B, C"):
        Signs({"A": 1}).table(["A", "B", "C"])
    with pytest.raises(DataError, match="sign of 'A': got 0, wanted"):
        Signs({"A": 0})
    with pytest.raises(DataError, match=r"sign of \('A', 'B'\): got 2"):
        Signs({"A": 1}, {("A", "B"): 2})


def test_equality_sees_every_part() -> None:
    c = connectome([[0, 1], [1, 0]], ["A", "B"])
    assert c.equals(connectome([[0, 1], [1, 0]], ["A", "B"]))
    assert not c.equals(connectome([[0, 1], [2, 0]], ["A", "B"]))
    assert not c.equals(connectome([[0, 1], [1, 0]], ["A", "C"]))
    assert not c.equals(c.replaced(step="same, but edited"))
    assert not c.equals(Connectome(c.neurons, c.counts, c.provenance, Signs({"A": 1})))
