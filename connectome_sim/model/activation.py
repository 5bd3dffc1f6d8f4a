"""Activations: input -> steady-state rate, with slopes. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from connectome_sim.errors import ParameterError


@dataclass(frozen=True)
class Activation:
    """One activation function phi and its slope.

    Attributes:
        name: "sigmoid", "softplus", "relu" or "tanh".
        value: phi(x), any shape.
        slope_from_value: phi'(x) written as a function of phi(x), so that a backward pass needs no stored input.
        value_: phi in place, for kernels.
        largest: the value that phi approaches, infinite where it grows without end.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    slope_from_value: Callable[[Tensor], Tensor]
    value_: Callable[[Tensor], Tensor]
    largest: float = math.inf

    def slope(self, x: Tensor) -> Tensor:
        """phi'(x), any shape. The slope of relu at 0 is 0."""
        return self.slope_from_value(self.value(x))

    @staticmethod
    def named(name: str) -> Activation:
        """The activation of that name.

        Raises:
            ParameterError: unknown name.
        """
        if name not in _ACTIVATIONS:
            raise ParameterError(f"activation: got {name!r}, wanted one of {tuple(_ACTIVATIONS)}")
        return _ACTIVATIONS[name]


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(
        x, torch.zeros((), dtype=x.dtype, device=x.device)
    )  # exact for large |x|, unlike log(1 + e^x)


_ACTIVATIONS = {
    # phi = 1 / (1 + e^-x), phi' = phi (1 - phi)
    "sigmoid": Activation("sigmoid", torch.sigmoid, lambda y: y * (1 - y), torch.sigmoid_, 1.0),
    # phi = log(1 + e^x), phi' = 1 - e^-phi
    "softplus": Activation("softplus", _softplus, lambda y: -torch.expm1(-y), lambda x: x.copy_(_softplus(x))),
    # phi = max(x, 0)
    "relu": Activation("relu", torch.relu, lambda y: (y > 0).to(y.dtype), torch.relu_),
    # phi = tanh x, phi' = 1 - phi^2
    "tanh": Activation("tanh", torch.tanh, lambda y: 1 - y * y, torch.tanh_, 1.0),
}
ACTIVATIONS = tuple(_ACTIVATIONS)
SIGMOID = _ACTIVATIONS["sigmoid"]
