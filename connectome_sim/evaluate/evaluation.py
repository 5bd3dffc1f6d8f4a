"""The held-out evaluation of one network: every probe, one flat table of numbers. Knows no fit and no run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from connectome_sim.errors import ConfigError
from connectome_sim.evaluate import metrics, probes
from connectome_sim.evaluate.metrics import Metrics
from connectome_sim.evaluate.protocol import FULL, Protocol, check_step
from connectome_sim.evaluate.trace import Progress, Runner
from connectome_sim.model import RateNetwork
from connectome_sim.readout import Readout
from connectome_sim.records import write_arrays
from connectome_sim.solve import SolveOptions
from connectome_sim.solve.scheme import SCHEMES

PROBES = ("walking", "constant", "jump", "noise")  # rest runs with walking, in one batch


def conditions(*, seed: int, protocol: Protocol, step: float, method: str) -> Metrics:
    """Under which conditions an evaluation measures, as metrics: arguments as in `evaluate`.

    The method is told by its order, which for those allowed is the number of its stages.
    """
    return {
        "evaluation_step_s": step,
        "evaluation_order": SCHEMES[method].stages,
        "evaluation_seed": seed,
        "evaluation_headings": protocol.n_headings,
        "evaluation_duration_s": protocol.duration_s,
    }


def metric_names(protocol: Protocol, which: tuple[str, ...] = PROBES) -> frozenset[str]:
    """Names of the metrics that `evaluate` gives, known before anything is simulated."""
    one, trace = np.zeros(1), np.zeros((1, 1))
    names: set[str] = set(conditions(seed=0, protocol=protocol, step=1.0, method="euler"))
    if "walking" in which:
        names.update(probes.EXTRAS)
        names |= metrics.walking_metrics(one, trace, trace, protocol.error_times_s).keys()
        names |= metrics.rest_metrics(trace, one, duration=protocol.duration_s).keys()
        names |= metrics.cue_metrics(one, one).keys()
        names |= metrics.bump_metrics(one, one, one, one, min_vector_length=0, min_amplitude=0).keys()
    if "constant" in which:
        speed = np.asarray(protocol.constant_speeds_deg_per_s)
        flat = np.ones((len(speed), 2))
        names |= metrics.gain_metrics(metrics.GainCurve(speed, *[flat] * 4), tolerance=0, moving_gain=0).keys()
    if "jump" in which:
        for offset in protocol.jump_offsets_deg:
            names |= metrics.jump_metrics(metrics.Jump(one, one), offset, wedge_deg=360 / Readout.wedges).keys()
    if "noise" in which:
        names.add(probes.DIFFUSION)
    return frozenset(names)


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        metrics: name with unit -> number; NaN where a figure does not exist.
        arrays: name -> array, for figures (see :meth:`save`).
    """

    metrics: Mapping[str, float]
    arrays: Mapping[str, np.ndarray]

    def save(self, path: Path) -> None:
        """Writes the arrays to ``evaluation.h5``; the metrics belong into ``metrics.json``.

        Raises:
            RunFolderError: the file cannot be written.
        """
        write_arrays(path, self.arrays)


def evaluate(
    network: RateNetwork,
    readout: Readout,
    *,
    seed: int,
    protocol: Protocol = FULL,
    step: float = 1e-3,
    method: str = "rk4",
    dtype: torch.dtype = torch.float64,
    fit_step: float | None = None,
    which: tuple[str, ...] = PROBES,
    progress: Progress | None = None,
    cued: Bool[Tensor, " neuron"] | None = None,
) -> EvaluationResult:
    """Runs the held-out protocol (section 4 of the project's science notes) on traces that no fit ever sees.

    Args:
        network: what to measure; converted to ``dtype``.
        readout: its decoder.
        seed: of the held-out traces; disjoint from every fit's stream, also for the same number.
        protocol: durations, headings, thresholds.
        step: integration step, s.
        method: fixed-step method of the solver.
        dtype: precision of the simulation.
        fit_step: integration step of the fit, s, where there was one.
        which: probes to run, of :data:`PROBES`; rest comes with walking.
        progress: called with (probe, seconds done, seconds in all).
        cued: neurons that the cue reaches; those that are read if None.

    Raises:
        ConfigError: a step less than four times finer than the fit's, or an unknown probe.
        StepError: a step that cannot resolve the fastest time constant or does not divide the protocol's input step.
        SolveError: a network that diverges wherever it starts.
    """
    check_step(step, fit_step=fit_step)
    unknown = set(which) - set(PROBES)
    if unknown or not which:
        raise ConfigError(f"evaluation, which: got {which}, wanted some of {PROBES}")
    options = SolveOptions(method=method, step=step)
    run = Runner(network.detach().to(dtype=dtype), readout.to(dtype=dtype), protocol, options, progress, cued)
    return run_probes(run, seed=seed, which=which)


def run_probes(run: Runner, *, seed: int, which: tuple[str, ...] = PROBES) -> EvaluationResult:
    """The probes on whatever the runner runs, a fitted network or a published model; see `evaluate`."""
    step = run.options.step or math.nan  # none with error control
    measured = conditions(seed=seed, protocol=run.protocol, step=step, method=run.options.method)
    arrays: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for name, probe in (
            ("walking", lambda: probes.walking_and_rest(run, seed)),
            ("constant", lambda: probes.constant(run)),
            ("jump", lambda: probes.jump(run)),
            ("noise", lambda: probes.noise(run, seed)),
        ):
            if name in which:
                found, kept = probe()
                measured |= found
                arrays |= kept
    return EvaluationResult(measured, arrays)
