"""Checkpoints: any nested state of tensors, arrays and plain values in one safetensors file, exactly. Knows no model.

Tensors (parameters, optimiser moments, states of random generators) are stored as they are; everything around them
(step counts, learning rates, the nesting itself) is JSON in the header of the same file. One file, so that a kill can
never leave the two out of step; no pickle, so that a checkpoint from elsewhere cannot run code.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.arrays import read_tensors
from connectome_sim.records.manifest import refuse_newer

FORMAT = "connectome-sim checkpoint"
FORMAT_VERSION = 3  # 2: a fit holds the state of each of its starts; 3: each draws its own trials


def write_checkpoint(path: Path, state: Any) -> None:
    """Writes a nested state (dict, list, tuple of tensors, arrays, numbers, strings, None) so that it reads back equal.

    Dict keys may be strings or whole numbers (as in an optimiser's ``state_dict``). Tensors come back on the CPU.

    Raises:
        RunFolderError: the state holds something else (named by its place), or the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_pack(state, "state", tensors, path), allow_nan=False)
    header = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "state": tree}
    atomic.write_bytes(path, save(tensors, metadata=header))


def read_checkpoint(path: Path) -> Any:
    """Reads what :func:`write_checkpoint` wrote.

    Raises:
        RunFolderError: missing, truncated, changed after it was written, no checkpoint, or of another format version.
    """
    header, tensors = read_tensors(path)
    if header.get("format") != FORMAT:
        raise RunFolderError(f"{path}: format is {header.get('format')!r}, wanted {FORMAT!r}.")
    version = header.get("format_version", "")
    refuse_newer(int(version) if version.isdecimal() else version, FORMAT_VERSION, path=path)
    if int(version) < FORMAT_VERSION:
        raise RunFolderError(
            f"{path}: format version {version}, wanted {FORMAT_VERSION}: an older connectome_sim wrote it; start the "
            "run anew."
        )
    try:
        return _unpack(json.loads(header["state"]), tensors)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path}: its state cannot be read ({type(error).__name__}: {error}).") from error


# A leaf or container that JSON lacks becomes an object with one key of these; every dict becomes a list of pairs, so
# that a key of the state can never be mistaken for one of them.
_TENSOR, _ARRAY, _TUPLE, _DICT, _FLOAT = "tensor", "array", "tuple", "dict", "float"


def _pack(value: Any, place: str, tensors: dict[str, torch.Tensor], path: Path) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        tensor = value.detach().to("cpu") if isinstance(value, torch.Tensor) else torch.from_numpy(value.copy())
        tensors[place] = tensor.clone(memory_format=torch.contiguous_format)
        return {_TENSOR if isinstance(value, torch.Tensor) else _ARRAY: place}
    if isinstance(value, (list, tuple)):
        items = [_pack(item, f"{place}.{i}", tensors, path) for i, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
        return {_DICT: [[key, _pack(item, f"{place}.{key}", tensors, path)] for key, item in value.items()]}
    raise RunFolderError(
        f"{path}: {place} is a {type(value).__name__}; a checkpoint holds tensors, arrays, numbers, strings, None, and "
        "lists, tuples and dicts of them."
    )


def _unpack(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == _TENSOR:
        return tensors[content]
    if kind == _ARRAY:
        return tensors[content].numpy()
    if kind == _FLOAT:
        return float(content)
    if kind == _TUPLE:
        return tuple(_unpack(item, tensors) for item in content)
    return {key: _unpack(item, tensors) for key, item in content}
