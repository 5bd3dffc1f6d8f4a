"""Independent work on several cores: pieces of one solve, or whole fits. Does not know what they are."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from functools import cache
from typing import TypeVar

import torch

from connectome_sim.errors import Interrupted

T = TypeVar("T")


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


class Halt:
    """Tells work in other threads to give up, for the reason for which the thread that called it does."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._signum: int | None = None

    def set(self) -> None:
        """To be called while the error that ends the work is handled."""
        error = sys.exc_info()[1]
        self._signum = error.signum if isinstance(error, Interrupted) else None
        self._event.set()

    def is_set(self) -> bool:
        """Whether to give up.

        Raises:
            Interrupted: because of a signal.
        """
        if self._event.is_set() and self._signum is not None:
            raise Interrupted(self._signum)
        return self._event.is_set()


def side_by_side(
    tasks: Sequence[Callable[[], T]],
    *,
    threads: int | None = None,
    on_end: Callable[[int, T], None] | None = None,
    on_abort: Callable[[], None] = lambda: None,
) -> tuple[T, ...]:
    """Run whole tasks at once, as many at a time as there are threads, which they share evenly.

    Most of a fit uses one core (small batches, losses, the optimiser), so that tasks side by side use what one alone
    leaves idle. Results do not depend on it.

    Args:
        tasks: what to run; each may call `share`.
        threads: CPU threads in all; as many as PyTorch uses if None.
        on_end: called in the calling thread with number and result of each task as it ends.
        on_abort: called where the calling thread is interrupted or a task raises, before waiting for those that run;
            those that wait are dropped.

    Returns:
        Results in the order of the tasks.
    """
    if not tasks:
        return ()
    before = torch.get_num_threads()
    threads = threads or before
    at_a_time = min(threads, len(tasks))

    def run(task: Callable[[], T]) -> T:
        torch.set_num_threads(max(1, threads // at_a_time))
        return task()

    try:
        with ThreadPoolExecutor(at_a_time) as pool:
            futures: dict[Future[T], int] = {pool.submit(run, task): k for k, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    result = future.result()
                    if on_end is not None:
                        on_end(futures[future], result)
            except BaseException:
                on_abort()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(future.result() for future in futures)
    finally:
        torch.set_num_threads(before)
