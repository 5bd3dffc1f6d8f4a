"""The manifest of a run: what was run, with which versions, seeds and data, and how it ended. Knows no model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from connectome_sim.errors import RunFolderError
from connectome_sim.records.text import parse_object
from connectome_sim.version import __version__

FORMAT_VERSION = 2  # 2: the folder has checksums, the manifest has notes
CHECKSUMS_SINCE = 2

RunStatus = Literal["running", "interrupted", "succeeded", "failed"]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is needed to tell one run from another and to repeat it.

    Attributes:
        format_version: version of the run folder's layout.
        verb: what was run ("fit", "ablate", ...).
        versions: package name -> version (this package, python, torch, numpy, ...).
        solver: what steps the equation: numba or torch (own kernels), torchdiffeq.
        commit: git commit of this package's source, ending in ``-dirty`` where it had local changes; None if unknown.
        seeds: name -> seed.
        dataset: name of the connectome.
        dataset_version: version of the connectome, as its publisher calls it.
        dataset_sha256: SHA-256 of the file it came from.
        config_sha256: SHA-256 of the resolved configuration (:func:`config_hash`).
        started: start of the run, UTC, ISO 8601.
        wall_time_s: duration of the run, s; None while it runs.
        status: running, interrupted (by a signal, or a file that could not be written; it may go on), succeeded or
            failed.
        reason: why it failed, or what interrupted it; empty otherwise.
        notes: what else a reader has to know, e.g. that a damaged checkpoint was passed over.
    """

    verb: str = "fit"
    dataset: str = ""
    dataset_version: str = ""
    dataset_sha256: str = ""
    config_sha256: str = ""
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    solver: str = ""
    commit: str | None = None
    started: str = ""
    wall_time_s: float | None = None
    status: RunStatus = "running"
    reason: str = ""
    notes: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    @classmethod
    def start(cls, *, config: Mapping[str, Any] | None = None, **known: Any) -> Manifest:
        """Manifest of a run that begins now: versions, commit, time and hash of ``config`` beside what is known."""
        return cls(
            **known,
            config_sha256="" if config is None else config_hash(config),
            versions=versions(),
            commit=commit(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def finished(self, *, status: RunStatus, reason: str = "", wall_time_s: float) -> Manifest:
        """The same run at its end."""
        return replace(self, status=status, reason=reason, wall_time_s=wall_time_s)

    @property
    def is_done(self) -> bool:
        """Whether it came to a result, if only that it failed."""
        before = self.status == "failed" and self.reason == "interrupted"  # as it was written before there was a status
        return self.status in ("succeeded", "failed") and not before

    def stopped(self, error: BaseException, *, wall_time_s: float) -> Manifest:
        """The same run where an error ended it: one from outside interrupts it, any other is a result."""
        outside = isinstance(error, (KeyboardInterrupt, RunFolderError))
        reason = str(error) or ("interrupted" if outside else type(error).__name__)
        return self.finished(status="interrupted" if outside else "failed", reason=reason, wall_time_s=wall_time_s)

    def to_json(self) -> str:
        """Text of ``manifest.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, path: Path) -> Manifest:
        """Reads ``manifest.json``; ``path`` is for messages only.

        Raises:
            RunFolderError: not JSON, a field missing, unknown or of another type, or a newer format version.
        """
        content = parse_object(text, path=path)
        refuse_newer(content.get("format_version"), FORMAT_VERSION, path=path)
        if content["format_version"] < CHECKSUMS_SINCE:
            content.setdefault("notes", [])
        wanted = {f.name for f in fields(cls)}
        if content.keys() != wanted:
            missing, unknown = sorted(wanted - content.keys()), sorted(content.keys() - wanted)
            raise RunFolderError(f"{path}: fields missing: {missing or 'none'}, unknown: {unknown or 'none'}.")
        if content["status"] not in get_args(RunStatus):
            raise RunFolderError(f"{path}: status is {content['status']!r}, wanted one of {get_args(RunStatus)}.")
        for name, (holds, words) in _KINDS.items():
            if not holds(content[name]):
                raise RunFolderError(f"{path}: {name} is {str(content[name])[:100]!r}, wanted {words}.")
        return cls(**{**content, "notes": tuple(content["notes"])})


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and 0 <= value < math.inf)


def _texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _numbers_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_whole, value.values()))


def _some_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_TEXTS = ("verb", "dataset", "dataset_version", "dataset_sha256", "config_sha256", "solver", "started", "reason")
_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    **{name: (_is_text, "text") for name in _TEXTS},
    "commit": (lambda value: value is None or _is_text(value), "text or null"),
    "seeds": (_numbers_by_name, "whole numbers by name"),
    "versions": (_texts_by_name, "texts by name"),
    "wall_time_s": (_is_duration, "seconds or null"),
    "notes": (_some_texts, "a list of texts"),
}


def refuse_newer(version: object, known: int, *, path: Path) -> None:
    """Refuses a file or folder of a format this package does not know yet.

    Raises:
        RunFolderError: ``version`` is not a positive whole number or exceeds ``known``.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise RunFolderError(f"{path}: format_version is {version!r}, wanted a whole number from 1 to {known}.")
    if version > known:
        raise RunFolderError(
            f"{path}: format_version {version} is newer than {known}, the newest this package reads; "
            "update connectome-sim."
        )


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a resolved configuration, whatever the order of its keys."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the packages whose numerics a result depends on."""
    found = {"connectome-sim": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "scipy", "numba", "torchdiffeq"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str | None:
    """Git commit of this package's source, or None where it is not run from a checkout.

    An installed copy may lie in a virtual environment inside somebody else's checkout: only a commit that tracks this
    very file counts.
    """
    here = Path(__file__)
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty").strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout
