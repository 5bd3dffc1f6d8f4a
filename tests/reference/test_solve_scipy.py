"""Both backends against SciPy's DOP853 on a right-hand side written in NumPy, without any code of the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from connectome_sim.model import Drive
from connectome_sim.solve import SolveOptions, solve
from connectome_sim.solve.options import ADAPTIVE_METHODS
from tests.numerics import small

ACTIVATIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "relu": lambda x: np.where(x > 0, x, 0),
    "tanh": lambda x: np.sinh(x) / np.cosh(x),
}


def scipy_rates(activation: str, drive: Drive) -> np.ndarray:
    """Rates [T + 1, B, N]: tau dr/dt = -r + phi(W r + b + k omega + I), drive held over each step."""
    network = small.network(activation)
    w, b = network.weights.numpy(), network.bias.numpy()
    tau, k = network.time_constant.numpy(), network.velocity_input.numpy()
    phi = ACTIVATIONS[activation]
    omega = drive.angular_velocity.numpy()
    current = np.zeros((*omega.shape, len(b))) if drive.current is None else drive.current.numpy()
    trials = []
    for trial, r in enumerate(small.initial().numpy()):
        rates = [r]
        for step in range(len(omega)):
            constant = b + k * omega[step, trial] + current[step, trial]
            solution = solve_ivp(
                lambda _, y, constant=constant: (-y + phi(w @ y + constant)) / tau,
                (0, drive.time_step),
                rates[-1],
                method="DOP853",
                rtol=1e-12,
                atol=1e-13,
            )
            rates.append(solution.y[:, -1])
        trials.append(rates)
    return np.array(trials).transpose(1, 0, 2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_rk4_reaches_the_scipy_solution(activation: str) -> None:
    drive = small.drive(current=True)
    rates = solve(
        small.network(activation), small.initial(), drive, SolveOptions(method="rk4", step=small.DT / 40)
    ).rates
    # relu has a kink, at which any fixed-step method is of first order locally
    np.testing.assert_allclose(
        rates.numpy(), scipy_rates(activation, drive), rtol=0, atol=1e-5 if activation == "relu" else 1e-9
    )


@pytest.mark.parametrize("method", ADAPTIVE_METHODS)
def test_adaptive_methods_meet_their_tolerance_under_a_held_drive(method: str) -> None:
    """Tolerance per step 1e-5; the error of all steps together is within 30 times that (fehlberg2, the loosest: 20)."""
    drive = small.drive(current=True)
    options = SolveOptions(backend="reference", method=method, rtol=1e-5, atol=1e-6)
    rates = solve(small.network(), small.initial(), drive, options).rates
    np.testing.assert_allclose(rates.numpy(), scipy_rates("sigmoid", drive), rtol=0, atol=3e-4)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_default_tolerances_of_each_precision(method: str) -> None:
    drive = small.drive()
    truth = scipy_rates("sigmoid", drive)
    for dtype, wanted in ((torch.float64, 1e-6), (torch.float32, 1e-4)):
        arguments = small.network(dtype=dtype), small.initial(dtype=dtype), small.drive(dtype=dtype)
        rates = solve(*arguments, SolveOptions(backend="reference", method=method)).rates
        assert rates.dtype == dtype
        np.testing.assert_allclose(rates.double().numpy(), truth, rtol=0, atol=wanted)


def test_a_drive_that_stays_constant_is_integrated_in_one_stretch_to_the_same_solution() -> None:
    omega = torch.tensor([[1.0], [1.0], [1.0], [-2.0], [-2.0], [0.5]], dtype=torch.float64).expand(6, 3)
    drive = Drive(small.DT, omega)
    options = SolveOptions(backend="reference", method="bosh3", rtol=1e-8, atol=1e-10)
    rates = solve(small.network(), small.initial(), drive, options).rates
    np.testing.assert_allclose(rates.numpy(), scipy_rates("sigmoid", drive), rtol=0, atol=1e-6)
