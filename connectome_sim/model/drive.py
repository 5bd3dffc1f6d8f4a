"""Drive: what a network receives over time (angular velocity and current), held over each step. Knows no network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.axes import State, VelocityTrace
from connectome_sim.errors import ShapeError, StepError


@dataclass(frozen=True, eq=False)
class Drive:
    """Angular velocity and input current of B trials over T steps, sample and hold.

    The value of step k holds over [k dt, (k + 1) dt). The solution lives on the same grid, times k dt for k = 0 .. T.

    Attributes:
        time_step: dt, s.
        angular_velocity: omega [T, B], rad/s, positive increases the decoded heading.
        current: input current [T, B, N], 1, or None. T and B may be 1 and are then broadcast (no memory is spent).

    Raises:
        StepError: time step not positive and finite.
        ShapeError: shapes or dtypes that do not fit each other, no step, no trial.
    """

    time_step: float
    angular_velocity: VelocityTrace
    current: Float[Tensor, "_ _ neuron"] | None = None  # steps and trials checked below: either may be 1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.time_step) and self.time_step > 0):
            raise StepError(f"drive, field 'time_step': got {self.time_step}, wanted a positive number of seconds")
        omega, current = self.angular_velocity, self.current
        if omega.ndim != 2 or 0 in omega.shape:
            raise ShapeError(
                f"drive, field 'angular_velocity': got shape {tuple(omega.shape)}, "
                "wanted [steps, trials], both at least 1"
            )
        if current is None:
            return
        if current.ndim != 3 or any(c not in (1, w) for c, w in zip(current.shape[:2], omega.shape, strict=True)):
            raise ShapeError(
                f"drive, field 'current': got shape {tuple(current.shape)}, "
                f"wanted [{omega.shape[0]} or 1, {omega.shape[1]} or 1, neurons]"
            )
        if current.dtype != omega.dtype or current.device != omega.device:
            raise ShapeError(
                f"drive, field 'current': got {current.dtype} on {current.device}, "
                f"wanted {omega.dtype} on {omega.device}"
            )
        object.__setattr__(self, "current", current.expand(*omega.shape, current.shape[2]))

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return int(self.angular_velocity.shape[0])

    @property
    def n_trials(self) -> int:
        """Number of trials B."""
        return int(self.angular_velocity.shape[1])

    @property
    def duration(self) -> float:
        """T dt, s."""
        return self.n_steps * self.time_step

    @property
    def times(self) -> Float[Tensor, " time"]:
        """The output grid k dt, k = 0 .. T, s, float64."""
        return torch.arange(self.n_steps + 1, dtype=torch.float64) * self.time_step

    def __getitem__(self, steps: slice) -> Drive:
        """The drive over a range of steps."""
        current = None if self.current is None else self.current[steps]
        return replace(self, angular_velocity=self.angular_velocity[steps], current=current)

    def trials(self, which: slice | Tensor) -> Drive:
        """The drive of some of the trials."""
        current = None if self.current is None else self.current[:, which]
        return replace(self, angular_velocity=self.angular_velocity[:, which], current=current)

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Drive:
        """The same drive in another precision or on another device."""
        current = None if self.current is None else self.current.to(dtype=dtype, device=device)
        return replace(self, angular_velocity=self.angular_velocity.to(dtype=dtype, device=device), current=current)


def cue_current(
    ring_angle: Float[Tensor, " neuron"],
    mask: Bool[Tensor, " neuron"],
    heading: Float[Tensor, " batch"],
    *,
    amplitude: float = 5.0,
    concentration: float = 4.0,
) -> State:
    """Current of a visual cue at ``heading`` onto the masked neurons: a von Mises profile around the ring.

    I_i = A exp( kappa ( cos(ring_angle_i - heading) - 1 ) ) on the mask, 0 elsewhere: A at the cue itself.

    Args:
        ring_angle: preferred heading of each neuron, rad (NaN allowed outside the mask).
        mask: the neurons that receive the cue (EPG).
        heading: heading of the cue in each trial, rad.
        amplitude: A, 1 (chosen: 5 takes a sigmoid neuron from 0.01 to 0.6 or more).
        concentration: kappa, 1 (chosen: 4 gives a full width at half maximum of 69 degrees, about a bump).
    """
    angle = torch.where(mask, ring_angle, torch.zeros_like(ring_angle))
    profile = amplitude * torch.exp(concentration * (torch.cos(angle - heading[:, None]) - 1))
    return profile * mask.to(profile.dtype)
