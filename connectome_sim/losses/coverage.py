"""Unsupervised: speed and amplitude of the bump do not depend on its heading."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim import circular
from connectome_sim.errors import ConfigError
from connectome_sim.losses.observation import Observation

GUARD = 1e-6  # units of rate, chosen: relative amplitude of a silent network


@dataclass(frozen=True)
class Coverage:
    """Power of the heading harmonics in the velocity error and in the relative amplitude.

    A drift field with n stable headings shows up in harmonic n of the velocity error, an uneven bump in the amplitude.

    Attributes:
        harmonics: number of harmonics, from 1; 8 = those that 16 half-tiles resolve.
        velocity_scale: velocity error that counts as 1, rad/s.
    """

    harmonics: int = 8
    velocity_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.harmonics < 1 or not self.velocity_scale > 0:
            got = f"harmonics {self.harmonics} and velocity_scale {self.velocity_scale}"
            raise ConfigError(f"loss coverage: got {got}, wanted at least 1, and more than 0")

    def __call__(self, observation: Observation) -> Float[Tensor, "quantity harmonic"]:
        """Values [2, K]: velocity error, relative amplitude. Sums over trials and time are taken inside."""
        # |< x exp(i k phase) >|^2 for k = 1..K, < > the mean over time and valid trials,
        # x = [dphase/dt - omega] / scale and x = A / <A>, each minus its mean
        velocity = circular.wrap(observation.phase.diff(dim=0)) / observation.time_step
        error = (velocity - observation.velocity) / self.velocity_scale
        amplitude = observation.amplitude[:-1]
        amplitude = amplitude / (self._mean(amplitude, observation) + GUARD)
        k = torch.arange(1, self.harmonics + 1, device=error.device, dtype=error.dtype)
        angle = k[:, None, None] * observation.phase[:-1]
        return torch.stack([self._power(x, angle, observation) for x in (error, amplitude)])

    def where(self, observation: Observation) -> Bool[Tensor, "quantity harmonic"]:
        """All harmonics, as long as one trial is valid."""
        return observation.valid.any().expand(2, self.harmonics)

    @staticmethod
    def _mean(x: Tensor, observation: Observation) -> Tensor:
        """Mean over valid trials and time of x [..., time, batch]."""
        weight = observation.valid.to(x.dtype)
        return (x * weight).sum(dim=(-2, -1)) / (x.shape[-2] * weight.sum().clamp(min=1))

    def _power(self, x: Tensor, angle: Tensor, observation: Observation) -> Tensor:
        x = x - self._mean(x, observation)
        return self._mean(x * angle.cos(), observation).square() + self._mean(x * angle.sin(), observation).square()
