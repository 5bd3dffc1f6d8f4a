"""The probes of the protocol: which trials, from which headings, into which figures. Knows no file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from connectome_sim import circular, tasks
from connectome_sim.axes import State
from connectome_sim.evaluate import metrics
from connectome_sim.evaluate import noise as noises
from connectome_sim.evaluate.metrics import Metrics
from connectome_sim.evaluate.protocol import Protocol
from connectome_sim.evaluate.trace import SEGMENT_S, Runner, Trace
from connectome_sim.model import Drive

Arrays = dict[str, np.ndarray]
EXTRAS = ("walking_vector_length_min_median", "failed_trials_share")  # metrics of walking beside those of ``metrics``
CALIBRATION_S = 2.0  # s, chosen: five windows of rate noise
CALIBRATION_STEPS, CALIBRATION_FACTOR, CALIBRATION_TOLERANCE = 8, 4.0, 0.02  # chosen
KEPT_STEP_S = 0.02  # s, time grid of the arrays kept for figures (chosen: 10 deg at 500 deg/s)


def held_out_walks(protocol: Protocol, seed: int, *, duration: float | None = None) -> tasks.Trials:
    """The walks that no fit sees, one for each heading; of the protocol's duration (s) unless told otherwise."""
    return tasks.walking(
        tasks.generator(seed, "held_out"),
        n_trials=protocol.n_headings,
        duration=protocol.duration_s if duration is None else duration,
        time_step=protocol.input_step_s,
    )


def walking_and_rest(run: Runner, seed: int) -> tuple[Metrics, Arrays]:
    """Walking and rest in one batch, from the same settled states."""
    p = run.protocol
    cues = circular.evenly_spaced(p.n_headings)
    initial = run.settle(cues)
    trials = held_out_walks(p, seed)
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
        "walking/bump_present": _present(run, walk),
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
    """A private noise current into every neuron, at rest, several realisations per heading, beside the noise-free path.

    A second view, where ``noise_rate_percent`` is above 0: the same noise at the strength at which the rates that are
    read are as noisy as stated, so that networks are compared at equal noise of their output.
    """
    p = run.protocol
    settled = run.settle(staggered(p.noise_headings, run.readout.wedges))
    repeats = NoiseTrials(run, settled, seed, p.noise_repeats)
    trace = repeats.run("noise", p.noise_current_sd, p.noise_duration_s)
    still, noisy = trace.displacement[:, : p.noise_headings], trace.displacement[:, p.noise_headings :]
    path, lost = still.repeat(p.noise_repeats, axis=1), repeats.lost(trace)
    found = noises.noise_metrics(trace.time, noisy, path, lost, p.noise_times_s)
    found[noises.RATE_NOISE] = level = repeats.rate_noise(trace)
    if p.noise_rate_percent > 0:
        found |= _at_rate_noise(run, settled, seed, level)
    k = slice(None, None, max(1, round(KEPT_STEP_S / p.input_step_s)))
    return found, {
        "noise/time_s": trace.time[k],
        "noise/mean_squared_displacement_deg2": (np.rad2deg(noisy[k]) ** 2).mean(axis=1),
    }


@dataclass(frozen=True)
class NoiseTrials:
    """Trials from settled states under noise, ``repeats`` of each heading, after one of each without noise.

    Attributes:
        runner: what runs them.
        settled: states at t = 0, one per heading [H, N].
        seed: of the noise: the same numbers for every strength.
        repeats: realisations per heading.
    """

    runner: Runner
    settled: State
    seed: int
    repeats: int

    def run(self, name: str, sd: float, duration: float) -> Trace:
        """Trials [H noise-free, then H * repeats, by heading] at a current of ``sd`` (1) for ``duration`` (s)."""
        initial = torch.cat([self.settled, self.settled.repeat_interleave(self.repeats, dim=0)])
        return self.runner.run(name, initial, self._drives(sd, duration), total_s=duration, watch=slice(None))

    def lost(self, trace: Trace) -> np.ndarray:
        """Which noisy trials have no bump [t, H * repeats]: population vector or amplitude below the protocol's.

        Peaks are not counted: noise adds small ones to a bump that is there.
        """
        p, noisy = self.runner.protocol, slice(len(self.settled), None)
        profile = trace.profile[:, noisy]
        amplitude = profile.max(axis=-1) - profile.min(axis=-1)
        return (trace.vector_length[:, noisy] < p.bump_min_vector_length) | (amplitude < p.bump_min_amplitude)

    def rate_noise(self, trace: Trace) -> float:
        """SD of the rates that are read, over the height of the bump; see `noise.rate_noise`."""
        free, noisy = slice(len(self.settled)), slice(len(self.settled), None)
        settled = trace.rates[0, free].repeat(self.repeats, axis=0)
        return noises.rate_noise(trace.rates[:, noisy], settled, self.runner.protocol.input_step_s)

    def _drives(self, sd: float, duration: float) -> Iterator[Drive]:
        p, (headings, n_neurons) = self.runner.protocol, self.settled.shape
        for noisy in tasks.noise_current(
            tasks.generator(self.seed, "noise"),
            n_steps=tasks.n_steps(duration, p.input_step_s),
            n_trials=headings * self.repeats,
            n_neurons=n_neurons,
            time_step=p.input_step_s,
            sd=sd,
            correlation_time=p.noise_correlation_s,
            segment=round(SEGMENT_S / p.input_step_s) or 1,
        ):
            current = torch.cat([noisy.new_zeros(len(noisy), headings, n_neurons), noisy], dim=1)
            velocity = torch.zeros(current.shape[:2], dtype=self.settled.dtype, device=self.settled.device)
            yield Drive(p.input_step_s, velocity, current.to(self.settled))


def _at_rate_noise(run: Runner, settled: State, seed: int, level: float) -> Metrics:
    """Displacement at the end under the current at which the rates are as noisy as the protocol says.

    Args:
        run, settled, seed: as for `noise`.
        level: rate noise under the protocol's own current.
    """
    p = run.protocol
    sd = _calibrated(run, settled, seed, level)
    size, current = noises.at_rate_noise(p.noise_rate_percent, p.noise_times_s[-1])
    if math.isnan(sd):
        return {size: math.nan, current: math.nan}
    repeats = NoiseTrials(run, settled, seed, p.noise_repeats)
    trace = repeats.run("noise at equal rate noise", sd, p.noise_duration_s)
    end = int(np.argmin(np.abs(trace.time - p.noise_times_s[-1])))
    moved = trace.displacement[end, p.noise_headings :]
    return {size: noises.rms_displacement(moved, repeats.lost(trace)[end]), current: sd}


def _calibrated(run: Runner, settled: State, seed: int, level: float) -> float:
    """SD of the current at which the rates have the protocol's noise, by short trials; NaN where there is none.

    The noise of the rates is nearly proportional to that of the current, so that a few proportional steps suffice.
    """
    p, trials = run.protocol, NoiseTrials(run, settled, seed, 1)
    wanted, sd = p.noise_rate_percent / 100, p.noise_current_sd
    for _ in range(CALIBRATION_STEPS):
        if not level > 0:  # also where it is NaN: no bump, no noise
            break
        sd *= min(max(wanted / level, 1 / CALIBRATION_FACTOR), CALIBRATION_FACTOR)
        level = trials.rate_noise(trials.run("noise calibration", sd, CALIBRATION_S))
        if abs(level / wanted - 1) < CALIBRATION_TOLERANCE:
            return sd
    return math.nan


def staggered(n: int, wedges: int) -> np.ndarray:
    """``n`` headings around the circle, rad, that are also spread evenly over the width of one of its ``wedges``.

    Evenly spaced headings may all sit at the same place within a wedge, where a bump that sticks to the wedges would
    look either perfect or hopeless.
    """
    return circular.evenly_spaced(n) + (2 * math.pi / wedges) * np.arange(n) / n


def _present(run: Runner, trace: Trace) -> np.ndarray:
    """Whether there is one bump at the end of each trial [B]."""
    reading, p = run.readout.read(trace.final), run.protocol
    return metrics.bump_present(
        reading.vector_length.cpu().numpy(),
        reading.amplitude.cpu().numpy(),
        run.readout.peaks(trace.final).to(trace.final.dtype).cpu().numpy(),
        min_vector_length=p.bump_min_vector_length,
        min_amplitude=p.bump_min_amplitude,
    )


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
