"""What each cell type does while the bump rests, heading by heading: does it follow, is it silent? Knows no file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from connectome_sim.evaluate.metrics import Metrics

SATURATED, SILENT = 0.95, 0.05
"""Shares of the largest rate above and below which a cell says nothing of the heading (chosen)."""


def type_name(name: str) -> str:
    """A cell type as it appears in a metric's name: ``PEN_a`` -> ``pen_a``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def rate_metrics(states: Float[np.ndarray, "heading neuron"], type: Sequence[str], *, largest: float) -> Metrics:
    """Figures of settled states, without any input, around the ring.

    - ``rate_modulation_TYPE_median``: of each cell the range of its rate over headings (largest less smallest), divided
      by the height of its type, the largest rate that any of the type's cells has at any heading; the median over
      cells. 0: the median cell does not know the heading; near 1: it is silent here and as active there as any. A type
      that is silent throughout has 0. ``rate_modulation_lowest_type_median`` is that of the type that follows least.
    - ``saturated_cells_share``, ``silent_cells_share``: of all cells, those above 0.95 and below 0.05 of the largest
      possible rate at every heading; also by type. NaN for an activation without a largest rate.

    Args:
        states: rates.
        type: cell type of each neuron.
        largest: rate that the activation approaches, infinite where there is none.
    """
    types = np.asarray(type)
    metrics: Metrics = {}
    for name in dict.fromkeys(type):
        own = states[:, types == name]
        height = float(np.abs(own).max())
        metrics[f"rate_modulation_{type_name(name)}_median"] = float(np.median(np.ptp(own, axis=0))) / (height or 1.0)
        metrics |= _shares(own, largest, f"_{type_name(name)}")
    modulations = [value for name, value in metrics.items() if name.startswith("rate_modulation_")]
    return {**metrics, "rate_modulation_lowest_type_median": min(modulations), **_shares(states, largest, "")}


def rate_metric_names(types: Sequence[str]) -> frozenset[str]:
    """Names of what `rate_metrics` gives for these cell types."""
    return frozenset(rate_metrics(np.zeros((1, len(types))), types, largest=1.0))


def _shares(rates: Float[np.ndarray, "heading neuron"], largest: float, ending: str) -> Metrics:
    known = math.isfinite(largest)
    saturated = float((rates > SATURATED * largest).all(axis=0).mean()) if known else math.nan
    silent = float((np.abs(rates) < SILENT * largest).all(axis=0).mean()) if known else math.nan
    return {f"saturated_cells_share{ending}": saturated, f"silent_cells_share{ending}": silent}
