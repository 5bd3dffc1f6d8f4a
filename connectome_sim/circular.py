"""All arithmetic on angles, for NumPy arrays and torch tensors alike. Knows nothing of networks.

Angles are in radians. Positive is counter-clockwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch  # takes seconds to import, and whoever has a tensor has done so

ArrayOrTensor = TypeVar("ArrayOrTensor", np.ndarray, "torch.Tensor")


def wrap(angle: ArrayOrTensor) -> ArrayOrTensor:
    """Angle in [-pi, pi), rad. ``wrap(pi) == -pi``."""
    two_pi = 2 * math.pi
    return (angle + math.pi) % two_pi - math.pi


def difference(a: ArrayOrTensor, b: ArrayOrTensor) -> ArrayOrTensor:
    """Signed shortest rotation from ``b`` to ``a``, rad, in [-pi, pi)."""
    return wrap(a - b)


def distance(a: ArrayOrTensor, b: ArrayOrTensor) -> ArrayOrTensor:
    """Length of the shortest arc between two angles, rad, in [0, pi]."""
    return abs(difference(a, b))


def unwrap(angle: ArrayOrTensor) -> ArrayOrTensor:
    """Continuous angle along the first axis (time), rad: steps are taken along the shortest arc.

    Correct as long as the true angle moves by less than pi between samples.
    """
    if isinstance(angle, np.ndarray):
        return np.unwrap(angle, axis=0)
    import torch

    steps = difference(angle[1:], angle[:-1])
    return torch.cat([angle[:1], angle[:1] + torch.cumsum(steps, dim=0)], dim=0)


def mean(angle: np.ndarray, axis: int = 0) -> np.ndarray:
    """Circular mean, rad: the angle of the mean unit vector."""
    return np.angle(np.mean(np.exp(1j * angle), axis=axis))


def evenly_spaced(n: int) -> np.ndarray:
    """``n`` headings that divide the circle evenly, rad, from 0 up to (not including) 2 pi."""
    return 2 * math.pi * np.arange(n) / n
