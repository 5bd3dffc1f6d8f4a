"""The folder of a sweep: where each file lies, and how it is written and read. Knows no network and no statistics.

Layout (format version 2; version 1 has no checksums)::

    SHA256SUMS  manifest.json  config.yaml  cases.csv  summary.csv  literature.csv
    arrays/  refits/  figures/  report.html
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from connectome_sim import files
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic
from connectome_sim.records.arrays import read_arrays, write_arrays
from connectome_sim.records.manifest import CHECKSUMS_SINCE, Manifest
from connectome_sim.records.text import Table, read_table, read_text, write_table

LONGEST = 100  # characters of a name that go into that of a file (chosen)


@dataclass(frozen=True)
class SweepFolder:
    """A sweep folder that exists. Made by :meth:`create` or :meth:`open`."""

    path: Path

    @classmethod
    def create(cls, path: Path | str, manifest: Manifest, *, config: str) -> SweepFolder:
        """Makes a new sweep folder.

        Raises:
            RunFolderError: it exists already or cannot be written.
        """
        with atomic.new_folder(Path(path)) as temporary:
            folder = cls(temporary)
            for part in (folder.arrays, folder.figures):
                atomic.make_folder(part)
            atomic.start_checksums(temporary)
            atomic.write_text(temporary / "config.yaml", config)
            folder.write_manifest(manifest)
        return cls(Path(path))

    @classmethod
    def open(cls, path: Path | str) -> SweepFolder:
        """Opens an existing sweep folder.

        Raises:
            RunFolderError: not the folder of a sweep, one of a newer format version, or one that lost its checksums.
        """
        folder = cls(Path(path))
        manifest = folder.manifest()
        files.require(folder.path, promised=manifest.format_version >= CHECKSUMS_SINCE)
        if manifest.verb != "ablate":
            raise RunFolderError(f"{path}: is the folder of a {manifest.verb!r}, wanted that of a sweep")
        return folder

    @property
    def arrays(self) -> Path:
        """``arrays/``: one file per case of the first member, for figures."""
        return self.path / "arrays"

    @property
    def refits(self) -> Path:
        """``refits/``: the run folders of new fits, where there are any."""
        return self.path / "refits"

    @property
    def figures(self) -> Path:
        """``figures/``."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """``report.html``."""
        return self.path / "report.html"

    def manifest(self) -> Manifest:
        """Reads ``manifest.json``."""
        path = self.path / "manifest.json"
        return Manifest.from_json(read_text(path, most=files.JSON_BYTES), path=path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces ``manifest.json``."""
        atomic.write_text(self.path / "manifest.json", manifest.to_json())

    def table(self, name: str, *, columns: Sequence[str] | None = None) -> list[dict[str, str]]:
        """Rows of ``NAME.csv``; none where it is not there yet.

        Args:
            name: cases, summary or literature.
            columns: those that it must have.

        Raises:
            RunFolderError: it cannot be read, or has other columns or a row of another length.
        """
        path = self.path / f"{name}.csv"
        if not files.exists(path):
            return []
        header, rows = read_table(path)
        if columns is not None and header != list(columns):
            raise RunFolderError(f"{path}: got columns {header}, wanted {list(columns)}")
        return rows

    def write_table(self, name: str, columns: Sequence[str], rows: Table) -> None:
        """Replaces ``NAME.csv``."""
        write_table(self.path / f"{name}.csv", columns, rows)

    def write_arrays(self, case: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps the arrays of a case."""
        write_arrays(self._arrays_of(case), arrays)

    def read_arrays(self, case: str) -> dict[str, np.ndarray]:
        """The arrays of a case; empty where none were kept."""
        path = self._arrays_of(case)
        return read_arrays(path) if files.exists(path) else {}

    def _arrays_of(self, case: str) -> Path:
        return self.arrays / f"{slug(case)}.h5"


def slug(name: str) -> str:
    """A file name for the name of a case or member: readable, and another one for every other name."""
    return f"{re.sub(r'[^A-Za-z0-9.]+', '_', name)[:LONGEST]}_{zlib.crc32(name.encode()):08x}"
