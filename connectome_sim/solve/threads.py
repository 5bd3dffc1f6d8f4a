"""Independent pieces of work on several cores. Does not know what they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import torch


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="connectome_sim")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits the pool without its threads


def share(work: Callable[[int], object], count: int) -> None:
    """Call ``work`` with 0 to ``count`` - 1, on as many threads at a time as PyTorch uses in the calling thread.

    Side by side they run as far as ``work`` releases the interpreter's lock, as compiled kernels do. May be called from
    several threads at once.
    """
    numbers = iter(range(count))

    def take_turns() -> None:
        for number in numbers:
            work(number)

    helpers = [_pool().submit(take_turns) for _ in range(min(torch.get_num_threads(), count) - 1)]
    try:
        take_turns()
    finally:
        wait(helpers)
    for helper in helpers:
        helper.result()
