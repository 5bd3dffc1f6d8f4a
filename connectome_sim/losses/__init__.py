"""Losses by name. Each is one file: a frozen dataclass of options that maps an Observation to unreduced values."""

from __future__ import annotations

from collections.abc import Mapping

from connectome_sim.losses.bump import Bump
from connectome_sim.losses.coverage import Coverage
from connectome_sim.losses.cue import Cue
from connectome_sim.losses.drift import Drift
from connectome_sim.losses.entropy import Entropy
from connectome_sim.losses.linear_consistency import LinearConsistency
from connectome_sim.losses.minimum_speed import MinimumSpeed
from connectome_sim.losses.observation import Loss, Observation, observe
from connectome_sim.losses.parsimony import Parsimony
from connectome_sim.losses.phase_integration import PhaseIntegration
from connectome_sim.losses.stability import Stability
from connectome_sim.losses.total import WeightedLoss, total

LOSSES: Mapping[str, type[Loss]] = {
    "phase_integration": PhaseIntegration,
    "linear_consistency": LinearConsistency,
    "stability": Stability,
    "drift": Drift,
    "minimum_speed": MinimumSpeed,
    "bump": Bump,
    "entropy": Entropy,
    "cue": Cue,
    "coverage": Coverage,
    "parsimony": Parsimony,
}

__all__ = ["LOSSES", "Loss", "Observation", "WeightedLoss", "observe", "total"]
