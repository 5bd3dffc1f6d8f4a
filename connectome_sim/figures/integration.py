"""Error of the path integration over the time of a walk, beside the fly's. Knows no network."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connectome_sim import circular
from connectome_sim.figures.headings import failed_text, survivors
from connectome_sim.figures.needs import Need
from connectome_sim.figures.published import FLY_SOURCE, FLY_SPREAD_DEG, FLY_SPREAD_TIMES_S
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import BLACK, BLUE, COLUMN_WIDTH, GREY, SKY, blank, new_figure, panel_title, styled

_ARRAYS = ("walking/time_s", "walking/true_heading_rad", "walking/decoded_heading_rad")
CHANCE_DEG = 90.0  # median distance of two random headings


def _measured(saved: SavedRun) -> bool:
    errors = [saved.metrics[f"walking_error_{name}s_median_deg"] for name in error_times(saved.metrics).values()]
    return saved.get(*_ARRAYS) is not None or bool(np.isfinite(errors).any())


NEEDS = Need("no held-out traces are saved", "evaluate", _measured)


@styled
def integration_error(saved: SavedRun) -> Figure:
    """Circular error of the decoded heading over walks: median and 10th to 90th percentile, deg.

    The fly's numbers are circular standard deviations over stretches of walking, so ours is drawn too, to be compared
    with them; for small normal errors the median distance is 0.67 of it.
    """
    arrays = saved.get(*_ARRAYS)
    caption = f"{saved.origin}. Fly: median fly, bump minus gain x heading, imaging noise included. {saved.ending}"
    figure = new_figure("Integration error in darkness", caption, width=COLUMN_WIDTH, height=3.7)
    axes = figure.subplots()
    if arrays is None:
        _beside(axes, 1.05 * _summary(axes, saved.metrics))
        panel_title(axes, "Summary of held-out walks", warning=saved.bump_warning)
        return figure
    time, true, decoded = arrays
    ok = survivors(decoded)
    if not ok.any():
        blank(axes, "every trial failed")
        return figure
    error = decoded[:, ok] - true[:, ok]
    size = np.rad2deg(circular.distance(error, np.zeros_like(error)))
    low, median, high = np.percentile(size, [10, 50, 90], axis=1)
    axes.fill_between(time, low, high, color=SKY, alpha=0.35, linewidth=0, label="network, error, 10-90 % of walks")
    axes.plot(time, median, color=BLUE, label="network, error, median")
    axes.plot(time, circular_sd(error), color=BLUE, linewidth=0.8, linestyle="--", label="network, circular SD")
    _beside(axes, float(time[-1]))
    panel_title(axes, f"{int(ok.sum())} held-out walks", warning=failed_text(ok) or saved.bump_warning)
    return figure


def _summary(axes: Axes, metrics: Mapping[str, float]) -> float:
    """Draws median and 90th percentile at the times that the metrics have; the last of these, s."""
    times = error_times(metrics)
    median, high = (
        np.array([metrics.get(f"walking_error_{name}s_{q}_deg", np.nan) for name in times.values()])
        for q in ("median", "p90")
    )
    bars = np.stack([np.zeros(len(times)), high - median])
    axes.errorbar(
        list(times), median, bars, fmt="o", color=BLUE, markersize=3, label="network, error, median to 90 % of walks"
    )
    return max(times)


def error_times(metrics: Mapping[str, float]) -> dict[float, str]:
    """Times at which the walking error was read, s, increasing -> how metrics write them (0.5 is ``0p5``)."""
    found = (re.fullmatch(r"walking_error_([\dp]+)s_median_deg", name) for name in metrics)
    return dict(sorted((float(match[1].replace("p", ".")), match[1]) for match in found if match))


def _beside(axes: Axes, end: float) -> None:
    """What the error stands beside, the axes, and the legend."""
    axes.plot(
        FLY_SPREAD_TIMES_S,
        FLY_SPREAD_DEG,
        "D",
        color=BLACK,
        markerfacecolor="white",
        label=f"fly, circular SD ({FLY_SOURCE})",
        zorder=3,
    )
    axes.axhline(CHANCE_DEG, color=GREY, linewidth=0.7, linestyle=":", label="median of random headings")
    axes.set_xlim(0, max(end, 1.05 * FLY_SPREAD_TIMES_S[-1]))
    axes.set_ylim(0, 180)
    axes.set_yticks([0, 45, 90, 135, 180])
    axes.set_xlabel("time since the start of the walk (s)")
    axes.set_ylabel("decoded minus true heading (deg)")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.12, 1.09), labelspacing=0.3, borderaxespad=0)


def circular_sd(error: Float[np.ndarray, "time trial"]) -> Float[np.ndarray, " time"]:
    """Circular standard deviation over trials, sqrt(-2 ln R) with R the length of the mean unit vector, deg."""
    length = np.abs(np.exp(1j * error).mean(axis=1))
    return np.rad2deg(np.sqrt(-2 * np.log(np.clip(length, 1e-12, 1.0))))
