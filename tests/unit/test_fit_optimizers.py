"""The optimisers on problems whose answer is known: a target to recover, and quadratics in place of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from connectome_sim.errors import FitError
from connectome_sim.fit import Adam, GaussNewton, Stage
from connectome_sim.fit.linearise import Linearised
from connectome_sim.fit.objective import Objective
from connectome_sim.losses import Observation, WeightedLoss
from connectome_sim.model.parameters import Parameters
from tests import typed_ring

STAGE = Stage(horizon_s=0.3, iterations=1, n_trials=10)
OPTIONS = typed_ring.options(STAGE)


# --- a network with a known answer ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Target:
    """A stub of a loss: squared distance of every rate from given ones."""

    rates: Tensor

    def __call__(self, observation: Observation) -> Tensor:
        return (observation.epg_rates - self.rates).square()

    def where(self, observation: Observation) -> Tensor:
        return torch.ones_like(observation.epg_rates, dtype=torch.bool)


@dataclass(frozen=True, eq=False)
class Seen:
    """A stub of a loss that keeps the rates it is shown."""

    rates: list[Tensor] = field(default_factory=list)

    def __call__(self, observation: Observation) -> Tensor:
        self.rates.append(observation.epg_rates.detach())
        return observation.phase

    def where(self, observation: Observation) -> Tensor:
        return torch.ones_like(observation.phase, dtype=torch.bool)


def recovery() -> tuple[Objective, Parameters, dict[str, Tensor]]:
    """Parameters moved away from those that made the target, and what these were."""
    spec = typed_ring.spec(trainable=frozenset({"time_constant", "velocity_gain"}))
    objective, parameters = typed_ring.problem(parameter_spec=spec, fit_options=OPTIONS)
    seen = Seen()
    objective.evaluate(parameters, objective.trials(0, STAGE), {"seen": WeightedLoss(1.0, seen)})
    truth = {family: parameters.values(family).detach().clone() for family in spec.trainable}
    parameters.set_("time_constant", truth["time_constant"] * torch.tensor([1.5, 0.7, 1.3]))
    parameters.set_("velocity_gain", 2.0 * truth["velocity_gain"])
    terms = {"target": WeightedLoss(1e6, Target(seen.rates[0]))}  # so that damping does not slow the last steps down
    return replace(objective, terms=terms), parameters, truth


def test_gauss_newton_recovers_the_parameters_that_made_the_target() -> None:
    objective, parameters, truth = recovery()
    running, trials = GaussNewton(damping=1e-3, memory=0.0).start(parameters), objective.trials(0, STAGE)
    totals = [running.step(objective, trials, objective.terms, 0.0).total for _ in range(9)]
    # as long as rounding does not decide; a total of 1e-20 is a rate known to 1e-11
    falling = [total for total in totals if total > 1e-20]
    assert falling == sorted(falling, reverse=True)
    assert totals[-1] < 1e-12 * totals[0]
    for family, values in truth.items():
        torch.testing.assert_close(parameters.values(family).detach(), values, rtol=1e-6, atol=0)


def test_what_is_not_trainable_stays() -> None:
    spec = typed_ring.spec(trainable=frozenset({"time_constant", "velocity_gain"}))
    objective, parameters = typed_ring.problem(parameter_spec=spec, fit_options=OPTIONS)
    before = {family: parameters.raw[family].detach().clone() for family in ("gain", "threshold")}
    for method in (Adam(), GaussNewton()):
        method.start(parameters).step(objective, objective.trials(0, STAGE), objective.terms, 0.0)
    for family, raw in before.items():
        assert torch.equal(parameters.raw[family], raw)


@pytest.mark.parametrize("method", [Adam(learning_rate=0.01, warm_up=0), GaussNewton(), GaussNewton(sketches=8)])
def test_the_losses_of_a_fit_fall_on_a_batch_that_stays(method: Adam | GaussNewton) -> None:
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    running, trials = method.start(parameters), objective.trials(0, STAGE)
    totals = [running.step(objective, trials, objective.terms, 0.0).total for _ in range(6)]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < (0.6 if isinstance(method, Adam) else 0.1) * totals[0]


# --- quadratics in place of a network ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Quadratic(Objective):
    """A stub: residuals A (x - x0) of the raw gains x, whatever the trials."""

    matrix: Tensor = field(default_factory=lambda: torch.eye(7, dtype=torch.float64))
    optimum: Tensor = field(default_factory=lambda: torch.zeros(7, dtype=torch.float64))
    answers: list[float] = field(default_factory=list)  # what evaluate says instead of the truth, in order

    def residuals(self, parameters: Parameters) -> Tensor:
        return self.matrix @ (parameters.raw["gain"] - self.optimum)

    def evaluate(self, parameters: Parameters, *_args: Any, **_options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        value = self.residuals(parameters).square().sum() / 2
        if self.answers:
            value = value * 0.0 + self.answers.pop(0)
            if torch.isinf(value):
                raise FitError("all trials diverged")
        return value, {"quadratic": value.detach()}

    def linearise(self, parameters: Parameters, *_args: Any, **_options: Any) -> Linearised:
        residuals = self.residuals(parameters).detach()
        return Linearised(float(residuals.square().sum() / 2), {"quadratic": 0.0}, residuals, self.matrix)


def quadratic(**changes: Any) -> tuple[Quadratic, Parameters]:
    spec = typed_ring.spec(trainable=frozenset({"gain"}))
    objective, parameters = typed_ring.problem(parameter_spec=spec, fit_options=OPTIONS)
    stub = Quadratic(**{f.name: getattr(objective, f.name) for f in fields(objective)} | changes)
    return stub, parameters


def step_of(method: Adam | GaussNewton, objective: Objective, parameters: Parameters) -> tuple[Any, dict[str, float]]:
    running = method.start(parameters)
    return running, dict(running.step(objective, objective.trials(0, STAGE), {}, 0.0).numbers)


def test_a_gauss_newton_step_solves_the_damped_normal_equations() -> None:
    matrix = torch.randn(20, 7, dtype=torch.float64)
    objective, parameters = quadratic(matrix=matrix)
    before = parameters.raw["gain"].detach().clone()
    _, numbers = step_of(GaussNewton(damping=0.5, largest_move=100.0), objective, parameters)
    normal = matrix.T @ matrix + 0.5 * torch.eye(7, dtype=torch.float64)
    wanted = before - torch.linalg.inv(normal) @ matrix.T @ matrix @ before
    torch.testing.assert_close(parameters.raw["gain"].detach(), wanted)
    assert numbers["damping"] == pytest.approx(0.5 / 3)  # it went well: less of it next time
    assert numbers["largest_move"] == pytest.approx(float((wanted - before).abs().max()))


def test_damping_rises_until_no_parameter_moves_too_far() -> None:
    objective, parameters = quadratic()  # the optimum is some 2.7 away
    before = parameters.raw["gain"].detach().clone()
    _, numbers = step_of(GaussNewton(damping=1e-6, largest_move=0.5), objective, parameters)
    moved = (parameters.raw["gain"].detach() - before).abs().max()
    assert 0.5 / 1.5 < moved <= 0.5  # damping goes up by half at a time
    assert numbers["largest_move"] == pytest.approx(float(moved))


def test_a_refused_step_raises_damping_and_is_tried_again_shorter() -> None:
    objective, parameters = quadratic(answers=[1e9, math.nan])
    start = GaussNewton(damping=0.1, largest_move=100.0)
    _, numbers = step_of(start, objective, parameters)
    assert numbers["damping"] == pytest.approx(0.1 * 5 * 5 / 3)  # refused twice, then taken
    assert numbers["largest_move"] > 0
    assert numbers["total_after"] == pytest.approx(float(objective.residuals(parameters).square().sum().detach() / 2))


def test_a_step_whose_trials_diverge_is_refused_and_does_not_end_the_fit() -> None:
    objective, parameters = quadratic(answers=[math.inf])
    _, numbers = step_of(GaussNewton(damping=0.1, largest_move=100.0), objective, parameters)
    assert numbers["damping"] == pytest.approx(0.1 * 5 / 3)
    assert numbers["largest_move"] > 0


def test_the_curvature_of_earlier_batches_fades_and_outlives_the_horizon() -> None:
    matrix = torch.randn(20, 7, dtype=torch.float64)
    objective, parameters = quadratic(matrix=matrix)
    running, damping = GaussNewton(damping=0.5, memory=0.6, largest_move=100.0).start(parameters), 0.5
    longer = objective.trials(0, replace(STAGE, horizon_s=0.4))
    own, earlier = matrix.T @ matrix, 0.0
    for trials in (objective.trials(0, STAGE), objective.trials(1, STAGE), objective.trials(2, STAGE), longer):
        before = parameters.raw["gain"].detach().clone()
        normal = own * (1 + earlier) + damping * torch.eye(7, dtype=torch.float64)
        running.step(objective, trials, {}, 0.0)
        wanted = before - torch.linalg.inv(normal) @ own @ before
        torch.testing.assert_close(parameters.raw["gain"].detach(), wanted)
        damping, earlier = damping / 3, 0.6 * (earlier + 1)


def test_a_gain_on_one_batch_that_earlier_ones_would_pay_for_is_refused() -> None:
    objective, parameters = quadratic(matrix=10 * torch.eye(7, dtype=torch.float64))
    running = GaussNewton(memory=0.6).start(parameters)
    first = running.step(objective, objective.trials(0, STAGE), {}, 0.0).numbers
    objective.answers.append(0.999 * first["total_after"])  # a little better, far away
    second = running.step(objective, objective.trials(1, STAGE), {}, 0.0).numbers
    assert second["damping"] > first["damping"]
    plain, parameters = quadratic(matrix=10 * torch.eye(7, dtype=torch.float64))
    running = GaussNewton(memory=0.0).start(parameters)
    first = running.step(plain, plain.trials(0, STAGE), {}, 0.0).numbers
    plain.answers.append(0.999 * first["total_after"])
    assert running.step(plain, plain.trials(1, STAGE), {}, 0.0).numbers["damping"] < first["damping"]


def test_high_damping_falls_faster() -> None:
    """What one bad batch drove up must not slow down the next ones: by 9 instead of 3 from 10 on."""
    for damping, fall in ((9.0, 3.0), (45.0, 9.0)):
        objective, parameters = quadratic()
        _, numbers = step_of(GaussNewton(damping=damping, largest_move=100.0), objective, parameters)
        assert numbers["damping"] == pytest.approx(damping / fall)


def test_parameters_stay_where_no_step_helps_and_damping_starts_anew() -> None:
    objective, parameters = quadratic(answers=[1e9] * 8)
    before = parameters.raw["gain"].detach().clone()
    running, numbers = step_of(GaussNewton(damping=0.1, largest_move=100.0), objective, parameters)
    assert torch.equal(parameters.raw["gain"], before)
    assert numbers["largest_move"] == 0.0
    assert numbers["total_after"] == pytest.approx(float(objective.residuals(parameters).square().sum().detach() / 2))
    assert not objective.answers  # all eight tries were made
    assert numbers["damping"] == 1.0
    numbers = dict(running.step(objective, objective.trials(0, STAGE), {}, 0.0).numbers)
    assert numbers["largest_move"] > 0
    assert numbers["damping"] == pytest.approx(1 / 3)


def test_a_jacobian_that_is_not_finite_ends_the_step() -> None:
    objective, parameters = quadratic(matrix=torch.full((3, 7), math.nan, dtype=torch.float64))
    with pytest.raises(FitError, match="the loss is nan"):
        step_of(GaussNewton(), objective, parameters)
    good, parameters = quadratic()
    spoiled = Linearised(1.0, {}, torch.ones(7, dtype=torch.float64), torch.full((7, 7), math.nan, dtype=torch.float64))
    object.__setattr__(good, "linearise", lambda *_args: spoiled)
    with pytest.raises(FitError, match="step is not finite"):
        step_of(GaussNewton(), good, parameters)


def test_adam_clips_a_long_gradient_and_leaves_a_short_one() -> None:
    for scale, clipped in ((1e3, True), (1e-3, False)):
        objective, parameters = quadratic(matrix=scale * torch.eye(7, dtype=torch.float64))
        gradient = scale**2 * parameters.raw["gain"].detach()
        _, numbers = step_of(Adam(gradient_clip=1.0), objective, parameters)
        used = parameters.raw["gain"].grad
        assert used is not None
        assert numbers["gradient_norm"] == pytest.approx(float(gradient.norm()))  # the one before clipping
        torch.testing.assert_close(used, gradient / gradient.norm() if clipped else gradient, rtol=1e-6, atol=0)


def test_adams_learning_rate_warms_up_and_decays() -> None:
    method = Adam(learning_rate=0.1, final_share=0.2, warm_up=4)
    objective, parameters = quadratic()
    running = method.start(parameters)
    rates = [
        running.step(objective, objective.trials(0, STAGE), {}, k / 8).numbers["learning_rate"] for k in range(9)
    ]  # the last at progress 1
    decay = [0.2 + 0.8 * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(9)]
    assert rates == pytest.approx([0.1 * d * min(1.0, (k + 1) / 4) for k, d in enumerate(decay)])
    assert rates[-1] == pytest.approx(0.02)


def test_adam_stops_at_a_loss_that_is_not_finite_and_moves_nothing() -> None:
    objective, parameters = quadratic(answers=[math.nan])
    before = parameters.raw["gain"].detach().clone()
    with pytest.raises(FitError, match="the loss is nan"):
        step_of(Adam(), objective, parameters)
    assert torch.equal(parameters.raw["gain"], before)


@pytest.mark.parametrize("method", [Adam(), GaussNewton()])
def test_a_state_goes_on_exactly_and_is_not_written_to_by_later_steps(method: Adam | GaussNewton) -> None:
    objective, parameters = quadratic(matrix=torch.randn(20, 7, dtype=torch.float64))
    trials = objective.trials(0, STAGE)
    running = method.start(parameters)
    running.step(objective, trials, {}, 0.0)
    state, raw = running.state(), parameters.raw["gain"].detach().clone()
    ends = []
    for attempt in range(4):  # without interruption, then from the same state after others have gone on from it
        if attempt:
            with torch.no_grad():
                parameters.raw["gain"].copy_(raw)
            running = method.start(parameters)
            running.load(state)
        running.step(objective, trials, {}, 0.2)
        running.step(objective, trials, {}, 0.4)
        ends.append(parameters.raw["gain"].detach().clone())
    assert all(torch.equal(ends[0], end) for end in ends[1:])
