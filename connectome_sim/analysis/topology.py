"""The shape of a cloud of states: landmarks spread over it, and its loops by persistent homology. Knows no network.

Loops need ripser, an optional extra: pip install 'connectome-sim[topology]'.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from connectome_sim.axes import FloatArray, IntArray

LANDMARKS = 300  # chosen: ripser's cost grows steeply (300 points 0.1 s, 1,000 points seconds)
LOOP = 0.5  # chosen: a loop counts if it persists over so much of the cloud's radius; a circle's over sqrt(3) of it


def farthest_points(x: FloatArray, n: int) -> IntArray:
    """Indices of at most ``n`` of the points [M, N], each the farthest from those before it.

    The first is the point farthest from the mean. Points that lie on those chosen already are left out.
    """
    if not len(x):
        return np.zeros(0, dtype=np.int64)
    difference = np.empty(x.shape)  # used again: memory is what takes the time

    def squared_distance(point: FloatArray) -> FloatArray:
        np.subtract(x, point, out=difference)
        return np.asarray(np.einsum("mn,mn->m", difference, difference))

    chosen = [int(squared_distance(x.mean(axis=0)).argmax())]
    squared = squared_distance(x[chosen[0]])
    while len(chosen) < n and squared.max() > 0:
        chosen.append(int(squared.argmax()))
        squared = np.minimum(squared, squared_distance(x[chosen[-1]]))
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Loops:
    """First persistent homology of the Vietoris-Rips complex of a cloud of points.

    Attributes:
        birth: distance at which each loop closes, the most persistent first [K].
        death: distance at which it is filled [K].
        radius: root mean square distance of the points from their mean.
    """

    birth: FloatArray
    death: FloatArray
    radius: float

    @property
    def persistence(self) -> FloatArray:
        """Death less birth [K]."""
        return self.death - self.birth

    @property
    def number(self) -> int:
        """Loops that persist over at least ``LOOP`` of the radius."""
        return int((self.persistence >= LOOP * self.radius).sum()) if self.radius > 0 else 0

    def metrics(self) -> dict[str, float]:
        """Flat numbers: loops, and the two most persistent relative to the radius (sqrt(3) for a fine circle)."""
        longest = np.append(self.persistence, [0.0, 0.0])[:2] / (self.radius or math.nan)
        return {
            "visited_loops": float(self.number),
            "visited_loop_persistence": float(longest[0]),
            "visited_next_persistence": float(longest[1]),
        }


def can_find_loops() -> bool:
    """Whether ripser is installed."""
    return importlib.util.find_spec("ripser") is not None


def loops(x: FloatArray) -> Loops | None:
    """Loops of a cloud of points [M, N] in the Euclidean distance, or None where ripser is not installed."""
    if not can_find_loops():
        return None
    from ripser import ripser  # optional, and a second to import

    radius = float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean())) if len(x) else 0.0
    if len(x) < 4 or radius == 0:  # fewer points have no loop
        return Loops(np.zeros(0), np.zeros(0), radius)
    diagram = np.asarray(ripser(cdist(x, x), maxdim=1, distance_matrix=True)["dgms"][1], dtype=np.float64)
    order = np.argsort(diagram[:, 0] - diagram[:, 1], kind="stable")
    return Loops(diagram[order, 0], diagram[order, 1], radius)
