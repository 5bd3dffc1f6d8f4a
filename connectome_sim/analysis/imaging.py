"""A fitted network under the microscope: walks, rest and cue jumps as calcium in regions of interest. Knows no verdict.

Walks are those of the held-out protocol (same generator, seed and cues), cut to their first seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.signal import savgol_filter

from connectome_sim import circular, tasks
from connectome_sim.analysis.calcium import GCAMP6F, JRGECO1A, Indicator
from connectome_sim.analysis.regions import EPG_RING, PEN_RING, Regions
from connectome_sim.axes import FloatArray, State
from connectome_sim.evaluate.probes import staggered
from connectome_sim.evaluate.trace import Runner
from connectome_sim.model import Drive, RateNetwork

FRAME_S = 0.1  # chosen: volumes came at 11.4 Hz in Turner-Evans et al. 2017, at 10 Hz in Noorman et al. 2024
WALK_S = 20.0  # chosen: the longest time for which the fly's spread is known
# Savitzky-Golay, of angular velocity and fluorescence: Turner-Evans et al. 2017, Materials and methods
SMOOTHING_ORDER, SMOOTHING_FRAMES = 3, 11
STANDING_S = 6.7  # mean time for which the flies of Seelig & Jayaraman 2015 stood


@dataclass(frozen=True, eq=False)
class Recording:
    """Walking trials by frame; NaN throughout where a solve failed.

    Attributes:
        time: middle of each frame, s [F].
        velocity: angular velocity, smoothed, rad/s [F, B].
        turning: the same as the green indicator would show it: convolved with its kernel, 0 before the walk [F, B].
        true: displacement of the true heading, rad, unwrapped [F, B].
        decoded: that of the heading decoded from the rates of the EPG wedges, rad, unwrapped [F, B].
        calcium: fluorescence of the green indicator by region of interest, smoothed [F, B, region].
        red: that of the red indicator, in the ellipsoid body alone.
    """

    time: FloatArray
    velocity: FloatArray
    turning: FloatArray
    true: FloatArray
    decoded: FloatArray
    calcium: Mapping[str, FloatArray]
    red: Mapping[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Session:
    """Everything that was recorded of one network.

    Attributes:
        walk: walking.
        standing: calcium of the EPG wedges without input for ``STANDING_S`` [t, B, wedge].
        jumped: calcium of the EPG wedges at the end of cue jumps [B, wedge].
        bump_share: share of the trials that have a bump before they begin, as the held-out protocol defines one.
        bump_min_vector_length: of the held-out protocol.
        bump_min_amplitude: of the held-out protocol, units of rate.
        missing: region -> why the network has none.
    """

    walk: Recording
    standing: FloatArray
    jumped: FloatArray
    bump_share: float
    bump_min_vector_length: float
    bump_min_amplitude: float
    missing: Mapping[str, str]


def record(
    run: Runner[RateNetwork],
    regions: Regions,
    *,
    seed: int,
    seconds: float = WALK_S,
    green: Indicator = GCAMP6F,
    red: Indicator = JRGECO1A,
) -> Session:
    """Record a network that walks, stands and sees a cue jump.

    Args:
        run: the network with its readout, protocol and solver.
        regions: of this network; those of the EPG wedges must be among them.
        seed: of the held-out walks.
        seconds: of each walk.
        green: what turns rates into fluorescence.
        red: the other indicator where two cell types are imaged at once.

    Raises:
        SolveError: the network diverges wherever it starts.
        ConfigError: the EPG do not fill the wedges.
    """
    initial = run.settle(circular.evenly_spaced(run.protocol.n_headings))
    with torch.no_grad():
        return Session(
            walk=_walk(run, regions, initial, seed, min(seconds, run.protocol.duration_s), green, red),
            standing=_standing(run, regions, initial, green),
            jumped=_jumped(run, regions, green),
            bump_share=_bump_share(run, initial),
            bump_min_vector_length=run.protocol.bump_min_vector_length,
            bump_min_amplitude=run.protocol.bump_min_amplitude,
            missing=regions.missing,
        )


def heading_of(profile: FloatArray) -> FloatArray:
    """Population-vector heading of profiles around the circle [..., wedge], rad, wedge k at 2 pi k / wedges."""
    return np.angle(profile @ np.exp(1j * circular.evenly_spaced(profile.shape[-1])))


def _walk(
    run: Runner[RateNetwork],
    regions: Regions,
    initial: State,
    seed: int,
    seconds: float,
    green: Indicator,
    red: Indicator,
) -> Recording:
    p = run.protocol
    trials = tasks.walking(
        tasks.generator(seed, "held_out"), n_trials=p.n_headings, duration=p.duration_s, time_step=p.input_step_s
    )
    steps, step = tasks.n_steps(seconds, p.input_step_s), p.input_step_s
    velocity = trials.angular_velocity[:steps]
    by_region = regions.split(_watched(run, initial, run.moving(velocity), regions.matrix))
    every = min(max(1, round(FRAME_S / step)), steps)
    decoded = circular.unwrap(heading_of(by_region[EPG_RING]))
    seen = {name: _smoothed(_framed(green.fluorescence(x, step)[:steps], every)) for name, x in by_region.items()}
    ring = {name: by_region[name] for name in (EPG_RING, PEN_RING) if name in by_region}
    return Recording(
        time=(np.arange(steps // every) + 0.5) * every * step,
        velocity=_smoothed(_framed(velocity.numpy(), every)),
        turning=_smoothed(_framed(convolved(velocity.numpy(), green, step), every)),
        true=_framed(trials.displacement().numpy()[:steps], every),
        decoded=_framed((decoded - decoded[0])[:steps], every),
        calcium=seen,
        red={name: _smoothed(_framed(red.fluorescence(x, step)[:steps], every)) for name, x in ring.items()},
    )


def convolved(velocity: FloatArray, indicator: Indicator, step: float) -> FloatArray:
    """Angular velocity [t, B], held for ``step`` (s) each, as an indicator would show it; 0 before the first."""
    return indicator.fluorescence(np.concatenate([np.zeros_like(velocity[:1]), velocity]), step)[1:]


def _framed(values: FloatArray, every: int) -> FloatArray:
    """Mean over each frame of so many samples; what is left at the end is dropped."""
    frames = len(values) // every
    return values[: frames * every].reshape(frames, every, *values.shape[1:]).mean(axis=1)


def _smoothed(frames: FloatArray) -> FloatArray:
    """The published filter along the first axis; a walk may be shorter than it."""
    edges: Literal["interp", "nearest"] = "interp" if len(frames) >= SMOOTHING_FRAMES else "nearest"
    return savgol_filter(frames, SMOOTHING_FRAMES, SMOOTHING_ORDER, axis=0, mode=edges)


def _standing(run: Runner[RateNetwork], regions: Regions, initial: State, indicator: Indicator) -> FloatArray:
    """Calcium of the EPG wedges from the beginning to the end."""
    still = [run.still(STANDING_S, len(initial))]
    rates = _watched(run, initial, still, regions.means[EPG_RING])
    return indicator.fluorescence(rates, run.protocol.input_step_s)


def _jumped(run: Runner[RateNetwork], regions: Regions, indicator: Indicator) -> FloatArray:
    """Calcium of the EPG wedges at the end of the jump probe's trials; see `connectome_sim.evaluate.probes.jump`."""
    p = run.protocol
    initial = run.settle(staggered(p.jump_headings, run.readout.wedges))
    offset = np.repeat(np.deg2rad(p.jump_offsets_deg), p.jump_headings)
    here = np.tile(run.readout.heading(initial).numpy(), len(p.jump_offsets_deg))
    cue = run.still(p.jump_duration_s, len(offset), run.cue(circular.wrap(here + offset)))
    rates = _watched(run, initial.repeat(len(p.jump_offsets_deg), 1), [cue], regions.means[EPG_RING])
    return indicator.fluorescence(rates, p.input_step_s)[-1]


def _bump_share(run: Runner[RateNetwork], initial: State) -> float:
    found, p = run.readout.read(initial), run.protocol
    present = (found.vector_length >= p.bump_min_vector_length) & (found.amplitude >= p.bump_min_amplitude)
    return float((present & (run.readout.peaks(initial) == 1)).double().mean())


def _watched(run: Runner[RateNetwork], initial: State, segments: Iterable[Drive], average: FloatArray) -> FloatArray:
    """Averages [t, B, region] of the rates every ``input_step_s``, NaN for a trial whose solve failed."""
    state = initial
    pieces: list[torch.Tensor] = []
    failed = ~torch.isfinite(initial).all(dim=-1)
    weights = torch.from_numpy(average).to(initial)
    for drive in segments:
        state = state.masked_fill(failed[:, None], 0.0)
        result = run.simulator(run.network, state, drive, run.options, observe=lambda rates: rates @ weights)
        failed, state = failed | ~result.ok, result.final
        pieces.append(result.observed[1:] if pieces else result.observed)
    seen = torch.cat(pieces)
    return seen.masked_fill(failed[:, None], torch.nan).double().numpy()
