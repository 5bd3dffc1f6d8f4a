"""Memory of large arrays is used again, and never while somebody holds it."""

from __future__ import annotations

import gc
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from connectome_sim.solve import buffers
from connectome_sim.solve.buffers import buffer

LARGE = (3, 1000, 700)


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_waiting", deque())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_is_used_again_once_it_is_free(dtype: torch.dtype) -> None:
    first = buffer(LARGE, dtype)
    assert first.shape == LARGE and first.dtype == dtype and first.is_contiguous()
    place = first.data_ptr()
    assert place % 64 == 0  # a row of lanes within a cache line
    view = first[1]
    del first
    gc.collect()
    other = buffer(LARGE, dtype)
    assert other.data_ptr() != place  # a view still holds it
    del view
    gc.collect()
    assert buffer(LARGE, dtype).data_ptr() == place


def waiting() -> list:
    return list(buffers._waiting)


def test_what_waits_is_limited_and_fits() -> None:
    held = [buffer(LARGE, torch.float32) for _ in range(3 * buffers._KEPT)]
    del held
    gc.collect()
    assert len(waiting()) == buffers._KEPT
    small = buffer((300_000,), torch.float32)
    assert len(waiting()) == buffers._KEPT  # four times too large is not used
    del small
    assert buffer((10, 10), torch.float32).shape == (10, 10)  # small memory is left to PyTorch
    assert len(waiting()) == buffers._KEPT


def test_threads_never_share_memory() -> None:
    def mine(number: int) -> bool:
        for _ in range(20):
            part = buffer((300_000,), torch.float32)
            part.fill_(number)
            if not (part == number).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(mine, range(8)))
