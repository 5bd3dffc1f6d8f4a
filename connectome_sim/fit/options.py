"""What a fit is told: stages, batch, cue, stopping. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectome_sim.errors import ConfigError
from connectome_sim.tasks import TrainingMix, n_steps

_MOVING: Mapping[str, float] = {"rest": 0.0}  # a bump that does not move yet is best at rest
OPTIMIZERS = ("adam", "gauss_newton", "polish")


def _more_than_0(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name}: got {value}, wanted more than 0")


def _whole_steps(name: str, duration: float, step: float) -> None:
    try:
        n_steps(duration, step)
    except ConfigError as error:
        raise ConfigError(f"{name}: got {duration} s, wanted a multiple of {step:g} s, at least one") from error


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of the curriculum.

    Attributes:
        horizon_s: length of the trials, s.
        iterations: steps of the optimiser.
        n_trials: trials per batch.
        tolerance: factor on the tolerances of the integration losses; above 1 early on, when the bump hardly exists.
        optimizer: "adam" finds its way from afar over many cheap steps, "gauss_newton" gets to the bottom where the
            parameters' scales and trade-offs differ, "polish" is the same with a memory of earlier batches.
        weights: loss term -> factor on its weight during this stage, 0 to leave it out; 1 for those not named.

    Raises:
        ConfigError: a value that is not positive, a negative factor, or an unknown optimizer.
    """

    horizon_s: float
    iterations: int
    n_trials: int = 64
    tolerance: float = 1.0
    optimizer: str = "gauss_newton"
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, factor in self.weights.items():
            if not (math.isfinite(factor) and factor >= 0):
                raise ConfigError(f"stage, weights.{name}: got {factor}, wanted 0 or more")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"stage, optimizer: got {self.optimizer!r}, wanted one of {OPTIMIZERS}")
        for name in ("horizon_s", "iterations", "n_trials", "tolerance"):
            _more_than_0(f"stage, {name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a fit is run. All values are chosen.

    A trial starts from the silent network: a cue for ``cue_duration_s``, then ``settle_duration_s`` without input; then
    it is t = 0. The held-out protocol cues longer and waits longer, so a bump must not depend on either.

    Attributes:
        stages: the curriculum, in order; horizons grow.
        time_step: inputs are held for this long, s; the solver's step is this or an integer fraction of it.
        mix: what a batch consists of.
        cue_amplitude: current at the centre of the cue, 1.
        cue_concentration: of the von Mises profile of the cue, 1.
        cue_duration_s: s.
        settle_duration_s: s.
        candidates: spectral starts to draw; the one with the lowest total on the first batch is taken.
        starts: how many starts go through the first iterations, each on trials of its own, as many at a time as there
            are threads; the one with the lowest validation so far then goes on alone. How good a fit gets depends on
            its start and on what it met early, and shows before the end.
        start_iterations: how many iterations those are.
        sample_every: steps between the samples that the losses judge.
        validation_trials: trials of the validation batch, at the last stage's horizon: traces of their own, on which
            the result is chosen.
        patience: validations of the last stage without improvement before the fit stops early; 0: never.
        largest_failed_share: a fit whose batch has more diverged trials than this has diverged.

    Raises:
        ConfigError: no stage, horizons that shrink, or a value out of range.
    """

    stages: tuple[Stage, ...] = (
        Stage(horizon_s=0.5, iterations=150, n_trials=32, tolerance=8.0, optimizer="adam", weights=_MOVING),
        Stage(horizon_s=0.5, iterations=150, n_trials=32, tolerance=4.0, optimizer="adam", weights=_MOVING),
        Stage(horizon_s=1.0, iterations=100, n_trials=32, tolerance=2.0, optimizer="adam", weights=_MOVING),
        Stage(horizon_s=2.0, iterations=100, n_trials=32, tolerance=1.5, optimizer="adam", weights=_MOVING),
        Stage(horizon_s=2.0, iterations=6, n_trials=48, weights=_MOVING),
        Stage(horizon_s=4.0, iterations=12, n_trials=48, weights=_MOVING),
        Stage(horizon_s=10.0, iterations=9, n_trials=48, optimizer="polish"),
    )
    time_step: float = 0.005
    mix: TrainingMix = field(
        default_factory=lambda: TrainingMix(walking=0.2, constant=0.4, rest=0.4, slowest_deg=8.0, fastest_deg=600.0)
    )
    cue_amplitude: float = 5.0
    cue_concentration: float = 4.0
    cue_duration_s: float = 0.3
    settle_duration_s: float = 0.2
    candidates: int = 16
    starts: int = 1
    start_iterations: int = 0
    sample_every: int = 5
    validation_trials: int = 64
    patience: int = 0
    largest_failed_share: float = 0.5

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("fit, stages: got none, wanted at least one")
        horizons = [stage.horizon_s for stage in self.stages]
        if horizons != sorted(horizons):
            raise ConfigError(f"fit, stages: got horizons {horizons} s, wanted them to grow")
        for name in ("time_step", "cue_amplitude", "cue_concentration", "sample_every"):
            _more_than_0(f"fit, {name}", getattr(self, name))
        for name in ("candidates", "starts", "validation_trials"):
            _more_than_0(f"fit, {name}", getattr(self, name))
        least = min(self.starts - 1, 1)
        if not least <= self.start_iterations < self.n_iterations:
            raise ConfigError(
                f"fit, start_iterations: got {self.start_iterations} for {self.starts} starts, wanted {least} to "
                f"{self.n_iterations - 1}, fewer than those of all stages"
            )
        last = self.first_iteration(len(self.stages) - 1)
        if self.patience and self.start_iterations > last:
            raise ConfigError(
                f"fit, start_iterations: got {self.start_iterations} with patience, wanted at most {last}: patience "
                "counts in the last stage, where one start is left"
            )
        if self.patience < 0:
            raise ConfigError(f"fit, patience: got {self.patience}, wanted 0 or more")
        if not 0 <= self.largest_failed_share <= 1:
            raise ConfigError(f"fit, largest_failed_share: got {self.largest_failed_share}, wanted 0 to 1")
        for name in ("cue_duration_s", "settle_duration_s"):
            _whole_steps(f"fit, {name}", getattr(self, name), self.time_step)
        for k, horizon in enumerate(horizons):
            _whole_steps(f"fit, stages[{k}].horizon_s", horizon, self.time_step * self.sample_every)

    @property
    def n_iterations(self) -> int:
        """Iterations of all stages."""
        return sum(stage.iterations for stage in self.stages)

    def first_iteration(self, stage: int) -> int:
        """Iterations that precede the stage of that index."""
        return sum(s.iterations for s in self.stages[:stage])

    def stage_at(self, iteration: int) -> int:
        """Index of the stage that ``iteration`` (from 0) belongs to."""
        for index, stage in enumerate(self.stages):
            iteration -= stage.iterations
            if iteration < 0:
                return index
        return len(self.stages) - 1

    def share_done(self, iteration: int, optimizer: str) -> float:
        """Share of the iterations of one optimizer that precede ``iteration`` (from 0)."""
        done = total = first = 0
        for stage in self.stages:
            if stage.optimizer == optimizer:
                total += stage.iterations
                done += min(max(iteration - first, 0), stage.iterations)
            first += stage.iterations
        return done / total
