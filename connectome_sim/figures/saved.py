"""A run as figures see it: whatever its folder holds, read once. Knows no figure and computes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from connectome_sim import circular, files
from connectome_sim.analysis.attractor import VERDICTS
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import RunFolderError
from connectome_sim.records import FittedNetwork, Manifest, RunFolder, read_arrays, read_network, read_scalars

DRAWN = "wiring statistics"  # how the provenance of a drawn connectome begins
REASON_LENGTH = 150  # characters of a failure's reason that a caption has room for (chosen)


@dataclass(frozen=True, eq=False)
class SavedAnalysis:
    """Saved results of an analysis.

    Attributes:
        origin: for captions.
        found: content of ``analysis.json``.
        arrays: ``analysis.h5``.
    """

    origin: str
    found: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @property
    def has_ring(self) -> bool:
        """Whether there is a ring to draw."""
        return "ring/heading_rad" in self.arrays

    @property
    def has_points(self) -> bool:
        """Whether there are fixed points to draw."""
        return len(self.arrays["points/eigenvalues_per_s"]) > 0

    @property
    def ring_components(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the ring along three principal components, and its headings, deg."""
        return self.arrays["ring/components"], self.degrees("ring/heading_rad")

    @property
    def visited(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same of the landmarks of visited states; None where no walk was simulated to its end."""
        if not self.arrays.get("visited/heading_rad", np.zeros(0)).size:
            return None
        return self.arrays["visited/components"], self.degrees("visited/heading_rad")

    @property
    def warning(self) -> str:
        """What is wrong with the attractor; empty for a ring with one bump."""
        return {
            "ring": "",
            "split": "bump split at some headings",
            "several_bumps": "several bumps",
            "no_bump": "no bump",
            "broken": "no closed ring",
        }[str(self.found["verdict"])]

    @property
    def caption(self) -> str:
        """Origin and verdict."""
        means = str(self.found["verdict_means"])
        return f"{self.origin}. {means[0].upper()}{means[1:]}. "

    def degrees(self, name: str) -> np.ndarray:
        """Headings of an array, deg, -180 to 180."""
        return np.rad2deg(circular.wrap(self.arrays[name]))


@dataclass(frozen=True, eq=False)
class SavedRun:
    """Saved results of a run, complete or not: what was not saved is None or empty.

    Attributes:
        manifest: what was run and how it ended.
        connectome: ``connectome.h5``.
        networks: members of ``network.h5``.
        history: rows of ``history.csv``, oldest first.
        metrics: ``metrics.json``.
        arrays: ``evaluation.h5``.
        parameters: ``parameters.safetensors``: ``family/name`` -> value.
        found: ``analysis.json``.
        analysis_arrays: ``analysis.h5``.
        tables: the folder's other tables (``*.csv``): name -> rows.
    """

    manifest: Manifest
    connectome: Connectome | None = None
    networks: tuple[FittedNetwork, ...] = ()
    history: Sequence[Mapping[str, float]] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    analysis_arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, run: RunFolder) -> SavedRun:
        """Reads what the folder holds; a file that is not there (yet) is no error.

        Raises:
            RunFolderError: not a run folder, or a file in it that is damaged or of a newer format version.
            DataError: the same for ``connectome.h5``.
        """
        return cls(
            manifest=run.manifest(),
            connectome=hdf5.read(run.connectome) if files.exists(run.connectome) else None,
            networks=read_network(run.network) if files.exists(run.network) else (),
            history=run.history(),
            metrics=run.metrics(),
            arrays=read_arrays(run.evaluation) if files.exists(run.evaluation) else {},
            parameters=read_scalars(run.parameters) if files.exists(run.parameters) else {},
            found=_findings(run),
            analysis_arrays=read_arrays(run.analysis) if files.exists(run.analysis) else {},
            tables=run.tables(),
        )

    @property
    def analysis(self) -> SavedAnalysis | None:
        """What was found of the attractor; None where it was not analysed."""
        if not self.found or not self.analysis_arrays:
            return None
        return SavedAnalysis(self.origin, self.found, self.analysis_arrays)

    def get(self, *names: str) -> list[np.ndarray] | None:
        """The arrays of the evaluation of these names, or None unless all were saved and hold something."""
        return _all(self.arrays, names)

    def arrays_of(self, *names: str) -> list[np.ndarray]:
        """The arrays of the evaluation of these names, of a run that holds them.

        Raises:
            RunFolderError: it does not.
        """
        return _wanted(self.get(*names), names, "evaluate")

    def analysed_arrays_of(self, *names: str) -> list[np.ndarray]:
        """The same of the analysis."""
        return _wanted(self.get_analysed(*names), names, "analyze")

    @property
    def circuit(self) -> Connectome:
        """The circuit, of a run that holds one.

        Raises:
            RunFolderError: it does not.
        """
        if self.connectome is None:
            raise RunFolderError("connectome.h5: is not in the run folder")
        return self.connectome

    def get_analysed(self, *names: str) -> list[np.ndarray] | None:
        """The arrays of the analysis of these names, or None unless all were saved and hold something."""
        return _all(self.analysis_arrays, names)

    @property
    def dataset(self) -> str:
        """Name and version of the connectome; one that was drawn is called so."""
        if self.connectome is not None:
            name, version = self.connectome.provenance.dataset, self.connectome.provenance.version
        else:
            name, version = self.manifest.dataset, self.manifest.dataset_version
            if not name and self.networks:
                name = self.networks[0].dataset
        name = name or "unknown connectome"
        if version and version not in name:
            name = f"{name} {version}"
        return name.replace(DRAWN, f"{DRAWN}, not the connectome", 1)

    @property
    def origin(self) -> str:
        """Dataset, number of neurons, seed and member."""
        parts = [self.dataset]
        if self.connectome is not None:
            parts.append(f"{self.connectome.n_neurons} neurons")
        elif self.networks:
            parts.append(f"{len(self.networks[0].bias)} neurons")
        if self.networks:
            parts.append(f"seed {self.networks[0].seed}")
        else:
            parts += [f"{name} seed {seed}" for name, seed in self.manifest.seeds.items()]
        if len(self.networks) > 1:
            parts.append(f"member 1 of {len(self.networks)}")
        return "; ".join(parts)

    @property
    def ending(self) -> str:
        """How the run ended, where that is not well; empty for a run that succeeded."""
        if self.manifest.status in ("running", "interrupted"):
            return "The run has not ended."
        if self.manifest.status == "failed":
            reason = textwrap.shorten(self.manifest.reason, REASON_LENGTH, placeholder=" (and more)")
            return f"The run failed: {reason.rstrip('.')}." if reason else "The run failed."
        return ""

    @property
    def bump_warning(self) -> str:
        """In how many of the trials at rest there was a bump; empty where in all of them or not measured."""
        share = self.metrics.get("bump_present_share", 1.0)
        if share == 0:
            return "no bump"
        return f"bump in {100 * share:.0f} % of trials" if share < 1 else ""


def _findings(run: RunFolder) -> dict[str, Any]:
    found = run.findings()
    if found and not (found.get("verdict") in VERDICTS and isinstance(found.get("verdict_means"), str)):
        path = run.analysis.with_suffix(".json")
        raise RunFolderError(f"{path}: verdict is {found.get('verdict')!r}, wanted one of {', '.join(VERDICTS)}.")
    return found


def _all(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray] | None:
    if not all(name in arrays and arrays[name].size for name in names):
        return None
    return [arrays[name] for name in names]


def _wanted(arrays: list[np.ndarray] | None, names: Sequence[str], verb: str) -> list[np.ndarray]:
    if arrays is None:
        raise RunFolderError(f"run: {', '.join(names)} are not saved; connectome-sim {verb} saves them")
    return arrays
