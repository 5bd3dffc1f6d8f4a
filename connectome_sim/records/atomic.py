"""Writing a file whole or not at all, with typed errors. Knows nothing of what is written.

A file is written under a temporary name in the folder of its destination, flushed to the disk and renamed, so that
whoever looks sees the old file or the new one and never a half, also after a kill or a power cut. Its checksum goes
with it where the folder keeps them.
"""

from __future__ import annotations

import errno
import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from connectome_sim import files
from connectome_sim.errors import BusyError, RunFolderError
from connectome_sim.files.whole import sync_folder

_LOG = logging.getLogger("connectome_sim")

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


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to be filled, which gets its name ``path`` at the end of the block: it is there whole or not at all.

    A kill leaves ``.NAME.*.tmp`` beside it, which is in nobody's way; the next folder of that name says so.

    Raises:
        RunFolderError: ``path`` exists already (an empty folder is replaced), or cannot be made.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        make_folder(temporary, exist_ok=False)
        for left in sorted(set(path.parent.glob(f".{path.name}.*.tmp")) - {temporary}):
            _LOG.warning("%s: left by a process that was killed; remove it, unless that is still at work", left)
        yield temporary
        try:
            temporary.rename(path)
        except OSError as error:
            if path.exists():
                raise RunFolderError(f"{path}: exists already; choose another name or remove it.") from error
            raise failure("write", path, error) from error
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder; the system releases the lock of one that was killed.

    Raises:
        BusyError: another one is at work there.
        RunFolderError: no file can be made there.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(f"{folder}: another process is at work in it; wait for its end, or stop it.") from error
    except OSError as error:
        raise failure("lock", folder, error) from error
    try:
        yield
    finally:
        lock.release()


def remove(path: Path) -> None:
    """Removes a file, if there is one.

    Raises:
        RunFolderError: it cannot be removed.
    """
    try:
        files.remove(path)
    except OSError as error:
        raise failure("remove", path, error) from error
