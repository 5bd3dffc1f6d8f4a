"""Self-supervised: the bump's displacement equals the integral of the network's own velocity input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.losses.observation import Observation, non_negative, valid_at


@dataclass(frozen=True)
class PhaseIntegration:
    """1 - cos of the integration error.

    Attributes:
        settle: the first seconds left out; the displacement counts from then.
        window: None: displacement since the start. Seconds: displacement over every window of that length, which
            judges the velocity at each moment instead of its accumulated error.
        time_scale: None: all times weigh the same. Seconds: values are divided by 1 + t / time_scale, t the time since
            the start, because the accumulated error of an imperfect integrator grows with time.
    """

    settle: float = 0.0
    window: float | None = None
    time_scale: float | None = None

    def __post_init__(self) -> None:
        non_negative(settle=self.settle, window=self.window, time_scale=self.time_scale)

    def __call__(self, observation: Observation) -> Float[Tensor, "time batch"]:
        """Values [T + 1, B], 0 to 2; the first rows, up to ``settle`` or ``window``, are not used."""
        # 1 - cos( [phase(t) - phase(t0)] - [theta(t) - theta(t0)] ),  t0 = settle, or t - window
        error = observation.phase - observation.displacement_target
        values = 1 - torch.cos(error - error[self._reference(observation)])
        if self.time_scale:
            values = values / (1 + observation.elapsed[:, None] / self.time_scale)
        return values

    def where(self, observation: Observation) -> Bool[Tensor, "time batch"]:
        """Samples later than their reference, of valid trials."""
        later = torch.arange(len(observation.phase), device=observation.phase.device) > self._first(observation)
        return valid_at(observation, later[:, None].expand_as(observation.phase))

    def _first(self, observation: Observation) -> int:
        window = max(observation.steps(self.window), 1) - 1 if self.window is not None else 0
        return observation.steps(self.settle) + window

    def _reference(self, observation: Observation) -> Tensor:
        """Index of the reference sample of each sample [T + 1]."""
        index = torch.arange(len(observation.phase), device=observation.phase.device)
        settled = min(observation.steps(self.settle), len(observation.phase) - 1)
        if self.window is None:
            return torch.full_like(index, settled)
        return (index - max(observation.steps(self.window), 1)).clamp(min=settled)
