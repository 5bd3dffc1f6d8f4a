"""Noise against processes whose answer is known: random walks, a well, a ring with linear response, a lost bump."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from connectome_sim.analysis import Attractor, analyze
from connectome_sim.build.scores import score_rows
from connectome_sim.evaluate import Protocol, evaluate, noise
from tests.rings import ring, stored_ring
from tests.unit.test_attractor import QUICK, cosine_ring

STEP = 0.01  # s
TIME = np.arange(0, 1001) * STEP
TIMES = (1.0, 5.0, 10.0)
RMS = tuple(f"noise_rms_displacement_{t:g}s_deg" for t in TIMES)
LESS = tuple(f"noise_rms_displacement_{t:g}s_less_noise_free_deg" for t in TIMES)
DIFFUSION = "noise_diffusion_first_second_deg2_per_s"


def walk(d: float, *, trials: int, rate: float = 0.0, seed: int = 0) -> np.ndarray:
    """d theta = -rate theta dt + sqrt(2 d) dW on the grid, exact, in rad; ``d`` in deg^2/s, ``rate`` in 1/s."""
    steps = np.random.default_rng(seed).standard_normal((len(TIME) - 1, trials))
    keep = math.exp(-rate * STEP)
    spread = math.sqrt(2 * d * STEP) if rate == 0 else math.sqrt(d / rate * (1 - keep * keep))
    path = np.zeros((len(TIME), trials))
    for k, step in enumerate(steps):
        path[k + 1] = keep * path[k] + spread * step
    return np.deg2rad(path)


def metrics(path: np.ndarray, *, free: np.ndarray | None = None, lost: np.ndarray | None = None) -> dict[str, float]:
    still = np.zeros_like(path) if free is None else free
    return noise.noise_metrics(TIME, path, still, np.zeros(path.shape, bool) if lost is None else lost, TIMES)


# --- the right value ---


def test_the_mean_square_is_taken_over_all_trials_from_the_start() -> None:
    """Two trials that end at 3 and -4 deg: sqrt(12.5), by hand; around their own mean it would be 3.5."""
    path = np.deg2rad(np.linspace(0, 1, len(TIME))[:, None] * np.array([3.0, -4.0]))
    assert metrics(path)[RMS[2]] == pytest.approx(math.sqrt(12.5), rel=1e-12)


def test_diffusion_is_half_of_the_growth_of_the_mean_square() -> None:
    """Two trials at +-sqrt(9 + 2 D t): D to rounding, whatever the constant, which is jitter."""
    size = np.sqrt(9.0 + 2 * 40.0 * TIME)
    path = np.deg2rad(np.stack([size, -size], axis=1))
    assert metrics(path)[DIFFUSION] == pytest.approx(40.0, rel=1e-9)


def test_a_random_walk_has_its_diffusion_and_its_displacements() -> None:
    """sqrt(2 D t) at every time. 4,000 trials know a root mean square to 1.1 %, its slope to about 3 %; 3 sigma."""
    found = metrics(walk(25.0, trials=4000))
    for name, t in zip(RMS, TIMES, strict=True):
        assert found[name] == pytest.approx(math.sqrt(2 * 25.0 * t), rel=0.035)
    assert found[DIFFUSION] == pytest.approx(25.0, rel=0.1)


def test_a_well_holds_the_bump_and_hides_no_early_diffusion() -> None:
    """In a harmonic well <theta^2> = D / k (1 - exp(-2 k t)): level after 10 s, while the first second diffuses."""
    d, k = 400.0, 0.5
    found = metrics(walk(d, trials=4000, rate=k))
    for name, t in zip(RMS, TIMES, strict=True):
        assert found[name] == pytest.approx(math.sqrt(d / k * (1 - math.exp(-2 * k * t))), rel=0.035)
    line = np.arange(0.2, 1.005, 0.01)  # the least-squares slope of that curve in the window of the fit
    assert found[DIFFUSION] == pytest.approx(np.polyfit(line, d / k * (1 - np.exp(-2 * k * line)), 1)[0] / 2, rel=0.1)


def test_jitter_that_does_not_grow_is_not_diffusion_but_is_displacement() -> None:
    jitter = np.deg2rad(np.random.default_rng(1).normal(0, 5.0, (len(TIME), 4000)))
    jitter[0] = 0
    found = metrics(jitter)
    assert abs(found[DIFFUSION]) < 0.5  # deg^2/s, of a jitter of 25 deg^2
    assert found[RMS[0]] == pytest.approx(5.0, rel=0.035)


def test_drift_is_displacement_and_not_diffusion() -> None:
    """A bump that turns at 6 deg/s without noise, and as much with it."""
    drift = np.deg2rad(6.0 * TIME)[:, None] * np.ones(2)
    found = metrics(drift, free=drift)
    assert [found[name] for name in RMS] == pytest.approx([6, 30, 60])
    assert [found[name] for name in LESS] == pytest.approx([0, 0, 0], abs=1e-9)
    assert found[DIFFUSION] == pytest.approx(0, abs=1e-9)


# --- who scores best ---


def test_a_ring_that_diffuses_faster_scores_worse_at_all_times_also_beyond_half_a_turn() -> None:
    slow, fast, fastest = (metrics(walk(d, trials=500, seed=s)) for s, d in enumerate((10.0, 1e3, 3e4)))
    for name in (*RMS, *LESS, DIFFUSION):
        assert slow[name] < fast[name] < fastest[name]
    assert fastest[RMS[0]] > 180 and fastest[RMS[2]] > 700  # sqrt(2 * 3e4 * 10) = 775 deg: whole turns are kept


def test_a_lost_bump_counts_as_half_a_turn_and_never_as_one_that_stayed() -> None:
    """A network without a bump whose decoded heading stands still, beside one that diffuses at 400 deg^2/s."""
    frozen = np.zeros((len(TIME), 500))
    gone = metrics(frozen, lost=np.ones(frozen.shape, bool))
    assert [gone[name] for name in (*RMS, *LESS)] == pytest.approx([180.0] * 6)
    assert math.isnan(gone[DIFFUSION]) and gone["noise_bump_lost_share"] == 1
    fast = metrics(walk(400.0, trials=500))
    assert all(fast[name] < gone[name] for name in RMS)
    far = metrics(frozen + 4 * math.pi, lost=np.ones(frozen.shape, bool))
    assert far[RMS[0]] == pytest.approx(720.0)  # where it has gone farther than half a turn, that stands


def test_one_bump_lost_in_the_first_second_leaves_no_diffusion_and_one_lost_later_does() -> None:
    path, lost = walk(25.0, trials=50), np.zeros((len(TIME), 50), bool)
    lost[500:, 0] = True
    late = metrics(path, lost=lost)
    assert late[DIFFUSION] == metrics(path)[DIFFUSION] and late["noise_bump_lost_share"] == 0.02
    lost[70, 1] = True
    assert math.isnan(metrics(path, lost=lost)[DIFFUSION])


def test_a_trial_that_failed_leaves_no_figure() -> None:
    path = walk(25.0, trials=50)
    path[:, 3] = math.nan
    found = metrics(path)
    assert all(math.isnan(found[name]) for name in (*RMS, *LESS, DIFFUSION))


def test_a_frozen_bump_stands_beside_its_gain() -> None:
    """It hardly moves under noise, which is no virtue: the tables show the gain with it."""
    names = [row["metric"] for row in score_rows({RMS[2]: 0.5, "gain_at_60_deg_per_s": 0.01, DIFFUSION: 0.0}, {})]
    assert names == ["gain_at_60_deg_per_s", RMS[2], DIFFUSION]


# --- the noise of the rates ---


def test_rate_noise_is_that_of_the_upper_half_of_the_bump_over_its_height() -> None:
    """A bump of height 0.8 that moves, and noise of SD 0.02: 2.5 %, less 2 of 40 samples for the line."""
    angle, random = 2 * np.pi * np.arange(46) / 46, np.random.default_rng(0)
    heading = np.deg2rad(10 * TIME)[:, None, None] + np.array([0.3, 2.0])[:, None]
    bump = 0.5 + 0.4 * np.cos(angle - heading)
    level = np.where(bump > 0.5, 0.02, 0.2)  # what the flanks do does not count
    found = noise.rate_noise(bump + level * random.standard_normal(bump.shape), bump[0], STEP)
    assert found == pytest.approx(0.025 * math.sqrt(38 / 40), rel=0.02)


def test_silence_has_no_rate_noise() -> None:
    assert math.isnan(noise.rate_noise(np.zeros((100, 2, 8)), np.zeros((2, 8)), STEP))


# --- a network ---

# as tests/unit/test_evaluate.py, with a weak current: linear response holds to some percent
NOISY = Protocol(
    noise_headings=16,
    noise_repeats=32,
    noise_duration_s=1.0,
    noise_times_s=(0.5, 1.0),
    noise_current_sd=0.05,
    noise_rate_percent=0.0,
    cue_duration_s=0.3,
    settle_duration_s=0.5,
)
RING_STEP = 5e-3  # s


def linear_response(sd: float, correlation: float, step: float) -> float:
    """D of the ring's bump, deg^2/s, to first order in the noise.

    On a line of fixed points r(psi) with Jacobian J, input noise x moves psi by l . (phi'(u) x / tau), where l is the
    left null vector of J with l . dr/dpsi = 1; so D = S / 2 sum_i (l_i phi'_i / tau_i)^2 with S the spectral density of
    the current at zero frequency, sd^2 step (1 + a) / (1 - a), a = exp(-step / correlation), as it is held for a step.
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
    keep = math.exp(-step / correlation)
    density = sd**2 * step * (1 + keep) / (1 - keep)
    return np.rad2deg(1) ** 2 * density / 2 * ((left * slope / stored.time_constant) ** 2).sum()


def test_noise_moves_a_ring_as_linear_response_says() -> None:
    """512 trials know the mean square to 6 % and its slope to some 8 %: 3 sigma."""
    found = evaluate(*ring(), seed=0, protocol=NOISY, step=RING_STEP, which=("noise",)).metrics
    wanted = linear_response(0.05, 0.02, 0.01)
    assert found[DIFFUSION] == pytest.approx(wanted, rel=0.24)
    # the mean square is late by the noise's and the ring's own correlation times, a few of 1,000 ms
    assert found["noise_rms_displacement_1s_deg"] ** 2 == pytest.approx(2 * wanted * 1.0, rel=0.2)
    assert found["noise_bump_lost_share"] == 0


def test_less_than_no_noise_is_the_noise_free_path() -> None:
    """Next to no current on a ring that turns at 2 x 9 deg/s by itself: all of the displacement is its drift."""
    still = replace(NOISY, noise_current_sd=1e-6, noise_repeats=1, noise_headings=4)
    found = evaluate(*ring(asymmetry=0.1), seed=0, protocol=still, step=RING_STEP, which=("noise",)).metrics
    rest = evaluate(*ring(), seed=0, protocol=still, step=RING_STEP, which=("noise",)).metrics
    assert found["noise_rms_displacement_1s_deg"] == pytest.approx(18.3, rel=0.1)  # see test_evaluate.py
    assert found["noise_rms_displacement_1s_less_noise_free_deg"] < 1e-2
    assert rest["noise_rms_displacement_1s_deg"] < 0.1


def test_the_second_view_is_the_first_at_the_current_that_it_names() -> None:
    """At the SD that was found the first view has that noise of the rates and, by the same seed, that displacement."""
    view = replace(NOISY, noise_headings=4, noise_repeats=4, noise_rate_percent=2.5)
    first = evaluate(*cosine_ring(), seed=0, protocol=view, step=RING_STEP, which=("noise",)).metrics
    sd = first["noise_current_sd_at_rate_noise_2p5pct"]
    there = replace(view, noise_current_sd=sd, noise_rate_percent=0.0)
    second = evaluate(*cosine_ring(), seed=0, protocol=there, step=RING_STEP, which=("noise",)).metrics
    assert second["noise_rate_sd_over_height"] == pytest.approx(0.025, rel=0.1)  # calibrated on fewer trials
    moved = first["noise_rms_displacement_1s_at_rate_noise_2p5pct_deg"]
    assert moved == pytest.approx(second["noise_rms_displacement_1s_deg"])
    assert "noise_current_sd_at_rate_noise_2p5pct" not in second


def test_saturated_rates_have_no_second_view() -> None:
    """The EPG of this ring are at 0.99999 or silent: no current makes them noisy before it drowns the bump."""
    view = replace(NOISY, noise_headings=4, noise_repeats=1, noise_rate_percent=2.5)
    found = evaluate(*ring(), seed=0, protocol=view, step=RING_STEP, which=("noise",)).metrics
    assert math.isnan(found["noise_current_sd_at_rate_noise_2p5pct"])
    assert math.isnan(found["noise_rms_displacement_1s_at_rate_noise_2p5pct_deg"])


def test_a_network_without_a_bump_scores_no_better_than_half_a_turn() -> None:
    network, readout = ring()
    flat = replace(network, weights=network.weights * 0.1)
    view = replace(NOISY, noise_headings=4, noise_repeats=1, noise_rate_percent=2.5)
    found = evaluate(flat, readout, seed=0, protocol=view, step=RING_STEP, which=("noise",)).metrics
    assert found["noise_bump_lost_share"] == 1
    assert found["noise_rms_displacement_1s_deg"] >= 180
    assert math.isnan(found[DIFFUSION])


# --- the barrier ---


@pytest.fixture(scope="module")
def folded() -> Attractor:
    """Of a ring that prefers 6 headings."""
    return analyze(*cosine_ring(folds=6, depth=0.3), protocol=QUICK, step=2e-3, n_headings=64)


def test_a_barrier_over_the_diffusion_says_how_much_rarer_its_top_is_than_its_bottom(folded: Attractor) -> None:
    """A walk that hops +-delta, k times a second each way: its stationary density under the ring's drift.

    Nothing of it knows a diffusion coefficient: that is measured on the free walk, and divides the barrier. To first
    order in the hops, ln p_bottom - ln p_top = barrier / D.
    """
    found = folded
    n, drift = 720, found.ring.drift_spline()  # type: ignore[union-attr]
    delta = 2 * np.pi / n
    barrier = np.deg2rad(np.deg2rad(np.median(found.barriers().min(axis=1))))  # rad^2/s
    k = barrier / 3 / delta**2  # so that the top is about exp(3) rarer
    middle = (np.arange(n) + 0.5) * delta - np.pi  # between neighbours
    rightwards, leftwards = k + drift(middle) / (2 * delta), k - drift(middle) / (2 * delta)
    log_density = np.concatenate([[0.0], np.cumsum(np.log(rightwards / leftwards))])  # detailed balance
    heading, stable = found.points.heading, found.points.stable
    at = np.interp(heading, np.arange(n + 1) * delta - np.pi, log_density)
    wanted = np.median(at[stable]) - np.median(at[~stable])
    hops = np.random.default_rng(0).poisson(k * STEP, (2, 100, 4000))
    free = np.concatenate([np.zeros((1, 4000)), np.cumsum(hops[0] - hops[1], axis=0)]) * delta
    d = noise.diffusion(TIME[:101], free, np.zeros(free.shape, bool))
    ratio = replace(found, diffusion=d).metrics()["barrier_median_over_diffusion"]
    assert wanted > 2 and ratio == pytest.approx(wanted, rel=0.12)


@pytest.mark.parametrize("diffusion", [math.nan, 0.0, -1.0])
def test_a_barrier_over_no_diffusion_is_no_number(folded: Attractor, diffusion: float) -> None:
    assert math.isnan(replace(folded, diffusion=diffusion).metrics()["barrier_median_over_diffusion"])
