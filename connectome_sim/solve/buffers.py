"""Large arrays used again: memory that is new to a process costs more to touch than the steps that fill it."""

from __future__ import annotations

import math
import os
import weakref

import numpy as np
import torch
from torch import Tensor

_LARGE = 1 << 20  # bytes, below which memory is not worth keeping
_KEPT = 3 * (os.cpu_count() or 1)  # arrays that wait, at most: a solve has three, and a core works on one solve
_LINE = 64  # bytes of a cache line, within which a row of lanes lies
_waiting: dict[int, np.ndarray] = {}  # by id, longest waiting first; its methods are atomic


def buffer(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of any content, whose memory is used again once nothing refers to it. May be called by any thread."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return torch.empty(shape, dtype=dtype)
    memory = _take(size + _LINE)
    skip = -memory.ctypes.data % _LINE
    view = memory[skip : skip + size]
    weakref.finalize(view, _give, memory).atexit = False
    return torch.from_numpy(view).view(dtype).view(shape)


def _take(size: int) -> np.ndarray:
    """The smallest array that waits and is large enough, though not by far, or a new one."""
    fitting = [memory for memory in list(_waiting.values()) if size <= len(memory) <= 4 * size]
    for memory in sorted(fitting, key=len):
        if _waiting.pop(id(memory), None) is not None:  # no other thread was faster
            return memory
    return np.empty(size, np.uint8)


def _give(memory: np.ndarray) -> None:
    _waiting[id(memory)] = memory
    while len(_waiting) > _KEPT:
        _waiting.pop(next(iter(_waiting)), None)
