"""How well the members of an ensemble do: walking, gain, rest. Draws stored scores and computes nothing new."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from connectome_sim.figures.rendering import check_formats, rendered
from connectome_sim.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    VERMILLION,
    blank,
    new_figure,
    panel_title,
    styled,
)

LINEAR = 0.05  # shaded around a gain of 1
Scores = Mapping[str, float]


def draw_member_scores(
    origin: str, seeds: Sequence[int], scores: Sequence[Scores], *, formats: Sequence[str]
) -> dict[str, bytes]:
    """File name -> content of the figure.

    Raises:
        ConfigError: an unknown format.
    """
    check_formats(formats)
    figure = member_scores(origin, seeds, scores)
    return {f"member_scores.{ending}": rendered(figure, ending) for ending in dict.fromkeys(formats)}


@styled
def member_scores(origin: str, seeds: Sequence[int], scores: Sequence[Scores]) -> Figure:
    """Walking error over time (left), gain over velocity (middle), drift at rest of each member (right).

    Args:
        origin: for the caption.
        seeds: of the members.
        scores: held-out scores of each, in the same order.
    """
    first = scores[0]
    caption = (
        f"{origin}. Held-out traces, {first.get('evaluation_headings', np.nan):g} headings, seed "
        f"{first.get('evaluation_seed', np.nan):g}, steps of {1000 * first.get('evaluation_step_s', np.nan):g} ms. "
        f"Thin: members; thick: their median."
    )
    figure = new_figure(f"{len(seeds)} fitted networks", caption, height=2.5)
    walking, gain, rest = figure.subplots(1, 3)
    _walking(walking, scores)
    _gain(gain, scores)
    _rest(rest, seeds, scores)
    return figure


def _numbers(scores: Scores, pattern: str) -> dict[float, float]:
    """Values of the scores whose name matches, by the number in the name."""
    found = {float(m[1]): value for name, value in scores.items() if (m := re.fullmatch(pattern, name))}
    return dict(sorted(found.items()))


def _walking(axes: Axes, scores: Sequence[Scores]) -> None:
    median = [_numbers(one, r"walking_error_(\d+)s_median_deg") for one in scores]
    upper = [_numbers(one, r"walking_error_(\d+)s_p90_deg") for one in scores]
    if not median[0]:
        blank(axes, "no walking scores")
        return
    times = list(median[0])
    for one in median:
        axes.plot(list(one), list(one.values()), color=BLUE, linewidth=0.5, alpha=0.5)
    axes.plot(
        times, np.median([list(one.values()) for one in median], axis=0), "o-", color=BLUE, label="median heading"
    )
    axes.plot(
        times, np.median([list(one.values()) for one in upper], axis=0), "o--", color=ORANGE, label="90th percentile"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, ticks in ((axes.xaxis, times), (axes.yaxis, [0.5, 1, 2, 5, 10, 20, 50, 100])):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("time walking in the dark (s)")
    axes.set_ylabel("heading error (deg)")
    axes.legend(loc="lower right", borderaxespad=0.1)
    panel_title(axes, "Path integration")


def _gain(axes: Axes, scores: Sequence[Scores]) -> None:
    curves = []
    for one in scores:
        left = {-speed: value for speed, value in _numbers(one, r"gain_at_minus_(\d+)_deg_per_s").items()}
        curves.append(dict(sorted((left | _numbers(one, r"gain_at_(\d+)_deg_per_s")).items())))
    if not curves[0]:
        blank(axes, "no gain scores")
        return
    velocity = list(curves[0])
    axes.axhspan(1 - LINEAR, 1 + LINEAR, color=PALE, linewidth=0)
    for curve in curves:
        axes.plot(list(curve), list(curve.values()), color=BLUE, linewidth=0.5, alpha=0.5)
    axes.plot(velocity, np.median([list(one.values()) for one in curves], axis=0), color=BLUE, linewidth=1.5)
    axes.set_xlabel("angular velocity (deg/s)")
    axes.set_ylabel("gain (bump / head)")
    low = min(min(one.values()) for one in curves)
    axes.set_ylim(min(0.8, low - 0.02), max(1.2, *(max(one.values()) + 0.02 for one in curves)))
    panel_title(axes, f"Gain, shaded: 1 ± {LINEAR:g}")


def _rest(axes: Axes, seeds: Sequence[int], scores: Sequence[Scores]) -> None:
    place = np.arange(len(seeds))
    median = [one.get("rest_drift_60s_median_deg", np.nan) for one in scores]
    largest = [one.get("rest_drift_60s_max_deg", np.nan) for one in scores]
    axes.vlines(place, median, largest, color=GREY, linewidth=0.6)
    axes.plot(place, largest, "o", color=VERMILLION, label="worst heading")
    axes.plot(place, median, "o", color=BLUE, label="median heading")
    axes.set_ylim(0, 1.2 * np.nanmax([*largest, 1e-9]))
    axes.set_xticks(place, [str(seed) for seed in seeds], fontsize=5, rotation=90 * (len(seeds) > 12))
    axes.set_xlabel("seed")
    axes.set_ylabel("drift in 60 s (deg)")
    axes.legend(loc="upper center", ncols=2, columnspacing=0.8, handletextpad=0.1)
    panel_title(axes, "At rest")
