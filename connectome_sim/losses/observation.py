"""What a loss may see: simulated rates, what was decoded from them, known inputs. Knows no model, solver or task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.axes import PhaseTrace, Trajectory, VelocityTrace
from connectome_sim.errors import ConfigError, ShapeError


@runtime_checkable
class TrialPairs(Protocol):
    """Trials to compare: indices ``first`` and ``second`` [P], ``scale`` [P] the velocity ratio first : second."""

    @property
    def first(self) -> Tensor:
        """Trial indices [P]."""

    @property
    def second(self) -> Tensor:
        """Trial indices [P]."""

    @property
    def scale(self) -> Tensor:
        """Velocity ratio [P]."""


@runtime_checkable
class Reading(Protocol):
    """What a decoder returns for rates [time, batch, neuron]: three tensors [time, batch]."""

    @property
    def heading(self) -> Tensor:
        """Decoded heading, rad."""

    @property
    def vector_length(self) -> Tensor:
        """Population-vector length, 0 to 1."""

    @property
    def amplitude(self) -> Tensor:
        """Bump amplitude, units of rate."""


@dataclass(frozen=True, eq=False)
class Observation:
    """A solved batch as the losses see it. Time runs over T + 1 samples, the first one the settled state after the cue.

    Attributes:
        rates: [T + 1, B, N].
        phase: decoded heading [T + 1, B], rad, wrapped.
        vector_length: [T + 1, B], 0 to 1.
        amplitude: maximum minus minimum of the bump profile [T + 1, B], units of rate.
        velocity: angular velocity held over each step [T, B], rad/s.
        displacement_target: integral of the velocity [T + 1, B], rad, from 0.
        cue_heading: where the cue was [B], rad.
        epg_mask: the neurons that carry the heading [N].
        time_step: s.
        valid: trials whose solve did not fail [B]; the others are left out of every loss.
        scaled_pairs: pairs of trials from one heading, ``first`` driven at ``scale`` times the velocity of ``second``.
        equal_pairs: pairs of trials from one heading with equal integrals of velocity at the end.
        log_gains: logarithm of the gains as they are [G].
        log_gains_start: and as they were at the start of the fit, or 0 for the raw connectome [G].

    Make one with :func:`observe`, which keeps failed trials from poisoning the gradient.
    """

    rates: Trajectory
    phase: PhaseTrace
    vector_length: PhaseTrace
    amplitude: PhaseTrace
    velocity: VelocityTrace
    displacement_target: PhaseTrace
    cue_heading: Float[Tensor, " batch"]
    epg_mask: Bool[Tensor, " neuron"]
    time_step: float
    valid: Bool[Tensor, " batch"]
    scaled_pairs: TrialPairs | None = None
    equal_pairs: TrialPairs | None = None
    log_gains: Float[Tensor, " gain"] | None = None
    log_gains_start: Float[Tensor, " gain"] | None = None

    def __post_init__(self) -> None:
        time, batch, neurons = self.rates.shape
        wanted = {
            "phase": (time, batch),
            "displacement_target": (time, batch),
            "velocity": (time - 1, batch),
            "cue_heading": (batch,),
            "valid": (batch,),
        }
        for name, shape in wanted.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ShapeError(
                    f"observation, {name}: got shape {got}, wanted {shape} for rates {(time, batch, neurons)}"
                )

    @property
    def epg_rates(self) -> Trajectory:
        """Rates of the neurons that carry the heading [T + 1, B, M]."""
        return self.rates[..., self.epg_mask]

    @property
    def elapsed(self) -> Float[Tensor, " time"]:
        """Time since the start [T + 1], s."""
        return torch.arange(len(self.rates), device=self.rates.device, dtype=self.rates.dtype) * self.time_step

    def steps(self, seconds: float) -> int:
        """``seconds`` in whole steps, rounded to the nearest."""
        return round(seconds / self.time_step)

    def quiet(self, settle: float) -> Bool[Tensor, "steps batch"]:
        """Steps without velocity that follow ``settle`` seconds without any [T, B].

        The start of a trial counts as settled: the initial state is that after the cue has gone.
        """
        back = self.steps(settle)
        moving = torch.cumsum(self.velocity != 0, dim=0)
        earlier = torch.nn.functional.pad(moving, (0, 0, back + 1, 0))[: len(moving)]
        return moving == earlier

    def at_rest(self) -> Bool[Tensor, " batch"]:
        """Trials that never have a velocity [B]."""
        return (self.velocity == 0).all(dim=0)


def observe(
    rates: Trajectory,
    *,
    read: Callable[[Tensor], Reading],
    epg_mask: Bool[Tensor, " neuron"],
    velocity: VelocityTrace,
    displacement_target: PhaseTrace,
    cue_heading: Float[Tensor, " batch"],
    time_step: float,
    valid: Bool[Tensor, " batch"] | None = None,
    scaled_pairs: TrialPairs | None = None,
    equal_pairs: TrialPairs | None = None,
    log_gains: Float[Tensor, " gain"] | None = None,
    log_gains_start: Float[Tensor, " gain"] | None = None,
) -> Observation:
    """Decode ``rates`` with ``read`` (``Readout.read``) and bundle what the losses need.

    The rates of trials that are not ``valid`` are replaced by zeros before they are decoded, so that none of their
    values reaches a loss, finite or not, and the gradient with respect to their rates is zero.
    """
    if valid is None:
        valid = torch.ones(rates.shape[1], dtype=torch.bool, device=rates.device)
    rates = torch.where(valid[:, None], rates, torch.zeros_like(rates))
    reading = read(rates)
    return Observation(
        rates=rates,
        phase=reading.heading,
        vector_length=reading.vector_length,
        amplitude=reading.amplitude,
        velocity=velocity,
        displacement_target=displacement_target,
        cue_heading=cue_heading,
        epg_mask=epg_mask,
        time_step=time_step,
        valid=valid,
        scaled_pairs=scaled_pairs,
        equal_pairs=equal_pairs,
        log_gains=log_gains,
        log_gains_start=log_gains_start,
    )


@runtime_checkable
class Loss(Protocol):
    """A loss: a frozen dataclass of options that maps an observation to unreduced values."""

    def __call__(self, observation: Observation) -> Tensor:
        """Values, zero at the ideal (or at the minimum stated by the loss); shape stated by the loss."""

    def where(self, observation: Observation) -> Tensor:
        """The values that count, bool, of the shape of the values; the rest is left out of the mean."""


def valid_at(observation: Observation, counts: Tensor) -> Tensor:
    """``counts`` [..., time, batch] restricted to valid trials."""
    return counts & observation.valid


def non_negative(**options: float | None) -> None:
    """Check loss options that must be zero or more (None: not used).

    Raises:
        ConfigError: one is negative or not a number.
    """
    for name, value in options.items():
        if value is not None and not value >= 0:
            raise ConfigError(f"loss option {name}: got {value}, wanted zero or more")
