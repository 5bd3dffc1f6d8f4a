"""Named arrays in files (HDF5, safetensors), written whole or not at all. Knows nothing of what the arrays mean."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.manifest import refuse_newer

FORMAT = "connectome-sim arrays"
FORMAT_VERSION = 1


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays under their names (``a/b`` makes a group) to an HDF5 file.

    Raises:
        RunFolderError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION})
        for name, array in arrays.items():
            options = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if np.ndim(array) else {}
            file.create_dataset(name, data=array, **options)
    atomic.write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads what :func:`write_arrays` wrote: name -> array.

    Raises:
        RunFolderError: missing, truncated, not such a file, or of a newer format version.
    """
    with open_hdf5(path, format_name=FORMAT, format_version=FORMAT_VERSION) as file:
        arrays: dict[str, np.ndarray] = {}

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[name] = np.asarray(item[()])

        file.visititems(collect)
    return arrays


def open_hdf5(path: Path, *, format_name: str, format_version: int) -> h5py.File:
    """Opens an HDF5 file for reading after checking the format it claims to have.

    Raises:
        RunFolderError: missing, truncated, not HDF5, another format, or a newer version of it.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: no such file.") from error
    except OSError as error:
        raise RunFolderError(f"{path}: not a readable HDF5 file ({error}); it may be truncated.") from error
    try:
        found = file.attrs.get("format")
        if found != format_name:
            raise RunFolderError(f"{path}: attribute format is {found!r}, wanted {format_name!r}.")
        version = file.attrs.get("format_version")
        refuse_newer(int(version) if isinstance(version, np.integer) else version, format_version, path=path)
    except BaseException:
        file.close()
        raise
    return file


def write_parameters(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes tensors (a module's ``state_dict``) to ``parameters.safetensors``.

    Raises:
        RunFolderError: the file cannot be written.
    """
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    atomic.write_bytes(path, save(own, metadata={"format": "connectome-sim parameters", "format_version": "1"}))


def read_parameters(path: Path) -> dict[str, torch.Tensor]:
    """Reads tensors from a safetensors file.

    Raises:
        RunFolderError: missing or unreadable.
    """
    try:
        return load(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: no such file.") from error
    except (SafetensorError, OSError) as error:
        raise RunFolderError(f"{path}: not a readable safetensors file ({error}); it may be truncated.") from error
