"""Vocabulary of array shapes and units, used in annotations. Knows nothing else of the package but those of arrays.

Axes, always in this order: ``time``, ``batch`` (trials), ``neuron``. Weights and counts are ``post pre``.
Units: seconds, radians, radians per second; rates are relative to a neuron's maximum (dimensionless).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from connectome_sim.array_axes import AngleArray, BoolArray, FloatArray, IntArray

__all__ = [
    "AngleArray",
    "BoolArray",
    "Current",
    "FloatArray",
    "IntArray",
    "PerNeuron",
    "PerType",
    "PhaseTrace",
    "State",
    "Trajectory",
    "TypePair",
    "VelocityTrace",
    "Weights",
]

# differentiable quantities
Trajectory = Float[Tensor, "time batch neuron"]  # firing rates, 1
State = Float[Tensor, "batch neuron"]  # firing rates at one time, 1
Current = Float[Tensor, "steps batch neuron"]  # input current held over each step, 1
VelocityTrace = Float[Tensor, "steps batch"]  # angular velocity held over each step, rad/s
PhaseTrace = Float[Tensor, "time batch"]  # heading, rad
PerNeuron = Float[Tensor, " neuron"]
PerType = Float[Tensor, " type"]
TypePair = Float[Tensor, "post_type pre_type"]
Weights = Float[Tensor, "post pre"]
