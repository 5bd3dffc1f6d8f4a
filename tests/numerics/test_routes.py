"""Two ways to one solution: fused and torchdiffeq, with and without gradient, chunked and whole, coarse and fine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from connectome_sim.model import Drive
from connectome_sim.solve import SolveOptions, Status, fused, simulate, solve
from connectome_sim.solve.options import FUSED_METHODS
from tests.numerics import small


@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.parametrize(("method", "same"), [("euler", "euler"), ("heun", "heun2")])
def test_fused_equals_torchdiffeq_with_the_same_method_and_step(method: str, same: str, substeps: int) -> None:
    drive, step = small.drive(current=True), small.DT / substeps
    one = solve(small.network(), small.initial(), drive, SolveOptions(method=method, step=step)).rates
    other = solve(
        small.network(), small.initial(), drive, SolveOptions(backend="reference", method=same, step=step)
    ).rates
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_two_fourth_order_rules_differ_by_their_truncation_error_only() -> None:
    """torchdiffeq's rk4 is the 3/8 rule, ours the classical one; both are fourth order, 1e-12 apart at h/tau = 0.01."""
    one, other = (
        solve(small.network(), small.initial(), small.drive(), SolveOptions(backend=b, method="rk4", step=5e-4)).rates
        for b in ("fused", "reference")
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", FUSED_METHODS)
def test_rates_do_not_depend_on_whether_a_gradient_is_wanted(method: str) -> None:
    """Beyond rounding: without a gradient of single weights another kernel adds up the same terms in another order."""
    network = small.requiring_grad(small.network())
    with_tape, _ = fused.integrate(network, small.initial(), small.drive(), method=method, step=small.DT / 2)
    with torch.no_grad():
        without, _ = fused.integrate(network, small.initial(), small.drive(), method=method, step=small.DT / 2)
    torch.testing.assert_close(with_tape.detach(), without, rtol=0, atol=1e-14)


@pytest.mark.parametrize("chunk", [1, 4, 6, 100])
def test_chunks_of_a_simulation_join_without_a_seam(chunk: int) -> None:
    options = SolveOptions(method="heun", step=small.DT / 2)
    whole = solve(small.network(), small.initial(), small.drive(current=True), options)
    run = simulate(small.network(), small.initial(), small.drive(current=True), options, chunk=chunk)
    assert torch.equal(run.observed, whole.rates)
    assert torch.equal(run.final, whole.rates[-1])
    assert torch.equal(run.times, whole.times)


@pytest.mark.parametrize("kernel", ["sparse", "dense", "reference"])
def test_observed_samples_are_those_of_the_whole_solve(kernel: str) -> None:
    """Rates, times, statuses and the end; a trial that fails between two samples is lost from the next one on."""
    network = small.network("relu")
    if kernel == "dense":
        network = small.requiring_grad(network)
    options = SolveOptions(backend="reference" if kernel == "reference" else "fused", method="euler", step=small.DT / 2)
    start = small.initial()
    start[1, 2] = 1e8
    whole = solve(network, start, small.drive(), options)
    observed = torch.tensor([4, 0, 2])
    part = solve(network, start, small.drive(), options, observed=observed, sample_every=3)
    assert torch.equal(part.times, whole.times[[0, 3, 6]])
    assert part.rates.isnan().any()
    torch.testing.assert_close(part.rates, whole.rates[::3][..., observed], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(part.final, whole.rates[-1], rtol=0, atol=0, equal_nan=True)
    assert part.status.tolist() == whole.status.tolist() == [Status.OK, Status.DIVERGED, Status.OK]


@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_gradients_through_samples_and_end_are_those_of_the_whole_solve(backend: str) -> None:
    options = SolveOptions(backend=backend, method="euler", step=small.DT / 2)
    observed, gradients = torch.tensor([4, 0, 2]), []
    for thinned in (True, False):
        network = small.requiring_grad(small.network())
        if thinned:
            part = solve(network, small.initial(), small.drive(), options, observed=observed, sample_every=3)
            samples, final = part.rates, part.final
        else:
            whole = solve(network, small.initial(), small.drive(), options)
            samples, final = whole.rates[::3][..., observed], whole.rates[-1]
        (samples.square().sum() + final.pow(3).sum()).backward()
        gradients.append((network.weights.grad, network.time_constant.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("method", "ratio"), [("euler", 2), ("heun", 4), ("rk4", 16)])
def test_half_the_step_divides_the_error_by_two_to_the_order(method: str, ratio: int) -> None:
    def end(n: int) -> torch.Tensor:
        return solve(
            small.network(), small.initial(), small.drive(), SolveOptions(method=method, step=small.DT / n)
        ).rates[-1]

    coarse, fine, finest = end(2), end(4), end(8)
    assert float((coarse - fine).norm() / (fine - finest).norm()) == pytest.approx(ratio, rel=0.15)


def test_time_constants_in_hours_or_milliseconds_give_the_same_rates() -> None:
    """Only h / tau enters: scaling all times, and omega k held, changes nothing."""
    network, drive = small.network(), small.drive()
    slow = replace(network, time_constant=network.time_constant * 3600)
    stretched = Drive(drive.time_step * 3600, drive.angular_velocity)
    one = solve(network, small.initial(), drive, SolveOptions(method="rk4", step=small.DT)).rates
    other = solve(slow, small.initial(), stretched, SolveOptions(method="rk4", step=small.DT * 3600)).rates
    torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", FUSED_METHODS)
def test_single_precision_stays_within_rounding_of_double(method: str) -> None:
    """40 steps at eps = 1.2e-7 each, contracting: 1e-5 is generous and a wrong dtype anywhere would show."""
    double = solve(small.network(), small.initial(), small.drive(steps=40), SolveOptions(method=method, step=small.DT))
    f32 = torch.float32
    single = solve(
        small.network(dtype=f32),
        small.initial(dtype=f32),
        small.drive(steps=40, dtype=f32),
        SolveOptions(method=method, step=small.DT),
    )
    assert single.rates.dtype == f32
    torch.testing.assert_close(single.rates.double(), double.rates, rtol=0, atol=1e-5)
