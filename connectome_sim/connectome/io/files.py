"""Files written whole or not at all. Knows nothing of their content."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from connectome_sim.errors import DataError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that ``path`` never holds half of it.

    Raises:
        DataError: the folder is missing or read-only, or the disk is full; ``path`` is as it was before.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # temporary files are private, the finished one is like any other
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise DataError(cannot_write(path, error)) from error


def cannot_write(path: Path, error: OSError) -> str:
    """What went wrong when ``path`` was written, and what to do; worded as `connectome_sim.records` words it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "free some space or choose another folder" if full else "check the folder and try again"
    return f"{path}: cannot write ({error.strerror or error}); {advice}. Nothing was left half-written."


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
