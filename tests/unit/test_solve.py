"""Claims about the entry point: what is refused, what becomes of trials that fail, and how a long run is observed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from connectome_sim.errors import ShapeError, SolveError, StepError
from connectome_sim.model import Drive, RateNetwork
from connectome_sim.solve import SolveOptions, Status, simulate, solve
from connectome_sim.solve.options import ADAPTIVE_METHODS, FIXED_METHODS, FUSED_METHODS

FUSED = [("fused", method) for method in FUSED_METHODS]
FIXED = [*FUSED, *(("reference", method) for method in FIXED_METHODS)]
ADAPTIVE = [("reference", method) for method in ADAPTIVE_METHODS]


def network(*, weight: float = 0.0, tau: float = 0.1, activation: str = "relu") -> RateNetwork:
    """Two neurons; 1 drives 0 with ``weight`` and itself with nothing, 0 drives itself with ``weight``."""
    return RateNetwork.from_arrays([[weight, weight], [0, 0]], [0, 0], [tau, tau], [0, 0], activation=activation)


def drive(steps: int = 5, trials: int = 3, time_step: float = 0.02) -> Drive:
    return Drive(time_step, torch.zeros(steps, trials, dtype=torch.float64))


def start(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def options(backend: str, method: str) -> SolveOptions:
    if (backend, method) in FIXED:
        return SolveOptions(backend=backend, method=method, step=0.01)
    return SolveOptions(backend=backend, method=method, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("backend", "method"), FIXED + ADAPTIVE)
def test_every_method_decays_as_the_equation_says(backend: str, method: str) -> None:
    """Analytic: without weights and input, r = r0 e^(-t/tau); Euler at h/tau = 0.1 is 0.02 away after one tau.

    fehlberg2 estimates its error as h^2 / 512, blind to its own h^3 / 6, so it takes h = 0.2 tau: 0.0025 away.
    """
    rates = solve(network(), start((0.5, 1.0)), drive(trials=1), options(backend, method)).rates
    assert rates[-1, 0].tolist() == pytest.approx(
        [0.5 / math.e, 1 / math.e], abs={"euler": 0.02, "fehlberg2": 0.003}.get(method, 1e-3)
    )
    assert torch.equal(rates[0], start((0.5, 1.0)))


@pytest.mark.parametrize(("backend", "method"), FIXED + ADAPTIVE)
def test_who_drives_whom(backend: str, method: str) -> None:
    """Weights are [post, pre]: neuron 0 hears neuron 1, not the other way round."""
    one_way = RateNetwork.from_arrays([[0, 1], [0, 0]], [0, 0], [0.1, 0.1], [0, 0], activation="relu")
    rates = solve(one_way, start((0.0, 1.0), (1.0, 0.0)), drive(trials=2), options(backend, method)).rates
    assert rates[-1, 0, 0] > 0.1
    assert rates[-1, 1, 1] == 0


@pytest.mark.parametrize(("backend", "method"), FIXED + ADAPTIVE)
def test_a_trial_that_diverges_is_marked_and_leaves_the_others_alone(backend: str, method: str) -> None:
    """Self-excitation of 2000 over tau: e^(2000 t / tau) from 1, beyond any bound within 0.1 s; from 0 it stays 0."""
    explosive = network(weight=2000.0)
    solution = solve(explosive, start((0.0, 0.0), (1.0, 0.0), (0.0, 0.0)), drive(), options(backend, method))
    assert solution.status[1] in (Status.DIVERGED, Status.STALLED)
    assert solution.status[[0, 2]].tolist() == [Status.OK, Status.OK]
    assert solution.ok.tolist() == [True, False, True]
    assert (solution.rates[:, [0, 2]] == 0).all()
    bad = solution.rates[:, 1].isnan().all(dim=1)
    assert bad[-1] and not bad[0] and (bad.int().diff() >= 0).all()  # NaN from the first bad time on
    assert solution.rates[:, 1][~bad].isfinite().all()


@pytest.mark.parametrize(("backend", "method"), FUSED)
def test_divergence_is_named_where_the_solver_went_on(backend: str, method: str) -> None:
    solution = solve(network(weight=2000.0), start((1.0, 0.0)), drive(trials=1), options(backend, method))
    assert solution.status.tolist() == [Status.DIVERGED]


def test_a_finite_rate_beyond_the_bound_is_divergence_too() -> None:
    """1e7 is finite, decays, and is not a firing rate relative to a maximum."""
    solution = solve(network(), start((1e7, 0.0)), drive(trials=1), SolveOptions(step=0.01))
    assert solution.status.tolist() == [Status.DIVERGED]


def test_a_solver_out_of_steps_is_stalled() -> None:
    """From 0 nothing happens and 7 steps suffice; the other trial turns 160 times in a step of the drive."""
    oscillating = RateNetwork.from_arrays([[0, -60], [60, 0]], [0, 0], [1e-3, 1e-3], [0, 0], activation="tanh")
    hurried = SolveOptions(backend="reference", method="dopri5", max_steps=12)
    solution = solve(oscillating, start((0.0, 0.0), (0.5, 0.0)), drive(trials=2), hurried)
    assert solution.status.tolist() == [Status.OK, Status.STALLED]
    assert solution.rates[-1, 1].isnan().all()


@pytest.mark.parametrize("method", [*FUSED_METHODS])
def test_a_step_that_cannot_resolve_a_time_constant_is_refused(method: str) -> None:
    with pytest.raises(StepError, match="fastest time constant of 0.015 s, wanted at most 0.0075 s"):
        solve(network(tau=0.015), start((0, 0)), drive(trials=1), SolveOptions(method=method, step=0.01))
    two_per_tau = SolveOptions(method=method, step=0.01)
    assert solve(network(tau=0.02), start((0, 0)), drive(trials=1), two_per_tau).ok.all()


@pytest.mark.parametrize("step", [0.015, 0.04, 0.019])
@pytest.mark.parametrize("backend", ["fused", "reference"])
def test_a_step_that_does_not_divide_the_time_step_is_refused(backend: str, step: float) -> None:
    with pytest.raises(StepError, match="divided by a whole number"):
        solve(network(), start((0, 0)), drive(trials=1), SolveOptions(backend=backend, method="euler", step=step))


@pytest.mark.parametrize(("backend", "method"), FIXED)
def test_a_fixed_method_without_a_step_is_refused(backend: str, method: str) -> None:
    with pytest.raises(StepError, match="got none for the fixed-step method"):
        SolveOptions(backend=backend, method=method)


@pytest.mark.parametrize(
    ("error", "settings", "message"),
    [
        (SolveError, {"backend": "jax", "step": 0.1}, "'backend': got 'jax'"),
        (SolveError, {"method": "dopri5"}, "'method': got 'dopri5'"),
        (SolveError, {"backend": "reference", "method": "heun", "step": 0.1}, "wanted one of .*heun2"),
        (
            SolveError,
            {"backend": "reference", "method": "dopri5", "step": 0.1},
            "adaptive method 'dopri5', wanted none",
        ),
        (SolveError, {"backend": "reference", "method": "dopri5", "rtol": -1.0}, "'rtol': got -1"),
        (SolveError, {"backend": "reference", "method": "dopri5", "atol": math.nan}, "'atol'"),
        (SolveError, {"backend": "reference", "method": "dopri5", "max_steps": 0}, "'max_steps'"),
        (SolveError, {"step": 0.1, "adjoint": True}, "'adjoint'"),
        (StepError, {"step": 0.0}, "'step': got 0.0 s"),
        (StepError, {"step": math.inf}, "'step': got inf s"),
        (StepError, {"step": 0.1, "steps_per_time_constant": 0.5}, "'steps_per_time_constant'"),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(
    error: type[Exception], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(error, match=message):
        SolveOptions(**settings)  # type: ignore[arg-type]


def test_scipy_without_adjoint_has_no_gradient_and_says_so() -> None:
    scipy = SolveOptions(backend="reference", method="scipy_solver")
    trained = replace(network(), bias=torch.zeros(2, dtype=torch.float64, requires_grad=True))
    with pytest.raises(SolveError, match="adjoint=True"):
        solve(trained, start((0, 0)), drive(trials=1), scipy)
    with torch.no_grad():
        assert solve(trained, start((0, 0)), drive(trials=1), scipy).ok.all()


@pytest.mark.parametrize(
    ("initial", "inputs", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.float64), drive(trials=3), r"got shape \(2, 2\), wanted \(3, 2\)"),
        (torch.zeros(3, 4, dtype=torch.float64), drive(trials=3), r"got shape \(3, 4\), wanted \(3, 2\)"),
        (torch.zeros(3, 2), drive(trials=3), "got torch.float32 on cpu, wanted torch.float64"),
        (torch.zeros(3, 2, dtype=torch.float64), drive(trials=3).to(torch.float32), "angular_velocity.*float32"),
        (
            torch.zeros(3, 2, dtype=torch.float64),
            replace(drive(trials=3), current=torch.zeros(1, 1, 5, dtype=torch.float64)),
            "got 5 neurons, wanted 2",
        ),
    ],
)
def test_arrays_that_do_not_fit_the_network_are_refused(initial: torch.Tensor, inputs: Drive, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        solve(network(), initial, inputs, SolveOptions(step=0.01))


@pytest.mark.parametrize("backend", ["fused", "reference"])
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sample_every": 0}, "got 5 steps, wanted a multiple of sample_every=0"),
        ({"sample_every": 2}, "got 5 steps, wanted a multiple of sample_every=2"),
        ({"sample_every": 10}, "wanted a multiple of sample_every=10"),
        ({"observed": torch.tensor([0, 2])}, "'observed': got an index outside of 0 to 1"),
        ({"observed": torch.tensor([-1])}, "'observed': got an index outside of 0 to 1"),
        ({"observed": torch.tensor([1, 1])}, "'observed': got a neuron twice"),
    ],
)
def test_samples_that_are_not_there_are_refused(backend: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        solve(
            network(), start((0, 0)), drive(trials=1), SolveOptions(backend=backend, method="euler", step=0.01), **asked
        )


def test_a_neuron_that_diverges_unseen_fails_its_trial() -> None:
    """Neuron 0 explodes, neuron 1 decays: what was seen of it stays, but for the last sample, and the end is NaN."""
    explosive, rows = network(weight=2000.0), start((1.0, 0.0), (0.0, 1e-9))
    one = torch.tensor([1])
    solution = solve(explosive, rows, drive(trials=2), SolveOptions(step=0.01), observed=one)
    assert solution.status.tolist() == [Status.DIVERGED, Status.DIVERGED]
    assert solution.rates[:-1].isfinite().all() and solution.rates[-1].isnan().all()
    assert solution.final.shape == (2, 2) and solution.final.isnan().all()
    calm = solve(explosive, start((0.0, 0.0)), drive(trials=1), SolveOptions(step=0.01), observed=one)
    assert calm.ok.all() and calm.rates.isfinite().all() and calm.final.isfinite().all()


def test_a_simulation_keeps_observations_only_and_no_graph() -> None:
    trained = replace(network(), bias=torch.zeros(2, dtype=torch.float64, requires_grad=True))
    seen = []

    def observe(rates: torch.Tensor) -> torch.Tensor:
        seen.append(rates.shape[0])
        return rates.sum(dim=2)

    run = simulate(
        trained, start((0.5, 1.0)), drive(steps=7, trials=1), SolveOptions(step=0.01), observe=observe, chunk=3
    )
    assert seen == [4, 3, 1]  # the initial state belongs to the first chunk
    assert run.observed.shape == (8, 1)
    assert not run.observed.requires_grad and not run.final.requires_grad
    # Euler by hand: each 0.01 s multiplies by 0.9, fourteen of them
    assert run.final[0].tolist() == pytest.approx([0.5 * 0.9**14, 0.9**14])


def test_a_simulation_remembers_a_trial_lost_in_an_early_chunk() -> None:
    rows = start((0.0, 0.0), (1.0, 0.0))
    run = simulate(network(weight=2000.0), rows, drive(steps=9, trials=2), SolveOptions(step=0.01), chunk=2)
    assert run.status.tolist() == [Status.OK, Status.DIVERGED]
    assert run.final[1].isnan().all() and (run.final[0] == 0).all()


def test_a_chunk_of_no_steps_is_refused() -> None:
    with pytest.raises(ShapeError, match="'chunk'"):
        simulate(network(), start((0, 0)), drive(trials=1), SolveOptions(step=0.01), chunk=0)


def test_time_grid_is_that_of_the_drive_whatever_the_step() -> None:
    solution = solve(network(), start((0.5, 1.0)), drive(trials=1), SolveOptions(method="rk4", step=0.005))
    np.testing.assert_allclose(solution.times.numpy(), np.arange(6) * 0.02, rtol=0, atol=1e-15)
    assert solution.rates.shape == (6, 1, 2)
