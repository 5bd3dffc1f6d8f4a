"""One initial value problem as plain tensors, and what the fused backend asks of a kernel. Knows no autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from connectome_sim.model.activation import Activation
from connectome_sim.model.connectivity import Connectivity
from connectome_sim.solve.scheme import Scheme


@dataclass(frozen=True, eq=False)
class Problem:
    """One initial value problem as detached tensors.

    Attributes:
        scheme: what to step with.
        activation: phi.
        substeps: solver steps per drive step.
        sample_every: drive steps between the samples that are wanted.
        observed: neurons that are wanted [M]; all of them if None.
        connectivity: connections in compressed form, None for a network of plain arrays.
        weights: W [post, pre].
        gain: gain of each type pair [post type, pre type], None for a network of plain arrays.
        bias: b [neuron].
        blend: a [neuron], see ``scheme``.
        velocity_input: k [neuron].
        initial: r(0) [batch, neuron].
        angular_velocity: omega [steps, batch].
        current: I [steps, batch, neuron] or None.
    """

    scheme: Scheme
    activation: Activation
    substeps: int
    sample_every: int
    observed: Tensor | None
    connectivity: Connectivity | None
    weights: Tensor
    gain: Tensor | None
    bias: Tensor
    blend: Tensor
    velocity_input: Tensor
    initial: Tensor
    angular_velocity: Tensor
    current: Tensor | None


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a scalar with respect to the tensors of a problem, names as there; None where not asked for."""

    weights: Tensor | None
    gain: Tensor | None
    bias: Tensor
    blend: Tensor
    velocity_input: Tensor
    initial: Tensor
    angular_velocity: Tensor | None
    current: Tensor | None


Tape = tuple[Tensor, Tensor]


@runtime_checkable
class Kernel(Protocol):
    """What the fused backend needs of an implementation."""

    name: str

    def forward(self, problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor, Tape | None]:
        """Rates [samples + 1, batch, M], the final state [batch, N] and, if ``keep``, what the backward pass needs."""
        ...

    def backward(
        self, problem: Problem, tape: Tape, grad_rates: Tensor, grad_final: Tensor, *, need_weights: bool
    ) -> Gradients:
        """Gradients of sum(grad_rates * rates) + sum(grad_final * final)."""
        ...
