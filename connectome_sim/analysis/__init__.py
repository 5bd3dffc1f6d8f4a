"""What fitted networks have in common and what sets them apart. Knows plain arrays only: no file, no configuration."""

from __future__ import annotations

from connectome_sim.analysis.solutions import (
    Clusters,
    PrincipalComponents,
    Stiffness,
    clusters,
    distances,
    principal_components,
    stiffness,
)

__all__ = [
    "Clusters",
    "PrincipalComponents",
    "Stiffness",
    "clusters",
    "distances",
    "principal_components",
    "stiffness",
]
