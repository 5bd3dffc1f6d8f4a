"""The door of every folder: what is read has the content that was written, what is written is listed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectome_sim.errors import ConnectomeSimError, RunFolderError
from connectome_sim.files import whole
from connectome_sim.files.checksums import NAME, Sums, changing, locked, root_of, sha256


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        data: its bytes.
        vouched: whether a checksum of its folder says that they are those that were written.
    """

    data: bytes
    vouched: bool


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and its checksum where its folder keeps them.

    Raises:
        OSError: it cannot be written.
        RunFolderError: the checksums of its folder are damaged.
    """
    with changing(path, sha256(content)):
        whole.replace(path, content)


def remove(path: Path) -> None:
    """Remove a file, if there is one, and its checksum; errors as for `write`."""
    with changing(path, None):
        path.unlink(missing_ok=True)


def read(path: Path, *, most: int, error: type[ConnectomeSimError] = RunFolderError) -> Content:
    """Content of a file, checked against the checksums of its folder where there are any.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none, and none is listed.
        error: not a regular file, too large, a link out of its folder, another content than was written, not listed, or
            listed and not there.
    """
    root = root_of(path)
    sums = None if root is None else Sums.read(root, error=error)
    if root is None or sums is None:
        return Content(whole.read(path, most=most, within=root, error=error), vouched=False)
    try:
        return _checked(path, root, sums, most=most, error=error)
    except error:
        with locked(root):  # somebody may just have been writing it
            return _checked(path, root, Sums.read(root, error=error) or Sums(), most=most, error=error)


def read_text(path: Path, *, most: int, error: type[ConnectomeSimError] = RunFolderError) -> str:
    """Content of a UTF-8 file; errors as for `read`."""
    try:
        return read(path, most=most, error=error).data.decode("utf-8")
    except UnicodeDecodeError as failure:
        raise error(f"{path}: cannot be read ({failure}), wanted UTF-8 text; the file is damaged") from failure


def exists(path: Path, *, error: type[ConnectomeSimError] = RunFolderError) -> bool:
    """Whether there is a file.

    Raises:
        error: the checksums of its folder list it, and it is not there.
    """
    if path.exists():
        return True
    root = root_of(path)
    if root is not None:
        _refuse_missing(path, root, Sums.read(root, error=error) or Sums(), error)
    return False


@contextmanager
def blamed(root: Path, what: str, *, error: type[ConnectomeSimError] = RunFolderError) -> Iterator[None]:
    """What goes wrong inside is blamed on a folder that no checksum vouches for. In others it is a bug, and stays one.

    Args:
        root: the folder.
        what: is done with what it holds.
        error: raised then.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as failure:
        if (root / NAME).exists():
            raise
        raise error(
            f"{root}: {what} failed on what the folder holds ({type(failure).__name__}: {failure}); it has no "
            "checksums, so a file there may be damaged"
        ) from failure


def _checked(path: Path, root: Path, sums: Sums, *, most: int, error: type[ConnectomeSimError]) -> Content:
    name = path.relative_to(root).as_posix()
    try:
        content = whole.read(path, most=most, within=root, error=error)
    except FileNotFoundError:
        _refuse_missing(path, root, sums, error)
        raise
    found, wanted = sha256(content), sums.accepts(name)
    if not wanted:
        raise error(
            f"{path}: is not listed in {root / NAME}, wanted only files that were written there; remove it, or list "
            f"it: cd {root} && sha256sum {name} >> {NAME}"
        )
    if found not in wanted:
        raise error(
            f"{path}: got SHA-256 {found}, wanted {' or '.join(sorted(wanted))} ({NAME}): it was changed or damaged "
            f"after it was written; restore it from a copy, or remove it and its line in {NAME} and make it again, or, "
            "if the change is meant, correct its line"
        )
    return Content(content, vouched=True)


def _refuse_missing(path: Path, root: Path, sums: Sums, error: type[ConnectomeSimError]) -> None:
    if sums.wants(path.relative_to(root).as_posix()):
        raise error(
            f"{path}: no such file, though {root / NAME} lists it; restore it from a copy, or, if it was removed on "
            "purpose, take its line out"
        )
