"""Compressed connections hold what the dense matrix holds, by postsynaptic and by presynaptic neuron."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from connectome_sim.model.connectivity import Connectivity, compressed
from tests.unit import circuits

# two types of three have neurons, not in the order of their index; neuron 1 has no input, neuron 2 no output
MATRIX = np.array([[0.0, 2.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0], [3.0, 4.0, 0.0, 0.0], [5.0, 0.0, 0.0, 6.0]])
TYPES = np.array([2, 0, 2, 0])


def from_rows(listed: Connectivity, n_types: int) -> np.ndarray:
    """The dense matrix, entry by entry."""
    n = len(listed.type_index)
    dense = np.zeros((n, n), listed.row_value.dtype)
    for i in range(n):
        for of in range(n_types):
            for k in range(listed.row_pointer[i * n_types + of], listed.row_pointer[i * n_types + of + 1]):
                j = listed.row_pre[k]
                assert listed.type_index[j] == of
                assert listed.row_pair[k] == listed.type_index[i] * n_types + of
                assert dense[i, j] == 0 or listed.row_value[k] == 0
                dense[i, j] += listed.row_value[k]
    return dense


def from_columns(listed: Connectivity, n_types: int) -> np.ndarray:
    """Likewise."""
    n = len(listed.type_index)
    dense = np.zeros((n, n), listed.column_value.dtype)
    for j in range(n):
        for onto in range(n_types):
            for k in range(listed.column_pointer[j * n_types + onto], listed.column_pointer[j * n_types + onto + 1]):
                i = listed.column_post[k]
                assert listed.type_index[i] == onto
                assert dense[i, j] == 0 or listed.column_value[k] == 0
                dense[i, j] += listed.column_value[k]
    return dense


def test_a_small_matrix_by_hand() -> None:
    listed = compressed(MATRIX, TYPES, 3)
    assert listed.row_pointer.tolist() == [0, 2, 2, 2, 2, 2, 2, 4, 4, 6, 8, 8, 10]
    assert listed.row_pre.tolist() == [1, 3, 1, 1, 0, 0, 3, 3, 0, 0]
    assert listed.row_value.tolist() == [2, -1, 4, 0, 3, 0, 6, 0, 5, 0]
    assert listed.row_pair.tolist() == [6, 6, 6, 6, 8, 8, 0, 0, 2, 2]
    assert listed.column_pointer.tolist() == [0, 2, 2, 4, 4, 4, 6, 6, 6, 6, 8, 8, 10]
    assert listed.column_post.tolist() == [3, 3, 2, 2, 0, 2, 3, 3, 0, 0]
    assert listed.column_value.tolist() == [5, 0, 3, 0, 2, 4, 6, 0, -1, 0]


@given(st.integers(1, 9), st.integers(1, 5), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_rows_and_columns_each_give_back_the_matrix(n: int, n_types: int, share: float, seed: int) -> None:
    """Also with types without neurons and neurons without connections; nothing is listed twice, and lists are even."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(n, n)) * (random.random((n, n)) < share)
    listed = compressed(matrix, random.integers(0, n_types, size=n), n_types)
    np.testing.assert_array_equal(from_rows(listed, n_types), matrix)
    np.testing.assert_array_equal(from_columns(listed, n_types), matrix)
    for pointer in (listed.row_pointer, listed.column_pointer):
        assert pointer.shape == (n * n_types + 1,)
        assert pointer[0] == 0 and (np.diff(pointer) >= 0).all() and not (np.diff(pointer) % 2).any()
    for values in (listed.row_value, listed.column_value):
        assert np.count_nonzero(values) == np.count_nonzero(matrix)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wiring_lists_its_connections_once_in_its_own_precision(dtype: torch.dtype) -> None:
    wiring = circuits.wiring().to(dtype=dtype)
    listed = wiring.connectivity
    assert listed is wiring.connectivity
    np.testing.assert_array_equal(from_rows(listed, wiring.n_types), wiring.connections.numpy())
    np.testing.assert_array_equal(from_columns(listed, wiring.n_types), wiring.connections.numpy())
    assert listed.row_value.dtype == listed.column_value.dtype == wiring.connections.numpy().dtype
    assert listed.row_pre.dtype == listed.column_post.dtype == np.uint32
    arrays = [getattr(listed, name) for name in Connectivity.__dataclass_fields__]
    assert all(array.flags.c_contiguous for array in arrays)  # compiled code takes them as they are
