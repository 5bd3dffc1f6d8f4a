"""The held-out protocol on rings whose behaviour is known (tests/rings.py), and the guards at its door."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from connectome_sim.errors import ConfigError, SolveError, StepError
from connectome_sim.evaluate import (
    FULL,
    QUICK,
    EvaluationResult,
    Protocol,
    check_step,
    evaluate,
    metric_names,
    parameter_metrics,
    rate_metric_names,
    restore,
    success,
)
from connectome_sim.model.activation import Activation
from connectome_sim.records import Manifest, RunFolder, read_arrays
from tests.rings import ring, stored_ring

# short trials: the rings are the same after 1 s as after 60
SHORT = Protocol(
    n_headings=8,
    duration_s=2.0,
    error_times_s=(1.0, 2.0),
    constant_speeds_deg_per_s=(10.0, 30.0, 60.0, 180.0, 400.0),
    constant_headings=2,
    constant_duration_s=0.8,
    constant_transient_s=0.2,
    jump_headings=4,
    jump_duration_s=1.5,
    noise_headings=4,
    noise_repeats=8,
    noise_duration_s=1.5,
    cue_duration_s=0.3,
    settle_duration_s=0.5,
)
STEP = 5e-3  # s, a quarter of the time constant: RK4 is good to 1e-3 of a degree here


@pytest.fixture(scope="module")
def result() -> EvaluationResult:
    return evaluate(*ring(), seed=0, protocol=SHORT, step=STEP)


# --- a good integrator is measured as one ---


def test_a_ring_integrates(result: EvaluationResult) -> None:
    m = result.metrics
    assert m["walking_error_2s_median_deg"] < 3
    assert m["walking_unwrapped_error_2s_p90_deg"] < 6
    # unit gain by calibration at 60 deg/s; at other speeds the curve is flat to a few percent by construction
    assert m["gain_at_60_deg_per_s"] == pytest.approx(1, abs=5e-3)
    assert (m["linear_range_low_deg_per_s"], m["linear_range_high_deg_per_s"]) == (10, 400)
    assert m["lowest_moving_speed_deg_per_s"] == 10
    assert m["gain_asymmetry_max"] < 1e-2  # mirror symmetric


def test_a_ring_rests_where_it_was_put(result: EvaluationResult) -> None:
    m = result.metrics
    assert m["cue_error_max_deg"] < 0.1
    assert m["rest_drift_2s_max_deg"] < 0.1
    assert m["rest_distinct_headings"] == 8
    assert m["bump_present_share"] == 1
    assert m["failed_trials_share"] == 0


def test_a_ring_follows_a_cue(result: EvaluationResult) -> None:
    m = result.metrics
    times = [m[f"jump_time_{offset}deg_s"] for offset in (45, 90, 135)]
    assert times == sorted(times) and times[0] > 0
    assert m["jump_swept_share_90deg"] == 1  # local kernels: it travels
    assert m["jump_arrived_share_180deg"] == 0  # exactly opposite, a mirror-symmetric ring has no side to turn to


def linear_response_diffusion(intensity: float) -> float:
    """Diffusion of the ring's bump, deg^2/s, to first order in the noise.

    On a line of fixed points r(psi) with Jacobian J, input noise eta moves psi by l . (phi'(x) eta / tau), where l is
    the left null vector of J with l . dr/dpsi = 1; so D = intensity^2 sum_i (l_i phi'_i / tau_i)^2.
    """
    stored = stored_ring()
    r = stored.initial_states[0]
    slope = r * (1 - r)  # of the sigmoid, at a fixed point
    jacobian = (slope[:, None] * stored.weights - np.eye(len(r))) / stored.time_constant[:, None]
    values, vectors = np.linalg.eig(jacobian.T)
    null = np.abs(values).argmin()
    assert abs(values[null]) < 0.1  # per second, against 50 of a single neuron: as good as a continuous attractor
    turned = np.concatenate(
        [np.fft.ifft(np.fft.fft(part) * -1j * np.fft.fftfreq(48, 1 / 48)).real for part in np.split(r, 3)]
    )
    left = vectors[:, null].real / (vectors[:, null].real @ turned)
    return np.rad2deg(intensity) ** 2 * ((left * slope / stored.time_constant) ** 2).sum()


def test_noise_diffuses_a_ring_as_linear_response_says() -> None:
    weak = replace(SHORT, noise_intensity=0.02, noise_headings=8, noise_repeats=16)
    found = evaluate(*ring(), seed=0, protocol=weak, step=STEP, which=("noise",)).metrics["noise_diffusion_deg2_per_s"]
    # 120 degrees of freedom: the variance is known to 13 % at any one time; 2 sigma
    assert found == pytest.approx(linear_response_diffusion(0.02), rel=0.26)


def test_the_same_seed_gives_the_same_figures_and_another_one_other_traces(result: EvaluationResult) -> None:
    small = replace(SHORT, n_headings=2)
    a, b, c = (evaluate(*ring(), seed=s, protocol=small, step=STEP, which=("walking",)).metrics for s in (0, 0, 1))
    assert a == b
    assert a["walking_error_2s_median_deg"] != c["walking_error_2s_median_deg"]


def test_a_finer_step_changes_the_figures_by_less_than_a_hundredth_of_a_degree(result: EvaluationResult) -> None:
    small = replace(SHORT, n_headings=4)
    coarse, fine = (
        evaluate(*ring(), seed=0, protocol=small, step=h, which=("walking",)).metrics for h in (STEP, STEP / 5)
    )
    for name in ("walking_error_2s_median_deg", "walking_unwrapped_error_2s_p90_deg", "rest_drift_2s_max_deg"):
        assert coarse[name] == pytest.approx(fine[name], abs=0.01)


# --- and bad ones as bad ---


def test_half_the_velocity_input_is_half_the_gain() -> None:
    found = evaluate(*ring(gain=0.5), seed=0, protocol=SHORT, step=STEP, which=("constant",)).metrics
    assert found["gain_at_60_deg_per_s"] == pytest.approx(0.5, abs=0.01)
    assert math.isnan(found["linear_range_low_deg_per_s"])


def test_a_tilted_ring_forgets_every_heading() -> None:
    one_well = replace(SHORT, duration_s=4.0)
    found = evaluate(*ring(slope=0.5), seed=0, protocol=one_well, step=STEP, which=("walking",)).metrics
    assert found["rest_drift_4s_max_deg"] > 45
    assert found["rest_distinct_headings"] <= 2  # heading 0, and the unstable point opposite of it


def test_an_asymmetric_ring_turns_by_itself() -> None:
    found = evaluate(*ring(asymmetry=0.1), seed=0, protocol=SHORT, step=STEP, which=("walking", "constant")).metrics
    # 0.1 of the left input is half of what +-0.05 is: as if told to turn at 0.05 / 0.1565 rad/s = 18 deg/s
    assert found["rest_drift_2s_median_deg"] == pytest.approx(2 * 18.3, rel=0.1)
    assert found["gain_at_30_deg_per_s"] > 1.4 and found["gain_at_minus_30_deg_per_s"] < 0.6


def test_a_network_without_a_bump_is_found_out() -> None:
    network, readout = ring()
    flat = replace(network, weights=network.weights * 0.1)
    found = evaluate(flat, readout, seed=0, protocol=SHORT, step=STEP, which=("walking",)).metrics
    assert found["bump_present_share"] == 0


def test_a_network_that_diverges_says_so() -> None:
    network, readout = ring()
    explosive = replace(
        network, weights=network.weights.abs() * 10, bias=network.bias + 20, activation=Activation.named("relu")
    )
    with pytest.raises(SolveError, match="no trial survived"):
        evaluate(explosive, readout, seed=0, protocol=SHORT, step=STEP, which=("walking",))


# --- what is kept ---


def test_arrays_for_figures_fit_each_other_and_read_back(result: EvaluationResult, tmp_path: Path) -> None:
    result.save(tmp_path / "evaluation.h5")
    a = read_arrays(tmp_path / "evaluation.h5")
    assert a["walking/true_heading_rad"].shape == a["walking/decoded_heading_rad"].shape == (101, 8)  # 2 s every 20 ms
    assert a["walking/kymograph"].shape == (101, 16) and len(a["walking/kymograph_angle_rad"]) == 16
    np.testing.assert_array_equal(a["walking/true_heading_rad"][0], a["walking/decoded_heading_rad"][0])
    peak = a["walking/kymograph_angle_rad"][a["walking/kymograph"].argmax(axis=1)]
    assert np.cos(peak - a["walking/decoded_heading_rad"][:, 0]).min() > np.cos(np.pi / 12)  # the first trial's bump
    velocity, gain = a["constant/velocity_deg_per_s"], a["constant/gain"]
    assert (np.diff(velocity) > 0).all() and gain.shape == velocity.shape
    assert gain[velocity == -60] == pytest.approx(result.metrics["gain_at_minus_60_deg_per_s"])


def test_metrics_are_fit_for_the_run_folder(result: EvaluationResult, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", Manifest.start())
    assert result.metrics.keys() == metric_names(SHORT)
    folder.write_metrics(result.metrics)
    read = folder.metrics()
    assert read.keys() == result.metrics.keys()
    assert read["rest_drift_2s_max_deg"] == result.metrics["rest_drift_2s_max_deg"]


def test_the_page_on_metrics_explains_every_figure(result: EvaluationResult) -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().split("# Tables of a run")[0]
    first_column = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    places = {"T": r"[0-9p]+", "V": r"[0-9p]+", "D": r"[0-9p]+"}
    explained = [
        re.sub(r"(?<=_)[TVD](?=s_|deg|_)", lambda m: places[m[0]], name) for name in re.findall("`(.+?)`", first_column)
    ]
    missing = [name for name in result.metrics if not any(re.fullmatch(pattern, name) for pattern in explained)]
    assert not missing
    unknown = [p for p in explained if not any(re.fullmatch(p, name) for name in result.metrics)]
    beside = {"success", "validation_total", "best_iteration", *EVALUATED}
    beside |= {*parameter_metrics(()), *(name.replace("epg", "TYPE") for name in rate_metric_names(["EPG"]))}
    assert beside <= set(explained) and set(unknown) <= beside


EVALUATED = tuple(f"evaluation_{name}" for name in ("seed", "headings", "duration_s", "step_s", "order"))


def test_a_stored_network_is_evaluated_to_the_same_figures() -> None:
    small = replace(SHORT, n_headings=2)
    direct = evaluate(*ring(), seed=0, protocol=small, step=STEP, which=("walking",)).metrics
    assert evaluate(*restore(stored_ring()), seed=0, protocol=small, step=STEP, which=("walking",)).metrics == direct


def test_stored_initial_states_are_settled_at_their_headings() -> None:
    stored = stored_ring()
    network, readout = restore(stored)
    states = torch.as_tensor(stored.initial_states)
    assert network.derivative(states).abs().max() < 1e-3  # per second: at rest
    np.testing.assert_allclose(readout.heading(states).numpy(), stored.initial_headings)
    np.testing.assert_allclose(np.exp(1j * stored.initial_headings), np.exp(2j * np.pi * np.arange(16) / 16), atol=1e-3)


def test_progress_reaches_the_end_of_every_probe() -> None:
    seen: dict[str, list[float]] = {}
    tiny = replace(SHORT, n_headings=1)
    evaluate(
        *ring(),
        seed=0,
        protocol=tiny,
        step=STEP,
        which=("walking",),
        progress=lambda name, done, total: seen.setdefault(name, []).append(done / total),
    )
    assert seen["walking and rest"] == pytest.approx([0.5, 1.0])


# --- the door ---


@pytest.mark.parametrize("step", [0.0, -1e-3, math.nan])
def test_a_step_that_is_none_is_refused(step: float) -> None:
    with pytest.raises(ConfigError, match="evaluation step"):
        check_step(step, fit_step=None)


def test_a_step_that_is_not_four_times_finer_than_the_fits_is_refused() -> None:
    check_step(1e-3, fit_step=4e-3)
    with pytest.raises(ConfigError, match=r"wanted at most 0\.001 s, a quarter of the fit's 0\.004 s"):
        evaluate(*ring(), seed=0, step=2e-3, fit_step=4e-3)


def test_a_step_that_does_not_resolve_the_network_is_refused() -> None:
    with pytest.raises(StepError):
        evaluate(*ring(time_constant=1e-3), seed=0, protocol=SHORT, step=STEP)


def test_an_unknown_probe_is_refused() -> None:
    with pytest.raises(ConfigError, match="wanted some of"):
        evaluate(*ring(), seed=0, which=("running",))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_headings": 0},
        {"noise_repeats": 1},
        {"duration_s": 60.005},
        {"error_times_s": (1.0, 90.0)},
        {"error_times_s": (5.0, 1.0)},
        {"constant_speeds_deg_per_s": (-5.0, 5.0)},
        {"constant_transient_s": 3.0},
        {"jump_offsets_deg": (200.0,)},
        {"noise_intensity": -1.0},
        {"cue_amplitude": 0.0},
        {"input_step_s": math.nan},
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused_by_field(changes: dict) -> None:
    (field,) = changes
    with pytest.raises(ConfigError, match=field):
        Protocol(**changes)


def test_the_full_protocol_is_that_of_the_science_notes() -> None:
    # section 4 of the science notes
    assert (FULL.n_headings, FULL.duration_s, FULL.error_times_s) == (64, 60.0, (1.0, 5.0, 10.0, 20.0, 60.0))
    assert FULL.constant_speeds_deg_per_s == (5, 10, 15, 30, 60, 120, 180, 240, 300, 400, 500)
    assert (FULL.constant_duration_s, FULL.jump_offsets_deg) == (3.0, (45.0, 90.0, 135.0, 180.0))
    assert QUICK.constant_speeds_deg_per_s == FULL.constant_speeds_deg_per_s


# --- success ---

BOUNDS = {
    "walking_error_10s_median_deg": (None, 20),
    "linear_range_low_deg_per_s": (None, 60),
    "bump_present_share": (0.9, 1.0),
}


def test_success_needs_every_bound() -> None:
    good = {"walking_error_10s_median_deg": 20.0, "linear_range_low_deg_per_s": 30.0, "bump_present_share": 0.9}
    assert success(good, BOUNDS) == (True, [])
    ok, reasons = success(good | {"walking_error_10s_median_deg": 20.1, "bump_present_share": 0.0}, BOUNDS)
    assert not ok
    assert reasons == [
        "walking_error_10s_median_deg is 20.1, wanted at most 20",
        "bump_present_share is 0, wanted at least 0.9 and at most 1",
    ]


def test_what_is_unknown_is_no_success() -> None:
    ok, reasons = success({"walking_error_10s_median_deg": math.nan, "bump_present_share": 1.0}, BOUNDS)
    assert not ok and len(reasons) == 2
    assert "is nan" in reasons[0] and "was not measured" in reasons[1]


@pytest.mark.parametrize("bound", [(None, None), (2.0, 1.0), (1.0,)])
def test_a_bound_that_bounds_nothing_is_refused(bound: tuple) -> None:
    with pytest.raises(ConfigError, match="bound bump_present_share"):
        success({}, {"bump_present_share": bound})
