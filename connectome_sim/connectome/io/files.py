"""Files written whole or not at all, with the errors of data. Knows nothing of their content."""

from __future__ import annotations

import errno
from pathlib import Path

from connectome_sim import files
from connectome_sim.errors import DataError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that ``path`` never holds half of it.

    Raises:
        DataError: the folder is missing or read-only, or the disk is full; ``path`` is as it was before.
    """
    try:
        files.write(path, content)
    except OSError as error:
        raise DataError(cannot_write(path, error)) from error


def cannot_write(path: Path, error: OSError) -> str:
    """What went wrong when ``path`` was written, and what to do; worded as `connectome_sim.records` words it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "free some space or choose another folder" if full else "check the folder and try again"
    return f"{path}: cannot write ({error.strerror or error}); {advice}. Nothing was left half-written."
