"""Trials of constant velocity and of rest, and input noise. Knows not how they are scored."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    random: Generator, *, n_steps: int, n_trials: int, n_neurons: int, time_step: float, intensity: float
) -> Current:
    """White input noise, independent over steps, trials and neurons: [T, B, N], mean 0, SD intensity / sqrt(time_step).

    ``intensity`` (current * s^(1/2)) is the square root of the noise's spectral density, so that its effect does not
    depend on the time step. Chunks in time are independent: draw as few steps at once as memory asks for.
    """
    if intensity < 0:
        raise ConfigError(f"noise intensity: got {intensity}, wanted 0 or more")
    return torch.from_numpy(random.standard_normal((n_steps, n_trials, n_neurons)) * (intensity / math.sqrt(time_step)))
