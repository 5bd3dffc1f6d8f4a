"""The folder of a run: where each file lies, and how it is written and read. Knows no model, solver or figure.

Layout (format version 1)::

    .hydra/  manifest.json  connectome.h5  parameters.safetensors  network.h5
    history.csv  metrics.json  evaluation.h5  analysis.json  analysis.h5  checkpoints/  figures/  report.html

Any other ``*.csv`` beside them is a table that the report shows.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.checkpoint import read_checkpoint, write_checkpoint
from connectome_sim.records.manifest import Manifest, RunStatus

Row = Mapping[str, Any]  # name -> number, NumPy scalar or tensor of one element; anything else is refused

_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CHECKPOINT = re.compile(r"step_(\d{8})\.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """A run folder that exists and whose format is known. Made by :meth:`create` or :meth:`open`."""

    path: Path

    @classmethod
    def create(cls, path: Path | str, manifest: Manifest, *, prepared: bool = False) -> RunFolder:
        """Makes a new run folder with its manifest.

        Args:
            path: the folder to make; its parents are made too.
            manifest: what is known of the run at its start.
            prepared: accept a folder that holds only what Hydra puts there before a run (``.hydra/``, ``*.log``).

        Raises:
            RunFolderError: the folder exists already or cannot be written.
        """
        path = Path(path)
        if prepared and path.is_dir():
            present = sorted(p.name for p in path.iterdir() if p.name != ".hydra" and p.suffix != ".log")
            if present:
                raise RunFolderError(f"{path}: exists already and holds {present}; choose another name or remove it.")
        else:
            atomic.make_folder(path, exist_ok=False)
        folder = cls(path)
        for part in (folder.checkpoints, folder.figures):
            atomic.make_folder(part)
        folder.write_manifest(manifest)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Opens an existing run folder.

        Raises:
            RunFolderError: not a run folder, or one of a newer format version.
        """
        folder = cls(Path(path))
        folder.manifest()
        return folder

    @property
    def connectome(self) -> Path:
        """``connectome.h5``."""
        return self.path / "connectome.h5"

    @property
    def parameters(self) -> Path:
        """``parameters.safetensors``."""
        return self.path / "parameters.safetensors"

    @property
    def network(self) -> Path:
        """``network.h5``."""
        return self.path / "network.h5"

    @property
    def evaluation(self) -> Path:
        """``evaluation.h5``: the arrays that figures are drawn from."""
        return self.path / "evaluation.h5"

    @property
    def analysis(self) -> Path:
        """``analysis.h5``: the arrays of the attractor analysis, beside ``analysis.json``."""
        return self.path / "analysis.h5"

    @property
    def checkpoints(self) -> Path:
        """``checkpoints/``."""
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        """``figures/``."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """``report.html``."""
        return self.path / "report.html"

    def findings(self) -> dict[str, Any]:
        """``analysis.json``; empty where the attractor was not analysed.

        Raises:
            RunFolderError: it is damaged.
        """
        path = self.analysis.with_suffix(".json")
        if not path.exists():
            return {}
        return _read_object(path)

    def write_findings(self, content: Mapping[str, Any]) -> Path:
        """Replaces ``analysis.json``; None stands for a number that does not exist."""
        path = self.analysis.with_suffix(".json")
        atomic.write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
        return path

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """Rows of every table beside ``history.csv``, by the name of its file without its ending.

        Raises:
            RunFolderError: one that cannot be read, or has a row of another length.
        """
        paths = sorted(path for path in self.path.glob("*.csv") if path.name != "history.csv")
        return {path.stem: _table(path) for path in paths}

    def write_table(self, name: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Replaces ``NAME.csv``; columns are those of the first row."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic.write_text(self.path / f"{name}.csv", text.getvalue())

    def manifest(self) -> Manifest:
        """The manifest as it stands.

        Raises:
            RunFolderError: there is none (not a run folder), it is damaged or of a newer format version.
        """
        return Manifest.from_json(_read_text(self.path / "manifest.json"), path=self.path / "manifest.json")

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces ``manifest.json``."""
        atomic.write_text(self.path / "manifest.json", manifest.to_json())

    def finish(self, *, status: RunStatus, reason: str = "", wall_time_s: float) -> None:
        """Records how the run ended."""
        self.write_manifest(self.manifest().finished(status=status, reason=reason, wall_time_s=wall_time_s))

    def stop(self, error: BaseException, *, wall_time_s: float) -> None:
        """Records that an error ended the run."""
        self.write_manifest(self.manifest().stopped(error, wall_time_s=wall_time_s))

    def history(self) -> list[dict[str, float]]:
        """Rows of ``history.csv``, oldest first; a column a row did not have is absent from it."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        rows = csv.DictReader(io.StringIO(_read_text(path)))
        try:
            return [{name: float(value) for name, value in row.items() if value} for row in rows]
        except (TypeError, ValueError) as error:
            raise RunFolderError(f"{path}: line {rows.line_num}: not a row of numbers ({error}).") from error

    def write_history(self, rows: Sequence[Row]) -> None:
        """Replaces ``history.csv``; its columns are the union over rows. Numbers read back exactly."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: repr(_number(value)) for name, value in row.items()} for row in rows)
        atomic.write_text(self.path / "history.csv", text.getvalue())

    def metrics(self) -> dict[str, float]:
        """``metrics.json``: name with unit -> number, NaN where it holds null. Empty where nothing was measured yet."""
        path = self.path / "metrics.json"
        if not path.exists():
            return {}
        content = _read_object(path)
        for name, value in content.items():
            if value is not None and not isinstance(value, (int, float)):
                raise RunFolderError(f"{path}: {name} is {value!r}, wanted a number or null.")
        return {name: math.nan if value is None else float(value) for name, value in content.items()}

    def write_metrics(self, metrics: Row) -> None:
        """Replaces ``metrics.json``. A number that is not finite is written as null.

        Raises:
            RunFolderError: a name or value that does not fit a flat table of numbers, or the file cannot be written.
        """
        for name in metrics:
            if not _METRIC_NAME.fullmatch(name):
                raise RunFolderError(f"metrics.json: {name!r} is not a metric name: wanted lower_case_with_unit.")
        numbers = {name: _number(value) for name, value in sorted(metrics.items())}
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        atomic.write_text(self.path / "metrics.json", json.dumps(finite, indent=2, allow_nan=False) + "\n")

    def write_checkpoint(self, step: int, state: Any, *, keep: int = 2) -> Path:
        """Writes the state after ``step`` to ``checkpoints/`` and removes all but the newest ``keep``."""
        path = self.checkpoints / f"step_{step:08d}.safetensors"
        write_checkpoint(path, state)
        for _, old in self._checkpoint_files()[:-keep]:
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                raise atomic.failure("remove", old, error) from error
        return path

    def last_checkpoint(self) -> tuple[int, Any]:
        """Step and state of the newest checkpoint.

        Raises:
            RunFolderError: there is none, or it is damaged.
        """
        files = self._checkpoint_files()
        if not files:
            raise RunFolderError(f"{self.checkpoints}: no checkpoint to resume from; start the run anew.")
        step, path = files[-1]
        return step, read_checkpoint(path)

    def _checkpoint_files(self) -> list[tuple[int, Path]]:
        if not self.checkpoints.is_dir():
            return []
        matches = ((_CHECKPOINT.fullmatch(p.name), p) for p in self.checkpoints.iterdir())
        return sorted((int(match[1]), path) for match, path in matches if match)


def _number(value: object) -> int | float:
    """A plain Python number; NumPy scalars and zero-dimensional tensors are taken too."""
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, (bool, int)):
        return int(item)
    if isinstance(item, float):
        return item
    raise RunFolderError(f"a table of numbers got {value!r} ({type(value).__name__}).")


def _table(path: Path) -> list[dict[str, str]]:
    lines = list(csv.reader(io.StringIO(_read_text(path))))
    header = lines[0] if lines else []
    if short := next((number for number, line in enumerate(lines, 1) if len(line) != len(header)), 0):
        raise RunFolderError(f"{path}: line {short}: wanted {len(header)} fields.")
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{path}: line {error.lineno}: not JSON ({error.msg}).") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path}: wanted a JSON object, got {type(content).__name__}.")
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.parent.exists():
            raise RunFolderError(f"{path.parent}: no such folder.") from error
        raise RunFolderError(f"{path}: no such file; {path.parent} is not a complete run folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path}: cannot be read ({error}).") from error
