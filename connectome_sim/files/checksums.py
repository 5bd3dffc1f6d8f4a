"""The file ``SHA256SUMS`` of a folder: a line per file, as ``sha256sum`` writes and checks it. Knows no format.

A file and its line cannot change in one step. So a comment announces the digest that the file is about to have (none
where it is about to be removed); until the line itself follows, the old and the announced content are both accepted. A
kill at any point leaves a folder that reads, and ``sha256sum --check`` passes over comments.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePath

from connectome_sim.errors import ConnectomeSimError, RunFolderError
from connectome_sim.files import whole
from connectome_sim.files.limits import TEXT_BYTES

NAME = "SHA256SUMS"
MANIFEST = "manifest.json"  # marks a folder that stands for itself, also one that has no checksums
_LEVELS = 3  # a file lies at most two folders below the one that vouches for it: refits/CASE/MEMBER.h5
_HEADER = f"# connectome-sim: what this folder holds; sha256sum --check {NAME}"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_ANNOUNCED = re.compile(r"# about to be ([0-9a-f]{64}|gone)  (.+)")
_GONE = "gone"

_LOG = logging.getLogger("connectome_sim")


@dataclass(frozen=True)
class Sums:
    """What a folder is known to hold.

    Attributes:
        digests: path within the folder -> SHA-256.
        announced: the same for files that are being written, or whose writing was cut short; ``gone``: removed.
    """

    digests: Mapping[str, str] = field(default_factory=dict)
    announced: Mapping[str, str] = field(default_factory=dict)

    def accepts(self, name: str) -> frozenset[str]:
        """Digests that a file may have; none where it is not listed."""
        return frozenset({self.digests.get(name, _GONE), self.announced.get(name, _GONE)} - {_GONE})

    def wants(self, name: str) -> bool:
        """Whether a file must be there."""
        return name in self.digests and name not in self.announced

    def announce(self, name: str, digest: str | None) -> Sums:
        """Before a file changes."""
        return replace(self, announced={**self.announced, name: digest or _GONE})

    def settle(self, name: str, digest: str | None) -> Sums:
        """After it has changed."""
        digests, announced = dict(self.digests), dict(self.announced)
        announced.pop(name, None)
        if digest is None:
            digests.pop(name, None)
        else:
            digests[name] = digest
        return Sums(digests, announced)

    def write(self, root: Path) -> None:
        """Replaces the file; an OSError where it cannot be written."""
        lines = [_HEADER, *(f"# about to be {digest}  {name}" for name, digest in sorted(self.announced.items()))]
        lines += [f"{digest}  {name}" for name, digest in sorted(self.digests.items())]
        whole.replace(root / NAME, ("\n".join(lines) + "\n").encode())

    @classmethod
    def read(cls, root: Path, *, error: type[ConnectomeSimError] = RunFolderError) -> Sums | None:
        """The checksums of a folder; None where it has none.

        Raises:
            error: a damaged file.
        """
        path = root / NAME
        try:
            content = whole.read(path, most=TEXT_BYTES, within=root, error=error)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return cls._parsed(content.decode("utf-8"), path, error)
        except UnicodeDecodeError as failure:
            raise error(f"{path}: got bytes that are no text ({failure}); the file is damaged") from failure

    @classmethod
    def _parsed(cls, text: str, path: Path, error: type[ConnectomeSimError]) -> Sums:
        digests: dict[str, str] = {}
        announced: dict[str, str] = {}
        for number, line in enumerate(text.split("\n"), 1):
            found = _ANNOUNCED.fullmatch(line) or _LINE.fullmatch(line)
            if found is None and line and not line.startswith("#"):
                raise error(f"{path}: line {number}: got {line[:100]!r}, wanted a digest, two blanks and a name")
            into = announced if line.startswith("#") else digests
            if found is not None and into.setdefault(found[2], found[1]) != found[1]:
                raise error(f"{path}: line {number}: {found[2]} is listed twice, with different digests")
        return cls(digests, announced)


def sha256(content: bytes) -> str:
    """Digest of a content."""
    return hashlib.sha256(content).hexdigest()


def root_of(path: Path) -> Path | None:
    """The folder that stands for a file: the nearest above it with checksums of ours or a manifest; None if none."""
    for parent in list(path.parents)[:_LEVELS]:
        if (parent / MANIFEST).exists() or _is_ours(parent / NAME):
            return parent
    return None


def _is_ours(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with open(path, "rb") as file:
            return file.read(len(_HEADER)) == _HEADER.encode()
    except OSError:
        return False


def start(root: Path, *, error: type[ConnectomeSimError] = RunFolderError) -> None:
    """Begin the checksums of a new folder with those of the configuration that it may hold already.

    Raises:
        OSError: the file cannot be written.
    """
    present = sorted(path for path in root.glob(".hydra/*") if path.is_file())
    contents = {p: whole.read(p, most=TEXT_BYTES, within=root, error=error) for p in present}
    Sums({p.relative_to(root).as_posix(): sha256(content) for p, content in contents.items()}).write(root)


def listed(folder: Path) -> list[str]:
    """Names of the files right in a folder, or a part of one, that must be there by its checksums."""
    root = root_of(folder / NAME) or folder
    sums, place = Sums.read(root) or Sums(), folder.relative_to(root)
    paths = (PurePath(name) for name in sums.digests if sums.wants(name))
    return sorted(path.name for path in paths if path.parent == place)


def require(root: Path, *, promised: bool) -> None:
    """Make sure that a folder has checksums; one of an older format has none, which is said once.

    Raises:
        RunFolderError: it has none though its format has.
    """
    if Sums.read(root) is not None:
        return
    if promised:
        raise RunFolderError(
            f"{root / NAME}: no such file, wanted the checksums of this folder; restore it, or, if you trust every "
            f"file there, make it anew: cd {root} && find . -type f ! -name {NAME} -printf '%P\\0' | "
            f"xargs -0 sha256sum > {NAME}"
        )
    say_once(f"{root}: holds no checksums (an older version wrote it); a file that was damaged since may go unnoticed")


@cache
def say_once(message: str) -> None:
    """Warn, once in a process."""
    _LOG.warning(message)


@contextmanager
def changing(path: Path, digest: str | None) -> Iterator[None]:
    """Keep the checksums of the folder while a file in it is written, or removed where ``digest`` is None.

    Raises:
        RunFolderError: damaged checksums.
        OSError: they cannot be written.
    """
    root = root_of(path)
    if root is None or not (root / NAME).exists():
        yield
        return
    name = path.relative_to(root).as_posix()
    with locked(root):
        before = Sums.read(root) or Sums()
        before.announce(name, digest).write(root)
        yield  # after an error the announcement stays: whether the file has changed is not known
        before.settle(name, digest).write(root)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Waits for whoever else changes a folder, in this process or another one.

    Where the file system has no locks, one writer at a time is up to the user.
    """
    with ExitStack() as held:
        with suppress(OSError):
            descriptor = os.open(root, os.O_RDONLY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
