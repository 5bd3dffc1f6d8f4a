"""How a case is measured: held-out probes of a network that stays as it is, or one trial with a window in it.

Knows no plan and no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np
import torch
from torch import Tensor

from connectome_sim import circular, tasks
from connectome_sim.ablation.floors import Floors, floor_names, median_error_deg
from connectome_sim.ablation.members import Subject
from connectome_sim.ablation.perturbations import Perturbation, Removed, Stimulate, active, perturbed
from connectome_sim.ablation.states import (
    BUMP_SHARE,
    CORRELATION,
    GAIN,
    MOST_LOST,
    PATH_ERROR,
    RANGE,
    WALKING_BUMP_SHARE,
    walk_measures,
)
from connectome_sim.axes import BoolArray, State
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import Protocol, evaluate
from connectome_sim.evaluate.metrics import Metrics, label
from connectome_sim.evaluate.noise import DIFFUSION
from connectome_sim.evaluate.probes import held_out_walks
from connectome_sim.evaluate.trace import Runner, Trace
from connectome_sim.model import Drive
from connectome_sim.solve import SolveOptions
from connectome_sim.solve.options import steps_per_sample

FLOOR_STREAM = 1  # of random headings, apart from the choice of random shares
NOISE = "noise_rms_displacement_deg"
VIABLE = "viable"
STEP = 0.01 / 3  # s: with Heun's method and float32 no measure moved by 2 %, see docs/ablation.md
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
# chosen: what a fit is held to first, one bump and a walking error well below the 90 deg of chance
VIABLE_BUMP_SHARE, VIABLE_ERROR_DEG = 0.9, 20.0
OF_A_BUMP = ("rest_drift_deg", "rest_rotation_deg_per_s", "jump_arrived_share", NOISE, DIFFUSION)
OF_A_HEADING = (*OF_A_BUMP, PATH_ERROR, GAIN, CORRELATION, RANGE, "integration_gain", "cue_error_deg", "bump_width_deg")
"""Measures that mean nothing without a bump: no verdict on the heading takes them from a network that has lost it."""

Arrays = dict[str, np.ndarray]

# 16 headings; short enough for hundreds of cases (chosen)
SWEEP = Protocol(
    n_headings=16,
    duration_s=10.0,
    error_times_s=(1.0, 5.0, 10.0),
    constant_speeds_deg_per_s=(30.0, 60.0, 120.0, 240.0, 400.0),
    constant_headings=4,
    constant_duration_s=2.0,
    jump_headings=4,
    noise_headings=4,
    noise_repeats=4,
    noise_duration_s=5.0,
    noise_times_s=(1.0, 5.0),
    noise_rate_percent=0.0,
)


@dataclass(frozen=True, eq=False)
class Scored:
    """What a case came to.

    Attributes:
        measures: name with unit -> number, NaN where it does not exist.
        arrays: name -> array, for figures.
        removed: what a rewiring and the perturbations after it took of the connectome; None without a rewiring.
    """

    measures: Metrics
    arrays: Arrays
    removed: Removed | None = None


@runtime_checkable
class Probes(Interface):
    """What the runner of a sweep asks of a way to measure."""

    @property
    def seed(self) -> int:
        """Of walks and noise."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what it measures, in order."""

    def check(self, perturbations: Sequence[Perturbation]) -> None:
        """Refuses perturbations that it cannot show."""

    def score(self, subject: Subject, perturbations: Sequence[Perturbation]) -> Scored:
        """Measures a network under perturbations."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out protocol on a network that is perturbed from the start, cue included.

    Measures, over ``protocol.n_headings`` trials unless stated otherwise:

    - ``bump_present_share``, ``bump_amplitude``, ``bump_width_deg`` (full width at half maximum), ``bump_peaks``: after
      ``duration_s`` at rest. The width is that of the trials that have a bump;
    - ``rest_drift_deg``: median size of the displacement at rest; ``rest_rotation_deg_per_s``: its mean, signed, over
      the duration: a turn that all headings share;
    - ``walking_error_deg``: median circular error of the path integration at the end of a walk; beside it, from the
      same walks, its floors: ``walking_error_still_deg`` of a bump that stays, ``walking_error_chance_deg`` of random
      headings (`floors.py`);
    - ``walking_bump_share``, ``walking_gain``, ``walking_correlation``, ``walking_range``: share of walks at whose end
      there is one bump, and how it moves in these (`states.py`);
    - ``integration_gain``: mean over the speeds of the constant probe, both directions and its headings;
    - ``jump_arrived_share``: share of cue jumps, over all offsets, at whose end the bump has reached the cue;
    - ``noise_rms_displacement_deg``: root of the mean squared displacement under the noise current, drift included, at
      the last of ``noise_times_s``; a trial that has lost its bump counts as at least 180 deg;
    - ``noise_diffusion_first_second_deg2_per_s``: D of the heading under that current, without drift;
    - ``cue_error_deg``: distance of the settled bump from its cue, median;
    - ``viable``: 1 where nine trials of ten have a bump and the walking error is at most 20 deg, else 0, also where
      the case failed;
    - ``failed_trials_share``: walking and rest trials whose solve diverged.

    Drift, rotation, jump, displacement under noise and diffusion are those of a bump: NaN where fewer than half of the
    trials have one. The other errors stand, as what a network without a bump makes of its task: chance is 90 deg, and a
    gain of 0.

    Attributes:
        protocol: headings and durations.
        seed: of walks and noise, the same for every case.
        step: s. (chosen, with method and precision: docs/ablation.md says what finer ones change)
        method: fixed-step method.
        precision: float32 or float64.

    Raises:
        StepError: a step that does not divide the protocol's input step.
        SolveError: an unknown method.
        ConfigError: a negative seed or an unknown precision.
    """

    protocol: Protocol = SWEEP
    seed: int = 1000
    step: float = STEP
    method: str = "heun"
    precision: str = "float32"

    def __post_init__(self) -> None:
        _check(self.protocol, self.seed, self.step, self.method, self.precision)

    @property
    def measures(self) -> tuple[str, ...]:
        """As in ``Probes``."""
        return (
            BUMP_SHARE,
            "bump_amplitude",
            "bump_width_deg",
            "bump_peaks",
            "rest_drift_deg",
            "rest_rotation_deg_per_s",
            PATH_ERROR,
            *floor_names(PATH_ERROR),
            WALKING_BUMP_SHARE,
            GAIN,
            CORRELATION,
            RANGE,
            "integration_gain",
            "jump_arrived_share",
            NOISE,
            DIFFUSION,
            "cue_error_deg",
            VIABLE,
            "failed_trials_share",
        )

    @property
    def _floors(self) -> Floors:
        return _floors(self.protocol, self.seed, self.protocol.duration_s, self.protocol.error_times_s[-1])

    def check(self, perturbations: Sequence[Perturbation]) -> None:
        """Refuses windows.

        Raises:
            ConfigError: a perturbation with a window: these probes are several trials of different lengths.
        """
        for perturbation in perturbations:
            if perturbation.window is not None:
                raise ConfigError(
                    f"perturbation {perturbation.name!r}: got a window, wanted none: the held-out probes are trials of "
                    "several lengths; use ablation=timed for one trial with a window in it"
                )

    def score(self, subject: Subject, perturbations: Sequence[Perturbation]) -> Scored:
        """As in ``Probes``.

        Raises:
            SolveError: the network diverges wherever it starts.
            StepError: a step that cannot resolve its fastest time constant.
        """
        network, held = perturbed(subject.network, subject.neurons, perturbations, resting=subject.resting)
        result = evaluate(
            network,
            subject.readout,
            seed=self.seed,
            protocol=self.protocol,
            step=self.step,
            method=self.method,
            dtype=PRECISIONS[self.precision],
            cued=_cued(subject, held),
        )
        found, arrays, p = result.metrics, result.arrays, self.protocol
        turned = arrays["rest/decoded_heading_rad"][-1] - arrays["rest/decoded_heading_rad"][0]
        arrived = [found[f"jump_arrived_share_{label(offset)}deg"] for offset in p.jump_offsets_deg]
        measures = {
            BUMP_SHARE: found["bump_present_share"],
            "bump_amplitude": found["bump_amplitude_median"],
            "bump_width_deg": found["bump_width_median_deg"],
            "bump_peaks": found["bump_peaks_mean"],
            "rest_drift_deg": found[f"rest_drift_{label(p.duration_s)}s_median_deg"],
            "rest_rotation_deg_per_s": float(np.rad2deg(turned.mean()) / p.duration_s),
            PATH_ERROR: found[f"walking_error_{label(p.error_times_s[-1])}s_median_deg"],
            "integration_gain": float(np.mean(arrays["constant/gain"])),
            "jump_arrived_share": float(np.mean(arrived)),
            NOISE: found[f"noise_rms_displacement_{label(p.noise_times_s[-1])}s_deg"],
            DIFFUSION: found[DIFFUSION],
            "cue_error_deg": found["cue_error_median_deg"],
            "failed_trials_share": found["failed_trials_share"],
        }
        measures |= self._floors.measures(PATH_ERROR)
        measures |= walk_measures(
            arrays["walking/time_s"],
            arrays["walking/decoded_heading_rad"],
            arrays["walking/true_heading_rad"],
            arrays["walking/bump_present"],
        )
        good = (measures[BUMP_SHARE] >= VIABLE_BUMP_SHARE, measures[PATH_ERROR] <= VIABLE_ERROR_DEG)
        measures[VIABLE] = float(all(good))
        if measures[BUMP_SHARE] < MOST_LOST:
            measures |= dict.fromkeys(OF_A_BUMP, math.nan)
        measures = {name: measures[name] for name in self.measures}
        kept = [name for name in arrays if name.startswith("walking/")]
        return Scored(measures, {name: np.asarray(arrays[name], dtype=np.float32) for name in kept})


@dataclass(frozen=True, kw_only=True)
class TimedTrial:
    """One trial with a window in it, at rest and walking, from states settled in the intact network.

    Measures, over ``protocol.n_headings`` trials at rest, at the start of the window ("before"), at its end ("during")
    and at the end of the trial ("after"):

    - ``bump_present_share_*``, ``bump_amplitude_*``;
    - ``rotation_during_deg``: mean signed displacement from the start to the end of the window;
    - ``heading_change_deg``: median distance around the circle from the heading at the start of the window to that at
      the end of the trial;
    - ``walking_error_before_deg``, ``walking_error_after_deg``: median circular error of the walking trials, each with
      its floors (``walking_error_before_still_deg``, ``walking_error_before_chance_deg``; see `HeldOut`);
    - ``failed_trials_share``: trials whose solve diverged.

    Attributes:
        duration: of the trial, s.
        start: of the window in which it is measured, s.
        end: of that window, s.
        protocol: headings, cue, settling and input step.
        seed: of the walks.
        step: s.
        method: fixed-step method.
        precision: float32 or float64.

    Raises:
        ConfigError: times that are not in order, or not on the grid of input steps; a negative seed, or an unknown
            precision.
        StepError, SolveError: as `HeldOut`.
    """

    duration: float = 8.0
    start: float = 2.0
    end: float = 4.0
    protocol: Protocol = SWEEP
    seed: int = 1000
    step: float = STEP
    method: str = "heun"
    precision: str = "float32"

    def __post_init__(self) -> None:
        _check(self.protocol, self.seed, self.step, self.method, self.precision)
        if not 0 < self.start < self.end < self.duration:
            raise ConfigError(
                f"timed trial: got a window from {self.start:g} to {self.end:g} s in a trial of {self.duration:g} s, "
                "wanted 0 < start < end < duration"
            )
        for name in ("duration", "start", "end"):
            self._on_grid(f"timed trial, field {name!r}", getattr(self, name))

    @property
    def measures(self) -> tuple[str, ...]:
        """As in ``Probes``."""
        epochs = ("before", "during", "after")
        return (
            *(f"bump_present_share_{epoch}" for epoch in epochs),
            *(f"bump_amplitude_{epoch}" for epoch in epochs),
            "rotation_during_deg",
            "heading_change_deg",
            *self._path_error("before"),
            *self._path_error("after"),
            "failed_trials_share",
        )

    def _path_error(self, epoch: str) -> tuple[str, ...]:
        name = f"walking_error_{epoch}_deg"
        return name, *floor_names(name)

    def check(self, perturbations: Sequence[Perturbation]) -> None:
        """Refuses windows that the trial does not hold, and those that are not where it is measured.

        Raises:
            ConfigError: a window or pulse that ends after the trial or is not on the grid of input steps; windows that
                do not go from ``start`` to ``end`` together.
        """
        for perturbation in perturbations:
            window = perturbation.window
            if window is None:
                continue
            if window.end > self.duration + 1e-9:
                raise ConfigError(
                    f"perturbation {perturbation.name!r}: got a window to {window.end:g} s, wanted one within the "
                    f"trial of {self.duration:g} s"
                )
            times = {"start": window.start, "end": window.end}
            if isinstance(perturbation, Stimulate) and perturbation.pulses is not None:
                times |= {"pulse period": perturbation.pulses.period, "pulse width": perturbation.pulses.width}
            for name, time in times.items():
                self._on_grid(f"perturbation {perturbation.name!r}, {name}", time)
        windows = [p.window for p in perturbations if p.window is not None]
        if windows:
            first, last = min(w.start for w in windows), max(w.end for w in windows)
            if abs(first - self.start) > 1e-9 or abs(last - self.end) > 1e-9:
                names = " and ".join(repr(p.name) for p in perturbations if p.window is not None)
                raise ConfigError(
                    f"perturbation {names}: got a window from {first:g} to {last:g} s, wanted {self.start:g} to "
                    f"{self.end:g} s, where the trial is measured (ablation.timed.start and .end)"
                )

    def _on_grid(self, what: str, time: float) -> None:
        steps = time / self.protocol.input_step_s
        if abs(steps - round(steps)) > 1e-6:
            raise ConfigError(
                f"{what}: got {time:g} s, wanted a whole number of input steps of {self.protocol.input_step_s:g} s"
            )

    def score(self, subject: Subject, perturbations: Sequence[Perturbation]) -> Scored:
        """As in ``Probes``.

        Raises:
            SolveError: the network diverges wherever it starts.
            StepError: a step that cannot resolve its fastest time constant.
        """
        p, n = self.protocol, self.protocol.n_headings
        trials = held_out_walks(p, self.seed, duration=self.duration)
        velocity = torch.cat([torch.zeros_like(trials.angular_velocity), trials.angular_velocity], dim=1)
        velocity = velocity.to(PRECISIONS[self.precision])
        permanent = [perturbation for perturbation in perturbations if perturbation.window is None]
        settled = self._runner(subject, permanent).settle(circular.evenly_spaced(n))
        state, trace, states = torch.cat([settled, settled]), None, {}
        for start, end in self._segments(perturbations):
            runner = self._runner(subject, active(perturbations, start, end))
            part = runner.run("timed", state, self._drives(subject, perturbations, velocity, start, end))
            states[start] = state
            state, trace = part.final, part if trace is None else _joined(trace, part)
        assert trace is not None  # a trial has at least one segment
        states[self.duration] = state
        return self._measured(subject, trials.displacement().numpy(), trace, states)

    def _segments(self, perturbations: Sequence[Perturbation]) -> Iterator[tuple[float, float]]:
        """Parts of the trial within which nothing begins or ends and nothing is read."""
        windows = [p.window for p in perturbations if p.window is not None]
        times = {0.0, self.start, self.end, self.duration, *(t for w in windows for t in (w.start, w.end))}
        ordered = sorted(times)
        yield from zip(ordered[:-1], ordered[1:], strict=True)

    def _runner(self, subject: Subject, perturbations: Sequence[Perturbation]) -> Runner:
        network, held = perturbed(subject.network, subject.neurons, perturbations, resting=subject.resting)
        options, dtype = SolveOptions(method=self.method, step=self.step), PRECISIONS[self.precision]
        readout = subject.readout.to(dtype=dtype)
        return Runner(network.to(dtype=dtype), readout, self.protocol, options, cued=_cued(subject, held))

    def _drives(
        self, subject: Subject, perturbations: Sequence[Perturbation], velocity: Tensor, start: float, end: float
    ) -> Iterator[Drive]:
        """The drive from ``start`` to ``end`` (s), stimulation included, a second at a time."""
        step = self.protocol.input_step_s
        first, last = round(start / step), round(end / step)
        for begin in range(first, last, round(1 / step)):
            steps = np.arange(begin, min(begin + round(1 / step), last))
            current = _current(subject, perturbations, steps * step, step)
            yield Drive(step, velocity[steps], None if current is None else current.to(velocity))

    def _measured(self, subject: Subject, true: np.ndarray, trace: Trace, states: dict[float, State]) -> Scored:
        p, n = self.protocol, self.protocol.n_headings
        readout = subject.readout.to(dtype=PRECISIONS[self.precision])
        measures: Metrics = {}
        at = {"before": self.start, "during": self.end, "after": self.duration}
        index = {epoch: round(time / p.input_step_s) for epoch, time in at.items()}
        for epoch, time in at.items():
            rates = states[time][:n]
            reading, peaks = readout.read(rates), readout.peaks(rates)
            long, high = reading.vector_length >= p.bump_min_vector_length, reading.amplitude >= p.bump_min_amplitude
            measures[f"bump_present_share_{epoch}"] = float(((peaks == 1) & long & high).double().mean())
            measures[f"bump_amplitude_{epoch}"] = float(np.median(reading.amplitude.numpy()))
        rest, walk = trace.heading[:, :n], trace.displacement[:, n:]
        turned = np.rad2deg(rest[index["during"]] - rest[index["before"]])
        changed = np.rad2deg(circular.distance(rest[-1], rest[index["before"]]))
        measures |= {"rotation_during_deg": float(turned.mean()), "heading_change_deg": float(np.median(changed))}
        for epoch in ("before", "after"):
            name, *_ = self._path_error(epoch)
            measures[name] = median_error_deg(walk[index[epoch]], true[index[epoch]])
            measures |= _floors(p, self.seed, self.duration, at[epoch]).measures(name)
        measures["failed_trials_share"] = float(np.isnan(trace.heading[-1]).mean())
        k = slice(None, None, 2)
        arrays = {
            "rest/time_s": trace.time[k],
            "rest/decoded_heading_rad": rest[k],
            "rest/vector_length": trace.vector_length[k, :n],
            "rest/kymograph": trace.profile[k, 0],
            "rest/kymograph_angle_rad": circular.evenly_spaced(readout.wedges),
            "rest/window_s": np.array([self.start, self.end]),
        }
        ordered = {name: measures[name] for name in self.measures}
        return Scored(ordered, {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()})


def _floors(protocol: Protocol, seed: int, duration: float, at: float) -> Floors:
    """Floors of the path error on held-out walks of a duration, at a time (s): those that the network is given."""
    true = held_out_walks(protocol, seed, duration=duration).displacement().numpy()
    return Floors.on(true[round(at / protocol.input_step_s)], tasks.generator(seed, "ablation", FLOOR_STREAM))


def _current(subject: Subject, perturbations: Sequence[Perturbation], time: np.ndarray, step: float) -> Tensor | None:
    """Current of all stimulations [steps, 1, N], held over each step that begins at ``time`` (s)."""
    total = np.zeros((len(time), 1, len(subject.neurons)))
    stimulations = [p for p in perturbations if isinstance(p, Stimulate)]
    for stimulation in stimulations:
        on = stimulation.is_on(time)
        total[:, 0] += stimulation.current * np.outer(on, stimulation.target.mask(subject.neurons))
    return torch.from_numpy(total) if total.any() else None


def _cued(subject: Subject, held: BoolArray) -> Tensor | None:
    """The neurons that a cue reaches: those that are read, unless their rate is held."""
    return subject.readout.epg_mask & ~torch.as_tensor(held) if held.any() else None


def _joined(first: Trace, second: Trace) -> Trace:
    """Two traces that follow one another; the sample they share counts once."""
    offset = first.heading[-1] - second.heading[0]  # each is unwrapped by itself: off by whole turns
    turns = 2 * math.pi * np.round(offset / (2 * math.pi))
    return replace(
        second,
        time=np.concatenate([first.time, first.time[-1] + second.time[1:]]),
        heading=np.concatenate([first.heading, second.heading[1:] + turns]),
        vector_length=np.concatenate([first.vector_length, second.vector_length[1:]]),
        profile=np.concatenate([first.profile, second.profile[1:]]),
        rates=np.concatenate([first.rates, second.rates[1:]]),
    )


def _check(protocol: Protocol, seed: int, step: float, method: str, precision: str) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: got {precision!r}, wanted one of {', '.join(PRECISIONS)}")
    if seed < 0:
        raise ConfigError(f"seed: got {seed}, wanted zero or more")
    SolveOptions(method=method, step=step)
    steps_per_sample(Drive(protocol.input_step_s, torch.zeros(1, 1)), step)
