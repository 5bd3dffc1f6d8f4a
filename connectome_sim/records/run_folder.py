"""The folder of a run: where each file lies, and how it is written and read. Knows no model, solver or figure.

Layout (format version 2; version 1 has no checksums)::

    .hydra/  SHA256SUMS  manifest.json  connectome.h5  parameters.safetensors  network.h5
    history.csv  metrics.json  evaluation.h5  analysis.json  analysis.h5  checkpoints/  figures/  report.html

Any other ``*.csv`` beside them is a table that the report shows. ``SHA256SUMS`` lists every file but itself and logs;
every reader checks it.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectome_sim import files
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.checkpoint import read_checkpoint, write_checkpoint
from connectome_sim.records.manifest import CHECKSUMS_SINCE, Manifest, RunStatus
from connectome_sim.records.text import number, numbers, read_object, read_table, read_text, write_table

Row = Mapping[str, Any]  # name -> number, NumPy scalar or tensor of one element; anything else is refused

_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LOG = logging.getLogger("connectome_sim")
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
        atomic.start_checksums(path)
        folder.write_manifest(manifest)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Opens an existing run folder.

        Raises:
            RunFolderError: not a run folder, one of a newer format version, or one that lost its checksums.
        """
        folder = cls(Path(path))
        files.require(folder.path, promised=folder.manifest().format_version >= CHECKSUMS_SINCE)
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
        if not files.exists(path):
            return {}
        content = read_object(path)
        for name, value in content.items():
            if isinstance(value, (dict, list)):
                raise RunFolderError(f"{path}: {name} is a {type(value).__name__}, wanted a number, text or null.")
        return content

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
        names = {*(path.name for path in self.path.glob("*.csv")), *files.listed(self.path)} - {"history.csv"}
        paths = sorted(self.path / name for name in names if name.endswith(".csv"))
        return {path.stem: read_table(path)[1] for path in paths}

    def write_table(self, name: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Replaces ``NAME.csv``; columns are those of the first row."""
        write_table(self.path / f"{name}.csv", list(rows[0]) if rows else [], rows)

    def manifest(self) -> Manifest:
        """The manifest as it stands.

        Raises:
            RunFolderError: there is none (not a run folder), it is damaged or of a newer format version.
        """
        path = self.path / "manifest.json"
        return Manifest.from_json(read_text(path, most=files.JSON_BYTES), path=path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces ``manifest.json``."""
        atomic.write_text(self.path / "manifest.json", manifest.to_json())

    def finish(self, *, status: RunStatus, reason: str = "", wall_time_s: float) -> None:
        """Records how the run ended."""
        self.write_manifest(self.manifest().finished(status=status, reason=reason, wall_time_s=wall_time_s))

    def note(self, text: str) -> None:
        """Adds a note to the manifest."""
        manifest = self.manifest()
        self.write_manifest(replace(manifest, notes=(*manifest.notes, text)))

    def stop(self, error: BaseException, *, wall_time_s: float) -> None:
        """Records that an error ended the run."""
        self.write_manifest(self.manifest().stopped(error, wall_time_s=wall_time_s))

    def history(self) -> list[dict[str, float]]:
        """Rows of ``history.csv``, oldest first; a column a row did not have is absent from it."""
        path = self.path / "history.csv"
        if not files.exists(path):
            return []
        _, rows = read_table(path)
        return [
            {name: number(value, path=path, place=f"line {line}, {name}") for name, value in row.items() if value}
            for line, row in enumerate(rows, 2)
        ]

    def write_history(self, rows: Sequence[Row]) -> None:
        """Replaces ``history.csv``; its columns are the union over rows. Numbers read back exactly."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        texts = [{name: repr(_number(value)) for name, value in row.items()} for row in rows]
        write_table(self.path / "history.csv", columns, texts)

    def metrics(self) -> dict[str, float]:
        """``metrics.json``: name with unit -> number, NaN where it holds null. Empty where nothing was measured yet."""
        path = self.path / "metrics.json"
        return numbers(read_object(path), path=path) if files.exists(path) else {}

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
        present = self._checkpoint_files()
        earlier = [old for number, old in present if number <= step]
        later = [old for number, old in present if number > step]  # of a run that went on from a step before them
        for old in (*earlier[:-keep], *later):
            atomic.remove(old)
        return path

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, whole or not, or one is listed."""
        return bool(self._checkpoint_files())

    def last_checkpoint(self, *, say: Callable[[str], None] = _LOG.warning) -> tuple[int, Any]:
        """Step and state of the newest checkpoint that is whole.

        Args:
            say: told of each newer one that is damaged.

        Raises:
            RunFolderError: there is none, or none is whole.
        """
        damaged: list[RunFolderError] = []
        for step, path in reversed(self._checkpoint_files()):
            try:
                state = read_checkpoint(path)
            except RunFolderError as error:
                damaged.append(error)
                continue
            for reason in damaged:
                say(f"damaged checkpoint passed over, the run goes on from step {step}: {reason}")
            return step, state
        if not damaged:
            raise RunFolderError(f"{self.checkpoints}: no checkpoint to resume from; start the run anew.")
        raise damaged[0]

    def _checkpoint_files(self) -> list[tuple[int, Path]]:
        present = [path.name for path in self.checkpoints.glob("*")]
        names = {*present, *files.listed(self.checkpoints)}
        matches = ((_CHECKPOINT.fullmatch(name), self.checkpoints / name) for name in names)
        return sorted((int(match[1]), path) for match, path in matches if match)


def _number(value: object) -> int | float:
    """A plain Python number; NumPy scalars and zero-dimensional tensors are taken too."""
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, (bool, int)):
        return int(item)
    if isinstance(item, float):
        return item
    raise RunFolderError(f"a table of numbers got {value!r} ({type(value).__name__}).")
