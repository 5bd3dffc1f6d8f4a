"""Gradients of the solvers: finite differences, plain autograd and the adjoint equation agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from connectome_sim.model import Drive
from connectome_sim.model.activation import ACTIVATIONS
from connectome_sim.solve import SolveOptions, Status, fused, solve
from connectome_sim.solve.options import FIXED_METHODS, FUSED_METHODS
from connectome_sim.solve.problem import Problem
from tests.numerics import small

NAMES = ("weights", "bias", "time_constant", "velocity_input")


@pytest.mark.parametrize("substeps", [1, 2])
@pytest.mark.parametrize("method", FUSED_METHODS)
def test_fused_gradient_with_respect_to_every_argument_by_finite_differences(method: str, substeps: int) -> None:
    network = small.network(n=3)
    start, drive = small.initial(n=3, b=2), small.drive(n=3, b=2, steps=3, current=True)
    assert drive.current is not None

    def rates_and_end(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        changed = replace(network, **dict(zip(NAMES, tensors[:4], strict=True)))
        moved = Drive(drive.time_step, tensors[5], tensors[6])
        return fused.integrate(changed, tensors[4], moved, method=method, step=drive.time_step / substeps)

    inputs = [*(getattr(network, name) for name in NAMES), start, drive.angular_velocity, drive.current]
    assert torch.autograd.gradcheck(rates_and_end, [t.clone().requires_grad_() for t in inputs], eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("method", FUSED_METHODS)
def test_fused_equals_plain_autograd_in_value_and_gradient(method: str, activation: str) -> None:
    drive = small.drive(steps=40)  # more than one block of the backward pass
    results = []
    for route in ("fused", "plain"):
        network, start = small.requiring_grad(small.network(activation)), small.initial().requires_grad_()
        if route == "fused":
            rates, _ = fused.integrate(network, start, drive, method=method, step=drive.time_step / 2)
        else:
            rates = small.plain_steps(network, start, drive, method=method, substeps=2)
        weight = torch.linspace(-1, 1, rates.numel(), dtype=rates.dtype).view_as(
            rates
        )  # every entry counts differently
        (weight * rates).sum().backward()
        results.append([rates.detach(), start.grad, *(getattr(network, name).grad for name in NAMES)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", [*FIXED_METHODS, "dopri5", "dopri8", "bosh3", "adaptive_heun", "fehlberg2"])
def test_reference_backpropagates_the_gradient_of_the_fused_rk4(method: str) -> None:
    """Accuracy of the method is the only difference: 1 % for Euler at 1 ms, far less for the others."""
    drive = small.drive(steps=3)
    fixed = method in FIXED_METHODS
    options = (
        SolveOptions(backend="reference", method=method, step=1e-3)
        if fixed
        else SolveOptions(backend="reference", method=method, rtol=1e-5, atol=1e-7)
    )
    gradients = []
    for chosen in (options, SolveOptions(method="rk4", step=1e-3)):
        network = small.requiring_grad(small.network())
        solve(network, small.initial(), drive, chosen).rates.square().sum().backward()
        gradients.append(network)
    for name in NAMES:
        one, other = (getattr(network, name).grad for network in gradients)
        torch.testing.assert_close(
            one, other, rtol=0, atol=float(other.abs().max()) * (2e-2 if method == "euler" else 1e-3)
        )


@pytest.mark.parametrize("method", ["rk4", "dopri5", "scipy_solver"])
def test_adjoint_and_backpropagation_agree(method: str) -> None:
    drive = small.drive(steps=3, current=True)
    settings = {"step": 1e-3} if method == "rk4" else {"rtol": 1e-9, "atol": 1e-11}
    backprop_method = "dopri5" if method == "scipy_solver" else method  # SciPy's solver has no other gradient
    gradients = []
    for chosen, adjoint in ((method, True), (backprop_method, False)):
        network, start = small.requiring_grad(small.network()), small.initial().requires_grad_()
        options = SolveOptions(backend="reference", method=chosen, adjoint=adjoint, **settings)
        solve(network, start, drive, options).rates.square().sum().backward()
        gradients.append([start.grad, *(getattr(network, name).grad for name in NAMES)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_gradient_reaches_the_drive(backend: str) -> None:
    drive = small.drive(steps=3, current=True)
    assert drive.current is not None
    leaves = [drive.angular_velocity.clone().requires_grad_(), drive.current.clone().requires_grad_()]
    moving = Drive(drive.time_step, *leaves)
    solve(
        small.network(), small.initial(), moving, SolveOptions(backend=backend, method="rk4", step=0.01)
    ).rates.sum().backward()
    assert all(leaf.grad is not None and (leaf.grad != 0).all() for leaf in leaves)


@pytest.mark.parametrize("method", FUSED_METHODS)
def test_a_diverged_trial_leaves_the_gradient_of_the_others_as_if_it_were_not_there(method: str) -> None:
    drive = small.drive(steps=4, b=2)
    options = SolveOptions(method=method, step=drive.time_step)
    start = small.initial(b=2)
    start[0] = float("inf")
    gradients = []
    for trials in (slice(0, 2), slice(1, 2)):
        network = small.requiring_grad(small.network("relu"))
        solution = solve(network, start[trials], drive.trials(trials), options)
        torch.where(solution.ok[None, :, None], solution.rates, 0.0).square().sum().backward()
        gradients.append([getattr(network, name).grad for name in NAMES])
        assert solution.status[-1] == Status.OK
    for both, alone in zip(*gradients, strict=True):
        torch.testing.assert_close(both, alone, rtol=1e-12, atol=1e-14)


def test_no_tape_is_kept_without_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    for kernel in (fused.SPARSE, fused.DENSE):

        def forward(self: object, problem: Problem, *, keep: bool, plain: Any = kernel.forward) -> Any:
            kept.append(keep)
            return plain(problem, keep=keep)

        monkeypatch.setattr(type(kernel), "forward", forward)
    network = small.requiring_grad(small.network())
    with torch.no_grad():
        fused.integrate(network, small.initial(), small.drive(), method="rk4", step=small.DT)
    fused.integrate(network, small.initial(), small.drive(), method="rk4", step=small.DT)
    assert kept == [False, True]
