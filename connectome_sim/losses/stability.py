"""Unsupervised: without input the state does not move.

Judged where trials go, not near there, and on the neurons that the observation holds: in a fit the heading neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.losses.observation import Observation, non_negative, valid_at


@dataclass(frozen=True)
class Stability:
    """Squared speed of the state at steps without velocity.

    Attributes:
        settle: seconds without velocity that must have passed since the last one, or since the start of the trial.
    """

    settle: float = 0.0

    def __post_init__(self) -> None:
        non_negative(settle=self.settle)

    def __call__(self, observation: Observation) -> Float[Tensor, "steps batch"]:
        """Values [T, B], 1/s^2."""
        # mean over the observed neurons of |dr/dt|^2, dr/dt = [r(t + h) - r(t)] / h
        return (observation.rates.diff(dim=0) / observation.time_step).square().mean(dim=-1)

    def where(self, observation: Observation) -> Bool[Tensor, "steps batch"]:
        """Quiet steps of valid trials."""
        return valid_at(observation, observation.quiet(self.settle))
