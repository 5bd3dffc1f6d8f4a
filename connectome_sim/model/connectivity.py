"""Connections in compressed form, by postsynaptic and by presynaptic neuron. Knows no gain and no solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt32

from connectome_sim.axes import FloatArray


@dataclass(frozen=True, eq=False)
class Connectivity:
    """The connections there are, listed twice. N neurons of K types, E entries.

    The list of a neuron and a type has an even number of entries, the last one with the value 0 where need be: compiled
    code takes two at a time.

    Attributes:
        type_index: type of each neuron [N].
        row_pointer: [N K + 1]; from row_pointer[i K + B] to the next one are connections onto neuron i from type B.
        row_pre: presynaptic neuron of each entry, uint32 [E].
        row_value: its signed, normalised count [E].
        row_pair: post type K + pre type of each entry [E].
        column_pointer: [N K + 1]; from column_pointer[j K + A] to the next one are those from neuron j onto type A.
        column_post: postsynaptic neuron of each entry, uint32 [E].
        column_value: its signed, normalised count [E].
    """

    type_index: Int[np.ndarray, " neuron"]
    row_pointer: Int[np.ndarray, " pointers"]
    row_pre: UInt32[np.ndarray, " row_entry"]
    row_value: Float[np.ndarray, " row_entry"]
    row_pair: Int[np.ndarray, " row_entry"]
    column_pointer: Int[np.ndarray, " pointers"]
    column_post: UInt32[np.ndarray, " column_entry"]
    column_value: Float[np.ndarray, " column_entry"]


def compressed(connections: FloatArray, type_index: Int[np.ndarray, " neuron"], n_types: int) -> Connectivity:
    """The connections of a dense matrix [post, pre] in compressed form."""
    rows, pre, row_value = by_first(connections, type_index, n_types)
    columns, post, column_value = by_first(connections.T, type_index, n_types)
    return Connectivity(
        type_index=type_index,
        row_pointer=rows,
        row_pre=pre,
        row_value=row_value,
        row_pair=np.repeat((type_index[:, None] * n_types + np.arange(n_types)).ravel(), np.diff(rows)),
        column_pointer=columns,
        column_post=post,
        column_value=column_value,
    )


def by_first(
    matrix: FloatArray, type_index: Int[np.ndarray, " neuron"], n_types: int
) -> tuple[Int[np.ndarray, " pointers"], UInt32[np.ndarray, " entry"], Float[np.ndarray, " entry"]]:
    """Entries of a matrix that are not 0, by first index, then by type of the second one.

    Returns:
        Pointers, second indices and values, as in ``Connectivity``.
    """
    first, second = np.nonzero(matrix)
    block = first * n_types + type_index[second]
    order = np.argsort(block, kind="stable")
    first, second, block = first[order], second[order], block[order]
    counts = np.bincount(block, minlength=len(matrix) * n_types)
    pointer = np.concatenate([[0], np.cumsum(counts + counts % 2)])
    place = pointer[block] + np.arange(len(block)) - (np.cumsum(counts) - counts)[block]
    partner, value = np.zeros(pointer[-1], np.uint32), np.zeros(pointer[-1], matrix.dtype)
    # what fills up has the partner of the entry before, so that no neuron gets a NaN from one it is not connected to
    partner[place + (1 - place % 2)] = second
    partner[place], value[place] = second, matrix[first, second]
    return pointer, partner, value
