"""Bounds: the map between an unconstrained number and a value in an open interval. Knows no parameter family."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from connectome_sim.errors import ParameterError

SCALES = ("linear", "log")
FLAT = 0.1
"""Slope of the map, 1 in the middle, from which on a value counts as at its bound (chosen: a tenth)."""


@dataclass(frozen=True)
class Bounds:
    """An open interval ``(low, high)`` and a smooth map onto it from the real line.

    With m the middle and h the half width of the interval, on the linear or the logarithmic scale::

        linear:  value = m + h tanh(raw / h)             m = (high + low) / 2          h = (high - low) / 2
        log:     log value = m + h tanh(raw / h)         m = log(high low) / 2         h = log(high / low) / 2

    This is a sigmoid stretched so that its slope is 1 in the middle: there, ``raw`` is the value itself (linear) or its
    logarithm (log) up to a constant, whatever the interval, so a learning rate means the same in every family.

    Attributes:
        low: lower bound, not itself reached.
        high: upper bound, not itself reached.
        scale: "linear" or "log" (log needs ``low > 0`` and keeps values positive).

    Raises:
        ParameterError: not finite, low >= high, unknown scale, or a log scale that is not positive.
    """

    low: float
    high: float
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ParameterError(f"bounds, field 'scale': got {self.scale!r}, wanted one of {SCALES}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ParameterError(f"bounds: got low={self.low}, high={self.high}, wanted finite numbers with low < high")
        if self.scale == "log" and self.low <= 0:
            raise ParameterError(f"bounds on a log scale: got low={self.low}, wanted low > 0")

    @property
    def _middle_and_half(self) -> tuple[float, float]:
        low, high = (math.log(self.low), math.log(self.high)) if self.scale == "log" else (self.low, self.high)
        return (high + low) / 2, (high - low) / 2

    def forward(self, raw: Tensor) -> Tensor:
        """Values in [low, high] for unconstrained ``raw``, any shape, elementwise and differentiable."""
        middle, half = self._middle_and_half
        inside = middle + half * torch.tanh(raw / half)
        return torch.exp(inside) if self.scale == "log" else inside

    def inverse(self, value: Tensor) -> Tensor:
        """The ``raw`` whose ``forward`` is ``value``, any shape, elementwise.

        Raises:
            ParameterError: a value that is not strictly inside the bounds.
        """
        self.check(value)
        middle, half = self._middle_and_half
        inside = torch.log(value) if self.scale == "log" else value
        return half * torch.atanh((inside - middle) / half)

    def met(self, value: Tensor) -> Tensor:
        """Whether each value is at or near a bound, any shape.

        It is where the slope of the map, ``1 - ((inside - m) / h)^2``, is `FLAT` or less: the optimiser feels a tenth
        of the gradient there, so the bound decides the value as much as the losses do. That is the outer 2.6 % of the
        interval at either end, on its own scale: of gains from 1e-3 to 1e3, those above 702 and below 0.0014.
        """
        middle, half = self._middle_and_half
        inside = torch.log(value) if self.scale == "log" else value
        return 1 - ((inside - middle) / half) ** 2 <= FLAT

    def check(self, value: Tensor, name: str = "value") -> None:
        """Raise a ParameterError that names the first value outside the bounds, if there is one."""
        outside = ~((value > self.low) & (value < self.high))  # written so that NaN counts as outside
        if outside.any():
            raise ParameterError(
                f"{name}: got {value[outside].flatten()[0].item():g}, "
                f"wanted more than {self.low:g} and less than {self.high:g}; change the value or widen the bounds"
            )
