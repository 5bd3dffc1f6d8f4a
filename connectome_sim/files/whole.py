"""One file, read as a whole within a limit or replaced as a whole. Knows no checksum."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from connectome_sim.errors import ConnectomeSimError


def read(path: Path, *, most: int, within: Path | None, error: type[ConnectomeSimError]) -> bytes:
    """Content of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.
        within: the folder that it must lie in, also after following links; any if None.
        error: raised for a file that is refused.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        error: a pipe, device or folder; larger than ``most``; a link that leads out of ``within``; no permission.
    """
    try:
        if within is not None and not path.resolve().is_relative_to(within.resolve()):
            raise error(
                f"{path}: is a link that leads to {path.resolve()}, wanted a file within {within}; put a copy in its "
                "place"
            )
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise error(f"{path}: cannot be read (not a regular file), wanted a file")
        if status.st_size > most:
            raise error(f"{path}: has {status.st_size} bytes, wanted at most {most}; it is not what its name says")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, RuntimeError, ValueError) as failure:  # RuntimeError: links that lead round in a circle
        raise error(f"{path}: cannot be read ({failure})") from failure


def replace(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk and rename it.

    Raises:
        OSError: it cannot be written; ``path`` is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # the error that brought us here is the one to report


def sync_folder(path: Path) -> None:
    """Makes the rename itself survive a power cut, where the file system can do that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot; the file is whole either way
    finally:
        os.close(descriptor)
