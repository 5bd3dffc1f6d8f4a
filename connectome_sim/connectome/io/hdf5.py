"""The file ``connectome.h5``: write a connectome and read the same one back. Knows nothing of the fly.

Layout, version 1. Root attributes ``format`` and ``format_version``; ``/neurons/<field>`` one array per field of the
neuron table; ``/counts/{indptr,indices,data}`` CSR [post, pre]; ``/signs/{type,sign}`` and
``/signs/{override_post,override_pre,override_sign}``; ``/provenance`` with attributes and the array ``history``.
Text is UTF-8. The root attribute ``content_sha256`` is the digest of the rest (`hdf5_tree.Tree.digest`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.connectome.io import hdf5_tree
from connectome_sim.connectome.io.files import write_whole
from connectome_sim.connectome.io.hdf5_tree import Attribute, Tree
from connectome_sim.errors import DataError

FORMAT = "connectome-sim connectome"
FORMAT_VERSION = 1

_SOURCE = ("dataset", "version", "sha256", "citation")


def write(connectome: Connectome, path: Path) -> None:
    """Write ``connectome.h5``, whole or not at all.

    Raises:
        DataError: the file cannot be written (no such folder, no permission, disk full).
    """
    signs, overrides = connectome.signs.by_type, connectome.signs.overrides
    arrays = {
        **{f"neurons/{name}": getattr(connectome.neurons, name) for name in Neurons.__dataclass_fields__},
        **{f"counts/{name}": getattr(connectome.counts, name) for name in ("indptr", "indices", "data")},
        "signs/type": np.array(list(signs), dtype=str),
        "signs/sign": np.array(list(signs.values()), dtype=np.int64),
        "signs/override_post": np.array([post for post, _ in overrides], dtype=str),
        "signs/override_pre": np.array([pre for _, pre in overrides], dtype=str),
        "signs/override_sign": np.array(list(overrides.values()), dtype=np.int64),
        "provenance/history": np.array(connectome.provenance.history, dtype=str),
    }
    attributes: dict[str, dict[str, Attribute]] = {
        "": {"format": FORMAT, "format_version": FORMAT_VERSION},
        "provenance": {name: getattr(connectome.provenance, name) for name in _SOURCE},
    }
    write_whole(path, Tree(attributes=attributes, arrays=arrays).to_bytes(compress_above=1000))


def read(path: Path) -> Connectome:
    """Read ``connectome.h5``: exactly the connectome that was written.

    Raises:
        DataError: missing, cut off, not HDF5, changed after it was written, another format, a newer format version, or
            a part missing or malformed.
    """
    try:
        file = hdf5_tree.read(path, error=DataError)
        _check_format(file)
        found = Connectome(
            neurons=Neurons(**{name: file[f"neurons/{name}"] for name in Neurons.__dataclass_fields__}),
            counts=_read_counts(file),
            signs=_read_signs(file),
            provenance=_read_provenance(file),
        )
        file.check_digest(DataError)
        return found
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file, wanted a connectome.h5") from None
    except KeyError as error:
        raise DataError(f"{path}: a part is missing ({error.args[0]}); the file is damaged") from None
    except DataError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (AttributeError, IndexError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: a part is malformed ({error}); the file is damaged") from None


def _check_format(file: Tree) -> None:
    path, attributes = file.path, file.attributes[""]
    found, version = attributes.get("format"), attributes.get("format_version")
    if found != FORMAT:
        raise DataError(f"{path}, attribute 'format': got {found!r}, wanted {FORMAT!r}")
    if not isinstance(version, int) or version < 1:
        raise DataError(
            f"{path}, attribute 'format_version': got {version!r}, wanted a number from 1 to {FORMAT_VERSION}"
        )
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path}, attribute 'format_version': got {version}, newer than {FORMAT_VERSION}, the newest that this "
            "version of connectome-sim reads; update connectome-sim"
        )


def _read_counts(file: Tree) -> sp.csr_array:
    n = len(file["neurons/id"])
    data, indices, indptr = (file[f"counts/{name}"] for name in ("data", "indices", "indptr"))
    if wrong := _wrong_csr(data, indices, indptr, n):  # SciPy writes where it should not, given a negative length
        raise DataError(f"{file.path}, /counts: no valid CSR matrix of {n} x {n} neurons ({wrong})")
    try:
        counts = sp.csr_array((data, indices, indptr), shape=(n, n))
        counts.check_format(full_check=True)
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"{file.path}, /counts: no valid CSR matrix of {n} x {n} neurons ({error})") from None
    return counts


def _wrong_csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, n: int) -> str:
    """What is wrong with the arrays of a CSR matrix of n x n; empty if nothing."""
    if any(array.ndim != 1 for array in (data, indices, indptr)) or any(a.dtype.kind != "i" for a in (indices, indptr)):
        return "wanted lists of whole numbers"
    if len(indptr) != n + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        return f"indptr: wanted {n + 1} numbers that rise from 0"
    if not len(data) == len(indices) == indptr[-1]:
        return f"{len(data)} counts and {len(indices)} indices, wanted {indptr[-1]} of each"
    if len(indices) and not (0 <= indices.min() and indices.max() < n):
        return f"indices: wanted 0 to {n - 1}"
    return ""


def _read_signs(file: Tree) -> Signs:
    types, signs = file["signs/type"], file["signs/sign"]
    post, pre = file["signs/override_post"], file["signs/override_pre"]
    return Signs(
        by_type={str(t): int(s) for t, s in zip(types, signs, strict=True)},
        overrides={(str(a), str(b)): int(s) for a, b, s in zip(post, pre, file["signs/override_sign"], strict=True)},
    )


def _read_provenance(file: Tree) -> Provenance:
    history = tuple(str(step) for step in file["provenance/history"])
    return Provenance(**{name: str(file.attribute(name, group="provenance")) for name in _SOURCE}, history=history)
