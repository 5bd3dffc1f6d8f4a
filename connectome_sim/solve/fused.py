"""Fused backend: fixed-step schemes whose gradient is the exact derivative of their steps. Knows no other backend."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from connectome_sim.axes import State, Trajectory
from connectome_sim.errors import SolveError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve.dense import Kernel, Problem
from connectome_sim.solve.options import steps_per_sample
from connectome_sim.solve.scheme import SCHEMES
from connectome_sim.solve.sparse import SPARSE


class _Stepping(torch.autograd.Function):
    """A kernel's forward and backward as one node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, keep: bool, settings: tuple[Any, ...], *tensors: Tensor | None) -> Tensor:
        problem = Problem(*settings, *tensors)
        rates, tape = kernel.forward(problem, keep=keep)
        if tape is not None:
            if not torch.isfinite(tape[0].sum() + rates[-1].sum()):
                # no gradient passes where a trial diverged; without this 0 * NaN would reach the weights of all trials
                for tensor in tape:
                    tensor.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
            ctx.kernel, ctx.settings = kernel, settings
            ctx.save_for_backward(*tensors, *tape)
        return rates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rates: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, states, values = ctx.saved_tensors
        needs = ctx.needs_input_grad[3:]
        problem = Problem(*ctx.settings, *tensors)
        gradients = ctx.kernel.backward(problem, (states, values), grad_rates.contiguous(), need_weights=needs[0])
        # the order of Problem's tensors
        names = ("weights", "bias", "blend", "velocity_input", "initial", "angular_velocity", "current")
        wanted = (getattr(gradients, name) if need else None for name, need in zip(names, needs, strict=True))
        return None, None, None, *wanted


def integrate(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    *,
    method: str,
    step: float,
    kernel: Kernel = SPARSE,
) -> Trajectory:
    """Rates [T + 1, B, N] on the drive's grid, differentiable once in every tensor that goes in.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current, held over each of its steps.
        method: "euler", "heun", "rk4" or "exponential_euler".
        step: solver step, s: the drive's time step or an integer fraction of it.
        kernel: the implementation of the steps.

    Raises:
        SolveError: unknown method.
        StepError: a step that does not divide the drive's time step.
    """
    if method not in SCHEMES:
        raise SolveError(f"solve, field 'method': got {method!r}, wanted one of {tuple(SCHEMES)}")
    scheme = SCHEMES[method]
    substeps = steps_per_sample(drive, step)
    blend = scheme.blend(network.time_constant, drive.time_step / substeps)
    settings = (scheme, network.activation, substeps)
    tensors = (  # the order of Problem's tensors
        network.weights,
        network.bias,
        blend,
        network.velocity_input,
        initial,
        drive.angular_velocity,
        drive.current,
    )
    # asked here, because within an autograd function gradients are always off
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    rates: Tensor = _Stepping.apply(kernel, keep, settings, *tensors)
    return rates
