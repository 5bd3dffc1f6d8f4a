"""Signals that ask the process to end, as exceptions: what was done is saved on their way. Knows no verb."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from connectome_sim.errors import Interrupted

# a time limit or a shutdown; a terminal or connection that was closed (not on every system); Ctrl-C
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Raise `Interrupted` in the main thread at the first such signal within the block.

    Later ones are ignored, as what was done is being saved then; but a second Ctrl-C ends that too. A signal that
    whoever started the process has ignored (``nohup``) stays so. In another thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(signum: int, _: FrameType | None) -> None:
        first = not seen
        seen.append(signum)
        if first or signum == signal.SIGINT:
            raise Interrupted(signum)

    before = {one: signal.getsignal(one) for one in ENDING}
    ours = [one for one, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for one in ours:
        signal.signal(one, handle)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, before[one])
