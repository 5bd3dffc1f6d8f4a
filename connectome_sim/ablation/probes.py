"""How a case is measured: held-out probes of a network that stays as it is (a window in a trial: `timed.py`).

Knows no plan and no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np
import torch
from torch import Tensor

from connectome_sim import tasks
from connectome_sim.ablation.floors import Floors, floor_names
from connectome_sim.ablation.members import Subject
from connectome_sim.ablation.perturbations import Perturbation, Removed, perturbed
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
from connectome_sim.axes import BoolArray
from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import Protocol, evaluate
from connectome_sim.evaluate.metrics import Metrics, label
from connectome_sim.evaluate.noise import DIFFUSION
from connectome_sim.evaluate.probes import held_out_walks
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
        check_probes(self.protocol, self.seed, self.step, self.method, self.precision)

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
        return floors_at(self.protocol, self.seed, self.protocol.duration_s, self.protocol.error_times_s[-1])

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
            cued=cued(subject, held),
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


def floors_at(protocol: Protocol, seed: int, duration: float, at: float) -> Floors:
    """Floors of the path error on held-out walks of a duration, at a time (s): those that the network is given."""
    true = held_out_walks(protocol, seed, duration=duration).displacement().numpy()
    return Floors.on(true[round(at / protocol.input_step_s)], tasks.generator(seed, "ablation", FLOOR_STREAM))


def cued(subject: Subject, held: BoolArray) -> Tensor | None:
    """The neurons that a cue reaches: those that are read, unless their rate is held."""
    return subject.readout.epg_mask & ~torch.as_tensor(held) if held.any() else None


def check_probes(protocol: Protocol, seed: int, step: float, method: str, precision: str) -> None:
    """Refuses settings under which nothing could be measured.

    Raises:
        StepError: a step that does not divide the protocol's input step.
        SolveError: an unknown method.
        ConfigError: a negative seed or an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: got {precision!r}, wanted one of {', '.join(PRECISIONS)}")
    if seed < 0:
        raise ConfigError(f"seed: got {seed}, wanted zero or more")
    SolveOptions(method=method, step=step)
    steps_per_sample(Drive(protocol.input_step_s, torch.zeros(1, 1)), step)
