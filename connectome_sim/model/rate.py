"""The rate equation: weights, bias, time constants and velocity input of every neuron. Knows no solver and no trial.

tau_i dr_i/dt = -r_i + phi( sum_j W_ij r_j + b_i + k_i omega(t) + I_i(t) )
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from connectome_sim.axes import PerNeuron, TypePair, Weights
from connectome_sim.errors import ParameterError, ShapeError
from connectome_sim.model.activation import SIGMOID, Activation
from connectome_sim.model.connectivity import Connectivity
from connectome_sim.model.parameters import Parameters
from connectome_sim.model.wiring import Wiring


@dataclass(frozen=True, eq=False)
class TypedWeights:
    """What the weights were made of, for kernels that return the gradient of the gains directly.

    Attributes:
        gain: gain of each type pair [post type, pre type], 1, differentiable.
        connectivity: signed, normalised counts S in compressed form: weights = gain[type_i, type_j] S_ij.
    """

    gain: TypePair
    connectivity: Connectivity


@dataclass(frozen=True, eq=False)
class RateNetwork:
    """A rate network of N neurons in plain tensors; a pure function of the parameters it was built from.

    Attributes:
        weights: W [post, pre], 1, with gain, sign and normalisation included.
        bias: b = -threshold, 1.
        time_constant: tau, s.
        velocity_input: k, current per rad/s.
        activation: phi.
        ring_angle: preferred heading, rad, NaN where a neuron has none; None if unknown.
        epg_mask: neurons whose bump is read as the heading; None if unknown.
        typed: how the weights came from type-level gains, None for a network read from plain arrays or changed since:
            who replaces the weights replaces this as well.

    Raises:
        ShapeError: arrays whose shape, dtype or device do not fit each other.
        ParameterError: a time constant that is not positive, or any value that is not finite.
    """

    weights: Weights
    bias: PerNeuron
    time_constant: PerNeuron
    velocity_input: PerNeuron
    activation: Activation = SIGMOID
    ring_angle: PerNeuron | None = None
    epg_mask: Bool[Tensor, " neuron"] | None = None
    typed: TypedWeights | None = None

    def __post_init__(self) -> None:
        n = self.bias.shape[0]
        if self.weights.shape != (n, n):
            raise ShapeError(
                f"network, field 'weights': got shape {tuple(self.weights.shape)}, "
                f"wanted ({n}, {n}) [post, pre] like 'bias'"
            )
        for name in ("weights", "bias", "time_constant", "velocity_input"):
            tensor = getattr(self, name)
            if name != "weights" and tensor.shape != (n,):
                raise ShapeError(f"network, field {name!r}: got shape {tuple(tensor.shape)}, wanted ({n},)")
            if tensor.dtype != self.bias.dtype or tensor.device != self.bias.device or not tensor.is_floating_point():
                raise ShapeError(
                    f"network, field {name!r}: got {tensor.dtype} on {tensor.device}, "
                    f"wanted {self.bias.dtype} on {self.bias.device} like 'bias'"
                )
            if not torch.isfinite(tensor.detach()).all():
                raise ParameterError(f"network, field {name!r}: got a value that is not finite, wanted finite numbers")
        slowest = self.time_constant.detach().min()
        if slowest <= 0:
            raise ParameterError(f"network, field 'time_constant': got {slowest.item():g} s, wanted more than 0 s")

    @staticmethod
    def from_arrays(
        weights: Any,
        bias: Any,
        time_constant: Any,
        velocity_input: Any,
        *,
        activation: str = "sigmoid",
        ring_angle: Any = None,
        epg_mask: Any = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> RateNetwork:
        """A network from NumPy arrays or tensors as ``network.h5`` holds them (fields as in the class)."""

        def tensor(array: Any) -> Tensor:
            return torch.as_tensor(array, dtype=dtype, device=device)

        return RateNetwork(
            weights=tensor(weights),
            bias=tensor(bias),
            time_constant=tensor(time_constant),
            velocity_input=tensor(velocity_input),
            activation=Activation.named(activation),
            ring_angle=None if ring_angle is None else tensor(ring_angle),
            epg_mask=None if epg_mask is None else torch.as_tensor(epg_mask, dtype=torch.bool, device=device),
        )

    @property
    def n_neurons(self) -> int:
        """Number of neurons N."""
        return int(self.bias.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type."""
        return self.bias.dtype

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.bias.device

    def total_input(
        self,
        rates: Float[Tensor, "*batch neuron"],
        angular_velocity: Float[Tensor, "*batch"] | None = None,
        current: Float[Tensor, "*batch neuron"] | None = None,
    ) -> Float[Tensor, "*batch neuron"]:
        """The argument of phi, x = W r + b + k omega + I, 1.

        Args:
            rates: r, 1.
            angular_velocity: omega, rad/s; none means 0.
            current: I, 1; none means 0.
        """
        x = rates @ self.weights.T + self.bias
        if angular_velocity is not None:
            x = x + angular_velocity[..., None] * self.velocity_input
        return x if current is None else x + current

    def derivative(
        self,
        rates: Float[Tensor, "*batch neuron"],
        angular_velocity: Float[Tensor, "*batch"] | None = None,
        current: Float[Tensor, "*batch neuron"] | None = None,
    ) -> Float[Tensor, "*batch neuron"]:
        """dr/dt = ( -r + phi(x) ) / tau, per second; arguments as in ``total_input``."""
        return (self.activation.value(self.total_input(rates, angular_velocity, current)) - rates) / self.time_constant

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> RateNetwork:
        """The same network in another precision or on another device, differentiable; drops ``typed``."""
        changes: dict[str, Any] = {"typed": None}
        for f in fields(self):
            tensor = getattr(self, f.name)
            if isinstance(tensor, Tensor):
                changes[f.name] = tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        return replace(self, **changes)

    def detach(self) -> RateNetwork:
        """The same network cut from the graph of its parameters; drops ``typed``."""
        changes: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        changes = {name: value.detach() for name, value in changes.items() if isinstance(value, Tensor)}
        return replace(self, typed=None, **changes)


def build_network(wiring: Wiring, parameters: Parameters, activation: Activation = SIGMOID) -> RateNetwork:
    """The rate network of a wiring under cell-type parameters, differentiable in every one of them.

        W_ij = g_AB s_AB C_ij / c0,  b_i = -theta_A,  tau_i = tau_A,  k_i = k_V side_i,   i in A, j in B

    With one gain per connection g_AB is g_ij, and the network is one of plain weights (``typed`` is None).

    Args:
        wiring: types, signed normalised counts, velocity sides.
        parameters: gains, thresholds, time constants and velocity gains of the same types.
        activation: phi.

    Raises:
        ShapeError: parameters of other types than the wiring's.
    """
    if parameters.types != wiring.types or parameters.velocity_types != wiring.velocity_types:
        raise ShapeError(
            f"parameters: got types {parameters.types} with velocity types {parameters.velocity_types}, "
            f"wanted {wiring.types} with {wiring.velocity_types}; build them from the same wiring"
        )
    dtype = wiring.connections.dtype
    member = wiring.membership
    gain = parameters.gain_table().to(dtype)
    # a product with one-hot rows is an exact gather whose backward is a product too, many times faster than a scatter
    weights = (member @ gain @ member.T if parameters.by_type else gain) * wiring.connections
    velocity_gain = parameters.velocity_gain().to(dtype)
    gathered = torch.cat([velocity_gain, velocity_gain.new_zeros(1)])[
        wiring.velocity_type_index
    ]  # -1: no velocity input
    return RateNetwork(
        weights=weights,
        bias=-(member @ parameters.threshold().to(dtype)),
        time_constant=member @ parameters.time_constant().to(dtype),
        velocity_input=gathered * wiring.velocity_side,
        activation=activation,
        ring_angle=wiring.ring_angle,
        epg_mask=wiring.epg_mask,
        typed=TypedWeights(gain=gain, connectivity=wiring.connectivity) if parameters.by_type else None,
    )
