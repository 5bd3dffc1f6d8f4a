"""Metrics against traces whose figures are known by construction. Pure arrays, no network."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectome_sim import circular
from connectome_sim.evaluate import metrics
from connectome_sim.evaluate.metrics import GainCurve

TIME = np.arange(601) * 0.1  # 60 s
TIMES = (1.0, 10.0, 60.0)
SPEEDS = (5.0, 10.0, 30.0, 60.0, 120.0, 400.0)


def walk(n: int = 9) -> np.ndarray:
    """True displacement [t, n], rad: turns several times, in both directions."""
    return np.linspace(-20, 20, n) * np.sin(TIME / 20)[:, None]


def constant(gain_of_velocity) -> np.ndarray:
    """Displacement [t, speed, direction, heading] over 3 s of a bump that turns at gain(v) v from the start."""
    time = np.arange(301) * 0.01
    velocity = np.deg2rad(np.array(SPEEDS))[:, None] * np.array([1.0, -1.0])
    turning = np.vectorize(gain_of_velocity)(np.rad2deg(velocity).round(6)) * velocity
    return np.broadcast_to(time[:, None, None, None] * turning[..., None], (301, len(SPEEDS), 2, 4))


def gain_figures(gain_of_velocity) -> dict[str, float]:
    curve = metrics.gain_curve(np.arange(301) * 0.01, constant(gain_of_velocity), SPEEDS, 0.5)
    return metrics.gain_metrics(curve, tolerance=0.1, moving_gain=0.1)


# --- walking ---


def test_a_perfect_integrator_has_no_error() -> None:
    found = metrics.walking_metrics(TIME, walk(), walk(), TIMES)
    assert set(found) == {
        f"walking_{kind}error_{t}s_{figure}_deg"
        for kind in ("", "unwrapped_")
        for t in (1, 10, 60)
        for figure in ("median", "p90")
    }
    assert max(found.values()) < 1e-9


def test_a_leaky_integrator_has_the_error_of_its_leak() -> None:
    # every trial decodes 90 % of its turn; at 10 s the nine turns are 5 sin(0.5) k rad, k = -4..4
    found = metrics.walking_metrics(TIME, 0.9 * walk(), walk(), (10.0,))
    missing = np.rad2deg(0.1 * 5 * np.array([0, 1, 1, 2, 2, 3, 3, 4, 4]) * math.sin(0.5))
    assert found["walking_unwrapped_error_10s_median_deg"] == pytest.approx(missing[4])
    assert found["walking_unwrapped_error_10s_p90_deg"] == pytest.approx(np.percentile(missing, 90))


@pytest.mark.parametrize(
    "error, circular_error", [(170.0, 170.0), (190.0, 170.0), (-190.0, 170.0), (350.0, 10.0), (180.0, 180.0)]
)
def test_the_circular_error_wraps_at_half_a_turn(error: float, circular_error: float) -> None:
    found = metrics.walking_metrics(TIME, walk() + np.deg2rad(error), walk(), (10.0,))
    assert found["walking_error_10s_median_deg"] == pytest.approx(circular_error)
    assert found["walking_unwrapped_error_10s_median_deg"] == pytest.approx(abs(error))


def test_a_bump_that_slips_a_whole_turn_is_caught() -> None:
    slip = 2 * np.pi * np.clip((TIME - 20) / 2, 0, 1)[:, None]  # from 20 to 22 s
    wrapped = circular.wrap(walk() + slip)  # what a decoder sees
    decoded = circular.unwrap(wrapped)
    found = metrics.walking_metrics(TIME, decoded - decoded[0], walk(), (10.0, 60.0))
    assert found["walking_unwrapped_error_10s_median_deg"] < 1e-6
    assert found["walking_error_60s_median_deg"] < 1e-6
    assert found["walking_unwrapped_error_60s_median_deg"] == pytest.approx(360)


def test_a_failed_trial_is_never_left_out() -> None:
    lost = walk()
    lost[:, 3] = np.nan
    assert all(math.isnan(value) for value in metrics.walking_metrics(TIME, lost, walk(), TIMES).values())
    assert all(math.isnan(value) for value in metrics.rest_metrics(lost, lost[-1], duration=60.0).values())


@given(turn=st.floats(-50, 50), offset=st.floats(-3, 3))
def test_the_error_does_not_depend_on_where_the_trial_started(turn: float, offset: float) -> None:
    true = turn * TIME[:, None] / 60
    decoded = circular.unwrap(circular.wrap(true + offset))
    found = metrics.walking_metrics(TIME, decoded - decoded[0], true, (60.0,))
    assert found["walking_unwrapped_error_60s_median_deg"] == pytest.approx(0, abs=1e-6)


# --- constant velocity ---


def test_a_perfect_integrator_is_linear_over_all_tested_speeds() -> None:
    found = gain_figures(lambda v: 1.0)
    assert found["gain_at_60_deg_per_s"] == pytest.approx(1) and found["gain_at_minus_60_deg_per_s"] == pytest.approx(1)
    assert (found["linear_range_low_deg_per_s"], found["linear_range_high_deg_per_s"]) == (5, 400)
    assert found["lowest_moving_speed_deg_per_s"] == 5
    assert found["gain_asymmetry_max"] == pytest.approx(0)


def test_the_linear_range_needs_both_directions() -> None:
    found = gain_figures(lambda v: 0.85 if v in (-30.0, 400.0) else 1.05)
    # 5, 10 | 30 fails one way | 60, 120 | 400 fails: two runs of two, the slower one counts
    assert (found["linear_range_low_deg_per_s"], found["linear_range_high_deg_per_s"]) == (5, 10)
    assert found["gain_asymmetry_max"] == pytest.approx(0.2)
    assert found["gain_asymmetry_median"] == pytest.approx(0)


def test_a_bump_that_sticks_below_a_speed_is_said_to() -> None:
    found = gain_figures(lambda v: 0.0 if abs(v) < 25 else (0.5 if abs(v) < 100 else 0.95))
    assert found["lowest_moving_speed_deg_per_s"] == 30
    assert (found["linear_range_low_deg_per_s"], found["linear_range_high_deg_per_s"]) == (120, 400)


def test_a_bump_that_turns_the_wrong_way_does_not_move_and_is_not_linear() -> None:
    found = gain_figures(lambda v: -1.0)
    assert found["gain_at_30_deg_per_s"] == pytest.approx(-1)
    assert math.isnan(found["linear_range_low_deg_per_s"]) and math.isnan(found["lowest_moving_speed_deg_per_s"])


def test_the_transient_does_not_count() -> None:
    time = np.arange(301) * 0.01
    late = np.clip(time - 0.4, 0, None)[:, None, None, None] * np.deg2rad(60) * np.array([1.0, -1.0])[:, None]
    curve = metrics.gain_curve(time, late, (60.0,), 0.5)
    np.testing.assert_allclose(curve.gain, 1)


def test_a_mean_of_one_does_not_hide_a_heading_that_sticks() -> None:
    """Gains 0.1 and 1.9 at + and 0.8 and 1.2 at -: means 1 and 1, the ends of both directions together 0.1 and 1.9."""
    time = np.arange(301) * 0.01
    gains = np.array([[0.1, 1.9], [0.8, 1.2]])
    moved = time[:, None, None, None] * np.deg2rad(60) * np.array([1.0, -1.0])[:, None] * gains
    curve = metrics.gain_curve(time, moved, (60.0,), 0.5)
    found = metrics.gain_metrics(curve, tolerance=0.1, moving_gain=0.1)
    assert found["gain_at_60_deg_per_s"] == pytest.approx(1) and found["gain_at_minus_60_deg_per_s"] == pytest.approx(1)
    assert found["gain_lowest_heading_at_60_deg_per_s"] == pytest.approx(0.1)
    assert found["gain_highest_heading_at_60_deg_per_s"] == pytest.approx(1.9)
    np.testing.assert_allclose([curve.lowest, curve.highest], [[[0.1, 0.8]], [[1.9, 1.2]]])


def test_a_run_is_contiguous_and_the_bounds_are_inclusive() -> None:
    gain = np.array([[0.9, 1.1]] * 3 + [[0.89, 1.0]])
    curve = GainCurve(np.array([1.0, 2.0, 4.0, 8.0]), gain, np.zeros((4, 2)), gain, gain)
    found = metrics.gain_metrics(curve, tolerance=0.1, moving_gain=0.1)
    assert (found["linear_range_low_deg_per_s"], found["linear_range_high_deg_per_s"]) == (1, 4)


@pytest.mark.parametrize(
    "mask, run",
    [("0000", None), ("1111", (0, 3)), ("0110", (1, 2)), ("1011", (2, 3)), ("1101", (0, 1)), ("0101", (1, 1))],
)
def test_longest_run(mask: str, run: tuple[int, int] | None) -> None:
    assert metrics.longest_run(np.array([c == "1" for c in mask])) == run


# --- rest ---


def test_a_perfect_memory_keeps_every_heading_apart() -> None:
    cues = circular.evenly_spaced(64)
    found = metrics.rest_metrics(np.zeros((2, 64)), circular.wrap(cues), duration=60.0)
    assert found["rest_drift_60s_max_deg"] == 0
    assert found["rest_distinct_headings"] == 64


@pytest.mark.parametrize("attractors", [1, 2, 9, 16])
def test_a_pinned_bump_ends_in_as_many_headings_as_it_has_attractors(attractors: int) -> None:
    cues = circular.evenly_spaced(64)
    spacing = 2 * np.pi / attractors
    final = np.round(cues / spacing) * spacing + 0.01 * np.sin(17 * cues)  # not quite there yet: within 0.6 deg
    found = metrics.rest_metrics(np.stack([cues * 0, final - cues]), circular.wrap(final), duration=60.0)
    assert found["rest_distinct_headings"] == attractors
    assert found["rest_drift_60s_max_deg"] == pytest.approx(180 / attractors, abs=0.7)


def test_drift_is_the_size_of_the_turn_and_keeps_whole_turns() -> None:
    drift = np.deg2rad(np.array([0.0, -10.0, 20.0, 400.0]))
    found = metrics.rest_metrics(np.stack([drift * 0, drift]), drift, duration=60.0)
    assert found["rest_drift_60s_median_deg"] == pytest.approx(15)
    assert found["rest_drift_60s_max_deg"] == pytest.approx(400)


# --- noise ---


def test_diffusion_is_the_slope_of_the_variance_of_a_random_walk() -> None:
    random = np.random.default_rng(0)
    d = 25.0  # deg^2/s
    steps = np.deg2rad(random.normal(0, np.sqrt(d * 0.1), (600, 50, 40)))
    path = np.concatenate([np.zeros((1, 50, 40)), np.cumsum(steps, axis=0)])
    found, variance = metrics.noise_diffusion(TIME, path)
    assert found == pytest.approx(d, rel=0.1)  # 1,950 degrees of freedom: 3 % at one time, 3 sigma
    assert variance[0] == 0 and variance.shape == TIME.shape


def test_drift_that_repeats_share_and_fast_jitter_are_not_diffusion() -> None:
    random = np.random.default_rng(0)
    drift = np.deg2rad(3) * TIME[:, None, None] * np.linspace(-1, 1, 16)[:, None] * np.ones(4)
    jitter = np.deg2rad(random.normal(0, 2, drift.shape))
    assert metrics.noise_diffusion(TIME, drift)[0] == pytest.approx(0, abs=1e-12)
    assert abs(metrics.noise_diffusion(TIME, drift + jitter)[0]) < 0.05


# --- jump ---

WEDGE = circular.evenly_spaced(16)


def profile_at(heading: np.ndarray) -> np.ndarray:
    return np.exp(4 * (np.cos(WEDGE - heading[..., None]) - 1))


@pytest.mark.parametrize("offset_deg", [45.0, 90.0, 135.0, 180.0])
def test_a_bump_that_travels_sweeps_and_one_that_reappears_jumps(offset_deg: float) -> None:
    time = np.arange(101) * 0.01
    offset, target = np.deg2rad([offset_deg]), np.deg2rad([offset_deg])
    progress = np.clip(time / 0.5, 0, 1)[:, None]
    sweep = metrics.jump_outcome(
        time, progress * offset, profile_at(progress * offset), offset, target, math.radians(15)
    )
    assert sweep.swept.tolist() == [True]
    assert sweep.arrival[0] == pytest.approx(0.5 * (1 - 15 / offset_deg), abs=0.011)

    two = (1 - progress[..., None]) * profile_at(offset * 0) + progress[..., None] * profile_at(target)
    heading = np.angle(two @ np.exp(1j * WEDGE))
    if offset_deg >= 90:  # two bumps 45 deg apart are one
        assert metrics.jump_outcome(time, heading, two, offset, target, math.radians(15)).swept.tolist() == [False]


def test_a_bump_that_stays_never_arrives() -> None:
    time, target = np.arange(11) * 0.1, np.deg2rad([90.0, 90.0, 90.0])
    heading = np.zeros((11, 3))
    heading[5:, 0] = target[0]
    outcome = metrics.jump_outcome(time, heading, profile_at(heading), target, target, math.radians(15))
    found = metrics.jump_metrics(outcome, 90.0, wedge_deg=22.5)
    assert outcome.arrival[0] == 0.5 and np.isnan(outcome.arrival[1:]).all()
    assert math.isnan(found["jump_time_90deg_s"])  # two of three do not arrive: no median
    assert found["jump_arrived_share_90deg"] == pytest.approx(1 / 3)
    assert "jump_swept_share_90deg" in found
    narrow = metrics.jump_metrics(outcome, 45.0, wedge_deg=22.5)  # whose middle half no wedge can be told to lie in
    assert "jump_swept_share_45deg" not in narrow


# --- bump ---


def test_a_bump_is_single_long_and_high() -> None:
    found = metrics.bump_metrics(
        np.array([0.5, 0.1, 0.5, 0.5, np.nan]),
        np.array([0.9, 0.9, 0.01, 0.9, np.nan]),
        np.array([1.0, 1.0, 1.0, 2.0, 0.0]),
        np.deg2rad([90.0, 40.0, 50.0, 60.0, np.nan]),
        min_vector_length=0.2,
        min_amplitude=0.05,
    )
    assert found["bump_present_share"] == pytest.approx(1 / 5)
    assert found["bump_single_peak_share"] == pytest.approx(3 / 5)
    assert found["bump_width_median_deg"] == pytest.approx(90.0)  # of the only one present
    assert math.isnan(found["bump_peaks_mean"])  # no mean of the survivors


@pytest.mark.parametrize("value, text", [(60.0, "60"), (-60.0, "minus_60"), (0.5, "0p5"), (500.0, "500")])
def test_numbers_in_metric_names(value: float, text: str) -> None:
    assert metrics.label(value) == text
