"""What each loss says about bumps for which its value is known in closed form, and how ``total`` reduces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from connectome_sim import tasks
from connectome_sim.errors import ConfigError, ShapeError
from connectome_sim.losses import LOSSES, Observation, WeightedLoss, observe, total
from connectome_sim.losses.bump import Bump
from connectome_sim.losses.coverage import Coverage
from connectome_sim.losses.drift import Drift
from connectome_sim.losses.entropy import Entropy
from connectome_sim.losses.linear_consistency import LinearConsistency
from connectome_sim.losses.minimum_speed import MinimumSpeed
from connectome_sim.losses.parsimony import Parsimony
from connectome_sim.losses.phase_integration import PhaseIntegration
from connectome_sim.losses.stability import Stability
from connectome_sim.readout import Readout

N = 64
ANGLE = torch.arange(N, dtype=torch.float64) * (2 * math.pi / N)
EPG = torch.ones(N, dtype=torch.bool)
DT = 0.01  # s


def raised_cosine(heading: Tensor, *, height: float = 1.0) -> Tensor:
    return height * (1 + torch.cos(ANGLE - heading[..., None])) / 2


def seen(trials: tasks.Trials, rates: Tensor, **options: object) -> Observation:
    return observe(
        rates,
        read=Readout(ANGLE, EPG).read,
        epg_mask=EPG,
        velocity=trials.angular_velocity,
        displacement_target=trials.displacement(),
        cue_heading=trials.headings,
        time_step=trials.time_step,
        **options,
    )


def turning(velocity: float, *, gain: float = 1.0, steps: int = 100) -> Observation:
    """One trial at a constant velocity (rad/s), integrated with a gain."""
    trials = tasks.constant([math.degrees(velocity)], duration=steps * DT, time_step=DT)
    return seen(trials, raised_cosine(trials.headings + gain * trials.displacement()))


def resting(speed: float, *, headings: int = 1, steps: int = 100) -> Observation:
    """Trials at rest whose bump drifts at ``speed`` rad/s."""
    trials = tasks.rest(n_trials=headings, duration=steps * DT, time_step=DT)
    time = torch.arange(steps + 1, dtype=torch.float64) * DT
    return seen(trials, raised_cosine(trials.headings + speed * time[:, None]))


TIME = torch.arange(101, dtype=torch.float64) * DT


def test_integration_error_of_a_gain_of_four_fifths() -> None:
    values = PhaseIntegration()(turning(2.0, gain=0.8))[:, 0]
    torch.testing.assert_close(values, 1 - torch.cos(0.2 * 2.0 * TIME))


def test_integration_over_a_window_is_the_same_at_all_times() -> None:
    loss, observation = PhaseIntegration(window=0.25), turning(2.0, gain=0.8)
    values, where = loss(observation), loss.where(observation)
    assert where[:, 0].nonzero()[:, 0].tolist() == list(range(25, 101))
    torch.testing.assert_close(values[where], torch.full((76,), 1 - math.cos(0.2 * 2.0 * 0.25), dtype=torch.float64))


def test_integration_counts_from_the_end_of_settling() -> None:
    loss, observation = PhaseIntegration(settle=0.3), turning(2.0, gain=0.8)
    where = loss.where(observation)
    assert where[:, 0].nonzero()[0].item() == 31
    torch.testing.assert_close(loss(observation)[where], 1 - torch.cos(0.4 * (TIME[31:] - 0.3)))


def test_a_window_longer_than_the_trial_judges_the_whole_trial_once() -> None:
    loss, observation = PhaseIntegration(window=5.0, settle=0.2), turning(2.0, gain=0.8)
    where = loss.where(observation)
    assert where[:, 0].nonzero()[:, 0].tolist() == [100]
    assert loss(observation)[where].item() == pytest.approx(1 - math.cos(0.2 * 2.0 * 0.8))  # 0.8 s after settling


@pytest.mark.parametrize("window", [None, 0.25])
def test_the_tolerance_grows_with_time_and_with_the_path(window: float | None) -> None:
    observation = turning(-2.0, gain=0.8)
    plain = PhaseIntegration(window=window)
    loss = replace(plain, tolerance_deg=3.0, tolerance_deg_per_s=2.0, tolerance_share=0.1)
    where = loss.where(observation)
    time = torch.full((76,), 0.25, dtype=torch.float64) if window else TIME[1:]
    sigma = math.radians(3.0) + math.radians(2.0) * time + 0.1 * 2.0 * time  # the path counts, not its direction
    torch.testing.assert_close(loss(observation)[where], plain(observation)[where] / sigma**2)


def test_an_error_of_one_tolerance_weighs_one_half() -> None:
    observation = turning(2.0, gain=0.8)  # after 1 s the error is 0.4 rad
    loss = PhaseIntegration(tolerance_deg=math.degrees(0.4))
    assert loss(observation)[-1, 0].item() == pytest.approx(0.5, rel=0.02)  # 1 - cos 0.4 is 1 % short of 0.4^2 / 2


def test_the_path_of_a_turn_there_and_back_is_its_length() -> None:
    velocity = torch.tensor([2.0] * 50 + [-2.0] * 50, dtype=torch.float64)[:, None]
    trials = tasks.Trials(torch.zeros(1, dtype=torch.float64), velocity, DT, ("test",))
    observation = seen(trials, raised_cosine(trials.headings + 0.1 * TIME[:, None] + trials.displacement()))
    loss = PhaseIntegration(tolerance_deg=1.0, tolerance_share=0.05)
    sigma = math.radians(1.0) + 0.05 * 2.0  # back where it was after a path of 2 rad
    assert loss(observation)[-1, 0].item() == pytest.approx((1 - math.cos(0.1)) / sigma**2)


def test_saturation_keeps_small_errors_and_slows_large_ones() -> None:
    observation, plain = turning(2.0, gain=0.8), PhaseIntegration(tolerance_deg=1.0)
    u, v = plain(observation), replace(plain, saturation=3.0)(observation)
    torch.testing.assert_close(v, 4.5 * torch.log(1 + u / 4.5))  # c^2 / 2 log(1 + 2 u / c^2), c = 3
    small = u < 0.1  # first term left out of the logarithm: u / c^2, 1 %
    assert small.sum() > 1
    torch.testing.assert_close(v[small], u[small], rtol=0.012, atol=0)
    assert v.max() < 0.1 * u.max()


def test_trials_with_velocity_count_only_where_asked_for() -> None:
    trials = tasks.concatenate(
        [tasks.rest(n_trials=2, duration=0.1, time_step=DT), tasks.constant([90.0], duration=0.1, time_step=DT)]
    )
    observation = seen(trials, raised_cosine(trials.headings + trials.displacement()))
    everything = PhaseIntegration().where(observation)
    assert everything.any(dim=0).tolist() == [True, True, True]
    still = PhaseIntegration(only_at_rest=True).where(observation)
    assert still.any(dim=0).tolist() == [True, True, False]
    assert torch.equal(still[:, :2], everything[:, :2])


def test_relaxing_multiplies_all_tolerances_and_nothing_else() -> None:
    loss = PhaseIntegration(
        settle=0.1, window=0.2, tolerance_deg=1.0, tolerance_deg_per_s=2.0, tolerance_share=0.1, saturation=3.0
    )
    wanted = replace(loss, tolerance_deg=4.0, tolerance_deg_per_s=8.0, tolerance_share=0.4)
    assert loss.relaxed(4.0) == wanted
    observation = turning(2.0, gain=0.8)
    unsaturated = replace(loss, saturation=None)
    where = loss.where(observation)
    torch.testing.assert_close(
        unsaturated.relaxed(4.0)(observation)[where], unsaturated(observation)[where] / 16
    )  # sigma^-2


def test_values_that_do_not_count_are_finite_whatever_the_precision() -> None:
    # what stands before the reference is divided by a tolerance of nothing; 0 times infinity would reach the gradient
    observation = turning(2.0, gain=0.8)
    phase = observation.phase.float().requires_grad_()
    single = replace(
        observation,
        phase=phase,
        rates=observation.rates.float(),
        velocity=observation.velocity.float(),
        displacement_target=observation.displacement_target.float(),
    )
    loss = PhaseIntegration(settle=0.3, tolerance_deg_per_s=2.0, tolerance_share=0.1)
    value, _ = total({"integration": WeightedLoss(1.0, loss)}, single)
    value.backward()
    assert torch.isfinite(loss(single)).all()
    assert torch.isfinite(phase.grad).all()


def test_drift_is_the_square_of_the_displacement_beyond_one_turn() -> None:
    values = Drift()(resting(8.0))[:, 0]
    torch.testing.assert_close(values, (8.0 * TIME) ** 2)  # up to 64 rad^2, more than (2 pi)^2


def test_drift_ignores_trials_with_velocity() -> None:
    assert not Drift().where(turning(1.0)).any()


def test_stability_is_the_mean_squared_speed() -> None:
    # raised cosine of height 1 that moves at w: mean over the ring of (dr/dt)^2 = w^2 / 8; chords are 1e-6 shorter
    values = Stability()(resting(0.4))
    torch.testing.assert_close(values, torch.full_like(values, 0.4**2 / 8), rtol=1e-5, atol=0)


def test_quiet_steps_are_those_that_have_settled() -> None:
    velocity = torch.tensor([0.0, 0, 1, 1, 0, 0, 0, 0], dtype=torch.float64)[:, None]
    trials = tasks.Trials(torch.zeros(1, dtype=torch.float64), velocity, DT, ("test",))
    observation = seen(trials, raised_cosine(trials.heading()))
    for settle, wanted in ((0.0, [0, 1, 4, 5, 6, 7]), (0.02, [0, 1, 6, 7]), (1.0, [0, 1])):
        assert observation.quiet(settle)[:, 0].nonzero()[:, 0].tolist() == wanted  # by hand


def test_minimum_speed_is_the_shortfall_of_the_speed() -> None:
    # root mean square slope of a raised cosine of height 1 is 8^(-1/2) = 0.354 per radian, as the loss says
    slope = 8**-0.5
    observation = turning(2.0)
    assert MinimumSpeed(floor=0.99 * slope)(observation).max() < 1e-8
    values = MinimumSpeed(floor=2 * slope)(observation)
    torch.testing.assert_close(values, torch.full_like(values, 0.25), rtol=1e-3, atol=0)


def test_minimum_speed_counts_only_enough_velocity() -> None:
    assert not MinimumSpeed(above=3.0).where(turning(2.0)).any()
    assert MinimumSpeed(settle=0.3).where(turning(2.0))[:, 0].nonzero()[0].item() == 30


def test_bump_adds_the_squares_of_what_is_missing() -> None:
    trials = tasks.rest(n_trials=1, duration=DT, time_step=DT)
    loss = Bump(length_floor=0.6, amplitude_floor=0.5, lowest_mean=0.25, highest_mean=0.9)
    values = loss(seen(trials, raised_cosine(trials.heading(), height=0.4)))
    # length 0.5, amplitude 0.4, mean 0.2; wedges of 22.5 degrees hold 4 of 64 neurons and flatten the extremes by 1 %
    wanted = torch.full_like(values, 0.1**2 + 0.1**2 + 0.05**2)
    torch.testing.assert_close(values, wanted, rtol=0.05, atol=0)


def test_bump_sees_two_opposite_bumps_as_none() -> None:
    trials = tasks.rest(n_trials=1, duration=DT, time_step=DT)
    two = (1 + torch.cos(2 * ANGLE)).expand(2, 1, N) / 2
    loss = Bump(amplitude_floor=0.0, lowest_mean=0.0, highest_mean=1.0)
    torch.testing.assert_close(loss(seen(trials, two)), torch.full((2, 1), 0.25, dtype=torch.float64))


def test_entropy_of_one_active_neuron_that_visits_all_is_zero() -> None:
    trials = tasks.rest(n_trials=N, duration=DT, time_step=DT)
    one_hot = torch.eye(N, dtype=torch.float64).expand(2, N, N)
    assert Entropy()(seen(trials, one_hot)).abs().max() < 1e-3  # smoothing of 1e-6 in 64 neurons


@pytest.mark.parametrize("state", ["uniform", "pinned"])
def test_entropy_of_a_state_that_tells_nothing_is_one(state: str) -> None:
    trials = tasks.rest(n_trials=N, duration=DT, time_step=DT)
    heading = torch.zeros(2, N, dtype=torch.float64)
    rates = raised_cosine(heading) if state == "pinned" else torch.full((2, N, N), 0.5, dtype=torch.float64)
    values = Entropy()(seen(trials, rates))
    torch.testing.assert_close(values, torch.ones_like(values))


def test_entropy_of_a_raised_cosine_is_the_analytic_one() -> None:
    values = Entropy()(resting(0.0, headings=N))
    assert values.mean().item() == pytest.approx(1 - (1 - math.log(2)) / math.log(N), abs=1e-3)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_coverage_finds_the_number_of_stable_headings(n: int) -> None:
    # drift field -e sin(n phase) at rest, even headings: harmonic n has power (e / 2)^2, every other one none
    strength, heads = 0.2, 16
    trials = tasks.rest(n_trials=heads, duration=DT, time_step=DT)
    heading = torch.stack([trials.headings, trials.headings - strength * DT * torch.sin(n * trials.headings)])
    velocity_power = Coverage()(seen(trials, raised_cosine(heading)))[0]
    wanted = torch.zeros(8, dtype=torch.float64)
    wanted[n - 1] = (strength / 2) ** 2
    torch.testing.assert_close(velocity_power, wanted, rtol=1e-6, atol=1e-12)


def test_linear_consistency_needs_no_ring_angle() -> None:
    trials = tasks.consistency(tasks.generator(0, "fit"), n_groups=4, duration=0.5, time_step=DT)
    rates = raised_cosine(trials.headings + trials.displacement().tanh())
    pairs = {"scaled_pairs": trials.scaled_pairs, "equal_pairs": trials.equal_pairs}
    one = seen(trials, rates, **pairs)
    other = replace(one, phase=torch.zeros_like(one.phase))
    assert torch.equal(LinearConsistency()(one), LinearConsistency()(other))


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.5, 0.8])
def test_whole_turns_tell_the_gain(gain: float) -> None:
    """States of raised cosines an angle x apart differ by 1 - cos x: x = 2 pi gain the two ways round, 0 otherwise."""
    for whole_turns, wanted in ((1.0, 1 - math.cos(2 * math.pi * gain)), (0.0, 0.0)):
        random = tasks.generator(0, "fit")
        trials = tasks.consistency(random, n_groups=4, duration=2.0, time_step=DT, whole_turns=whole_turns)
        rates = raised_cosine(trials.headings + gain * trials.displacement())
        pairs = {"scaled_pairs": trials.scaled_pairs, "equal_pairs": trials.equal_pairs}
        values = LinearConsistency(scaled=0.0)(seen(trials, rates, **pairs))[4:]
        assert values.tolist() == pytest.approx([wanted] * 4, abs=1e-9)


def test_linear_consistency_of_paths_with_ratio_two_for_a_scale_of_one() -> None:
    trials = tasks.constant([60.0, 60.0], duration=0.5, time_step=DT)
    heading = trials.headings + trials.displacement() * torch.tensor([2.0, 1.0], dtype=torch.float64)
    first, second, scale = torch.tensor([0]), torch.tensor([1]), torch.ones(1, dtype=torch.float64)
    pairs = tasks.Pairs(first, second, scale)
    values = LinearConsistency()(seen(trials, raised_cosine(heading), scaled_pairs=pairs, equal_pairs=pairs))
    apart = math.radians(30)  # of the end states; |q_i - q_j|^2 / (|q_i|^2 + |q_j|^2) = 1 - cos of it for cosines
    torch.testing.assert_close(
        values, torch.tensor([1 / 9, 1 - math.cos(apart)], dtype=torch.float64), rtol=1e-3, atol=0
    )


def test_parsimony_counts_from_the_start_of_the_fit() -> None:
    gains = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
    observation = replace(resting(0.0), log_gains=gains)
    assert Parsimony(l1=1.0, l2=0.5)(observation).tolist() == [0.0, 1.5, 4.0]
    moved = replace(observation, log_gains_start=torch.ones(3, dtype=torch.float64))
    assert Parsimony(l1=0.0, l2=1.0)(moved).tolist() == [1.0, 0.0, 9.0]


# --- total ------------------------------------------------------------------------------------------------------------


def test_total_is_the_weighted_sum_of_the_means_that_it_reports() -> None:
    terms = {"stability": WeightedLoss(3.0, Stability()), "drift": WeightedLoss(0.5, Drift())}
    value, report = total(terms, resting(0.4))
    assert list(report) == ["stability", "drift"]
    assert report["stability"].item() == pytest.approx(0.4**2 / 8, rel=1e-4)
    assert report["drift"].item() == pytest.approx(((0.4 * TIME[1:]) ** 2).mean().item())
    torch.testing.assert_close(value, 3.0 * report["stability"] + 0.5 * report["drift"])


def test_a_term_that_applies_to_nothing_adds_nothing_and_says_so() -> None:
    terms = {"drift": WeightedLoss(1.0, Drift()), "cue": WeightedLoss(1.0, LOSSES["cue"]())}
    value, report = total(terms, turning(1.0))
    assert report["drift"].isnan()
    assert value == report["cue"]


def test_a_term_of_weight_zero_is_reported_without_a_gradient() -> None:
    observation = resting(0.4)
    rates = observation.rates.clone().requires_grad_()
    value, report = total({"stability": WeightedLoss(0.0, Stability())}, replace(observation, rates=rates))
    assert report["stability"] > 0
    assert value == 0
    assert not value.requires_grad


def test_a_loss_that_is_not_finite_is_not_hidden() -> None:
    observation = resting(0.4)
    value, _ = total(
        {"stability": WeightedLoss(1.0, Stability())}, replace(observation, rates=observation.rates * math.inf)
    )
    assert not torch.isfinite(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedLoss(-1.0, Drift()), "weight: got -1.0"),
        (lambda: WeightedLoss(math.nan, Drift()), "weight: got nan"),
        (lambda: PhaseIntegration(window=-1.0), "window: got -1.0"),
        (lambda: PhaseIntegration(tolerance_deg=-1.0), "tolerance_deg: got -1.0"),
        (lambda: PhaseIntegration(saturation=0.0), "saturation: got 0.0"),
        (lambda: PhaseIntegration(tolerance_share=0.1), "tolerance_share: got 0.1 alone"),
        (lambda: Bump(lowest_mean=0.5, highest_mean=0.1), "highest_mean"),
        (lambda: Coverage(harmonics=0), "harmonics 0"),
        (lambda: LinearConsistency()(resting(0.0)), "without trial pairs"),
        (lambda: Parsimony()(resting(0.0)), "without log_gains"),
    ],
)
def test_options_out_of_range_and_missing_inputs_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_an_observation_of_arrays_that_do_not_fit_is_refused() -> None:
    observation = resting(0.0)
    with pytest.raises(ShapeError, match="velocity: got shape"):
        Observation(
            **{name: getattr(observation, name) for name in Observation.__dataclass_fields__} | _longer(observation)
        )


def _longer(observation: Observation) -> dict[str, Tensor]:
    return {"velocity": torch.cat([observation.velocity, observation.velocity])}
