"""Large arrays used again: memory that is new to a process costs more to touch than the steps that fill it."""

from __future__ import annotations

import math
import os
import weakref
from collections import deque

import numpy as np
import torch
from torch import Tensor

_LARGE = 1 << 20  # bytes, below which memory is not worth keeping
_KEPT = 3 * (os.cpu_count() or 1)  # arrays that wait, at most: a solve has three, and a core works on one solve
_KEPT_BYTES = 4 << 30  # all of them together, at most
_LINE = 64  # bytes of a cache line, within which a row of lanes lies
_waiting: deque[np.ndarray] = deque()  # longest waiting first; its methods are atomic, as a lock cannot be: memory is
# given back by finalisers, which run at any time, also within this module


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
    found: np.ndarray | None = None
    for _ in range(len(_waiting)):
        try:
            memory = _waiting.popleft()
        except IndexError:  # other threads took the rest
            break
        if size <= len(memory) <= 4 * size and (found is None or len(memory) < len(found)):
            if found is not None:
                _waiting.append(found)
            found = memory
        else:
            _waiting.append(memory)
    return np.empty(size, np.uint8) if found is None else found


def _give(memory: np.ndarray) -> None:
    _waiting.append(memory)
    while len(_waiting) > _KEPT or sum(map(len, list(_waiting))) > _KEPT_BYTES:
        try:
            _waiting.popleft()
        except IndexError:
            break
