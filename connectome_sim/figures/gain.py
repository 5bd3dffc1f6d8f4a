"""Gain of the velocity integration at constant velocities, in both directions. Knows no network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from connectome_sim.evaluate import FULL
from connectome_sim.figures.needs import Need
from connectome_sim.figures.published import FLY_GAIN, FLY_GAIN_RANGE, FLY_SOURCE, VAFIDIS_FLAT_BELOW_DEG_PER_S
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PALE,
    VERMILLION,
    blank,
    new_figure,
    panel_title,
    styled,
)

VIEW = (-0.5, 2.5)  # gains outside are shown as triangles at the edge
TOLERANCE = FULL.linear_tolerance
LOOKS: Mapping[int, Mapping[str, Any]] = {  # of either direction; both can be seen where they coincide
    -1: {"color": VERMILLION, "marker": "s", "markersize": 2.5, "label": "negative velocity"},
    1: {
        "color": BLUE,
        "marker": "o",
        "markersize": 5,
        "fillstyle": "none",
        "linestyle": ":",
        "label": "positive velocity",
    },
}


@styled
def gain_curve(saved: SavedRun) -> Figure:
    """Decoded over input velocity: as velocities (left) and as gain per speed (right), mean and SD over headings.

    The shaded band is 10 % around a gain of one. Published numbers are marked with their source.
    """
    velocity, gain, spread = _curve(saved)
    caption = (
        f"{saved.origin}. Mean and SD over headings; band: gain within {100 * TOLERANCE:.0f} % of 1. {saved.ending}"
    )
    figure = new_figure("Gain of velocity integration", caption, height=3.4)
    if not np.isfinite(gain).any():
        blank(figure.subplots(), "every trial failed")
        return figure
    left, right = figure.subplots(1, 2)
    _velocities(left, velocity, gain * velocity, spread * np.abs(velocity))
    failed = int(np.isnan(gain).sum())
    panel_title(left, "Decoded velocity", warning=f"failed at {failed} of {len(gain)} velocities" if failed else "")
    _published(right, float(np.abs(velocity).min()), float(np.abs(velocity).max()))
    for sign in (-1, 1):
        part = np.flatnonzero(np.sign(velocity) == sign)
        part = part[np.argsort(np.abs(velocity[part]))]
        _gains(right, np.abs(velocity[part]), gain[part], spread[part], LOOKS[sign])
    _gain_axes(right, np.unique(np.abs(velocity)))
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    panel_title(right, f"Gain; {_linear_range(saved)}")
    return figure


def _curve(saved: SavedRun) -> list[np.ndarray]:
    """Velocities, gains and their SD; empty where nothing was measured."""
    return saved.get("constant/velocity_deg_per_s", "constant/gain", "constant/gain_sd") or _known(saved.metrics)


NEEDS = Need("no gain was measured", "evaluate", lambda s: bool(_curve(s)[0].size))


def _known(metrics: Mapping[str, float]) -> list[np.ndarray]:
    """Velocities and gains as the metrics have them, their SD unknown."""
    found = {}
    for name, gain in metrics.items():
        if match := re.fullmatch(r"gain_at_(minus_)?([\dp]+)_deg_per_s", name):
            found[float(match[2].replace("p", ".")) * (-1 if match[1] else 1)] = gain
    velocity = np.array(sorted(found))
    return [velocity, np.array([found[v] for v in velocity.tolist()]), np.full(len(velocity), np.nan)]


def _linear_range(saved: SavedRun) -> str:
    low, high = (saved.metrics.get(f"linear_range_{end}_deg_per_s", np.nan) for end in ("low", "high"))
    return f"linear from {low:g} to {high:g} deg/s" if np.isfinite(low) and np.isfinite(high) else "no linear range"


def _velocities(axes: Axes, velocity: np.ndarray, decoded: np.ndarray, spread: np.ndarray) -> None:
    ends = np.array([-1.05, 0.0, 1.05]) * np.abs(velocity).max()
    margin = TOLERANCE * np.abs(ends)
    axes.fill_between(ends, ends - margin, ends + margin, color=PALE, linewidth=0)
    axes.plot(ends, ends, color=GREY, linewidth=0.6, linestyle="--")
    axes.errorbar(velocity, decoded, spread, color=BLACK, marker="o", markersize=2.5, elinewidth=0.6, capsize=1.2)
    axes.set_xlim(ends[0], ends[-1])
    limit = max(ends[-1] * (1 + TOLERANCE), float(np.nanmax(np.abs(decoded))) * 1.05)
    axes.set_ylim(-limit, limit)
    axes.set_xlabel("angular velocity (deg/s)")
    axes.set_ylabel("decoded velocity (deg/s)")


def _gains(axes: Axes, speed: np.ndarray, gain: np.ndarray, spread: np.ndarray, look: Mapping[str, Any]) -> None:
    axes.errorbar(speed, gain, spread, elinewidth=0.6, capsize=1.2, zorder=3, **look)
    for edge, beyond, triangle in ((VIEW[0], gain < VIEW[0], "v"), (VIEW[1], gain > VIEW[1], "^")):
        if beyond.any():
            place = np.full(beyond.sum(), edge)
            axes.plot(speed[beyond], place, triangle, color=look["color"], markersize=5, clip_on=False, zorder=4)


def _published(axes: Axes, slowest: float, fastest: float) -> None:
    axes.axhspan(1 - TOLERANCE, 1 + TOLERANCE, color=PALE, linewidth=0)
    axes.axhline(1, color=GREY, linewidth=0.6, linestyle="--")
    axes.axhspan(*FLY_GAIN_RANGE, facecolor="none", edgecolor=GREEN, hatch="////", linewidth=0, alpha=0.35)
    low, high = FLY_GAIN_RANGE
    axes.axhline(
        FLY_GAIN,
        color=GREEN,
        linewidth=0.8,
        label=f"fly in darkness, {FLY_GAIN:.2f} ({low:.2f}-{high:.2f}; {FLY_SOURCE})",
    )
    if slowest < VAFIDIS_FLAT_BELOW_DEG_PER_S < fastest:
        axes.axvline(
            VAFIDIS_FLAT_BELOW_DEG_PER_S,
            color=GREY,
            linewidth=0.8,
            linestyle=":",
            label=f"Vafidis 2022 model: flat below {VAFIDIS_FLAT_BELOW_DEG_PER_S:g} deg/s",
        )


def _gain_axes(axes: Axes, speeds: np.ndarray) -> None:
    axes.set_xscale("log")
    shown = [speed for i, speed in enumerate(speeds) if i == 0 or speed >= 1.35 * speeds[i - 1] or i == len(speeds) - 1]
    axes.set_xticks(shown, [f"{speed:g}" for speed in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(speeds[0] / 1.15, speeds[-1] * 1.15)
    low, high = axes.get_ylim()
    axes.set_ylim(max(VIEW[0], min(0.0, low)), min(VIEW[1], max(1.5, high)))
    axes.set_xlabel("speed (deg/s)")
    axes.set_ylabel("gain")
