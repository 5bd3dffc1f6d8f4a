"""A connectome from a plain matrix of synapse counts and labels. Never guesses which axis is presynaptic."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs, checked_counts
from connectome_sim.errors import DataError

ORIENTATIONS = ("post_pre", "pre_post")

Labels = Sequence[Any] | np.ndarray
"""One value per neuron [N]."""


def from_matrix(
    matrix: Any,
    *,
    orientation: str,
    types: Labels,
    ids: Labels | None = None,
    instances: Labels | None = None,
    sides: Labels | None = None,
    glomeruli: Labels | None = None,
    ring_angles: Labels | None = None,
    signs: Mapping[str, int] | None = None,
    dataset: str = "matrix",
    citation: str = "",
) -> Connectome:
    """A connectome from a dense or sparse square matrix of synapse counts.

    Args:
        matrix: counts, N x N, NumPy array, SciPy sparse or nested lists; whole numbers, zero or more.
        orientation: "post_pre" where rows are postsynaptic, "pre_post" where rows are presynaptic. It cannot be told
            from the numbers, so it has no default.
        types: cell type of each neuron [N].
        ids: identifiers [N]; "0", "1", ... where absent.
        instances: instance names [N]; "" where absent.
        sides: "L", "R" or "" [N].
        glomeruli: bridge glomeruli [N]; 0 where a neuron has none.
        ring_angles: preferred headings, rad [N]; NaN where a neuron has none.
        signs: presynaptic type -> +1 or -1.
        dataset: name for the provenance.
        citation: how to cite the source.

    Raises:
        DataError: not square, not finite, not whole, negative, an unknown orientation, labels of another length,
            an identifier that is no string or appears twice.
    """
    if orientation not in ORIENTATIONS:
        raise DataError(f"matrix orientation: got {orientation!r}, wanted 'post_pre' (rows postsynaptic) or 'pre_post'")
    counts = _square(matrix)
    n = counts.shape[0]
    if ids is not None and len(ids) != n:
        raise DataError(f"matrix, field 'ids': got {len(ids)}, wanted {n}, one per row of the {n} x {n} matrix")
    if ids is not None and (wrong := [i for i in ids if not isinstance(i, str)]):
        raise DataError(f"matrix, field 'ids': got {wrong[0]!r}, wanted strings (integers written out, never floats)")
    if len(types) != n:
        raise DataError(f"matrix, field 'types': got {len(types)}, wanted {n}, one per row of the {n} x {n} matrix")
    type_array = np.array(types, dtype=str)
    neurons = Neurons(
        id=np.array(ids if ids is not None else range(n), dtype=str),
        type=type_array,
        database_type=type_array,
        instance=_column(instances, n, ""),
        side=_column(sides, n, ""),
        glomerulus=_column(glomeruli, n, 0),
        ring_angle=_column(ring_angles, n, np.nan),
    )
    counts = checked_counts(counts.T if orientation == "pre_post" else counts, n)
    digest = hashlib.sha256(
        b"".join(np.asarray(a, dtype="<i8").tobytes() for a in (counts.indptr, counts.indices, counts.data))
    )
    provenance = Provenance(
        dataset, sha256=digest.hexdigest(), citation=citation, history=(f"from a matrix, {orientation}",)
    )
    return Connectome(neurons=neurons, counts=counts, provenance=provenance, signs=Signs(signs or {}))


def _square(matrix: Any) -> sp.csr_array:
    try:
        array: Any = matrix if sp.issparse(matrix) else np.asarray(matrix)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] == 0:
            raise DataError(
                f"matrix: got shape {array.shape}, wanted a square N x N matrix, one row and column per neuron"
            )
        return sp.csr_array(array)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"matrix: got {type(matrix).__name__}, wanted a square matrix of whole numbers ({error})"
        ) from None


def _column(values: Labels | None, n: int, absent: Any) -> np.ndarray:
    try:
        return np.array([absent] * n if values is None else values, dtype=type(absent))
    except (TypeError, ValueError) as error:
        raise DataError(f"matrix, labels: wanted values like {absent!r} ({error})") from None
