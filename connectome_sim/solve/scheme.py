"""Time-stepping schemes as numbers: what the fused backend steps with. Knows no shape of a state and no kernel.

One step of size h from r, with h replaced by a per-neuron blend a (so that exponential Euler is a scheme like the
others)::

    s_0 = r,   k_i = a (phi(x(s_i)) - s_i),   s_(i+1) = r + c_i k_i,   r' = r + sum_i b_i k_i

All schemes here are explicit with one coupling per stage, which is true of Euler, Heun and the classical Runge-Kutta
scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from connectome_sim.axes import PerNeuron


@dataclass(frozen=True)
class Scheme:
    """One scheme.

    Attributes:
        couplings: c_i, one fewer than stages.
        weights: b_i, one per stage, sum 1.
        exponential: blend a = 1 - e^(-h/tau) (exact for constant input) instead of h/tau.
    """

    couplings: tuple[float, ...]
    weights: tuple[float, ...]
    exponential: bool = False

    @property
    def stages(self) -> int:
        """Evaluations of the equation per step."""
        return len(self.weights)

    def blend(self, time_constant: PerNeuron, step: float) -> Tensor:
        """A [neuron], differentiable in the time constant."""
        return -torch.expm1(-step / time_constant) if self.exponential else step / time_constant


SCHEMES = {
    "euler": Scheme((), (1.0,)),
    "exponential_euler": Scheme((), (1.0,), exponential=True),
    "heun": Scheme((1.0,), (1 / 2, 1 / 2)),  # explicit trapezoid
    "rk4": Scheme((1 / 2, 1 / 2, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),  # classical
}


class Steps(NamedTuple):
    """A scheme's numbers, as compiled code takes them, and how often they are applied."""

    couplings: np.ndarray  # c_i, one per stage, the last one without use
    weights: np.ndarray  # b_i
    substeps: int  # per step of the drive
    sample_every: int  # steps of the drive between samples

    @staticmethod
    def of(scheme: Scheme, dtype: Any, *, substeps: int, sample_every: int) -> Steps:
        """The numbers of a scheme in the precision of the states."""
        couplings, weights = np.array((*scheme.couplings, 0.0), dtype), np.array(scheme.weights, dtype)
        return Steps(couplings, weights, substeps, sample_every)
