"""Self-supervised: the bump's displacement equals the integral of the network's own velocity input."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.errors import ConfigError
from connectome_sim.losses.observation import Observation, non_negative, valid_at


@dataclass(frozen=True)
class PhaseIntegration:
    """1 - cos of the integration error, in units of a tolerance.

    An error is judged by what it should have been measured against: standing still for a while, turning for a while,
    turning far. The tolerance of a displacement over a time T along a path of length L (the integral of |omega|) is::

        sigma = tolerance_deg + tolerance_deg_per_s T + tolerance_share L

    so that a slow turn weighs as much as a fast one. With all three at 0 the value is the plain 1 - cos.

    Attributes:
        settle: the first seconds left out; the displacement counts from then.
        window: None: displacement since the start. Seconds: displacement over every window of that length (over all of
            the trial where it is shorter), which judges the velocity at each moment instead of its accumulated error.
        tolerance_deg: error that weighs 1/2, whatever the turn, deg.
        tolerance_deg_per_s: the same per second, deg/s.
        tolerance_share: the same per angle turned, deg/deg.
        saturation: None: the value grows with the square of the error. A number: errors beyond so many tolerances
            grow with the logarithm only (Cauchy), so that a lost bump does not outweigh all others.
        only_at_rest: whether only trials that never have a velocity count: a bump may drift less than it may lag.

    Raises:
        ConfigError: a negative number, a saturation that is not positive, or a tolerance that is 0 for a bump at rest.
    """

    settle: float = 0.0
    window: float | None = None
    tolerance_deg: float = 0.0
    tolerance_deg_per_s: float = 0.0
    tolerance_share: float = 0.0
    saturation: float | None = None
    only_at_rest: bool = False

    def __post_init__(self) -> None:
        non_negative(
            settle=self.settle,
            window=self.window,
            tolerance_deg=self.tolerance_deg,
            tolerance_deg_per_s=self.tolerance_deg_per_s,
            tolerance_share=self.tolerance_share,
        )
        if self.saturation is not None and not self.saturation > 0:
            raise ConfigError(f"loss option saturation: got {self.saturation}, wanted more than zero, or none")
        if self.tolerance_share and not (self.tolerance_deg or self.tolerance_deg_per_s):
            raise ConfigError(
                f"loss option tolerance_share: got {self.tolerance_share} alone, which is 0 for a bump at rest; "
                "wanted tolerance_deg or tolerance_deg_per_s beside it"
            )

    def relaxed(self, factor: float) -> PhaseIntegration:
        """The same loss with all tolerances multiplied, for the early stages of a fit."""
        return replace(
            self,
            tolerance_deg=factor * self.tolerance_deg,
            tolerance_deg_per_s=factor * self.tolerance_deg_per_s,
            tolerance_share=factor * self.tolerance_share,
        )

    def __call__(self, observation: Observation) -> Float[Tensor, "time batch"]:
        """Values [T + 1, B], 0 at the ideal; the first rows, up to ``settle`` or ``window``, are not used."""
        # u = ( 1 - cos( [phase(t) - phase(t0)] - [theta(t) - theta(t0)] ) ) / sigma^2,   t0 = settle, or t - window
        reference = self._reference(observation)
        error = observation.phase - observation.displacement_target
        values = (1 - torch.cos(error - error[reference])) / self._tolerance(observation, reference) ** 2
        if self.saturation is None:
            return values
        # c^2/2 log( 1 + 2 u / c^2 ),   c = saturation
        c2 = self.saturation**2
        return c2 / 2 * torch.log1p(2 * values / c2)

    def where(self, observation: Observation) -> Bool[Tensor, "time batch"]:
        """Samples later than their reference, of valid trials (at rest)."""
        later = torch.arange(len(observation.phase), device=observation.phase.device) > self._last_unused(observation)
        counts = valid_at(observation, later[:, None].expand_as(observation.phase))
        return counts & observation.at_rest() if self.only_at_rest else counts

    def _tolerance(self, observation: Observation, reference: Tensor) -> Tensor:
        if not (self.tolerance_deg or self.tolerance_deg_per_s or self.tolerance_share):
            return torch.ones_like(observation.phase)
        time = (observation.elapsed - observation.elapsed[reference])[:, None]
        steps = torch.cumsum(observation.velocity.abs() * observation.time_step, dim=0)
        path = torch.nn.functional.pad(steps, (0, 0, 1, 0))
        sigma = (
            math.radians(self.tolerance_deg)
            + math.radians(self.tolerance_deg_per_s) * time
            + self.tolerance_share * (path - path[reference])
        )
        # 0 or less only at samples that do not count: the reference itself and those before it
        return sigma.clamp(min=torch.finfo(sigma.dtype).tiny ** 0.25)

    def _last_unused(self, observation: Observation) -> int:
        """The last sample that does not count."""
        settled = observation.steps(self.settle)
        return settled + self._window_steps(self.window, observation) - 1 if self.window else settled

    def _window_steps(self, window: float, observation: Observation) -> int:
        """Window in steps: at least one, at most what the trial has after ``settle``."""
        available = len(observation.phase) - 1 - observation.steps(self.settle)
        return max(1, min(observation.steps(window), available))

    def _reference(self, observation: Observation) -> Tensor:
        """Index of the reference sample of each sample [T + 1]."""
        index = torch.arange(len(observation.phase), device=observation.phase.device)
        settled = min(observation.steps(self.settle), len(observation.phase) - 1)
        if not self.window:
            return torch.full_like(index, settled)
        return (index - self._window_steps(self.window, observation)).clamp(min=settled)
