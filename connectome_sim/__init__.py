"""Head-direction networks fitted to a connectome: read the wiring, fit the unknown parameters, measure, ablate, draw.

Importing the package does nothing but define it; what it offers lies in its modules. The fitted networks of an
ensemble are one line away::

    members = connectome_sim.load_ensemble("hemibrain_ring")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from connectome_sim.version import __version__

if TYPE_CHECKING:
    from connectome_sim.build.ensembles import Ensemble

__all__ = ["__version__", "load_ensemble"]


def load_ensemble(name: str | Path) -> Ensemble:
    """The fitted networks of a shipped ensemble, or of a folder; see `connectome_sim.build.ensembles.load_ensemble`."""
    from connectome_sim.build.ensembles import load_ensemble as load  # takes PyTorch along, which takes seconds

    return load(name)
