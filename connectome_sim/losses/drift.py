"""Unsupervised: without input the bump stays where it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim import circular
from connectome_sim.losses.observation import Observation, non_negative, valid_at


@dataclass(frozen=True)
class Drift:
    """Squared displacement of the bump on trials that never have a velocity.

    Attributes:
        settle: the first seconds left out; the displacement counts from then.
    """

    settle: float = 0.0

    def __post_init__(self) -> None:
        non_negative(settle=self.settle)

    def __call__(self, observation: Observation) -> Float[Tensor, "time batch"]:
        """Values [T + 1, B], rad^2."""
        # ( phase(t) - phase(settle) )^2, phase unwrapped along time, so that a bump that goes all the way round counts
        phase = circular.unwrap(observation.phase)
        start = min(observation.steps(self.settle), len(phase) - 1)
        return (phase - phase[start]).square()

    def where(self, observation: Observation) -> Bool[Tensor, "time batch"]:
        """Samples after ``settle`` of valid trials at rest."""
        later = torch.arange(len(observation.phase), device=observation.phase.device) > observation.steps(self.settle)
        return valid_at(observation, later[:, None] & observation.at_rest())
