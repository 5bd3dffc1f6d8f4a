"""A connectome from a plain matrix: orientation is stated, never guessed; what is no matrix of counts is refused."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from connectome_sim.connectome.io.matrix import from_matrix
from connectome_sim.errors import DataError

COUNTS = np.array([[0, 5], [0, 2]])


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, sp.coo_array, sp.csc_matrix, lambda m: m.tolist()])
def test_rows_are_what_the_orientation_says(kind: Any) -> None:
    post_pre = from_matrix(kind(COUNTS), orientation="post_pre", types=["A", "B"])
    pre_post = from_matrix(kind(COUNTS), orientation="pre_post", types=["A", "B"])
    assert post_pre.dense().tolist() == COUNTS.tolist()
    assert pre_post.dense().tolist() == COUNTS.T.tolist()


def test_whole_floats_are_counts() -> None:
    assert from_matrix(COUNTS.astype(float), orientation="post_pre", types=["A", "B"]).dense().tolist() == [
        [0, 5],
        [0, 2],
    ]


def test_the_digest_is_that_of_the_counts() -> None:
    a = from_matrix(COUNTS, orientation="post_pre", types=["A", "B"])
    b = from_matrix(COUNTS.T, orientation="pre_post", types=["A", "B"])
    c = from_matrix(COUNTS + 1, orientation="post_pre", types=["A", "B"])
    assert a.provenance.sha256 == b.provenance.sha256 != c.provenance.sha256


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), r"got shape \(2, 3\), wanted a square N x N matrix"),
        (np.ones(4), r"got shape \(4,\), wanted a square"),
        (np.ones((0, 0)), r"got shape \(0, 0\), wanted a square"),
        (sp.csr_array(np.ones((2, 3))), r"got shape \(2, 3\)"),
        (np.array([[0, np.nan], [0, 0]]), "not finite"),
        (np.array([[0, np.inf], [0, 0]]), "not finite"),
        (np.array([[0, 0.5], [0, 0]]), "got 0.5, wanted whole numbers"),
        (np.array([[0, -1], [0, 0]]), "got -1, wanted zero or more"),
        ([[1, 2], [3]], "matrix: got list, wanted a square matrix"),
        ([["a", "b"], ["c", "d"]], "wanted"),
        (None, "wanted a square"),
    ],
)
def test_what_is_no_square_matrix_of_counts_is_refused(matrix: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_matrix(matrix, orientation="post_pre", types=["A", "B"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orientation": "rows are neurons"}, "orientation: got 'rows are neurons', wanted 'post_pre'"),
        ({"types": ["A"]}, "'types': got 1, wanted 2, one per row of the 2 x 2 matrix"),
        ({"sides": ["L"]}, r"'side': got shape \(1,\), wanted \(2,\)"),
        ({"ids": ["x"]}, "'ids': got 1, wanted 2"),
        ({"ids": [1.0, 2.0]}, "'ids': got 1.0, wanted strings"),
        ({"ids": ["x", "x"]}, "'id': x appears 2 times"),
        ({"ring_angles": ["north", "south"]}, "labels: wanted values like"),
        ({"signs": {"A": 5}}, "sign of 'A': got 5"),
    ],
)
def test_labels_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_matrix(COUNTS, **{"orientation": "post_pre", "types": ["A", "B"], **options})
