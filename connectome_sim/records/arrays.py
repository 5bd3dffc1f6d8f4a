"""Named arrays in files (HDF5, safetensors), written whole or not at all. Knows nothing of what the arrays mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from connectome_sim import files
from connectome_sim.connectome.io import hdf5_tree
from connectome_sim.connectome.io.hdf5_tree import Tree
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.manifest import refuse_newer

FORMAT = "connectome-sim arrays"
FORMAT_VERSION = 1
PARAMETERS = "connectome-sim parameters"
TENSORS_BYTES, HEADER_BYTES = 4 * 2**30, 64 * 2**20  # of a safetensors file, of its header (chosen)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays under their names (``a/b`` makes a group) to an HDF5 file.

    Raises:
        RunFolderError: the file cannot be written.
    """
    attributes: dict[str, dict[str, hdf5_tree.Attribute]] = {"": {"format": FORMAT, "format_version": FORMAT_VERSION}}
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    atomic.write_bytes(path, Tree(attributes=attributes, arrays=plain).to_bytes(compress_above=0))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads what :func:`write_arrays` wrote: name -> array.

    Raises:
        RunFolderError: missing, truncated, changed after it was written, not such a file, or of a newer format version.
    """
    tree = read_tree(path, format_name=FORMAT, format_version=FORMAT_VERSION)
    tree.check_digest(RunFolderError)
    return dict(tree.arrays)


def read_tree(path: Path, *, format_name: str, format_version: int) -> Tree:
    """The content of an HDF5 file after checking the format it claims to have.

    Raises:
        RunFolderError: missing, truncated, not HDF5, another format, or a newer version of it.
    """
    try:
        tree = hdf5_tree.read(path, error=RunFolderError)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(f"{path}: no such file.") from error
    found = tree.attributes[""].get("format")
    if found != format_name:
        raise RunFolderError(f"{path}: attribute format is {found!r}, wanted {format_name!r}.")
    refuse_newer(tree.attributes[""].get("format_version"), format_version, path=path)
    return tree


def write_parameters(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes tensors (a module's ``state_dict``) to ``parameters.safetensors``.

    Raises:
        RunFolderError: the file cannot be written.
    """
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    atomic.write_bytes(path, save(own, metadata={"format": PARAMETERS, "format_version": "1"}))


def read_parameters(path: Path) -> dict[str, torch.Tensor]:
    """Reads tensors that :func:`write_parameters` wrote.

    Raises:
        RunFolderError: missing, unreadable, changed after it was written, or another format.
    """
    header, tensors = read_tensors(path)
    if header.get("format") != PARAMETERS:
        raise RunFolderError(f"{path}: format is {header.get('format')!r}, wanted {PARAMETERS!r}.")
    version = header.get("format_version", "")
    refuse_newer(int(version) if version.isdecimal() else version, 1, path=path)
    return tensors


def read_scalars(path: Path) -> dict[str, float]:
    """Reads the parameters of one network, one number each.

    Raises:
        RunFolderError: as `read_parameters`, or one that is no single finite number.
    """
    found: dict[str, Any] = {name: tensor.tolist() for name, tensor in read_parameters(path).items()}
    for name, value in found.items():
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise RunFolderError(f"{path}: {name} is {str(value)[:100]}, wanted one finite number.")
    return {name: float(value) for name, value in found.items()}


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of a safetensors file.

    Raises:
        RunFolderError: missing, unreadable, changed after it was written, or with a header that is too long.
    """
    try:
        data = files.read(path, most=TENSORS_BYTES).data
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunFolderError(f"{path}: no such file.") from error
    n = int.from_bytes(data[:8], "little")
    if n > min(HEADER_BYTES, len(data)):
        raise RunFolderError(f"{path}: claims a header of {n} bytes; it is no safetensors file, or may be truncated.")
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + n])["__metadata__"]
        return {str(name): str(value) for name, value in header.items()}, tensors
    except (SafetensorError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path}: not a readable safetensors file ({error}); it may be truncated.") from error
