"""The file ``connectome.h5``: write a connectome and read the same one back. Knows nothing of the fly.

Layout, version 1. Root attributes ``format`` and ``format_version``; ``/neurons/<field>`` one array per field of the
neuron table; ``/counts/{indptr,indices,data}`` CSR [post, pre]; ``/signs/{type,sign}`` and
``/signs/{override_post,override_pre,override_sign}``; ``/provenance`` with attributes and the array ``history``.
Text is UTF-8.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp

from connectome_sim.connectome.connectome import Connectome, Neurons, Provenance, Signs
from connectome_sim.connectome.io.files import write_whole
from connectome_sim.errors import DataError

FORMAT = "connectome-sim connectome"
FORMAT_VERSION = 1

_SOURCE = ("dataset", "version", "sha256", "citation")


def write(connectome: Connectome, path: Path) -> None:
    """Write ``connectome.h5``, whole or not at all.

    Raises:
        DataError: the file cannot be written (no such folder, no permission, disk full).
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION})
        for name in Neurons.__dataclass_fields__:
            _put(file, f"neurons/{name}", getattr(connectome.neurons, name))
        for name in ("indptr", "indices", "data"):
            _put(file, f"counts/{name}", getattr(connectome.counts, name))
        signs, overrides = connectome.signs.by_type, connectome.signs.overrides
        _put(file, "signs/type", np.array(list(signs), dtype=str))
        _put(file, "signs/sign", np.array(list(signs.values()), dtype=np.int64))
        _put(file, "signs/override_post", np.array([post for post, _ in overrides], dtype=str))
        _put(file, "signs/override_pre", np.array([pre for _, pre in overrides], dtype=str))
        _put(file, "signs/override_sign", np.array(list(overrides.values()), dtype=np.int64))
        _put(file, "provenance/history", np.array(connectome.provenance.history, dtype=str))
        file["provenance"].attrs.update({name: getattr(connectome.provenance, name) for name in _SOURCE})
    write_whole(path, buffer.getvalue())


def read(path: Path) -> Connectome:
    """Read ``connectome.h5``: exactly the connectome that was written.

    Raises:
        DataError: missing, cut off, not HDF5, another format, a newer format version, or a part missing or malformed.
    """
    try:
        with h5py.File(path, "r") as file:
            _check_format(file, path)
            return Connectome(
                neurons=Neurons(**{name: _get(file, f"neurons/{name}") for name in Neurons.__dataclass_fields__}),
                counts=_read_counts(file, path),
                signs=_read_signs(file),
                provenance=_read_provenance(file),
            )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, wanted a connectome.h5") from None
    except KeyError as error:
        raise DataError(f"{path}: a part is missing ({error.args[0]}); the file is damaged") from None
    except DataError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable HDF5 file, or cut off ({error})") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: a part is malformed ({error}); the file is damaged") from None


def _check_format(file: h5py.File, path: Path) -> None:
    found, version = file.attrs.get("format"), file.attrs.get("format_version")
    version = int(version) if isinstance(version, np.integer) else version
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


def _read_counts(file: h5py.File, path: Path) -> sp.csr_array:
    n = len(_get(file, "neurons/id"))
    data, indices, indptr = (_get(file, f"counts/{name}") for name in ("data", "indices", "indptr"))
    try:
        counts = sp.csr_array((data, indices, indptr), shape=(n, n))
        counts.check_format(full_check=True)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}, /counts: no valid CSR matrix of {n} x {n} neurons ({error})") from None
    return counts


def _read_signs(file: h5py.File) -> Signs:
    types, signs = _get(file, "signs/type"), _get(file, "signs/sign")
    post, pre = _get(file, "signs/override_post"), _get(file, "signs/override_pre")
    return Signs(
        by_type={str(t): int(s) for t, s in zip(types, signs, strict=True)},
        overrides={
            (str(a), str(b)): int(s) for a, b, s in zip(post, pre, _get(file, "signs/override_sign"), strict=True)
        },
    )


def _read_provenance(file: h5py.File) -> Provenance:
    history = tuple(str(step) for step in _get(file, "provenance/history"))
    return Provenance(**{name: str(file["provenance"].attrs[name]) for name in _SOURCE}, history=history)


def _put(file: h5py.File, name: str, array: np.ndarray) -> None:
    options: dict[str, Any] = {"compression": "gzip", "shuffle": True} if array.size > 1000 else {}
    if array.dtype.kind == "U":
        file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype("utf-8"), **options)
    else:
        file.create_dataset(name, data=array, **options)


def _get(file: h5py.File, name: str) -> np.ndarray:
    if name not in file:
        raise KeyError(f"/{name}")
    values = file[name]
    if h5py.check_string_dtype(values.dtype) is not None:
        return np.array(values.asstr()[()].tolist(), dtype=str)
    return np.asarray(values[()])
