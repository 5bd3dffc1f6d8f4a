"""Every fixed-step scheme converges at the order its theory gives, under constant and under held drives."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from connectome_sim.model import Drive
from connectome_sim.solve import SolveOptions, solve
from tests.numerics import small

# Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, sections II.1 and III.1; exponential Euler is
# exact in the decay and of first order in phi
FUSED_ORDERS = {"euler": 1, "exponential_euler": 1, "heun": 2, "rk4": 4}
REFERENCE_ORDERS = {
    "euler": 1,
    "midpoint": 2,
    "heun2": 2,
    "heun3": 3,
    "rk4": 4,
    "explicit_adams": 3,
    "implicit_adams": 4,
}
STEPS_PER_SAMPLE = (8, 16, 32)


def held(steps: int = 4) -> Drive:
    omega = torch.as_tensor(np.random.default_rng(5).normal(size=(steps, 2)))
    return Drive(0.1, omega)


def constant() -> Drive:
    return Drive(0.1, torch.tensor([[1.5, -0.7]], dtype=torch.float64).expand(4, 2))


DRIVES = {"constant": constant(), "held": held()}


def run(backend: str, method: str, drive: str, n: int) -> torch.Tensor:
    options = SolveOptions(backend=backend, method=method, step=DRIVES[drive].time_step / n, rtol=1e-13)
    return solve(small.network(), small.initial(b=2), DRIVES[drive], options).rates


@functools.cache
def truth(drive: str) -> torch.Tensor:
    """RK4 at a step eight times finer than the finest: its own error is 1/4096 of the smallest one measured."""
    return run("fused", "rk4", drive, 8 * STEPS_PER_SAMPLE[-1])


def measured_order(backend: str, method: str, drive: str) -> float:
    """Slope of log error against log step, by least squares."""
    errors = [float((run(backend, method, drive, n) - truth(drive)).abs().max()) for n in STEPS_PER_SAMPLE]
    return float(np.polyfit(np.log(1 / np.array(STEPS_PER_SAMPLE)), np.log(errors), 1)[0])


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("method", FUSED_ORDERS)
def test_fused_order_is_within_0_15_of_theory(method: str, drive: str) -> None:
    assert measured_order("fused", method, drive) == pytest.approx(FUSED_ORDERS[method], abs=0.15)


@pytest.mark.parametrize("method", REFERENCE_ORDERS)
def test_reference_order_is_within_0_15_of_theory(method: str) -> None:
    assert measured_order("reference", method, "constant") == pytest.approx(REFERENCE_ORDERS[method], abs=0.15)


@pytest.mark.parametrize("method", ["explicit_adams", "implicit_adams"])
def test_adams_methods_start_anew_where_the_drive_jumps(method: str) -> None:
    """A history carried over a jump of size 1 would leave an error of first order, about 1e-3 here."""
    assert float((run("reference", method, "held", 32) - truth("held")).abs().max()) < 1e-5


def test_exponential_euler_is_exact_without_recurrence() -> None:
    """Analytic: constant input x gives r(t) = phi + (r0 - phi) e^(-t/tau), whatever the step."""
    network = small.network()
    network.weights.zero_()
    start, drive = small.initial(b=2), constant()
    rates = solve(network, start, drive, SolveOptions(method="exponential_euler", step=0.025)).rates
    target = small.numpy_sigmoid(network.total_input(start, drive.angular_velocity[0]).numpy())
    decay = np.exp(-drive.duration / network.time_constant.numpy())
    np.testing.assert_allclose(rates[-1].numpy(), target + (start.numpy() - target) * decay, rtol=0, atol=1e-14)
