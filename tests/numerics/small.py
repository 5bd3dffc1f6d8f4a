"""Small random problems, and a plain-autograd stepper written independently of the fused backend, as its check."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from connectome_sim.model import Drive, RateNetwork

N, B, T = 5, 3, 6
DT = 0.02  # s


def network(
    activation: str = "sigmoid", *, seed: int = 0, n: int = N, dtype: torch.dtype = torch.float64
) -> RateNetwork:
    rng = np.random.default_rng(seed)
    return RateNetwork.from_arrays(
        rng.normal(size=(n, n)),
        rng.normal(size=n),
        rng.uniform(0.05, 0.2, size=n),
        rng.normal(size=n),
        activation=activation,
        dtype=dtype,
    )


def initial(*, seed: int = 1, n: int = N, b: int = B, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).uniform(size=(b, n)), dtype=dtype)


def drive(
    *, seed: int = 2, steps: int = T, n: int = N, b: int = B, current: bool = False, dtype: torch.dtype = torch.float64
) -> Drive:
    rng = np.random.default_rng(seed)
    omega = torch.as_tensor(rng.normal(size=(steps, b)), dtype=dtype)
    extra = torch.as_tensor(rng.normal(size=(steps, b, n)), dtype=dtype) if current else None
    return Drive(DT, omega, extra)


def requiring_grad(net: RateNetwork) -> RateNetwork:
    names = ("weights", "bias", "time_constant", "velocity_input")
    return replace(net, **{name: getattr(net, name).clone().requires_grad_() for name in names})


def plain_steps(net: RateNetwork, r: Tensor, inputs: Drive, *, method: str, substeps: int) -> Tensor:
    """The textbook schemes in out-of-place torch, on the derivative of the rate equation."""
    h = inputs.time_step / substeps
    rates = [r]
    for k in range(inputs.n_steps):
        omega = inputs.angular_velocity[k]
        extra = None if inputs.current is None else inputs.current[k]

        def f(y: Tensor, omega: Tensor = omega, extra: Tensor | None = extra) -> Tensor:
            return net.derivative(y, omega, extra)

        for _ in range(substeps):
            if method == "euler":
                r = r + h * f(r)
            elif method == "heun":
                k1 = f(r)
                r = r + h / 2 * (k1 + f(r + h * k1))
            elif method == "rk4":
                k1 = f(r)
                k2 = f(r + h / 2 * k1)
                k3 = f(r + h / 2 * k2)
                k4 = f(r + h * k3)
                r = r + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            else:
                decay = torch.exp(-h / net.time_constant)
                r = r * decay + (1 - decay) * net.activation.value(net.total_input(r, omega, extra))
        rates.append(r)
    return torch.stack(rates)


def numpy_sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
