"""A run as figures see it: whatever its folder holds, read once. Knows no figure and computes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from connectome_sim.connectome.connectome import Connectome
from connectome_sim.connectome.io import hdf5
from connectome_sim.records import FittedNetwork, Manifest, RunFolder, read_arrays, read_network

DRAWN = "wiring statistics"  # how the provenance of a drawn connectome begins
REASON_LENGTH = 150  # characters of a failure's reason that a caption has room for (chosen)


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
    """

    manifest: Manifest
    connectome: Connectome | None = None
    networks: tuple[FittedNetwork, ...] = ()
    history: Sequence[Mapping[str, float]] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def read(cls, run: RunFolder) -> SavedRun:
        """Reads what the folder holds; a file that is not there (yet) is no error.

        Raises:
            RunFolderError: not a run folder, or a file in it that is damaged or of a newer format version.
            DataError: the same for ``connectome.h5``.
        """
        return cls(
            manifest=run.manifest(),
            connectome=hdf5.read(run.connectome) if run.connectome.exists() else None,
            networks=read_network(run.network) if run.network.exists() else (),
            history=run.history(),
            metrics=run.metrics(),
            arrays=read_arrays(run.evaluation) if run.evaluation.exists() else {},
        )

    def get(self, *names: str) -> list[np.ndarray] | None:
        """The arrays of these names, or None unless all were saved and hold something."""
        if not all(name in self.arrays and self.arrays[name].size for name in names):
            return None
        return [self.arrays[name] for name in names]

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
        if self.manifest.status == "running":
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
