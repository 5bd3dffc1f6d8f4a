"""The attractor of a network: drift with fixed points, spectra, state space, bump shape. Computes nothing new."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from connectome_sim.analysis.topology import LOOP
from connectome_sim.figures.needs import Need
from connectome_sim.figures.saved import SavedAnalysis
from connectome_sim.figures.style import (
    BLUE,
    GREY,
    PALE,
    VERMILLION,
    blank,
    degrees_axis,
    new_figure,
    panel_title,
    styled,
)

# a circle of four colours that differ in hue and lightness with every common kind of colour vision
HEADING = LinearSegmentedColormap.from_list("heading", ["#332288", "#56B4E9", "#F0E442", "#D55E00", "#332288"])


@styled
def drift_field(saved: SavedAnalysis) -> Figure:
    """Drift over heading at rest with fixed points (filled: stable, open: unstable), and the barriers between them."""
    caption = saved.caption + (
        "Drift from the full right-hand side on the ring of slow states. Fixed points are its roots: filled stable, "
        "open unstable."
        if saved.has_ring
        else "There is no ring: dots are settled states after cues, drift from the full right-hand side there."
    )
    figure = new_figure("Drift at rest and fixed points", caption, height=2.9)
    left, right = figure.subplots(1, 2, width_ratios=[2.4, 1])
    points, stable = saved.degrees("points/heading_rad"), saved.arrays["points/stable"].astype(bool)
    left.axhline(0, color=GREY, linewidth=0.6)
    if saved.has_ring:
        heading, speed = _closed(saved, "ring/drift_rad_per_s")
        left.plot(heading, np.rad2deg(speed), color=BLUE)
    else:
        drift = np.rad2deg(saved.arrays["settled/drift_rad_per_s"])
        left.plot(saved.degrees("settled/heading_rad"), drift, "o", color=BLUE, markersize=2.5)
    _points(left, points, np.zeros(len(points)), stable)
    degrees_axis(left, which="x")
    left.set_xlabel("heading (deg)")
    left.set_ylabel("drift (deg/s)")
    count = f"{stable.sum()} stable, {(~stable).sum()} unstable"
    panel_title(left, "Continuum: no drift" if saved.found["is_continuum"] else count, warning=saved.warning)
    barrier = saved.arrays["points/barrier_deg2_per_s"]
    if not np.isfinite(barrier).any():
        blank(right, "no barriers")
        return figure
    right.plot(points[stable], np.fmin(barrier[:, 0], barrier[:, 1]), "o", color=VERMILLION)
    degrees_axis(right, which="x")
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    right.yaxis.set_minor_formatter(NullFormatter())
    right.set_xlabel("stable heading (deg)")
    panel_title(right, "Lower barrier (deg²/s)")
    return figure


@styled
def eigenvalue_spectrum(saved: SavedAnalysis) -> Figure:
    """Leading eigenvalues of the Jacobian along the ring, and at the fixed points in the complex plane."""
    caption = saved.caption + "Leading eigenvalues of the Jacobian, the slowest in colour."
    if saved.has_ring:
        caption += f" Its mode lies along the ring: |cos| at least {saved.found['tangent_alignment_min']:.3f}."
    figure = new_figure("Eigenvalues", caption, height=2.9)
    left, right = figure.subplots(1, 2)
    if saved.has_ring:
        heading, values = saved.degrees("spectra/heading_rad"), saved.arrays["spectra/eigenvalues_per_s"]
        left.axhline(0, color=GREY, linewidth=0.6)
        left.plot(heading, values[:, 1:, 0], color=GREY, marker=".", markersize=3, linewidth=0.6)
        left.plot(heading, values[:, 0, 0], color=BLUE, marker="o", markersize=3)
        degrees_axis(left, which="x")
        left.set_xlabel("heading (deg)")
        left.set_ylabel("real part (1/s)")
        panel_title(left, f"Along the ring: gap {saved.found['spectral_gap_min_per_s']:.2g} 1/s", warning=saved.warning)
    else:
        blank(left, saved.warning)
    values, stable = saved.arrays["points/eigenvalues_per_s"], saved.arrays["points/stable"].astype(bool)
    if not len(values):
        blank(right, "no isolated fixed points")
        return figure
    right.axvline(0, color=GREY, linewidth=0.6)
    right.plot(values[:, 1:, 0].ravel(), values[:, 1:, 1].ravel(), ".", color=GREY, markersize=3)
    _points(right, values[:, 0, 0], values[:, 0, 1], stable)
    right.set_xlabel("real part (1/s)")
    right.set_ylabel("imaginary part (1/s)")
    panel_title(right, "At the fixed points")
    return figure


@styled
def state_space(saved: SavedAnalysis) -> Figure:
    """States along three principal components, coloured by heading, and their loops as a persistence diagram.

    Where walks were simulated these are landmarks of the visited states, otherwise the ring of slow states.
    """
    visited = saved.visited
    what = "Landmarks of the states that walks visit" if visited is not None else "The ring of slow states"
    caption = f"{saved.caption}{what}, coloured by decoded heading. "
    if visited is not None:
        caption += "Right: each dot is a loop of these states, which closes at its birth and is filled at its death."
    figure = new_figure("State space", caption, height=2.7)
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 0.05, 1])
    score, heading = visited if visited is not None else saved.ring_components
    for panel, (first, second) in zip(axes[:2], ((0, 1), (0, 2)), strict=True):
        image = panel.scatter(score[:, first], score[:, second], c=heading, cmap=HEADING, vmin=-180, vmax=180, s=7)
        panel.set_aspect("equal", adjustable="datalim")
        panel.set_xlabel(f"component {first + 1}")
        panel.set_ylabel(f"component {second + 1}")
    title = f"{saved.found['effective_dimension']:.1f} effective dimensions" if saved.has_ring else ""
    panel_title(axes[0], title)
    panel_title(axes[1], "", warning=saved.warning)
    figure.colorbar(image, cax=axes[2], label="heading (deg)", ticks=[-180, -90, 0, 90, 180])
    _persistence(axes[3], saved)
    return figure


def _persistence(axes: Axes, saved: SavedAnalysis) -> None:
    """Birth and death of the loops of the visited states, in units of their radius."""
    if saved.visited is None:
        blank(axes, "no walks simulated")
        return
    if "visited/loop_birth" not in saved.arrays:
        blank(axes, "ripser is not\ninstalled")
        return
    radius = float(saved.arrays["visited/radius"]) or 1.0
    birth, death = (saved.arrays[f"visited/loop_{end}"] / radius for end in ("birth", "death"))
    end = 1.1 * max(math.sqrt(3), float(death.max(initial=0.0)))
    axes.plot([0, end], [0, end], color=GREY, linewidth=0.6)
    axes.plot([0, end - LOOP], [LOOP, end], color=GREY, linewidth=0.6, linestyle=":")
    axes.plot(birth, death, "o", color=VERMILLION, markersize=3)
    axes.axhline(math.sqrt(3), color=BLUE, linewidth=0.6, linestyle="--")
    axes.text(0.5 * end, math.sqrt(3) - 0.03, "a fine circle", color=BLUE, ha="center", va="top", fontsize=6)
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="birth (radii)", ylabel="death (radii)")
    axes.set_aspect("equal")
    number = saved.found["visited_loops"]
    panel_title(axes, f"{number:.0f} loop" + ("" if number == 1 else "s"))


@styled
def bump_shape(saved: SavedAnalysis) -> Figure:
    """Width and amplitude of the bump against heading at rest (left) and against angular velocity (right)."""
    caption = saved.caption + "Full width at half maximum of 16 wedges; on the move, means over headings and time."
    figure = new_figure("Shape of the bump", caption, height=3.6)
    panels = figure.subplots(2, 2, sharey="row", sharex="col")
    velocity, split = np.rad2deg(saved.arrays["shape/velocity_rad_per_s"]), saved.arrays["shape/peaks"] != 1
    for row, (name, scale, label) in enumerate(
        (("width_rad", 180 / np.pi, "width (deg)"), ("amplitude", 1.0, "amplitude (rate)"))
    ):
        heading, values = _closed(saved, f"shape/{name}")
        panels[row, 0].plot(heading, scale * values, color=BLUE)
        for place in saved.degrees("ring/heading_rad")[split]:
            panels[row, 0].axvspan(place - 180 / len(split), place + 180 / len(split), color=PALE, linewidth=0)
        moving = scale * saved.arrays[f"shape/moving_{name}"]
        panels[row, 1].plot(velocity, moving, color=VERMILLION, marker="o")
        panels[row, 0].set_ylabel(label)
        low, high = panels[row, 0].get_ylim()
        panels[row, 0].set_ylim(min(0.0, low), high + 0.05 * abs(high))
    degrees_axis(panels[1, 0], which="x")
    panels[1, 0].set_xlabel("heading (deg)")
    panels[1, 1].set_xlabel("angular velocity (deg/s)")
    panel_title(
        panels[0, 0], "At rest", warning=f"grey: {split.sum()} of {len(split)} not one bump" * bool(split.any())
    )
    panel_title(panels[0, 1], "On the move")
    return figure


Enough = Callable[[SavedAnalysis], bool]
FIGURES: Mapping[str, tuple[Callable[[SavedAnalysis], Figure], Enough]] = {
    "drift_field": (drift_field, lambda found: True),
    "eigenvalue_spectrum": (eigenvalue_spectrum, lambda found: found.has_ring or found.has_points),
    "state_space": (state_space, lambda found: found.has_ring or found.visited is not None),
    "bump_shape": (bump_shape, lambda found: found.has_ring),
}
"""Name of the file without its ending -> drawing function, and whether an analysis found enough to draw."""


def need(enough: Enough) -> Need:
    """What a figure of an analysis needs, as a need of the run that was analysed."""
    return Need("the analysis found no ring to show", "", lambda s: s.analysis is not None and enough(s.analysis))


def _closed(saved: SavedAnalysis, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Headings of the ring (deg) and an array along it, its first entry repeated at the end."""
    heading, values = saved.degrees("ring/heading_rad"), saved.arrays[name]
    return np.append(heading, heading[0] + 360), np.append(values, values[:1])


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, stable: np.ndarray) -> None:
    axes.plot(x[~stable], y[~stable], "o", color=VERMILLION, markerfacecolor="white", markersize=3.5, zorder=4)
    axes.plot(x[stable], y[stable], "o", color=VERMILLION, markersize=3.5, zorder=5)
