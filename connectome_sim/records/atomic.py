"""Writing a file whole or not at all. Knows nothing of what is written.

A file is written under a temporary name in the folder of its destination, flushed to the disk and renamed, so that
whoever looks sees the old file or the new one and never a half, also after a kill or a power cut.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from connectome_sim.errors import RunFolderError

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another folder",
    errno.EFBIG: "the file is larger than this account or file system allows: choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "no permission to write there: choose another folder or change its permissions",
    errno.EPERM: "no permission to write there: choose another folder or change its permissions",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder",
    errno.ENOENT: "the folder does not exist: create it first",
}


def failure(action: str, path: Path, error: OSError) -> RunFolderError:
    """The typed error for an operating-system error met while doing ``action`` to ``path``."""
    advice = _ADVICE.get(error.errno or 0, "check the folder and try again")
    return RunFolderError(
        f"{path}: cannot {action} ({error.strerror or error}); {advice}. Nothing was left half-written."
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path``, replacing a file of that name, whole or not at all.

    Raises:
        RunFolderError: the disk is full, the folder is missing, read-only or not a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            _remove(temporary)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise failure("write", path, error) from error


def write_text(path: Path, content: str) -> None:
    """Writes ``content`` as UTF-8; see :func:`write_bytes`."""
    write_bytes(path, content.encode("utf-8"))


def make_folder(path: Path, *, exist_ok: bool = True) -> None:
    """Makes a folder and its parents.

    Raises:
        RunFolderError: it cannot be made, or it exists and ``exist_ok`` is False.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError as error:
        raise RunFolderError(f"{path}: exists already; choose another name or remove it.") from error
    except OSError as error:
        raise failure("make the folder", path, error) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # the error that brought us here is the one to report


def _sync_folder(path: Path) -> None:
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
