"""Claims about trials: the statistics of walking, exact integration, reproducible and disjoint random streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from connectome_sim import tasks
from connectome_sim.errors import ConfigError

# Turner-Evans 2017 and its raw data, deg/s and s
PERCENTILES = {50: 12.0, 90: 80.0, 99: 197.0}
LARGEST = 464.0
CORRELATION_TIME = 0.128


def walk(time_step: float, *, n_trials: int = 64, duration: float = 48.0) -> np.ndarray:
    random = tasks.generator(3, "held_out")
    trials = tasks.walking(random, n_trials=n_trials, duration=duration, time_step=time_step)
    return np.rad2deg(trials.angular_velocity.numpy())


def autocorrelation(x: np.ndarray, lag: int) -> float:
    return float((x[lag:] * x[:-lag]).mean() / (x**2).mean())


@pytest.mark.parametrize("time_step", [0.004, 0.016, 0.032])
def test_walking_has_the_measured_statistics_at_any_time_step(time_step: float) -> None:
    speed = walk(time_step)
    # 3,200 s hold about 12,000 independent samples: the standard error of these percentiles is 1-3 %
    for percentile, wanted in PERCENTILES.items():
        assert np.percentile(abs(speed), percentile) == pytest.approx(wanted, rel=0.08)
    assert abs(speed).max() <= LARGEST * (1 + 1e-12)
    assert 53.0 < speed.std() < 58.0  # measured 54-57
    assert abs(speed.mean()) < 3 * 55 / math.sqrt(12_000)
    assert autocorrelation(speed, round(CORRELATION_TIME / time_step)) == pytest.approx(math.exp(-1), abs=0.02)


def test_walking_is_heavy_tailed() -> None:
    speed = walk(0.016)
    kurtosis = float((speed**4).mean() / (speed**2).mean() ** 2)
    assert kurtosis > 6  # 3 for a normal distribution


def test_latent_process_is_slower_than_the_velocity_made_from_it() -> None:
    statistics = tasks.WalkingStatistics()
    tau = tasks.latent_correlation_time(statistics)
    assert tau > CORRELATION_TIME
    # an identity map changes no correlation: |v| linear in |z| up to 7 standard deviations
    p = (0.0, math.erf(1 / math.sqrt(2)), math.erf(5 / math.sqrt(2)))
    linear = tasks.WalkingStatistics(probability=p, speed_deg=(0.0, 1.0, 5.0))
    assert tasks.latent_correlation_time(linear) == pytest.approx(CORRELATION_TIME, rel=1e-3)


def test_ornstein_uhlenbeck_is_stationary_from_its_first_sample() -> None:
    z = tasks.ornstein_uhlenbeck(tasks.generator(0, "fit"), (40, 20_000), correlation_time=0.1, time_step=0.01)
    np.testing.assert_allclose(z.std(axis=1), 1.0, atol=0.02)  # standard error 0.005
    assert (z[0] * z[10]).mean() == pytest.approx(math.exp(-1), abs=0.03)


def test_displacement_is_the_exact_integral_of_held_velocities() -> None:
    velocity = torch.tensor([[1.0, 0.0], [-3.0, 2.0], [0.5, 2.0]], dtype=torch.float64)
    wanted = torch.tensor([[0.0, 0.0], [0.1, 0.0], [-0.2, 0.2], [-0.15, 0.4]], dtype=torch.float64)
    torch.testing.assert_close(tasks.integrate(velocity, 0.1), wanted)  # by hand


def test_long_integrals_in_float32_are_summed_in_float64() -> None:
    velocity = torch.full((60_000, 1), 0.1, dtype=torch.float32)  # 60 s at 1 ms
    assert tasks.integrate(velocity, 1e-3)[-1].item() == pytest.approx(6.0, abs=1e-6)


def training(seed: int, purpose: str = "fit", *stream: int, n_trials: int = 40) -> tasks.Trials:
    random = tasks.generator(seed, purpose, *stream)
    mix = tasks.TrainingMix(walking=0.4, constant=0.2, rest=0.1, consistency=0.3)
    return tasks.training(random, n_trials=n_trials, duration=0.4, time_step=0.02, mix=mix)


def test_the_same_seed_gives_the_same_trials() -> None:
    one, two = training(5, "fit", 2), training(5, "fit", 2)
    assert torch.equal(one.angular_velocity, two.angular_velocity)
    assert torch.equal(one.headings, two.headings)
    assert one.kind == two.kind


def test_streams_of_other_seeds_purposes_and_numbers_share_no_draw() -> None:
    names = [(seed, purpose, *stream) for seed in (0, 1) for purpose in tasks.PURPOSES for stream in ((), (0,), (1,))]
    draws = [tasks.generator(*name).integers(2**63, size=200) for name in names]
    assert len(np.unique(np.concatenate(draws))) == 200 * len(names)


def test_training_holds_what_the_mix_says() -> None:
    trials = training(0)
    assert {kind: trials.kind.count(kind) for kind in set(trials.kind)} == {
        "walking": 16,
        "constant": 8,
        "rest": 4,
        "consistency": 12,
    }
    velocity, kind = trials.angular_velocity, np.array(trials.kind)
    assert (velocity[:, kind == "rest"] == 0).all()
    constant = np.rad2deg(velocity[:, kind == "constant"].numpy())
    assert (constant == constant[0]).all()
    assert (constant[0] > 0).sum() == 4
    # one in each of eight equal parts of log(5..500)
    part = np.sort(np.floor(8 * np.log(abs(constant[0]) / 5) / np.log(100)))
    np.testing.assert_array_equal(part, np.arange(8))


@pytest.mark.parametrize("n", [1, 2, 5, 17, 64])
def test_shares_are_filled_exactly(n: int) -> None:
    counts = tasks.TrainingMix(walking=0.3, constant=0.3, rest=0.2, consistency=0.2).counts(n)
    assert sum(counts.values()) == n
    assert counts["consistency"] % 3 == 0
    assert training(1, n_trials=n).n_trials == n


def test_headings_cover_the_circle() -> None:
    np.testing.assert_allclose(tasks.headings(4), [0, math.pi / 2, math.pi, 3 * math.pi / 2])
    jittered = tasks.headings(10, tasks.generator(0, "fit"))
    np.testing.assert_array_equal(np.floor(jittered / (2 * math.pi / 10)), np.arange(10))


def test_every_kind_of_training_trial_covers_the_circle_by_itself() -> None:
    mix = tasks.TrainingMix(walking=0.25, constant=0.25, rest=0.25, consistency=0.25)
    trials = tasks.training(tasks.generator(0, "fit"), n_trials=48, duration=0.1, time_step=0.01, mix=mix)
    kind = np.array(trials.kind)
    for name, n in (("walking", 12), ("constant", 12), ("rest", 12), ("consistency", 4)):
        own = np.unique(trials.headings.numpy()[kind == name] % (2 * np.pi))
        assert sorted((own / (2 * np.pi / n)).astype(int)) == list(range(n))  # one in each of n equal sectors


def test_consistency_trials_are_what_their_pairs_claim() -> None:
    trials = training(2)
    velocity, end = trials.angular_velocity, trials.displacement()[-1]
    scaled, equal = trials.scaled_pairs, trials.equal_pairs
    assert len(scaled.first) == len(equal.first) == 4
    torch.testing.assert_close(velocity[:, scaled.first], scaled.scale * velocity[:, scaled.second])
    torch.testing.assert_close(end[equal.first], end[equal.second])
    assert (velocity[:, equal.first] != velocity[:, equal.second]).any(dim=0).all()
    for pairs in (scaled, equal):
        assert torch.equal(trials.headings[pairs.first], trials.headings[pairs.second])
        assert {trials.kind[i] for i in pairs.first.tolist()} == {"consistency"}
    assert (velocity[-4:, scaled.second] == 0).all()


def turns(whole_turns: float, duration: float = 2.0, n_groups: int = 6) -> tasks.Trials:
    random = tasks.generator(4, "fit")
    return tasks.consistency(random, n_groups=n_groups, duration=duration, time_step=0.02, whole_turns=whole_turns)


def test_the_two_ways_round_differ_by_a_whole_turn() -> None:
    trials = turns(0.5)
    end, pairs = trials.displacement()[-1], trials.equal_pairs
    apart = (end[pairs.second] - end[pairs.first]).abs()
    torch.testing.assert_close(apart, torch.tensor([2 * math.pi] * 3 + [0.0] * 3, dtype=torch.float64))
    # opposite directions all the time, and no faster than a whole turn in the 1.6 s of movement
    velocity = trials.angular_velocity[0]
    assert (velocity[pairs.first[:3]] * velocity[pairs.second[:3]] < 0).all()
    assert velocity.abs().max() <= 2 * math.pi / 1.6 + 1e-12
    scaled = trials.scaled_pairs
    torch.testing.assert_close(
        trials.angular_velocity[:, scaled.first], scaled.scale * trials.angular_velocity[:, scaled.second]
    )


def test_trials_too_short_for_a_whole_turn_have_none() -> None:
    """In the 0.8 s of movement of a second a whole turn takes 450 deg/s."""
    assert torch.equal(turns(1.0, duration=1.0).angular_velocity, turns(0.0, duration=1.0).angular_velocity)
    assert not torch.equal(turns(1.0).angular_velocity, turns(0.0).angular_velocity)


def test_constant_probe_visits_every_heading_with_every_velocity() -> None:
    trials = tasks.constant([-30.0, 60.0], headings_per_velocity=3, duration=0.2, time_step=0.1)
    np.testing.assert_allclose(np.rad2deg(trials.angular_velocity[0].numpy()), [-30, -30, -30, 60, 60, 60])
    np.testing.assert_allclose(np.rad2deg(trials.headings.numpy()), [0, 120, 240, 0, 120, 240])


def current(*, segment: int = 1000, seed: int = 0, **changes: float) -> torch.Tensor:
    settings = {
        "n_steps": 1000,
        "n_trials": 10,
        "n_neurons": 40,
        "time_step": 0.01,
        "sd": 0.3,
        "correlation_time": 0.02,
    }
    return torch.cat(list(tasks.noise_current(tasks.generator(seed, "noise"), segment=segment, **settings | changes)))


def test_the_noise_current_is_an_ornstein_uhlenbeck_process_from_its_first_step_on() -> None:
    """SD 0.3 at every step, correlation exp(-lag / 20 ms), none between neurons or trials."""
    found = current(n_trials=100)
    assert found.shape == (1000, 100, 40) and found.dtype == torch.float64
    assert found[0].std().item() == pytest.approx(0.3, rel=0.04)  # 4,000 numbers: standard error 1.1 %
    assert found.std().item() == pytest.approx(0.3, rel=0.01)
    for lag in (1, 2, 5):
        together = (found[lag:] * found[:-lag]).mean().item() / 0.09
        assert together == pytest.approx(np.exp(-lag * 0.01 / 0.02), abs=0.005)
    assert abs((found[:, 0, 0] * found[:, 0, 1]).mean().item()) < 0.02
    assert abs((found[:, 0, 0] * found[:, 1, 0]).mean().item()) < 0.02


@pytest.mark.parametrize("time_step", [0.001, 0.01])
def test_the_integral_of_the_noise_current_has_the_variance_that_its_docstring_states(time_step: float) -> None:
    keep, steps = np.exp(-time_step / 0.02), round(2.0 / time_step)
    integral = current(n_steps=steps, n_trials=20, n_neurons=200, time_step=time_step).sum(dim=0) * time_step
    density = 0.09 * time_step * (1 + keep) / (1 - keep)  # 2 % above 2 sd^2 tau at 10 ms
    assert density == pytest.approx(2 * 0.09 * 0.02, rel=0.025)
    assert integral.var().item() == pytest.approx(density * 2.0, rel=0.08)  # standard error 2.2 %; 1 % late by tau


def test_the_noise_current_is_the_same_however_it_is_cut() -> None:
    assert torch.equal(current(), current(segment=7))
    assert not torch.equal(current(), current(seed=1))
    assert torch.equal(current() * 2, current(sd=0.6))


@pytest.mark.parametrize("wrong", [{"sd": -0.1}, {"correlation_time": 0.0}, {"time_step": 0.0}, {"segment": 0}])
def test_a_noise_current_that_is_none_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=f"noise: got .*{next(iter(wrong))}={next(iter(wrong.values()))}"):
        current(**wrong)


def test_moving_trials_changes_dtype_but_not_indices() -> None:
    trials = training(0).to(dtype=torch.float32)
    assert trials.angular_velocity.dtype == trials.headings.dtype == trials.scaled_pairs.scale.dtype == torch.float32
    assert trials.scaled_pairs.first.dtype == torch.long


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.generator(0, "test"), "purpose: got 'test'"),
        (lambda: tasks.generator(-1, "fit"), "zero or more"),
        (lambda: tasks.n_steps(1.0, 0.3), "whole number"),
        (lambda: tasks.n_steps(0.0, 0.1), "at least one"),
        (lambda: tasks.headings(0), "1 or more"),
        (lambda: tasks.TrainingMix(walking=0.9), "sum of 1"),
        (lambda: tasks.TrainingMix(walking=1.1, constant=-0.3), "none negative"),
        (lambda: tasks.TrainingMix(slowest_deg=0.0), "slowest"),
        (lambda: tasks.TrainingMix(whole_turns=1.5), "whole_turns"),
        (lambda: tasks.WalkingStatistics(correlation_time=0.0), "correlation_time"),
        (lambda: tasks.WalkingStatistics(speed_deg=(0.0, 1.0)), "equal length"),
        (lambda: tasks.concatenate([]), "concatenate"),
    ],
)
def test_impossible_requests_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
