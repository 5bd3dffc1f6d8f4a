"""A solve that gives gradients trial by trial, for as many functions of its rates as one asks. Knows no loss.

What reverse mode adds up over a batch, the gradient by gains, biases, time constants and velocity inputs, the compiled
kernel holds per trial until the end. Where a function of the rates is a sum over trials, each trial's part of the
gradient is thus as cheap as the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from connectome_sim.axes import State
from connectome_sim.errors import ShapeError, SolveError
from connectome_sim.model.drive import Drive
from connectome_sim.model.rate import RateNetwork
from connectome_sim.solve.checks import check_fit, check_samples
from connectome_sim.solve.options import steps_per_sample
from connectome_sim.solve.problem import Problem, Tape
from connectome_sim.solve.scheme import SCHEMES
from connectome_sim.solve.sparse import SPARSE


@dataclass(frozen=True, eq=False)
class TrialGradients:
    """Gradients of a function's part in each trial, float64.

    Attributes:
        gain: by the gain of each type pair [batch, post_type, pre_type].
        bias: by the bias of each neuron [batch, neuron].
        time_constant: by the time constant of each neuron [batch, neuron], 1/s.
        velocity_input: by the velocity input of each neuron [batch, neuron], rad/s.
        initial: by the initial state [batch, neuron].
    """

    gain: Float[Tensor, "batch post_type pre_type"]
    bias: Float[Tensor, "batch neuron"]
    time_constant: Float[Tensor, "batch neuron"]
    velocity_input: Float[Tensor, "batch neuron"]
    initial: Float[Tensor, "batch neuron"]


@dataclass(frozen=True, eq=False)
class Recording:
    """A solve and what its gradients need.

    Attributes:
        rates: of the observed neurons [samples, batch, observed]; the first sample is the initial state.
        final: last state of all neurons [batch, neuron].
    """

    rates: Float[Tensor, "sample batch observed"]
    final: State
    problem: Problem
    tape: Tape
    blend_slope: Float[Tensor, " neuron"]

    @property
    def ok(self) -> Bool[Tensor, " batch"]:
        """Trials that stayed finite."""
        return torch.isfinite(self.rates).all(dim=2).all(dim=0) & torch.isfinite(self.final).all(dim=1)

    def pull(
        self, grad_rates: Float[Tensor, "sample batch observed"], grad_final: Float[Tensor, "batch neuron"]
    ) -> TrialGradients:
        """Gradients of a function with these derivatives by rates and final state; 0 for trials that diverged.

        Raises:
            ShapeError: derivatives of another shape.
        """
        like = self.final
        if grad_rates.shape != self.rates.shape or grad_final.shape != like.shape:
            got = f"{tuple(grad_rates.shape)} and {tuple(grad_final.shape)}"
            raise ShapeError(
                f"pull: got gradients of shape {got}, wanted {tuple(self.rates.shape)} and {tuple(like.shape)}"
            )
        gain, (bias, blend, velocity), initial = SPARSE.by_trial(
            self.problem, self.tape, grad_rates.to(like).contiguous(), grad_final.to(like).contiguous()
        )
        return TrialGradients(
            gain=gain.movedim(-1, 0),
            bias=bias.T,
            time_constant=blend.T * self.blend_slope,
            velocity_input=velocity.T,
            initial=initial.double(),
        )


def record(
    network: RateNetwork,
    initial: State,
    drive: Drive,
    *,
    method: str,
    step: float,
    observed: Int[Tensor, " observed"],
    sample_every: int = 1,
) -> Recording:
    """Integrate, and keep what gradients need; arguments as in ``fused.integrate``.

    Raises:
        SolveError: an unknown method, a network without types, or one that is not on the CPU.
        ShapeError: arrays that do not fit each other, see ``solve``.
        StepError: a step that does not divide the drive's time step.
    """
    if method not in SCHEMES:
        raise SolveError(f"record, field 'method': got {method!r}, wanted one of {tuple(SCHEMES)}")
    if network.typed is None or network.device.type != "cpu":
        got = "a network of plain arrays" if network.typed is None else f"a network on {network.device}"
        raise SolveError(f"record: got {got}, wanted one built from cell-type parameters, on the CPU")
    check_fit(network, initial, drive)
    check_samples(network, drive, observed, sample_every)
    scheme, substeps = SCHEMES[method], steps_per_sample(drive, step)
    tau = network.time_constant.detach().requires_grad_()
    with torch.enable_grad():
        blend = scheme.blend(tau, drive.time_step / substeps)
        slope = torch.autograd.grad(blend.sum(), tau)[0]
    problem = Problem(
        scheme=scheme,
        activation=network.activation,
        substeps=substeps,
        sample_every=sample_every,
        observed=observed,
        connectivity=network.typed.connectivity,
        weights=network.weights.detach(),
        gain=network.typed.gain.detach(),
        bias=network.bias.detach(),
        blend=blend.detach(),
        velocity_input=network.velocity_input.detach(),
        initial=initial.detach(),
        angular_velocity=drive.angular_velocity,
        current=drive.current,
    )
    rates, final, tape = SPARSE.forward(problem, keep=True)
    assert tape is not None
    return Recording(rates, final, problem, tape, slope.double())
