"""Unsupervised: gains stay close to where they started, so that the wiring does the work.

In a fit they start from the spectral start, not from 1: from the raw counts no bump forms, and a pull to them is one
out of every bump.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.errors import ConfigError
from connectome_sim.losses.observation import Observation, non_negative


@dataclass(frozen=True)
class Parsimony:
    """L1 and L2 norm of the log-gains relative to the start.

    Attributes:
        l1: weight of the absolute value.
        l2: weight of the square.
    """

    l1: float = 1.0
    l2: float = 1.0

    def __post_init__(self) -> None:
        non_negative(l1=self.l1, l2=self.l2)

    def __call__(self, observation: Observation) -> Float[Tensor, " gain"]:
        """Values [G].

        Raises:
            ConfigError: the observation holds no gains.
        """
        # l1 |x| + l2 x^2,  x = log g - log g_start
        x = self._gains(observation)
        if observation.log_gains_start is not None:
            x = x - observation.log_gains_start
        return self.l1 * x.abs() + self.l2 * x.square()

    def where(self, observation: Observation) -> Bool[Tensor, " gain"]:
        """All gains."""
        return torch.ones_like(self._gains(observation), dtype=torch.bool)

    @staticmethod
    def _gains(observation: Observation) -> Tensor:
        if observation.log_gains is None:
            raise ConfigError("loss parsimony: got an observation without log_gains; pass them, or drop this loss")
        return observation.log_gains
