"""The probes of the protocol: which trials, from which headings, into which figures. Knows no file."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from connectome_sim import circular, tasks
from connectome_sim.axes import State
from connectome_sim.evaluate import metrics
from connectome_sim.evaluate.metrics import Metrics
from connectome_sim.evaluate.trace import SEGMENT_S, Runner, Trace
from connectome_sim.model import Drive

Arrays = dict[str, np.ndarray]
EXTRAS = ("walking_vector_length_min_median", "failed_trials_share")  # metrics of walking beside those of ``metrics``
DIFFUSION = "noise_diffusion_deg2_per_s"
KEPT_STEP_S = 0.02  # s, time grid of the arrays kept for figures (chosen: 10 deg at 500 deg/s)


def walking_and_rest(run: Runner, seed: int) -> tuple[Metrics, Arrays]:
    """Walking and rest in one batch, from the same settled states."""
    p = run.protocol
    cues = circular.evenly_spaced(p.n_headings)
    initial = run.settle(cues)
    trials = tasks.walking(
        tasks.generator(seed, "held_out"), n_trials=p.n_headings, duration=p.duration_s, time_step=p.input_step_s
    )
    velocity = torch.cat([trials.angular_velocity, torch.zeros_like(trials.angular_velocity)], dim=1)
    both = run.run("walking and rest", torch.cat([initial, initial]), run.moving(velocity), total_s=p.duration_s)
    walk, still = both.trials(slice(p.n_headings)), both.trials(slice(p.n_headings, None))
    true = trials.displacement().numpy()
    found = metrics.walking_metrics(walk.time, walk.displacement, true, p.error_times_s)
    found |= metrics.rest_metrics(still.displacement, still.heading[-1], duration=p.duration_s)
    found |= metrics.cue_metrics(still.heading[0], cues)
    found |= _bump(run, still)
    lowest, failed = np.median(walk.vector_length.min(axis=0)), np.isnan(both.heading[-1]).mean()
    found |= dict(zip(EXTRAS, (float(lowest), float(failed)), strict=True))
    k = slice(None, None, max(1, round(KEPT_STEP_S / p.input_step_s)))
    return found, {
        "walking/time_s": walk.time[k],
        "walking/true_heading_rad": walk.heading[0] + true[k],
        "walking/decoded_heading_rad": walk.heading[k],
        "walking/vector_length": walk.vector_length[k],
        "walking/kymograph": walk.profile[k, 0],
        "walking/kymograph_angle_rad": circular.evenly_spaced(run.readout.wedges),
        "rest/time_s": still.time[k],
        "rest/decoded_heading_rad": still.heading[k],
        "rest/cue_heading_rad": cues,
    }


def constant(run: Runner) -> tuple[Metrics, Arrays]:
    """Constant velocities in both directions from headings that differ also in their place within a wedge."""
    p = run.protocol
    initial = run.settle(staggered(p.constant_headings, run.readout.wedges))
    velocity = np.deg2rad([sign * speed for speed in p.constant_speeds_deg_per_s for sign in (1, -1)])
    steps = tasks.n_steps(p.constant_duration_s, p.input_step_s)
    per_trial = torch.from_numpy(np.repeat(velocity, p.constant_headings)).expand(steps, -1)
    trace = run.run("constant", initial.repeat(len(velocity), 1), run.moving(per_trial), total_s=p.constant_duration_s)
    shape = (len(trace.time), len(p.constant_speeds_deg_per_s), 2, p.constant_headings)
    displacement = trace.displacement.reshape(shape)
    curve = metrics.gain_curve(trace.time, displacement, p.constant_speeds_deg_per_s, p.constant_transient_s)
    return metrics.gain_metrics(curve, tolerance=p.linear_tolerance, moving_gain=p.moving_gain), {
        "constant/velocity_deg_per_s": np.concatenate([-curve.speed_deg_per_s[::-1], curve.speed_deg_per_s]),
        "constant/gain": np.concatenate([curve.gain[::-1, 1], curve.gain[:, 0]]),
        "constant/gain_sd": np.concatenate([curve.spread[::-1, 1], curve.spread[:, 0]]),
    }


def jump(run: Runner) -> tuple[Metrics, Arrays]:
    """A cue at an offset from the bump, on for the whole trial."""
    p = run.protocol
    cues = staggered(p.jump_headings, run.readout.wedges)
    initial = run.settle(cues)
    offset = np.repeat(np.deg2rad(p.jump_offsets_deg), p.jump_headings)
    here = run.readout.heading(initial).cpu().numpy()
    target = circular.wrap(np.tile(here, len(p.jump_offsets_deg)) + offset)  # from the bump, not from its cue
    state = initial.repeat(len(p.jump_offsets_deg), 1)
    drive = run.still(p.jump_duration_s, len(target), run.cue(target))
    trace = run.run("jump", state, [drive], total_s=p.jump_duration_s, watch=slice(None))
    outcome = metrics.jump_outcome(
        trace.time, trace.heading, trace.profile, offset, target, math.radians(p.jump_tolerance_deg)
    )
    found: Metrics = {}
    for i, degrees in enumerate(p.jump_offsets_deg):
        part = slice(i * p.jump_headings, (i + 1) * p.jump_headings)
        part_outcome = metrics.Jump(outcome.arrival[part], outcome.swept[part])
        found |= metrics.jump_metrics(part_outcome, degrees, wedge_deg=360 / run.readout.wedges)
    distance = circular.distance(trace.heading, target[None]).reshape(len(trace.time), -1, p.jump_headings)
    return found, {
        "jump/time_s": trace.time,
        "jump/offset_deg": np.asarray(p.jump_offsets_deg),
        "jump/distance_to_cue_rad": distance,
    }


def noise(run: Runner, seed: int) -> tuple[Metrics, Arrays]:
    """White noise into every neuron, at rest, several realisations per heading."""
    p = run.protocol
    initial = run.settle(staggered(p.noise_headings, run.readout.wedges)).repeat_interleave(p.noise_repeats, dim=0)
    trace = run.run("noise", initial, _noisy(run, initial, seed), total_s=p.noise_duration_s)
    displacement = trace.displacement.reshape(len(trace.time), p.noise_headings, p.noise_repeats)
    diffusion, variance = metrics.noise_diffusion(trace.time, displacement)
    k = slice(None, None, max(1, round(KEPT_STEP_S / p.input_step_s)))
    return {DIFFUSION: diffusion}, {
        "noise/time_s": trace.time[k],
        "noise/variance_deg2": variance[k],
    }


def staggered(n: int, wedges: int) -> np.ndarray:
    """``n`` headings around the circle, rad, that are also spread evenly over the width of one of its ``wedges``.

    Evenly spaced headings may all sit at the same place within a wedge, where a bump that sticks to the wedges would
    look either perfect or hopeless.
    """
    return circular.evenly_spaced(n) + (2 * math.pi / wedges) * np.arange(n) / n


def _noisy(run: Runner, initial: State, seed: int) -> Iterator[Drive]:
    """Segments of noise, drawn when they are needed: a minute of it would not fit into memory."""
    p, random = run.protocol, tasks.generator(seed, "noise")
    batch, n_neurons = initial.shape
    left = tasks.n_steps(p.noise_duration_s, p.input_step_s)
    while left > 0:
        steps = min(left, round(SEGMENT_S / p.input_step_s) or 1)
        left -= steps
        current = tasks.noise_current(
            random,
            n_steps=steps,
            n_trials=batch,
            n_neurons=n_neurons,
            time_step=p.input_step_s,
            intensity=p.noise_intensity,
        )
        velocity = torch.zeros(steps, batch, dtype=initial.dtype, device=initial.device)
        yield Drive(p.input_step_s, velocity, current.to(initial))


def _bump(run: Runner, still: Trace) -> Metrics:
    final = still.final
    reading = run.readout.read(final)
    peaks = run.readout.peaks(final).to(final.dtype)
    return metrics.bump_metrics(
        reading.vector_length.cpu().numpy(),
        reading.amplitude.cpu().numpy(),
        peaks.cpu().numpy(),
        run.readout.width(final).cpu().numpy(),
        min_vector_length=run.protocol.bump_min_vector_length,
        min_amplitude=run.protocol.bump_min_amplitude,
    )
