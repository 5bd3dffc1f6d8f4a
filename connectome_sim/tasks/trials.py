"""A batch of trials as a frozen value: cue headings, velocity traces, pairs to compare. Knows not how they are drawn.

Tensors are float64 on the CPU; ``Trials.to`` moves them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator
from torch import Tensor

from connectome_sim import circular
from connectome_sim.axes import PhaseTrace, VelocityTrace
from connectome_sim.errors import ConfigError


def integrate(angular_velocity: VelocityTrace, time_step: float) -> PhaseTrace:
    """Displacement [steps + 1, batch], rad, starting at 0; exact because each velocity is held for its step.

    Summed in float64, whatever the input: over 60,000 steps a float32 sum would be off by more than a small error to be
    measured. Returned in the dtype of the input.
    """
    steps = torch.cumsum(angular_velocity.double() * time_step, dim=0)
    return torch.cat([torch.zeros_like(steps[:1]), steps]).to(angular_velocity.dtype)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Trials of one batch that a decoder-free loss compares: for pair p, trials ``first[p]`` and ``second[p]``.

    Attributes:
        first: trial indices [P].
        second: trial indices [P].
        scale: [P]. The velocity of ``first`` is ``scale`` times that of ``second`` at every time (1 where unused).
    """

    first: Int[Tensor, " pair"]
    second: Int[Tensor, " pair"]
    scale: Float[Tensor, " pair"]

    def shifted(self, offset: int) -> Pairs:
        """The same pairs in a batch where these trials come ``offset`` later."""
        return replace(self, first=self.first + offset, second=self.second + offset)


def no_pairs() -> Pairs:
    """No pair at all."""
    return Pairs(
        torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.float64)
    )


@dataclass(frozen=True, eq=False)
class Trials:
    """A batch of trials of equal length.

    Attributes:
        headings: heading of the cue that sets the initial state [B], rad.
        angular_velocity: [T, B], rad/s, the value of row k held over [k time_step, (k + 1) time_step).
        time_step: s.
        kind: name of the generator of each trial, B entries.
        scaled_pairs: pairs of trials with the same initial heading whose velocities are proportional.
        equal_pairs: pairs of trials with the same initial heading whose velocities differ but have the same integral
            at the end of the trial, up to whole turns.

    Raises:
        ConfigError: no trial, no step, a step that is not positive, or fields of different lengths.
    """

    headings: Float[Tensor, " batch"]
    angular_velocity: VelocityTrace
    time_step: float
    kind: tuple[str, ...]
    scaled_pairs: Pairs = field(default_factory=no_pairs)
    equal_pairs: Pairs = field(default_factory=no_pairs)

    def __post_init__(self) -> None:
        steps, batch = self.angular_velocity.shape
        if steps == 0 or batch == 0:
            raise ConfigError(f"trials: got {batch} trials of {steps} steps, wanted at least one of each")
        if len(self.headings) != batch or len(self.kind) != batch:
            got = f"{len(self.headings)} headings and {len(self.kind)} kinds"
            raise ConfigError(f"trials: got {got} for {batch} velocity traces, wanted as many")
        if not self.time_step > 0:
            raise ConfigError(f"time_step: got {self.time_step} s, wanted more than 0")

    @property
    def n_trials(self) -> int:
        """Number of trials B."""
        return self.angular_velocity.shape[1]

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return self.angular_velocity.shape[0]

    @property
    def duration(self) -> float:
        """Length of a trial, s."""
        return self.n_steps * self.time_step

    def displacement(self) -> PhaseTrace:
        """True displacement [T + 1, B], rad, from 0."""
        return integrate(self.angular_velocity, self.time_step)

    def heading(self) -> PhaseTrace:
        """True heading [T + 1, B], rad, not wrapped."""
        return self.headings + self.displacement()

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Trials:
        """The same trials with another dtype or on another device (indices keep their dtype)."""

        def move(pairs: Pairs) -> Pairs:
            return Pairs(pairs.first.to(device), pairs.second.to(device), pairs.scale.to(device=device, dtype=dtype))

        return replace(
            self,
            headings=self.headings.to(device=device, dtype=dtype),
            angular_velocity=self.angular_velocity.to(device=device, dtype=dtype),
            scaled_pairs=move(self.scaled_pairs),
            equal_pairs=move(self.equal_pairs),
        )


def concatenate(parts: Sequence[Trials]) -> Trials:
    """One batch of all trials, in order; pairs keep pointing at their trials.

    Raises:
        ConfigError: no part, or different steps or lengths.
    """
    if not parts or len({(p.n_steps, p.time_step) for p in parts}) > 1:
        got = [(p.n_steps, p.time_step) for p in parts]
        raise ConfigError(f"trials to concatenate: got {got}, wanted equal numbers of steps and equal steps")
    offsets = np.cumsum([0] + [p.n_trials for p in parts[:-1]]).tolist()

    def joined(name: str) -> Pairs:
        pairs = [getattr(p, name).shifted(offset) for p, offset in zip(parts, offsets, strict=True)]
        columns = ([p.first for p in pairs], [p.second for p in pairs], [p.scale for p in pairs])
        return Pairs(*(torch.cat(column) for column in columns))

    return Trials(
        headings=torch.cat([p.headings for p in parts]),
        angular_velocity=torch.cat([p.angular_velocity for p in parts], dim=1),
        time_step=parts[0].time_step,
        kind=tuple(kind for p in parts for kind in p.kind),
        scaled_pairs=joined("scaled_pairs"),
        equal_pairs=joined("equal_pairs"),
    )


def n_steps(duration: float, time_step: float) -> int:
    """Number of steps in ``duration``.

    Raises:
        ConfigError: not a whole number of steps, or fewer than one.
    """
    steps = round(duration / time_step) if time_step > 0 and math.isfinite(duration) else 0
    if steps < 1 or abs(steps * time_step - duration) > 1e-6 * time_step * steps:
        raise ConfigError(f"duration: got {duration} s in steps of {time_step} s, wanted a whole number, at least one")
    return steps


def headings(n: int, random: Generator | None = None) -> np.ndarray:
    """``n`` cue headings [n], rad: evenly spaced, or with a generator one at random within each of n equal sectors."""
    if n < 1:
        raise ConfigError(f"n_trials: got {n}, wanted 1 or more")
    even = circular.evenly_spaced(n)
    return even if random is None else even + 2 * math.pi / n * random.random(n)


def from_arrays(velocity: np.ndarray, heading: np.ndarray, time_step: float, kind: str) -> Trials:
    """Trials of one kind from velocities [T, B], rad/s, and cue headings [B], rad."""
    return Trials(
        torch.from_numpy(heading), torch.from_numpy(np.ascontiguousarray(velocity)), time_step, (kind,) * len(heading)
    )
