"""Trials that probe one property each: constant velocity, rest, cue jump, noise. Knows not how they are scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator

from connectome_sim import circular
from connectome_sim.axes import Current
from connectome_sim.errors import ConfigError
from connectome_sim.tasks.trials import Cue, Trials, from_arrays, headings, n_steps

JUMPS_DEG = (45.0, 90.0, 135.0, 180.0)  # deg, cue offsets of the protocol; chosen


def constant(
    velocities_deg: Sequence[float] | np.ndarray, *, headings_per_velocity: int = 1, duration: float, time_step: float
) -> Trials:
    """Constant angular velocities (deg/s), each from the same evenly spaced headings; velocity-major order [V * H]."""
    heading = np.tile(headings(headings_per_velocity), len(velocities_deg))
    velocity = np.repeat(np.deg2rad(np.asarray(velocities_deg, dtype=float)), headings_per_velocity)
    return from_arrays(np.tile(velocity, (n_steps(duration, time_step), 1)), heading, time_step, "constant")


def rest(*, n_trials: int, duration: float, time_step: float, random: Generator | None = None) -> Trials:
    """No input after the cue; headings evenly spaced, or jittered with a generator."""
    velocity = np.zeros((n_steps(duration, time_step), n_trials))
    return from_arrays(velocity, headings(n_trials, random), time_step, "rest")


def jump(
    *,
    offsets_deg: Sequence[float] = JUMPS_DEG,
    headings_per_offset: int = 16,
    cue_onset: float = 0.5,
    cue_duration: float = 2.0,
    duration: float = 4.0,
    time_step: float,
) -> Trials:
    """A cue appears at an offset from the bump, no velocity; offset-major order [offset * heading].

    Raises:
        ConfigError: the cue does not end within the trial.
    """
    if cue_onset < 0 or cue_duration <= 0 or cue_onset + cue_duration > duration:
        raise ConfigError(
            f"cue: got onset {cue_onset} s, duration {cue_duration} s; wanted it within {duration} s of trial"
        )
    heading = np.tile(headings(headings_per_offset), len(offsets_deg))
    target = circular.wrap(heading + np.repeat(np.deg2rad(np.asarray(offsets_deg, dtype=float)), headings_per_offset))
    trials = from_arrays(np.zeros((n_steps(duration, time_step), len(heading))), heading, time_step, "jump")
    return replace(trials, cue=Cue(torch.from_numpy(target), cue_onset, cue_duration))


def noise(*, n_trials: int, duration: float, time_step: float) -> Trials:
    """Rest trials for the diffusion probe; the noise itself is drawn by :func:`noise_current`, in chunks."""
    return replace(rest(n_trials=n_trials, duration=duration, time_step=time_step), kind=("noise",) * n_trials)


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
