"""A study at a glance: per case the share of fits that succeed, and three measures fit by fit. Computes nothing new."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from connectome_sim.analysis.population import over_fits
from connectome_sim.analysis.studies import CaseSummary, Fitted
from connectome_sim.figures.style import BLACK, BLUE, GREY, PALE, VERMILLION, blank, new_figure, panel_title, styled

DRAWN = 3  # measures beside the share
FLOOR_DEG = 0.5  # smaller values are drawn here


@dataclass(frozen=True, eq=False)
class SavedStudy:
    """What a study found, and where from.

    Attributes:
        title: of the figure.
        origin: the data, for the caption.
        bounds: what success is, for the caption.
        fits: one by one.
        cases: their summary.
        measures: the first three are drawn.
    """

    title: str
    origin: str
    bounds: str
    fits: Sequence[Fitted]
    cases: Sequence[CaseSummary]
    measures: Sequence[str]


@styled
def study_figure(saved: SavedStudy) -> Figure:
    """A line per case: share that succeeds with its interval (left), and the measures of each fit with their median."""
    caption = (
        f"{saved.origin}. In brackets: numbers that a fit may move. Success: {saved.bounds}; lines: "
        f"95 % interval (Wilson; {over_fits()}). Points: fits (open: no success), offset to tell them apart; bars: "
        "median, boxes: quartiles. A fit without a result has no point; what is below 0.5 is drawn there."
    )
    figure = new_figure(saved.title, caption, height=1.25 + 0.24 * max(len(saved.cases), 2))
    if not saved.cases:
        blank(figure.subplots(), "no fit yet")
        return figure
    panels = figure.subplots(1, 1 + DRAWN, sharey=True, width_ratios=[0.8] + [1] * DRAWN)
    _shares(panels[0], saved.cases)
    for axes, measure in zip(panels[1:], saved.measures[:DRAWN], strict=True):
        _measure(axes, saved, measure)
    panels[0].set_yticks(range(len(saved.cases)), [f"{case.case} ({case.n_parameters:,})" for case in saved.cases])
    panels[0].set_ylim(len(saved.cases) - 0.5, -0.5)
    return figure


def _shares(axes: Axes, cases: Sequence[CaseSummary]) -> None:
    for place, case in enumerate(cases):
        axes.plot([100 * case.share_low, 100 * case.share_high], [place] * 2, color=GREY)
        axes.plot(100 * case.share, place, "o", color=BLUE if case.succeeded else VERMILLION)
    axes.set_xlim(-5, 105)
    axes.set_xticks([0, 50, 100])
    axes.set_xlabel("fits (%)")
    axes.grid(axis="x", color=PALE)
    axes.set_axisbelow(True)
    panel_title(axes, "Success")


def _measure(axes: Axes, saved: SavedStudy, measure: str) -> None:
    largest = 1.0
    for place, case in enumerate(saved.cases):
        mine = [fit for fit in saved.fits if fit.case == case.case]
        mine = [fit for fit in mine if math.isfinite(fit.metrics.get(measure, math.nan))]
        offsets = np.linspace(-0.25, 0.25, len(mine)) if len(mine) > 1 else [0.0] * len(mine)
        found = case.measures[measure]
        if found.measured:
            box = (max(found.q1, FLOOR_DEG), place - 0.32), max(found.q3, FLOOR_DEG) - max(found.q1, FLOOR_DEG), 0.64
            axes.add_patch(_rectangle(*box))
            axes.plot([max(found.median, FLOOR_DEG)] * 2, [place - 0.32, place + 0.32], color=BLACK)
        for fit, offset in zip(mine, offsets, strict=True):
            value = max(fit.metrics[measure], FLOOR_DEG)
            largest = max(largest, value)
            colour, fill = (BLUE, BLUE) if fit.status == "succeeded" else (VERMILLION, "none")
            axes.plot(value, place + offset, "o", markersize=2.4, color=colour, markerfacecolor=fill)
    axes.set_xscale("log")
    axes.set_xlim(FLOOR_DEG * 0.8, largest * 1.5)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in (1, 10, 100, 1000, 10000) if tick < largest * 1.5]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=PALE)
    axes.set_axisbelow(True)
    name, _, unit = measure.rpartition("_")
    axes.set_xlabel(unit)
    panel_title(axes, name.replace("_", " ").replace("10s", "10 s,").replace("60s", "60 s,").capitalize())


def _rectangle(corner: tuple[float, float], width: float, height: float) -> Rectangle:
    return Rectangle(corner, width, height, facecolor=PALE, edgecolor="none", zorder=1)
