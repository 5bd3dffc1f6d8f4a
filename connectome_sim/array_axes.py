"""Vocabulary of the shapes and units of NumPy arrays, used in annotations. Those of tensors are in ``axes.py``."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

# measured or stored quantities (NumPy)
AngleArray = Float[np.ndarray, " neuron"]  # rad, NaN where a neuron has none
FloatArray = Float[np.ndarray, "..."]
IntArray = Int[np.ndarray, "..."]
BoolArray = Bool[np.ndarray, "..."]
