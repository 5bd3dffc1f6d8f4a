"""What a sweep folder holds, as its figures ask for it. Knows no figure and no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from connectome_sim.ablation.floors import Floors
from connectome_sim.ablation.states import STATE, counted
from connectome_sim.records import Manifest, SweepFolder

Row = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class SavedSweep:
    """What a sweep folder holds.

    Attributes:
        manifest: what was run.
        cases: rows of ``cases.csv``.
        summary: rows of ``summary.csv``.
        literature: rows of ``literature.csv``.
        arrays: case -> arrays of the first member.
    """

    manifest: Manifest
    cases: Sequence[Row]
    summary: Sequence[Row]
    literature: Sequence[Row]
    arrays: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def read(cls, folder: SweepFolder) -> SavedSweep:
        """Reads a folder.

        Raises:
            RunFolderError: a damaged file.
        """
        cases = folder.table("cases")
        names = dict.fromkeys(row["case"] for row in cases)
        arrays = {name: found for name in names if (found := folder.read_arrays(name))}
        return cls(folder.manifest(), cases, folder.table("summary"), folder.table("literature"), arrays)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members, in order."""
        return tuple(dict.fromkeys(row["member"] for row in self.cases))

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of the summary, in order."""
        return tuple(dict.fromkeys(row["measure"] for row in self.summary))

    @property
    def origin(self) -> str:
        """For captions: the data and the number of networks."""
        return f"{self.manifest.dataset} {self.manifest.dataset_version}, {len(self.members)} fitted networks".strip()

    def control(self, mode: str) -> str:
        """The group of the intact control of a mode."""
        return next(row["group"] for row in self.cases if row["kind"] == "control" and row["mode"] == mode)

    def groups(self, *kinds: str) -> tuple[str, ...]:
        """Groups of some kinds, in order."""
        return tuple(dict.fromkeys(row["group"] for row in self.cases if row["kind"] in kinds))

    @property
    def over(self) -> str:
        """What intervals and p values speak of."""
        return next((row["over"] for row in self.summary), "")

    def floors(self, measure: str) -> Floors | None:
        """The floors of a path error; None for other measures."""
        return next((found for row in self.cases if (found := Floors.beside(row, measure))), None)

    def states(self, group: str) -> str:
        """What became of the bumps of a group: ``16 frozen, 4 lost``; nothing where that was not measured."""
        return counted(row[STATE] for row in self.cases if row["group"] == group)

    def values(self, group: str, measure: str) -> np.ndarray:
        """Value of each member [members], the mean over draws; NaN where there is none."""
        found: dict[str, list[float]] = {member: [] for member in self.members}
        for row in self.cases:
            if row["group"] == group:
                found[row["member"]].append(float(row.get(measure) or "nan"))
        return np.array([np.mean(v) if v else math.nan for v in found.values()])
