"""Drift of the bump at rest: traces, final drift against initial heading, and its distribution. Knows no network."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from connectome_sim import circular
from connectome_sim.figures.headings import broken_at_wraps, failed_text, survivors
from connectome_sim.figures.needs import Need
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import (
    BLUE,
    GREY,
    SKY,
    blank,
    degrees_axis,
    new_figure,
    panel_title,
    styled,
)

_ARRAYS = ("rest/time_s", "rest/decoded_heading_rad")
NEEDS = Need("no held-out traces are saved", "evaluate", lambda s: s.get(*_ARRAYS) is not None)
SMALLEST_RANGE = 10.0  # deg, half-height of the drift panels at least: a drift of nothing should look like it
BINS = 25  # odd, so that one is centred on no drift


@styled
def rest_drift(saved: SavedRun) -> Figure:
    """Decoded headings without input (left), the drift of each by the end (middle) and its distribution (right)."""
    time, heading = saved.arrays_of(*_ARRAYS)
    figure = new_figure("Drift at rest", f"{saved.origin}. {_distinct(saved)}{saved.ending}", height=2.9)
    ok = survivors(heading)
    if not ok.any():
        blank(figure.subplots(), "every trial failed")
        return figure
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.9, 1.5, 0.55])
    middle.sharey(right)
    heading = heading[:, ok]
    for trace in heading.T:
        left.plot(*broken_at_wraps(time, trace), color=BLUE, linewidth=0.6, alpha=0.7)
    degrees_axis(left)
    left.set_xlim(time[0], time[-1])
    left.set_xlabel("time (s)")
    left.set_ylabel("decoded heading (deg)")
    panel_title(left, f"{heading.shape[1]} headings", warning=failed_text(ok) or saved.bump_warning)
    _drift(middle, right, heading, float(time[-1]))
    return figure


def _distinct(saved: SavedRun) -> str:
    distinct = saved.metrics.get("rest_distinct_headings", np.nan)
    return f"At the end {distinct:g} headings are told apart. " if np.isfinite(distinct) else ""


def _drift(middle: Axes, right: Axes, heading: np.ndarray, duration: float) -> None:
    drift = np.rad2deg(heading[-1] - heading[0])
    limit = max(SMALLEST_RANGE, 1.1 * float(np.abs(drift).max()))
    middle.axhline(0, color=GREY, linewidth=0.6)
    middle.plot(np.rad2deg(circular.wrap(heading[0])), drift, "o", color=BLUE, markersize=2.5)
    degrees_axis(middle, which="x")
    middle.set_ylim(-limit, limit)
    middle.yaxis.set_major_locator(MaxNLocator(5))
    middle.set_xlabel("initial heading (deg)")
    middle.set_ylabel(f"drift after {duration:g} s (deg)")
    size = np.abs(drift)
    panel_title(middle, f"Drift: median {np.median(size):.1f}, maximum {size.max():.1f} deg")
    right.axhline(0, color=GREY, linewidth=0.6)
    right.hist(drift, bins=np.linspace(-limit, limit, BINS + 1).tolist(), orientation="horizontal", color=SKY)
    right.tick_params(labelleft=False)
    right.set_xlabel("headings")
