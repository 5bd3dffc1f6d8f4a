"""Path errors of bumps that know no velocity, on given traces: what a path error is read against. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from connectome_sim import circular
from connectome_sim.evaluate.metrics import Metrics

DRAWS = 1000  # random headings for each trace (chosen: with 16 traces their median then lies within a degree of 90)
BELOW = 0.75
"""Share of the lower floor below which a path error counts as better than the floor.

Chosen: the median of 16 random headings falls below it by chance in 3 % of networks (of 64: never), and a bump that
follows every turn with a gain of a quarter just reaches it.
"""

Displacement = Float[np.ndarray, " batch"]


def median_error_deg(decoded: Displacement, true: Displacement) -> float:
    """Median over trials of the distance around the circle between two displacements (rad), deg; NaN if one is."""
    return float(np.median(np.rad2deg(circular.distance(decoded, true))))


@dataclass(frozen=True)
class Floors:
    """The floors of one path error.

    Attributes:
        still_deg: error of a bump that stays where it is.
        chance_deg: error of random headings, the median over ``DRAWS`` for each trace.
    """

    still_deg: float
    chance_deg: float

    @classmethod
    def on(cls, true: Displacement, random: Generator) -> Floors:
        """The floors on traces that end at these true displacements (rad)."""
        drawn = random.uniform(-math.pi, math.pi, size=(DRAWS, len(true)))
        return cls(median_error_deg(np.zeros_like(true), true), median_error_deg(drawn.ravel(), np.tile(true, DRAWS)))

    @classmethod
    def beside(cls, row: Mapping[str, str], error: str) -> Floors | None:
        """The floors that stand beside an error in the row of a table; None for a measure that has none."""
        texts = [row.get(name, "") for name in floor_names(error)]
        return cls(*map(float, texts)) if all(texts) else None

    def measures(self, error: str) -> Metrics:
        """The same as measures, named after the error that they belong to."""
        return dict(zip(floor_names(error), (self.still_deg, self.chance_deg), strict=True))

    @property
    def limit_deg(self) -> float:
        """Path errors above it are at the floor: no better than a bump that knows no velocity."""
        return BELOW * min(self.still_deg, self.chance_deg)


def floor_names(error: str) -> tuple[str, str]:
    """Names of the floors of a path error: ``walking_error_deg`` -> ``walking_error_still_deg``, ``..._chance_deg``."""
    stem = error.removesuffix("_deg")
    return f"{stem}_still_deg", f"{stem}_chance_deg"


def is_floor(measure: str) -> bool:
    """Whether a measure is the floor of another: a number of the traces, the same for every network."""
    return measure.endswith(("_still_deg", "_chance_deg"))
