"""Vocabulary of array shapes and units, used in annotations. Knows nothing else of the package.

Axes, always in this order: ``time``, ``batch`` (trials), ``neuron``. Weights and counts are ``post pre``.
Units: seconds, radians, radians per second; rates are relative to a neuron's maximum (dimensionless).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

# differentiable quantities (torch)
Trajectory = Float[Tensor, "time batch neuron"]  # firing rates, 1
State = Float[Tensor, "batch neuron"]  # firing rates at one time, 1
Current = Float[Tensor, "steps batch neuron"]  # input current held over each step, 1
VelocityTrace = Float[Tensor, "steps batch"]  # angular velocity held over each step, rad/s
PhaseTrace = Float[Tensor, "time batch"]  # heading, rad
PerNeuron = Float[Tensor, " neuron"]
PerType = Float[Tensor, " type"]
TypePair = Float[Tensor, "post_type pre_type"]
Weights = Float[Tensor, "post pre"]

# measured or stored quantities (NumPy)
AngleArray = Float[np.ndarray, " neuron"]  # rad, NaN where a neuron has none
FloatArray = Float[np.ndarray, "..."]
IntArray = Int[np.ndarray, "..."]
BoolArray = Bool[np.ndarray, "..."]
