"""One contract for all losses, on rates that are known in closed form: a raised cosine that moves round an even ring.

Ideal: r_i(t, b) = (1 + cos(ring_angle_i - heading_b - displacement_b(t))) / 2 for EPG, constant for all other neurons.
Each row of the table spoils one thing. The table has a row for every loss in the registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from connectome_sim import tasks
from connectome_sim.losses import LOSSES, Loss, Observation, observe
from connectome_sim.readout import Readout

N_EPG, N_OTHER = 16, 4
ANGLE = torch.cat([torch.arange(N_EPG) * (2 * math.pi / N_EPG), torch.full((N_OTHER,), math.nan)]).double()
EPG = torch.arange(N_EPG + N_OTHER) < N_EPG
GAINS = 5


@dataclass(frozen=True)
class Case:
    """Trials, the rates that answer them, and the decoder: everything an observation is made of."""

    trials: tasks.Trials
    rates: Tensor
    ring_angle: Tensor
    epg_mask: Tensor
    log_gains: Tensor
    valid: Tensor | None = None

    def observation(self) -> Observation:
        return observe(
            self.rates,
            read=Readout(self.ring_angle, self.epg_mask).read,
            epg_mask=self.epg_mask,
            velocity=self.trials.angular_velocity,
            displacement_target=self.trials.displacement(),
            cue_heading=self.trials.headings,
            time_step=self.trials.time_step,
            valid=self.valid,
            scaled_pairs=self.trials.scaled_pairs,
            equal_pairs=self.trials.equal_pairs,
            log_gains=self.log_gains,
            log_gains_start=torch.zeros(GAINS, dtype=torch.float64),
        )


def make_trials(*, n_headings: int = 8, n_steps: int = 50) -> tasks.Trials:
    """Every programme from every heading: walking, constant in both directions, rest, and consistency triples."""
    duration, dt = n_steps * 0.02, 0.02
    random = tasks.generator(0, "fit")
    walk = tasks.walking(random, n_trials=1, duration=duration, time_step=dt).angular_velocity.repeat(1, n_headings)
    headings = torch.from_numpy(tasks.headings(n_headings))
    parts = [
        tasks.Trials(headings, walk, dt, ("walking",) * n_headings),
        tasks.constant([120.0, -60.0], headings_per_velocity=n_headings, duration=duration, time_step=dt),
        tasks.rest(n_trials=n_headings, duration=duration, time_step=dt),
        tasks.consistency(random, n_groups=n_headings, duration=duration, time_step=dt),
    ]
    return tasks.concatenate(parts)


def bump(heading: Tensor) -> Tensor:
    """Raised cosine over EPG and a constant rate elsewhere [..., neuron]."""
    return torch.where(EPG, (1 + torch.cos(ANGLE.nan_to_num() - heading[..., None])) / 2, 0.3)


def make_case(trials: tasks.Trials, rates: Tensor) -> Case:
    return Case(trials, rates, ANGLE, EPG, torch.zeros(GAINS, dtype=torch.float64))


def make_ideal() -> Case:
    trials = make_trials()
    return make_case(trials, bump(trials.heading()))


def make_random(*, n_headings: int = 2, n_steps: int = 8) -> Case:
    """Rates that are nothing in particular, for claims that must hold for all rates."""
    trials = make_trials(n_headings=n_headings, n_steps=n_steps)
    generator = torch.Generator().manual_seed(7)
    shape = (n_steps + 1, trials.n_trials, N_EPG + N_OTHER)
    case = make_case(trials, 0.05 + 0.9 * torch.rand(shape, generator=generator, dtype=torch.float64))
    return replace(case, log_gains=torch.randn(GAINS, generator=generator, dtype=torch.float64))


def mean_where(loss: Loss, observation: Observation) -> Tensor:
    values, where = loss(observation), loss.where(observation)
    assert where.any(), "the case does not exercise this loss"
    return values[where].mean()


# --- what spoils the ideal, with a strength ---------------------------------------------------------------------------


def with_gain(case: Case, strength: float) -> Case:
    """The bump under-integrates."""
    trials = case.trials
    return replace(case, rates=bump(trials.headings + (1 - strength) * trials.displacement()))


def saturating(case: Case, strength: float) -> Case:
    """The bump follows omega / (1 + strength |omega|): not proportional."""
    omega = case.trials.angular_velocity
    moved = tasks.integrate(omega / (1 + strength * omega.abs()), case.trials.time_step)
    return replace(case, rates=bump(case.trials.headings + moved))


def drifting(case: Case, strength: float) -> Case:
    """The bump drifts at ``strength`` rad/s, with or without input."""
    time = torch.arange(case.trials.n_steps + 1) * case.trials.time_step
    return replace(case, rates=bump(case.trials.heading() + strength * time[:, None]))


def sluggish(case: Case, strength: float) -> Case:
    """The bump is nearly pinned: it does ``1 - strength`` of a twentieth of what it should."""
    return with_gain(case, 1 - (1 - strength) / 20)


def flat(case: Case, strength: float) -> Case:
    """The bump melts into uniform activity."""
    return replace(case, rates=(1 - strength) * case.rates + strength * 0.5)


def off_cue(case: Case, strength: float) -> Case:
    """The bump starts beside the cue."""
    return replace(case, rates=bump(case.trials.heading() + strength))


def uneven(case: Case, strength: float) -> Case:
    """The bump is larger at some headings than at others."""
    scale = 1 + strength * torch.cos(case.trials.heading())
    return replace(case, rates=case.rates * scale[..., None] / (1 + strength))


def heavy_gains(case: Case, strength: float) -> Case:
    """Gains far from the raw connectome."""
    return replace(case, log_gains=torch.full((GAINS,), strength, dtype=torch.float64))


@dataclass(frozen=True)
class Row:
    minimum: float  # at the ideal, as the loss states it
    tolerance: float
    spoil: Callable[[Case, float], Case]
    shape: Callable[[Case], tuple[int, ...]]


def per_sample(case: Case) -> tuple[int, ...]:
    return case.rates.shape[:2]


def per_step(case: Case) -> tuple[int, ...]:
    return case.rates.shape[0] - 1, case.rates.shape[1]


def per_pair(case: Case) -> tuple[int, ...]:
    return (len(case.trials.scaled_pairs.first) + len(case.trials.equal_pairs.first),)


RAISED_COSINE = 1 - (1 - math.log(2)) / math.log(N_EPG)  # analytic, for a ring of many neurons

TABLE = {
    "phase_integration": Row(0.0, 1e-12, with_gain, per_sample),
    # chords instead of arcs, and the guards against 0/0
    "linear_consistency": Row(0.0, 1e-6, saturating, per_pair),
    "stability": Row(0.0, 1e-12, drifting, per_step),
    "drift": Row(0.0, 1e-12, drifting, per_sample),
    "minimum_speed": Row(0.0, 1e-12, sluggish, per_step),
    "bump": Row(0.0, 1e-12, flat, per_sample),
    # 16 neurons sample the logarithm near the trough coarsely
    "entropy": Row(RAISED_COSINE, 0.001, flat, per_sample),
    "cue": Row(0.0, 1e-12, off_cue, lambda case: case.rates.shape[1:2]),
    # 16 wedges see the height of the peak to 2 %, in harmonics that 8 headings alias
    "coverage": Row(0.0, 1e-6, uneven, lambda _: (2, 8)),
    "parsimony": Row(0.0, 0.0, heavy_gains, lambda _: (GAINS,)),
}


@pytest.fixture(scope="module")
def ideal() -> Case:
    return make_ideal()


def test_every_loss_is_in_the_table() -> None:
    assert set(TABLE) == set(LOSSES)


@pytest.mark.parametrize("name", TABLE)
def test_loss_is_at_its_minimum_at_the_ideal(name: str, ideal: Case) -> None:
    row = TABLE[name]
    assert mean_where(LOSSES[name](), ideal.observation()).item() == pytest.approx(row.minimum, abs=row.tolerance)


@pytest.mark.parametrize("name", TABLE)
def test_loss_grows_with_the_violation(name: str, ideal: Case) -> None:
    row, loss = TABLE[name], LOSSES[name]()
    values = [
        mean_where(loss, case.observation()).item() for case in (ideal, row.spoil(ideal, 0.3), row.spoil(ideal, 0.6))
    ]
    assert values[0] + 10 * row.tolerance < values[1] < values[2]


@pytest.mark.parametrize("name", TABLE)
def test_values_and_where_have_the_documented_shape(name: str, ideal: Case) -> None:
    loss, observation = LOSSES[name](), ideal.observation()
    assert loss(observation).shape == loss.where(observation).shape == TABLE[name].shape(ideal)
    assert loss.where(observation).dtype == torch.bool


@pytest.mark.parametrize("rotation", [0.1, 1.7, -2.9])
@pytest.mark.parametrize("name", TABLE)
def test_loss_does_not_depend_on_which_heading_is_called_zero(name: str, rotation: float) -> None:
    case = make_random()
    trials = replace(case.trials, headings=case.trials.headings + rotation)
    turned = replace(case, trials=trials, ring_angle=case.ring_angle + rotation)
    loss = LOSSES[name]()
    torch.testing.assert_close(mean_where(loss, turned.observation()), mean_where(loss, case.observation()))


@pytest.mark.parametrize("name", TABLE)
def test_loss_does_not_depend_on_the_order_of_neurons(name: str) -> None:
    case = make_random()
    order = torch.randperm(N_EPG + N_OTHER, generator=torch.Generator().manual_seed(1))
    relabelled = replace(
        case, rates=case.rates[..., order], ring_angle=case.ring_angle[order], epg_mask=case.epg_mask[order]
    )
    loss = LOSSES[name]()
    torch.testing.assert_close(mean_where(loss, relabelled.observation()), mean_where(loss, case.observation()))


@pytest.mark.parametrize("name", TABLE)
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    case, loss = make_random(n_headings=1, n_steps=5), LOSSES[name]()
    rates, log_gains = case.rates.clone().requires_grad_(), case.log_gains.clone().requires_grad_()

    def value(rates: Tensor, log_gains: Tensor) -> Tensor:
        return mean_where(loss, replace(case, rates=rates, log_gains=log_gains).observation())

    # fast mode: along random directions, which any wrong entry would show in
    assert torch.autograd.gradcheck(value, (rates, log_gains), fast_mode=True)


@pytest.mark.parametrize("state", ["ideal", "silent", "uniform", "saturated"])
@pytest.mark.parametrize("name", TABLE)
def test_gradient_is_finite_also_where_there_is_no_bump(name: str, state: str, ideal: Case) -> None:
    level = {"silent": 0.0, "uniform": 0.3, "saturated": 1.0}
    rates = (ideal.rates if state == "ideal" else torch.full_like(ideal.rates, level[state])).clone().requires_grad_()
    log_gains = ideal.log_gains.clone().requires_grad_()
    mean_where(LOSSES[name](), replace(ideal, rates=rates, log_gains=log_gains).observation()).backward()
    gradients = [leaf.grad for leaf in (rates, log_gains) if leaf.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", TABLE)
def test_a_failed_trial_has_no_influence(name: str) -> None:
    case, loss = make_random(), LOSSES[name]()
    failed = torch.tensor([0, 2, case.trials.n_trials - 1])  # walking, constant, and one trial of two pairs
    valid = torch.ones(case.trials.n_trials, dtype=torch.bool).index_fill(0, failed, False)
    log_gains = case.log_gains.clone().requires_grad_()
    values = []
    for content in (0.5, math.nan, math.inf):
        rates = case.rates.index_fill(1, failed, content).requires_grad_()
        value = mean_where(loss, replace(case, rates=rates, log_gains=log_gains, valid=valid).observation())
        value.backward()
        values.append(value.item())
        assert rates.grad is None or (torch.isfinite(rates.grad).all() and (rates.grad[:, failed] == 0).all())
    assert math.isfinite(values[0])
    assert values == [values[0]] * 3
    others = replace(case, valid=valid, log_gains=log_gains).observation()
    assert mean_where(loss, others).item() == values[0]


@pytest.mark.parametrize("name", TABLE)
def test_a_loss_is_a_pure_function(name: str) -> None:
    case, loss = make_random(), LOSSES[name]()
    observation, rates = case.observation(), case.rates.clone()
    assert torch.equal(loss(observation), loss(observation))
    assert torch.equal(case.rates, rates)
    assert loss == LOSSES[name]()
