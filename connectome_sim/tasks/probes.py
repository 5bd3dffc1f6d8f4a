"""Trials of constant velocity and of rest, and input noise. Knows not how they are scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.random import Generator

from connectome_sim.axes import Current
from connectome_sim.errors import ConfigError
from connectome_sim.tasks.trials import Trials, from_arrays, headings, n_steps


def constant(
    velocities_deg: Sequence[float] | np.ndarray, *, headings_per_velocity: int = 1, duration: float, time_step: float
) -> Trials:
    """Constant angular velocities (deg/s), each from the same evenly spaced headings; velocity-major order [V * H]."""
    heading = np.tile(headings(headings_per_velocity), len(velocities_deg))
    velocity = np.repeat(np.deg2rad(np.asarray(velocities_deg, dtype=float)), headings_per_velocity)
    return from_arrays(np.tile(velocity, (n_steps(duration, time_step), 1)), heading, time_step, "constant")


def rest(*, n_trials: int, duration: float, time_step: float) -> Trials:
    """No input after the cue; headings evenly spaced."""
    velocity = np.zeros((n_steps(duration, time_step), n_trials))
    return from_arrays(velocity, headings(n_trials), time_step, "rest")


def noise_current(
    random: Generator,
    *,
    n_steps: int,
    n_trials: int,
    n_neurons: int,
    time_step: float,
    sd: float,
    correlation_time: float,
    segment: int,
) -> Iterator[Current]:
    """Ornstein-Uhlenbeck current into every neuron, in segments of at most ``segment`` steps, each [T, B, N].

    dx = -x dt / tau + sd sqrt(2 / tau) dW, independent over trials and neurons, stationary from the first step on. On
    the grid of steps h it is exact: x_0 = sd z_0, x_k = a x_(k-1) + sd sqrt(1 - a^2) z_k, a = exp(-h / tau), z normal.
    Where each value is held for a step, the spectral density at zero frequency is sd^2 h (1 + a) / (1 - a) in the place
    of 2 sd^2 tau: 2 % more at h = tau / 2. The same numbers are drawn whatever the length of a segment.

    Args:
        random: where the numbers come from.
        n_steps: steps in all.
        n_trials: trials B.
        n_neurons: neurons N.
        time_step: h, s.
        sd: standard deviation of the current, 1.
        correlation_time: tau, s.
        segment: steps that are held in memory at once.

    Raises:
        ConfigError: a negative SD, or a correlation time, step or segment that is not positive.
    """
    if not (sd >= 0 and correlation_time > 0 and time_step > 0 and segment > 0):
        raise ConfigError(
            f"noise: got sd={sd}, correlation_time={correlation_time} s, time_step={time_step} s, segment={segment}; "
            "wanted an SD of 0 or more, and the others above 0"
        )
    keep = math.exp(-time_step / correlation_time)
    renew = math.sqrt(1 - keep * keep)
    last = None
    for begin in range(0, n_steps, segment):
        current = random.standard_normal((min(segment, n_steps - begin), n_trials, n_neurons)) * sd
        for step in current:
            if last is not None:
                step *= renew
                step += keep * last
            last = step
        last = current[-1].copy()  # what is handed out may be changed
        yield torch.from_numpy(current)
