"""What attractor a network has, and what fitted networks have in common. Knows no file and no configuration."""

from __future__ import annotations

from connectome_sim.analysis.attractor import VERDICTS, Attractor, analyze
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
    "VERDICTS",
    "Attractor",
    "Clusters",
    "PrincipalComponents",
    "Stiffness",
    "analyze",
    "clusters",
    "distances",
    "principal_components",
    "stiffness",
]
