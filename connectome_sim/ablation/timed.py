"""How a case is measured in one trial with a window in it. Knows no plan and no file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from connectome_sim import circular
from connectome_sim.ablation.floors import floor_names, median_error_deg
from connectome_sim.ablation.members import Subject
from connectome_sim.ablation.perturbations import Perturbation, Stimulate, active, perturbed
from connectome_sim.ablation.probes import PRECISIONS, STEP, SWEEP, Scored, check_probes, cued, floors_at
from connectome_sim.axes import State
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import Protocol
from connectome_sim.evaluate.metrics import Metrics
from connectome_sim.evaluate.probes import held_out_walks
from connectome_sim.evaluate.trace import Runner, Trace
from connectome_sim.model import Drive
from connectome_sim.solve import SolveOptions


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
        check_probes(self.protocol, self.seed, self.step, self.method, self.precision)
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
        return Runner(network.to(dtype=dtype), readout, self.protocol, options, cued=cued(subject, held))

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
            measures |= floors_at(p, self.seed, self.duration, at[epoch]).measures(name)
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


def _current(subject: Subject, perturbations: Sequence[Perturbation], time: np.ndarray, step: float) -> Tensor | None:
    """Current of all stimulations [steps, 1, N], held over each step that begins at ``time`` (s)."""
    total = np.zeros((len(time), 1, len(subject.neurons)))
    stimulations = [p for p in perturbations if isinstance(p, Stimulate)]
    for stimulation in stimulations:
        on = stimulation.is_on(time)
        total[:, 0] += stimulation.current * np.outer(on, stimulation.target.mask(subject.neurons))
    return torch.from_numpy(total) if total.any() else None


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
