"""Fused backend: fixed-step schemes whose gradient is the exact derivative of their steps. Knows no other backend."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from connectome_sim.axes import State
from connectome_sim.errors import ShapeError, SolveError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve.dense import DENSE
from connectome_sim.solve.options import steps_per_sample
from connectome_sim.solve.problem import Kernel, Problem
from connectome_sim.solve.scheme import SCHEMES
from connectome_sim.solve.sparse import SPARSE, is_worthwhile

# Problem's tensors, in its order
_TENSORS = ("weights", "gain", "bias", "blend", "velocity_input", "initial", "angular_velocity", "current")


class _Stepping(torch.autograd.Function):
    """A kernel's forward and backward as one node of the autograd graph."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, keep: bool, settings: tuple[Any, ...], *tensors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        rates, final, tape = kernel.forward(Problem(*settings, *tensors), keep=keep)
        if tape is not None:
            if kernel is DENSE and not torch.isfinite(tape[0].sum() + final.sum()):
                # no gradient passes where a trial diverged; without this 0 * NaN would reach the weights of all trials
                for tensor in tape:
                    tensor.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
            ctx.kernel, ctx.settings = kernel, settings
            ctx.save_for_backward(*tensors, *tape)
        return rates, final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rates: Tensor, grad_final: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, states, values = ctx.saved_tensors
        needs = ctx.needs_input_grad[3:]
        gradients = ctx.kernel.backward(
            Problem(*ctx.settings, *tensors),
            (states, values),
            grad_rates.contiguous(),
            grad_final.contiguous(),
            need_weights=needs[0] or needs[1],
        )
        wanted = (getattr(gradients, name) if need else None for name, need in zip(_TENSORS, needs, strict=True))
        return None, None, None, *wanted


def integrate(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    *,
    method: str,
    step: float,
    observed: Int[Tensor, " observed"] | None = None,
    sample_every: int = 1,
    kernel: Kernel | None = None,
) -> tuple[Float[Tensor, "sample batch observed"], State]:
    """Rates at the times k sample_every dt, and the last state; differentiable once in every tensor that goes in.

    Args:
        network: the rate network.
        initial: r at time 0, 1.
        drive: angular velocity and current, held over each of its steps.
        method: "euler", "heun", "rk4" or "exponential_euler".
        step: solver step, s: the drive's time step or an integer fraction of it.
        observed: indices of the neurons whose rates are wanted; all of them if None.
        sample_every: drive steps between samples, a divisor of the drive's number of steps.
        kernel: the implementation of the steps; by default the one that ``kernel_for`` names.

    Raises:
        SolveError: unknown method.
        ShapeError: another precision than that of the network.
        StepError: a step that does not divide the drive's time step.
    """
    if method not in SCHEMES:
        raise SolveError(f"solve, field 'method': got {method!r}, wanted one of {tuple(SCHEMES)}")
    scheme = SCHEMES[method]
    substeps = steps_per_sample(drive, step)
    blend = scheme.blend(network.time_constant, drive.time_step / substeps)
    kernel = kernel or kernel_for(network, drive, initial)
    typed = network.typed if kernel is SPARSE else None
    settings = (
        scheme,
        network.activation,
        substeps,
        sample_every,
        observed,
        None if typed is None else typed.connectivity,
    )
    tensors = (  # in the order of _TENSORS; gradients go either to the weights or to the gains they are made of
        network.weights if typed is None else network.weights.detach(),
        None if typed is None else typed.gain,
        network.bias,
        blend,
        network.velocity_input,
        initial,
        drive.angular_velocity,
        drive.current,
    )
    for name, tensor in zip(_TENSORS, tensors, strict=True):
        if tensor is not None and tensor.dtype != network.dtype:  # compiled code takes it for granted
            raise ShapeError(f"fused, {name}: got {tensor.dtype}, wanted {network.dtype} like the network")
    # asked here, because within an autograd function gradients are always off
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    rates, final = _Stepping.apply(kernel, keep, settings, *tensors)
    return rates, final


def kernel_for(network: RateNetwork, drive: Drive, initial: State) -> Kernel:
    """The fastest kernel that can do it: compiled code along the connections, or matrix products.

    Matrix products where connections are many, off the CPU, and where a gradient is wanted that only they give: of
    single weights, of the velocity, or of a current.
    """
    if not is_worthwhile(network.weights):
        return DENSE
    if not torch.is_grad_enabled():
        return SPARSE
    inputs = (drive.angular_velocity, drive.current)
    of_inputs = any(tensor is not None and tensor.requires_grad for tensor in inputs)
    others = (network.weights, network.bias, network.time_constant, network.velocity_input, initial)
    of_others = any(tensor.requires_grad for tensor in others)
    return DENSE if of_inputs or (of_others and network.typed is None) else SPARSE
