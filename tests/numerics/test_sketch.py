"""Random sums of residuals give the gradient exactly and the Gauss-Newton matrix on average."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from connectome_sim.errors import FitError, ShapeError, SolveError
from connectome_sim.fit import Stage
from connectome_sim.fit.directions import trainable
from connectome_sim.fit.objective import Objective
from connectome_sim.losses import LOSSES, WeightedLoss
from connectome_sim.model import Drive
from connectome_sim.model.activation import SIGMOID
from connectome_sim.model.parameters import Parameters
from connectome_sim.model.rate import build_network
from connectome_sim.solve import SolveOptions
from connectome_sim.solve.pullback import record
from connectome_sim.tasks import Trials, generator
from tests import typed_ring
from tests.numerics import small

STAGE = Stage(horizon_s=0.5, iterations=1, n_trials=20)
OPTIONS = typed_ring.options(STAGE)


def trials_of(objective: Objective) -> Trials:
    return objective.trials(0, STAGE)


def sketch(objective: Objective, parameters: Parameters, count: int, seed: int = 0):
    random = generator(seed, "sketch")
    return objective.sketch(parameters, trials_of(objective), objective.terms, count=count, random=random)


def gradient(objective: Objective, parameters: Parameters) -> tuple[float, Tensor]:
    value, _ = objective.evaluate(parameters, trials_of(objective), objective.terms)
    found = torch.autograd.grad(value, [parameters.raw[f] for f in trainable(parameters)])
    return float(value.detach()), torch.cat(found).double()


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_total_and_gradient_are_those_of_autograd(method: str) -> None:
    objective, parameters = typed_ring.problem(fit_options=OPTIONS, method=method)
    found = sketch(objective, parameters, 2)
    value, wanted = gradient(objective, parameters)
    assert found.total == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(found.gradient, wanted, rtol=0, atol=1e-9 * float(wanted.abs().max()))
    _, report = objective.evaluate(parameters, trials_of(objective), objective.terms)
    assert found.report == pytest.approx({k: float(v) for k, v in report.items()})


def test_the_matrix_tends_to_that_of_the_jacobian() -> None:
    """By the law of large numbers: with nine times as many sums it is a third as far, if for three seeds only about."""
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    jacobian = objective.linearise(parameters, trials_of(objective), objective.terms).jacobian
    wanted = jacobian.T @ jacobian
    few, many = (
        sum(
            float((sketch(objective, parameters, count, seed).curvature - wanted).norm() / wanted.norm())
            for seed in range(3)
        )
        / 3
        for count in (20, 180)
    )
    assert many < 0.05
    assert many < few / 2


def test_terms_of_gains_alone_enter_exactly() -> None:
    terms = {"parsimony": WeightedLoss(0.1, LOSSES["parsimony"](l1=0.0)), "cue": WeightedLoss(1e-12, LOSSES["cue"]())}
    objective, parameters = typed_ring.problem(terms, fit_options=OPTIONS)
    jacobian = objective.linearise(parameters, trials_of(objective), terms).jacobian
    torch.testing.assert_close(sketch(objective, parameters, 1).curvature, jacobian.T @ jacobian, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_by_trial_are_those_of_each_trial_alone(dtype: torch.dtype) -> None:
    """More trials than one group of lanes has; one of them diverges and has no gradient."""
    batch, steps, diverged = 19, 12, 7
    objective, parameters = typed_ring.problem(fit_options=OPTIONS, dtype=dtype)
    network, n = build_network(objective.wiring, parameters, SIGMOID), objective.wiring.n_neurons
    initial, drive = (
        small.initial(n=n, b=batch).to(dtype),
        small.drive(n=n, b=batch, steps=steps, current=True).to(dtype),
    )
    initial[diverged] = torch.inf
    observed = torch.tensor([4, 0, 33])
    how = {"method": "heun", "step": drive.time_step, "observed": observed, "sample_every": 3}
    random = torch.Generator().manual_seed(0)
    grad_rates, grad_final = torch.randn(5, batch, 3, generator=random), torch.randn(batch, n, generator=random)
    together = record(network, initial, drive, **how)
    assert together.ok.tolist() == [b != diverged for b in range(batch)]
    found = together.pull(grad_rates, grad_final)
    for b in range(batch):
        part = slice(b, b + 1)
        alone = record(network, initial[part], drive.trials(part), **how).pull(grad_rates[:, part], grad_final[part])
        for name in ("gain", "bias", "time_constant", "velocity_input", "initial"):
            assert torch.equal(getattr(found, name)[b], getattr(alone, name)[0]), name
            assert torch.isfinite(getattr(alone, name)).all(), name
            assert bool((getattr(alone, name) != 0).any()) == (b != diverged), name


def test_trials_that_are_compared_share_their_sums() -> None:
    """As above, for residuals that see two trials each: sums by trial would miss what the two have in common."""
    terms = {"consistency": WeightedLoss(1.0, LOSSES["linear_consistency"]())}
    objective, parameters = typed_ring.problem(terms, fit_options=OPTIONS)
    jacobian = objective.linearise(parameters, trials_of(objective), terms).jacobian
    wanted = jacobian.T @ jacobian
    found = sketch(objective, parameters, 180)
    assert float((found.curvature - wanted).norm() / wanted.norm()) < 0.1
    torch.testing.assert_close(found.gradient, gradient(objective, parameters)[1], rtol=1e-6, atol=1e-12)


def test_a_loss_that_is_one_residual_enters_exactly() -> None:
    """By hand: a total v as one residual rho = sqrt(2 v) has d rho = dv / rho."""
    objective, parameters = typed_ring.problem({"entropy": WeightedLoss(0.5, LOSSES["entropy"]())}, fit_options=OPTIONS)
    found, (value, slope) = sketch(objective, parameters, 1), gradient(objective, parameters)
    torch.testing.assert_close(found.curvature, torch.outer(slope, slope) / (2 * value), rtol=1e-6, atol=1e-12)


def test_a_loss_that_compares_all_trials_is_refused() -> None:
    objective, parameters = typed_ring.problem({"c": WeightedLoss(1.0, LOSSES["coverage"]())}, fit_options=OPTIONS)
    with pytest.raises(FitError, match="loss c: compares all trials.*set optimizer sketches to 0"):
        sketch(objective, parameters, 1)


def test_a_total_without_a_loss_of_the_rates_is_refused() -> None:
    objective, parameters = typed_ring.problem({"p": WeightedLoss(1.0, LOSSES["parsimony"]())}, fit_options=OPTIONS)
    with pytest.raises(FitError, match="none of the losses .*'p'.* sees the rates"):
        sketch(objective, parameters, 1)


def test_what_does_not_fit_is_refused_before_compiled_code_sees_it() -> None:
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    network, n = build_network(objective.wiring, parameters, SIGMOID), objective.wiring.n_neurons
    initial, drive, observed = small.initial(n=n, b=5), small.drive(n=n, b=5, steps=12), torch.tensor([4, 0])

    def recorded(initial=initial, drive=drive, observed=observed, sample_every=3):
        return record(network, initial, drive, method="euler", step=drive.time_step, observed=observed,
                      sample_every=sample_every)  # fmt: skip

    for wrong in (
        {"initial": initial[:3]},
        {"initial": initial.float()},
        {"observed": torch.tensor([n])},
        {"observed": torch.tensor([1, 1])},
        {"sample_every": 5},
    ):
        with pytest.raises(ShapeError):
            recorded(**wrong)
    right = recorded()
    for grad_rates, grad_final in ((right.rates[:2], right.final), (right.rates, right.final[:, :2])):
        with pytest.raises(ShapeError, match="pull: got gradients"):
            right.pull(grad_rates, grad_final)


def test_another_backend_is_refused() -> None:
    objective, parameters = typed_ring.problem(fit_options=OPTIONS)
    other = replace(objective, solve=SolveOptions(backend="reference", method="rk4", step=typed_ring.TIME_STEP))
    with pytest.raises(SolveError, match="random sums are carried along"):
        sketch(other, parameters, 1)
    with pytest.raises(SolveError, match="wanted one built from cell-type parameters"):
        plain = replace(build_network(objective.wiring, parameters, SIGMOID).detach(), typed=None)
        drive = Drive(0.01, torch.zeros(2, 1, dtype=torch.float64))
        record(plain, torch.zeros(1, plain.n_neurons, dtype=torch.float64), drive, method="euler", step=0.01,
               observed=torch.tensor([0]))  # fmt: skip
