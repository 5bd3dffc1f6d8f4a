"""The manifest of a run: what was run, with which versions, seeds and data, and how it ended. Knows no model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from connectome_sim.errors import RunFolderError
from connectome_sim.version import __version__

FORMAT_VERSION = 1

RunStatus = Literal["running", "succeeded", "failed"]


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
        status: running, succeeded or failed.
        reason: why it failed; empty otherwise.
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

    def to_json(self) -> str:
        """Text of ``manifest.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, path: Path) -> Manifest:
        """Reads ``manifest.json``; ``path`` is for messages only.

        Raises:
            RunFolderError: not JSON, a field missing or unknown, or a newer format version.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise RunFolderError(f"{path}: line {error.lineno}: not JSON ({error.msg}).") from error
        if not isinstance(content, dict):
            raise RunFolderError(f"{path}: wanted a JSON object, got {type(content).__name__}.")
        refuse_newer(content.get("format_version"), FORMAT_VERSION, path=path)
        wanted = {f.name for f in fields(cls)}
        if content.keys() != wanted:
            missing, unknown = sorted(wanted - content.keys()), sorted(content.keys() - wanted)
            raise RunFolderError(f"{path}: fields missing: {missing or 'none'}, unknown: {unknown or 'none'}.")
        if content["status"] not in get_args(RunStatus):
            raise RunFolderError(f"{path}: status is {content['status']!r}, wanted one of {get_args(RunStatus)}.")
        return cls(**content)


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
