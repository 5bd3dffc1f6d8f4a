"""The connectome as a frozen value: neurons, synapse counts, signs, provenance. Knows no file format and no fly.

Counts are ``C[post, pre]``: row = postsynaptic, column = presynaptic neuron.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse as sp

from connectome_sim.errors import DataError, SelectionError


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Neurons:
    """Neuron table: one entry per neuron in every field, all of length N.

    Attributes:
        id: identifier, string (64-bit integers are written out in decimal; never a float).
        type: cell type that carries the parameters (circuit class such as EPG, PEN_a, Delta7, ER).
        database_type: type as the dataset names it (``PEN_a(PEN1)``, ``ER4m``).
        instance: instance name of the dataset (``EPG(PB08)_L5``).
        side: "L", "R" or "" (unknown or midline).
        glomerulus: glomerulus of the protocerebral bridge, 1-9, 0 where a neuron has none.
        ring_angle: preferred heading, rad, NaN where a neuron has none.
    """

    id: np.ndarray
    type: np.ndarray
    database_type: np.ndarray
    instance: np.ndarray
    side: np.ndarray
    glomerulus: np.ndarray
    ring_angle: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.id)
        for name in self.__dataclass_fields__:
            array = np.asarray(getattr(self, name))
            if array.shape != (n,):
                raise DataError(f"neuron table, field {name!r}: got shape {array.shape}, wanted ({n},) like 'id'")
            object.__setattr__(self, name, _frozen(array))
        if not np.issubdtype(self.id.dtype, np.str_):
            raise DataError(
                f"neuron table, field 'id': got dtype {self.id.dtype}, wanted strings (integers written out)"
            )
        values, times = np.unique(self.id, return_counts=True)
        if (repeated := times > 1).any():
            raise DataError(
                f"neuron table, field 'id': {values[repeated][0]} appears {times[repeated][0]} times, wanted once"
            )

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: np.ndarray) -> Neurons:
        """The rows ``index``, in that order."""
        return Neurons(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Signs:
    """Sign of a connection: that of its presynaptic type, unless the type pair has an override.

    Attributes:
        by_type: presynaptic type -> +1 or -1.
        overrides: (postsynaptic type, presynaptic type) -> +1 or -1.
    """

    by_type: Mapping[str, int]
    overrides: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for where in (self.by_type, self.overrides):
            for key, value in where.items():
                if value not in (-1, 1):
                    raise DataError(f"sign of {key!r}: got {value!r}, wanted +1 or -1")
        object.__setattr__(self, "by_type", MappingProxyType(dict(self.by_type)))
        object.__setattr__(self, "overrides", MappingProxyType(dict(self.overrides)))

    def table(self, types: Sequence[str]) -> np.ndarray:
        """Signs as an array [post type, pre type] of +1 and -1, in the order of ``types``.

        Raises:
            DataError: a type has no sign.
        """
        missing = [t for t in types if t not in self.by_type]
        if missing:
            raise DataError(f"no sign for presynaptic type(s) {', '.join(missing)}: state +1 or -1 for each")
        row = np.array([self.by_type[t] for t in types], dtype=np.int64)
        table = np.tile(row, (len(types), 1))
        position = {t: i for i, t in enumerate(types)}
        for (post, pre), sign in self.overrides.items():
            if post in position and pre in position:
                table[position[post], position[pre]] = sign
        return table


@dataclass(frozen=True)
class Provenance:
    """Where a connectome came from and what was done to it.

    Attributes:
        dataset: name, e.g. ``hemibrain``; ``wiring statistics`` for a drawn one.
        version: version of the dataset.
        sha256: digest of the content (of the source files, or of the drawn table).
        citation: how to cite the source.
        history: one line per step since reading (selection, edit, null), oldest first.
    """

    dataset: str
    version: str = ""
    sha256: str = ""
    citation: str = ""
    history: tuple[str, ...] = ()

    def then(self, step: str) -> Provenance:
        """The same source with one more step in its history."""
        return replace(self, history=(*self.history, step))


@dataclass(frozen=True, eq=False)
class Connectome:
    """A wiring diagram.

    Attributes:
        neurons: the neuron table, N rows.
        counts: synapse counts [post, pre], sparse CSR of int64, N x N, no stored zeros.
        signs: sign of each presynaptic type; empty where not stated yet.
        provenance: source and history.

    Raises:
        DataError: counts not square, not finite, not whole, negative, or not N x N.
    """

    neurons: Neurons
    counts: sp.csr_array
    provenance: Provenance
    signs: Signs = field(default_factory=lambda: Signs({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", checked_counts(self.counts, len(self.neurons)))

    @property
    def n_neurons(self) -> int:
        """Number of neurons N."""
        return len(self.neurons)

    @property
    def types(self) -> tuple[str, ...]:
        """Cell types in order of first appearance."""
        values, first = np.unique(self.neurons.type, return_index=True)
        return tuple(str(v) for v in values[np.argsort(first)])

    @property
    def type_index(self) -> np.ndarray:
        """Index into ``types`` of each neuron [N]."""
        position = {t: i for i, t in enumerate(self.types)}
        return np.array([position[str(t)] for t in self.neurons.type], dtype=np.int64)

    @property
    def sha256(self) -> str:
        """Digest of the circuit: identifiers, types, sides and ring angles (to 0.001 deg) of the neurons, and counts.

        It does not depend on what else the source holds, as that of the provenance does.
        """
        digest, neurons = hashlib.sha256(), self.neurons
        millidegrees = [  # not a number where there is no angle
            str(round(1000 * math.degrees(angle)) % 360_000) if math.isfinite(angle) else ""
            for angle in neurons.ring_angle
        ]
        for row in zip(neurons.id, neurons.type, neurons.side, millidegrees, strict=True):
            digest.update(("\t".join(map(str, row)) + "\n").encode())
        for array in (self.counts.indptr, self.counts.indices, self.counts.data):
            digest.update(np.asarray(array, dtype="<i8").tobytes())
        return digest.hexdigest()

    def dense(self) -> np.ndarray:
        """Counts as a dense int64 array [post, pre]."""
        return self.counts.toarray()

    def totals(self) -> np.ndarray:
        """Synapses per type pair, int64 [post type, pre type], in the order of ``types``."""
        membership = sp.csr_array(
            (np.ones(self.n_neurons, dtype=np.int64), (self.type_index, np.arange(self.n_neurons))),
            shape=(len(self.types), self.n_neurons),
        )
        return (membership @ self.counts @ membership.T).toarray()

    def select(self, keep: np.ndarray, *, step: str) -> Connectome:
        """The sub-circuit of the neurons ``keep`` (indices, in the order wanted, or a mask).

        Raises:
            SelectionError: nothing selected.
        """
        index = np.flatnonzero(keep) if np.asarray(keep).dtype == bool else np.asarray(keep)
        if index.size == 0:
            raise SelectionError(
                f"selection {step!r} is empty: none of {self.n_neurons} neurons of {self.provenance.dataset} matches"
            )
        return replace(
            self,
            neurons=self.neurons.take(index),
            counts=self.counts[index][:, index],
            provenance=self.provenance.then(step),
        )

    def equals(self, other: Connectome) -> bool:
        """Whether neurons, counts, signs and provenance are all the same (NaN ring angles count as equal)."""
        pairs = [(getattr(self.neurons, f), getattr(other.neurons, f)) for f in self.neurons.__dataclass_fields__]
        return (
            all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f") for a, b in pairs)
            and np.array_equal(self.counts.indptr, other.counts.indptr)
            and np.array_equal(self.counts.indices, other.counts.indices)
            and np.array_equal(self.counts.data, other.counts.data)
            and self.signs == other.signs
            and self.provenance == other.provenance
        )

    def replaced(self, *, step: str, **changes: Any) -> Connectome:
        """A copy with some fields changed and the step noted in its history."""
        return replace(self, provenance=self.provenance.then(step), **changes)


def checked_counts(counts: Any, n: int) -> sp.csr_array:
    """Counts as a read-only canonical CSR int64 array [post, pre], or a DataError that says what is wrong."""
    matrix = sp.csr_array(counts)
    if matrix.shape != (n, n):
        raise DataError(
            f"synapse counts: got shape {matrix.shape}, wanted ({n}, {n}): square, one row and column per neuron"
        )
    data = matrix.data
    if not np.isfinite(data).all():
        raise DataError("synapse counts: got a value that is not finite, wanted whole numbers of synapses")
    if np.issubdtype(data.dtype, np.floating):
        if not (data == np.round(data)).all():
            raise DataError(f"synapse counts: got {data[data != np.round(data)][0]}, wanted whole numbers of synapses")
    elif not np.issubdtype(data.dtype, np.integer):
        raise DataError(f"synapse counts: got dtype {data.dtype}, wanted whole numbers of synapses")
    if (data < 0).any():
        raise DataError(f"synapse counts: got {data.min()}, wanted zero or more")
    matrix = sp.csr_array(matrix.astype(np.int64))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix
