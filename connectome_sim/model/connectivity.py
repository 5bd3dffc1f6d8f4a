"""Connections in compressed form, by postsynaptic and by presynaptic neuron. Knows no gain and no solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt32

from connectome_sim.axes import FloatArray


@dataclass(frozen=True, eq=False)
class Connectivity:
    """The connections there are, listed twice. N neurons of K types, E connections.

    Attributes:
        type_index: type of each neuron [N].
        row_pointer: connections onto neuron i from type B are entries row_pointer[i K + B] to the next one [N K + 1].
        row_pre: presynaptic neuron of each entry, uint32 [E].
        row_value: its signed, normalised count [E].
        row_pair: post type K + pre type of each entry [E].
        column_pointer: connections from neuron j onto type A are entries column_pointer[j K + A] to the next one.
        column_post: postsynaptic neuron of each entry, uint32 [E].
        column_value: its signed, normalised count [E].
    """

    type_index: Int[np.ndarray, " neuron"]
    row_pointer: Int[np.ndarray, " pointers"]
    row_pre: UInt32[np.ndarray, " connection"]
    row_value: Float[np.ndarray, " connection"]
    row_pair: Int[np.ndarray, " connection"]
    column_pointer: Int[np.ndarray, " pointers"]
    column_post: UInt32[np.ndarray, " connection"]
    column_value: Float[np.ndarray, " connection"]


def compressed(connections: FloatArray, type_index: Int[np.ndarray, " neuron"], n_types: int) -> Connectivity:
    """The connections of a dense matrix [post, pre] in compressed form."""
    rows, pre, row_value = _by_first(connections, type_index, n_types)
    columns, post, column_value = _by_first(connections.T, type_index, n_types)
    of_row = np.repeat(np.arange(len(type_index)), np.diff(rows[::n_types]))
    return Connectivity(
        type_index=type_index,
        row_pointer=rows,
        row_pre=pre,
        row_value=row_value,
        row_pair=type_index[of_row] * n_types + type_index[pre],
        column_pointer=columns,
        column_post=post,
        column_value=column_value,
    )


def _by_first(
    matrix: FloatArray, type_index: Int[np.ndarray, " neuron"], n_types: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries that are not 0 by first index, then by type of the second: pointers, second indices, values."""
    first, second = np.nonzero(matrix)
    block = first * n_types + type_index[second]
    order = np.argsort(block, kind="stable")
    pointer = np.concatenate([[0], np.cumsum(np.bincount(block, minlength=len(matrix) * n_types))])
    first, second = first[order], second[order]
    return pointer.astype(np.int64), second.astype(np.uint32), np.ascontiguousarray(matrix[first, second])
