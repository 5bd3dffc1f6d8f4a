"""Unsupervised: there is one localised bump of moderate activity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.errors import ConfigError
from connectome_sim.losses.observation import Observation, non_negative, valid_at


@dataclass(frozen=True)
class Bump:
    """Hinges on population-vector length, bump amplitude and mean activity of EPG.

    Attributes:
        length_floor: smallest vector length; a raised cosine has 0.5, uniform activity 0, two opposite bumps 0.
        amplitude_floor: smallest maximum minus minimum of the profile; keeps the bump from fading away (vector length
            does not see the scale).
        lowest_mean: lowest mean rate.
        highest_mean: highest mean rate (1 = every neuron at its maximum).
    """

    length_floor: float = 0.5
    amplitude_floor: float = 0.2
    lowest_mean: float = 0.05
    highest_mean: float = 0.5

    def __post_init__(self) -> None:
        non_negative(length_floor=self.length_floor, amplitude_floor=self.amplitude_floor, lowest_mean=self.lowest_mean)
        if not self.lowest_mean < self.highest_mean:
            raise ConfigError(
                f"loss option highest_mean: got {self.highest_mean}, wanted more than lowest_mean {self.lowest_mean}"
            )

    def __call__(self, observation: Observation) -> Float[Tensor, "time batch"]:
        """Values [T + 1, B], 0 inside all bounds."""
        # [R0 - R]+^2 + [A0 - A]+^2 + [m0 - m]+^2 + [m - m1]+^2,  [x]+ = max(0, x)
        mean = observation.epg_rates.mean(dim=-1)
        excesses = (
            self.length_floor - observation.vector_length,
            self.amplitude_floor - observation.amplitude,
            self.lowest_mean - mean,
            mean - self.highest_mean,
        )
        return torch.stack(excesses).clamp(min=0).square().sum(dim=0)

    def where(self, observation: Observation) -> Bool[Tensor, "time batch"]:
        """All samples of valid trials."""
        return valid_at(observation, torch.ones_like(observation.phase, dtype=torch.bool))
