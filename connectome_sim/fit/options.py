"""What a fit is told: stages, batch, cue, stopping. Knows no network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from connectome_sim.errors import ConfigError
from connectome_sim.tasks import TrainingMix, n_steps


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

    Raises:
        ConfigError: a value that is not positive.
    """

    horizon_s: float
    iterations: int
    n_trials: int = 64
    tolerance: float = 1.0

    def __post_init__(self) -> None:
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
        redraw_every: iterations on one batch before the next is drawn; a Gauss-Newton step profits from a few on the
            same trials, Adam from new ones each time.
        sample_every: steps between the samples that a Gauss-Newton step judges (Adam judges every step).
        validate_every: iterations between validations, on traces of their own; the best state found is the result.
        validation_trials: trials of the validation batch, at the last stage's horizon.
        patience: validations of the last stage without improvement before the fit stops early; 0: never.
        largest_failed_share: a fit whose batch has more diverged trials than this has diverged.

    Raises:
        ConfigError: no stage, horizons that shrink, or a value out of range.
    """

    stages: tuple[Stage, ...] = (
        Stage(horizon_s=0.5, iterations=10, n_trials=32, tolerance=8.0),
        Stage(horizon_s=0.5, iterations=6, n_trials=32, tolerance=4.0),
        Stage(horizon_s=1.0, iterations=9, n_trials=48, tolerance=2.0),
        Stage(horizon_s=2.0, iterations=9, n_trials=48, tolerance=1.5),
        Stage(horizon_s=4.0, iterations=15),
        Stage(horizon_s=10.0, iterations=9, n_trials=32),
    )
    time_step: float = 0.005
    mix: TrainingMix = field(
        default_factory=lambda: TrainingMix(walking=0.25, constant=0.45, rest=0.3, slowest_deg=8.0, fastest_deg=600.0)
    )
    cue_amplitude: float = 5.0
    cue_concentration: float = 4.0
    cue_duration_s: float = 0.3
    settle_duration_s: float = 0.2
    redraw_every: int = 3
    sample_every: int = 5
    validate_every: int = 3
    validation_trials: int = 48
    patience: int = 0
    largest_failed_share: float = 0.5

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("fit, stages: got none, wanted at least one")
        horizons = [stage.horizon_s for stage in self.stages]
        if horizons != sorted(horizons):
            raise ConfigError(f"fit, stages: got horizons {horizons} s, wanted them to grow")
        for name in ("time_step", "cue_amplitude", "cue_concentration", "redraw_every", "sample_every"):
            _more_than_0(f"fit, {name}", getattr(self, name))
        for name in ("validate_every", "validation_trials"):
            _more_than_0(f"fit, {name}", getattr(self, name))
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

    def stage_at(self, iteration: int) -> int:
        """Index of the stage that ``iteration`` (from 0) belongs to."""
        for index, stage in enumerate(self.stages):
            iteration -= stage.iterations
            if iteration < 0:
                return index
        return len(self.stages) - 1
