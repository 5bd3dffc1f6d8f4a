"""Damage to every kind of file that this package reads back, and what its readers make of it.

Each reader runs in a worker process, so that one that hangs or crashes is an outcome like any other. Two modes:
``listed`` leaves the checksums as they were written; ``old`` is what version 0.1 wrote, without any checksum.
"""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.damaged_folders import KINDS, fingerprint, read_kind
from tests.damages import damage

REFUSED, EQUAL, SILENT, OTHER, HANG = "refused", "equal content", "silent", "other exception", "hang"
OUTCOMES = (REFUSED, EQUAL, SILENT, OTHER, HANG)
MODES = ("listed", "old")
CASE_S = 60.0  # that a reader may take; the slowest takes a second
PROBE_S = 10.0  # that a file of no known origin may take to be opened


@dataclass(frozen=True)
class Case:
    """One damage.

    Attributes:
        kind: of the file.
        mode: whether its folder has checksums.
        number: seed of the damage.
    """

    kind: str
    mode: str
    number: int


def cases(mode: str, n: int, kinds: tuple[str, ...] = ()) -> list[Case]:
    """So many damages of each kind."""
    chosen = [kind for kind in KINDS if not kinds or kind in kinds]
    return [Case(kind, mode, number) for kind in chosen if mode in KINDS[kind].modes for number in range(n)]


def tried(root: Path, wanted: list[Case], *, case_s: float = CASE_S) -> Iterator[tuple[Case, str, str]]:
    """Outcome of each case and what was said, in order; the folders lie in ``root``."""
    waiting = list(wanted)
    while waiting:
        with _Worker(root, waiting) as worker:
            for case in tuple(waiting):
                outcome, words = worker.next(case_s)
                waiting.pop(0)
                yield case, outcome, words
                if outcome == HANG or worker.is_dead:
                    break


def table(results: list[tuple[Case, str, str]]) -> str:
    """Counts by kind, Markdown."""
    lines = [f"| kind | damages | {' | '.join(OUTCOMES)} |", "|---" * (len(OUTCOMES) + 2) + "|"]
    for kind in dict.fromkeys(case.kind for case, _, _ in results):
        counts = Counter(outcome for case, outcome, _ in results if case.kind == kind)
        lines.append(f"| {kind} | {sum(counts.values())} | {' | '.join(str(counts[o]) for o in OUTCOMES)} |")
    return "\n".join(lines) + "\n"


class _Worker:
    """A process that goes through cases and says what came of each."""

    def __init__(self, root: Path, wanted: list[Case]) -> None:
        command = [sys.executable, "-m", "tests.damage", str(root)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._process = subprocess.Popen(command, start_new_session=True, cwd=Path(__file__).parents[1], **pipes)
        self._lines: queue.Queue[str] = queue.Queue()
        self.is_dead = False
        threading.Thread(target=self._listen, daemon=True).start()
        self._process.stdin.write(json.dumps([vars(case) for case in wanted]))
        self._process.stdin.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def next(self, seconds: float) -> tuple[str, str]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return HANG, f"nothing within {seconds:g} s"
        if not line:
            self.is_dead = True
            return OTHER, f"the reader's process ended with {self._process.wait()}"
        outcome, words = json.loads(line)
        return outcome, words


def outcome_of(read: Callable[[], object], wanted: str) -> tuple[str, str]:
    """What a reader makes of a damaged file whose undamaged content has the fingerprint ``wanted``."""
    from connectome_sim.errors import ConnectomeSimError

    try:
        found = fingerprint(read())
    except ConnectomeSimError as error:
        return REFUSED, str(error)
    except Exception as error:
        return OTHER, f"{type(error).__name__}: {error}"
    return (EQUAL, "") if found == wanted else (SILENT, "")


def _work(root: Path, wanted: list[Case]) -> None:
    from connectome_sim.connectome.io import hdf5_tree

    hdf5_tree.ELSEWHERE_S = PROBE_S
    undamaged: dict[tuple[str, str], str] = {}
    for case in wanted:
        folder = root / case.mode
        if (case.kind, case.mode) not in undamaged:
            undamaged[case.kind, case.mode] = fingerprint(read_kind(case.kind, folder))
        path = folder / KINDS[case.kind].path
        kept, rng = path.read_bytes(), random.Random(f"{case.kind} {case.number}")
        what = damage(path, rng, others=[folder / k.path for k in KINDS.values() if case.mode in k.modes])
        found, words = outcome_of(lambda: read_kind(case.kind, folder), undamaged[case.kind, case.mode])  # noqa: B023
        _remove(path)
        path.write_bytes(kept)
        print(json.dumps([found, f"{what}: {words}"]), flush=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), [Case(**case) for case in json.load(sys.stdin)])
