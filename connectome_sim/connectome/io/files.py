"""Files written whole or not at all. Knows nothing of their content."""

from __future__ import annotations

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
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); nothing was left behind. "
            "Wanted an existing folder with write permission and free space"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
