"""The EPG bump over a walk in darkness, with true and decoded heading and the error between them. Knows no network."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connectome_sim.evaluate import FULL
from connectome_sim.figures.headings import around, broken_at_wraps
from connectome_sim.figures.needs import Need
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import (
    BLACK,
    BLUE,
    GREY,
    RATE,
    VERMILLION,
    degrees_axis,
    new_figure,
    panel_title,
    styled,
)

_ARRAYS = (
    "walking/time_s",
    "walking/true_heading_rad",
    "walking/decoded_heading_rad",
    "walking/vector_length",
    "walking/kymograph",
    "walking/kymograph_angle_rad",
)
NEEDS = Need("no held-out traces are saved", "evaluate", lambda s: s.get(*_ARRAYS) is not None)
SMALLEST_RANGE = 30.0  # deg, half-height of the error panel at least: a good run should look like one


@styled
def bump_kymograph(saved: SavedRun) -> Figure:
    """Mean EPG rate around the ring over the first held-out walk, headings on top; below, decoded minus true heading.

    The error is unwrapped: a bump that slips a whole turn stays 360 deg away.
    """
    time, true, decoded, length, profile, angle = saved.arrays_of(*_ARRAYS)
    walk = f"Walk 1 of {true.shape[1]}, held out. "
    figure = new_figure("EPG bump during a walk in darkness", f"{saved.origin}. {walk}{saved.ending}", height=3.7)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    true, decoded, length = true[:, 0], decoded[:, 0], length[:, 0]
    _image(figure, top, time, angle, profile)
    top.plot(*broken_at_wraps(time, true), color=BLACK, linewidth=1.6, label="true heading")
    top.plot(*broken_at_wraps(time, decoded), color=VERMILLION, linewidth=0.8, label="decoded heading")
    degrees_axis(top)
    top.set_ylabel("heading (deg)")
    panel_title(top, "Mean rate of EPG around the ring", warning=_warning(decoded, length))
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, borderaxespad=0.1)
    figure.align_ylabels([top, bottom])
    _error(bottom, time, np.rad2deg(decoded - true))
    return figure


def _warning(decoded: np.ndarray, length: np.ndarray) -> str:
    """What is wrong with the trial: it failed, or its population vector is too short for a bump."""
    if not np.isfinite(decoded).all():
        return "the trial failed: no decoded heading"
    share = float((length < FULL.bump_min_vector_length).mean())
    if share == 1:
        return "no bump"
    return f"no bump during {100 * share:.0f} % of the walk" if share >= 0.005 else ""


def _image(figure: Figure, axes: Axes, time: np.ndarray, angle: np.ndarray, profile: np.ndarray) -> None:
    degrees, rate = around(angle, profile)
    half_wedge = (degrees[1] - degrees[0]) / 2 if len(degrees) > 1 else 180.0
    half_step = (time[1] - time[0]) / 2 if len(time) > 1 else 0.5
    finite = rate[np.isfinite(rate)]
    image = axes.imshow(
        rate.T,
        cmap=RATE,
        vmin=0,
        vmax=float(finite.max()) if finite.size and finite.max() > 0 else 1.0,
        origin="lower",
        aspect="auto",
        extent=(time[0] - half_step, time[-1] + half_step, degrees[0] - half_wedge, degrees[-1] + half_wedge),
        rasterized=True,
    )
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=18)
    bar.set_label("rate")
    bar.outline.set_linewidth(0.5)
    axes.set_xlim(time[0], time[-1])


def _error(axes: Axes, time: np.ndarray, error: np.ndarray) -> None:
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.plot(time, error, color=BLUE, label="error")
    finite = np.abs(error[np.isfinite(error)])
    limit = max(SMALLEST_RANGE, 1.1 * float(finite.max(initial=0.0)))
    axes.set_ylim(-limit, limit)
    axes.set_ylabel("error (deg)")
    axes.set_xlabel("time (s)")
    if not finite.size:
        axes.text(0.5, 0.75, "not measured", ha="center", va="center", color=GREY, transform=axes.transAxes)
