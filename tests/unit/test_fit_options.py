"""What a fit refuses to be told, and which stage an iteration belongs to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectome_sim.errors import ConfigError
from connectome_sim.fit import Adam, FitOptions, GaussNewton, SpectralStart, Stage

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stage(horizon_s=0.0, iterations=1), "stage, horizon_s: got 0.0"),
        (lambda: Stage(horizon_s=1.0, iterations=0), "stage, iterations: got 0"),
        (lambda: Stage(horizon_s=1.0, iterations=1, n_trials=-1), "stage, n_trials: got -1"),
        (lambda: Stage(horizon_s=1.0, iterations=1, tolerance=INF), "stage, tolerance: got inf"),
        (lambda: Stage(horizon_s=1.0, iterations=1, optimizer="sgd"), "stage, optimizer: got 'sgd', wanted one of"),
        (lambda: FitOptions(stages=()), "fit, stages: got none"),
        (
            lambda: FitOptions(stages=(Stage(horizon_s=2.0, iterations=1), Stage(horizon_s=1.0, iterations=1))),
            r"fit, stages: got horizons \[2.0, 1.0\] s, wanted them to grow",
        ),
        (
            lambda: FitOptions(stages=(Stage(horizon_s=0.51, iterations=1),), time_step=0.005, sample_every=4),
            r"stages\[0\].horizon_s: got 0.51 s, wanted a multiple of 0.02 s",
        ),
        (lambda: FitOptions(time_step=-0.005), "fit, time_step: got -0.005"),
        (lambda: FitOptions(time_step=NAN), "fit, time_step: got nan"),
        (lambda: FitOptions(cue_amplitude=0.0), "fit, cue_amplitude: got 0.0"),
        (lambda: FitOptions(cue_concentration=-1.0), "fit, cue_concentration: got -1.0"),
        (lambda: FitOptions(time_step=0.005, cue_duration_s=0.003), "fit, cue_duration_s: got 0.003 s"),
        (lambda: FitOptions(settle_duration_s=0.0), "fit, settle_duration_s: got 0.0 s"),
        (lambda: FitOptions(candidates=0), "fit, candidates: got 0"),
        (lambda: FitOptions(starts=0), "fit, starts: got 0"),
        (lambda: FitOptions(starts=2), "fit, start_iterations: got 0 for 2 starts, wanted 1 to 526"),
        (lambda: FitOptions(starts=2, start_iterations=527), "fit, start_iterations: got 527"),
        (lambda: FitOptions(starts=2, start_iterations=519, patience=1), "got 519 with patience, wanted at most 518"),
        (lambda: FitOptions(sample_every=0), "fit, sample_every: got 0"),
        (lambda: FitOptions(validation_trials=0), "fit, validation_trials: got 0"),
        (lambda: FitOptions(patience=-1), "fit, patience: got -1"),
        (lambda: FitOptions(largest_failed_share=1.5), "fit, largest_failed_share: got 1.5"),
        (lambda: SpectralStart(operating_rate=0.0), "start, operating_rate: got 0.0"),
        (lambda: SpectralStart(lead=-1.0), "start, lead: got -1.0"),
        (lambda: SpectralStart(margin=NAN), "start, margin: got nan"),
        (lambda: SpectralStart(ring_share=1.1), "start, ring_share: got 1.1"),
        (lambda: SpectralStart(gap=1.0), "start, gap: got 1.0"),
        (lambda: SpectralStart(time_constant=0.0), "start, time_constant: got 0.0"),
        (lambda: SpectralStart(velocity_gain=0.0), "start, velocity_gain: got 0.0"),
        (lambda: SpectralStart(jitter=-0.1), "start, jitter: got -0.1"),
        (lambda: Adam(learning_rate=0.0), "optimizer adam, learning_rate: got 0.0"),
        (lambda: Adam(gradient_clip=NAN), "optimizer adam, gradient_clip: got nan"),
        (lambda: Adam(final_share=2.0), "optimizer adam, final_share: got 2.0"),
        (lambda: Adam(warm_up=-1), "optimizer adam, warm_up: got -1"),
        (lambda: Adam(redraw_every=0), "optimizer adam, redraw_every: got 0"),
        (lambda: Adam(validate_every=0), "optimizer adam, validate_every: got 0"),
        (lambda: GaussNewton(damping=0.0), "optimizer gauss_newton, damping: got 0.0"),
        (lambda: GaussNewton(largest_move=-1.0), "optimizer gauss_newton, largest_move: got -1.0"),
        (lambda: GaussNewton(tries=0), "optimizer gauss_newton, tries: got 0"),
        (lambda: GaussNewton(memory=1.0), "optimizer gauss_newton, memory: got 1.0"),
        (lambda: GaussNewton(memory=-0.1), "optimizer gauss_newton, memory: got -0.1"),
        (lambda: GaussNewton(sketches=-1), "optimizer gauss_newton, sketches: got -1, wanted 0 or more"),
        (lambda: GaussNewton(redraw_every=0), "optimizer gauss_newton, redraw_every: got 0"),
        (lambda: GaussNewton(validate_every=-1), "optimizer gauss_newton, validate_every: got -1"),
    ],
)
def test_a_value_out_of_range_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_every_number_of_the_options_is_checked() -> None:
    """A field added later needs a check, hence a row above: NaN passes no check that is written as a comparison."""
    floats = {"time_step", "cue_amplitude", "cue_concentration", "cue_duration_s", "settle_duration_s"}
    for name in floats | {"largest_failed_share"}:
        with pytest.raises(ConfigError, match=name):
            FitOptions(**{name: NAN})  # type: ignore[arg-type]
    annotations = {name for name, hint in FitOptions.__annotations__.items() if hint in (float, "float")}
    assert annotations == floats | {"largest_failed_share"}


def test_stages_follow_each_other() -> None:
    options = FitOptions(stages=(Stage(horizon_s=0.5, iterations=2), Stage(horizon_s=1.0, iterations=3)))
    assert options.n_iterations == 5
    assert [options.stage_at(k) for k in range(7)] == [0, 0, 1, 1, 1, 1, 1]  # beyond the end: the last one

    assert [options.first_iteration(k) for k in (0, 1)] == [0, 2]


def test_the_share_done_counts_the_iterations_of_one_optimizer() -> None:
    """By hand: Adam has iterations 0, 1 and 5 to 8, Gauss-Newton 2 to 4."""
    adam = {"horizon_s": 1.0, "optimizer": "adam"}
    options = FitOptions(
        stages=(Stage(iterations=2, **adam), Stage(horizon_s=1.0, iterations=3), Stage(iterations=4, **adam))
    )
    done = [0, 1, 2, 2, 2, 2, 3, 4, 5, 6, 6]
    assert [options.share_done(k, "adam") for k in range(11)] == pytest.approx([n / 6 for n in done])
    done = [0, 0, 0, 1, 2, 3, 3]
    assert [options.share_done(k, "gauss_newton") for k in range(7)] == pytest.approx([n / 3 for n in done])


def test_horizons_may_stay() -> None:
    FitOptions(stages=(Stage(horizon_s=0.5, iterations=1, tolerance=4.0), Stage(horizon_s=0.5, iterations=1)))
