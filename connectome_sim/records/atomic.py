"""Writing a file whole or not at all, with typed errors. Knows nothing of what is written.

A file is written under a temporary name in the folder of its destination, flushed to the disk and renamed, so that
whoever looks sees the old file or the new one and never a half, also after a kill or a power cut. Its checksum goes
with it where the folder keeps them.
"""

from __future__ import annotations

import errno
from pathlib import Path

from connectome_sim import files
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
    try:
        files.write(Path(path), content)
    except OSError as error:
        raise failure("write", path, error) from error


def write_text(path: Path, content: str) -> None:
    """Writes ``content`` as UTF-8; see :func:`write_bytes`."""
    write_bytes(path, content.encode("utf-8"))


def start_checksums(folder: Path) -> None:
    """Begins the checksums of a new folder, which every later write keeps.

    Raises:
        RunFolderError: they cannot be written.
    """
    try:
        files.start(folder)
    except OSError as error:
        raise failure("write", folder / files.NAME, error) from error


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


def remove(path: Path) -> None:
    """Removes a file, if there is one.

    Raises:
        RunFolderError: it cannot be removed.
    """
    try:
        files.remove(path)
    except OSError as error:
        raise failure("remove", path, error) from error
