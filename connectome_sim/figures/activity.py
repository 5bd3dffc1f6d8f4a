"""What the cells do on a walk: a kymograph per cell type, and the bump on the ellipsoid body as an animation.

Knows no network and no equation: rates come from ``analysis.h5``, cell types and ring angles from ``network.h5``.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Wedge
from PIL import Image

from connectome_sim import circular
from connectome_sim.axes import FloatArray
from connectome_sim.figures.headings import around, broken_at_wraps
from connectome_sim.figures.needs import Need
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import (
    BLACK,
    GREY,
    PALE,
    RATE,
    VERMILLION,
    caption_height,
    new_figure,
    style,
    styled,
)

WEDGES = 16  # of the ellipsoid body
ROW = 0.62  # in, height of a kymograph
FRAME_S, FRAMES = 0.1, 150  # chosen: of the animation; at real speed 15 s
FRAME_INCHES, FRAME_DPI = (2.6, 2.9), 100
_WALK = ("walk/time_s", "walk/true_heading_rad", "walk/decoded_heading_rad", "walk/rates")

NEEDS = Need("no analysed walk is saved", "analyze", lambda s: bool(s.networks) and s.get_analysed(*_WALK) is not None)


def by_wedge(rates: FloatArray, ring_angle: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean rate of neurons by the wedge of their ring angle: angles (rad) of the wedges that have any, [t, wedge]."""
    known = np.flatnonzero(np.isfinite(ring_angle))
    if not len(known):
        return np.zeros(0), np.zeros((len(rates), 0))
    index = np.floor(ring_angle[known] * WEDGES / (2 * np.pi) + 0.5 + 1e-4).astype(int) % WEDGES
    wedges = np.unique(index)
    angle = circular.evenly_spaced(WEDGES)[wedges]
    return angle, np.stack([rates[:, known[index == wedge]].mean(axis=1) for wedge in wedges], axis=1)


@styled
def type_kymographs(saved: SavedRun) -> Figure:
    """Rates of every cell type during one walk, around the ring where the type has a place on it, else cell by cell."""
    time, true, decoded, rates = saved.analysed_arrays_of(*_WALK)
    network = saved.networks[0]
    types = list(dict.fromkeys(network.type))
    caption = (
        f"{saved.origin}. Mean rate by wedge of the ring; types in fewer than half of them cell by cell, sorted by "
        f"mean rate. Black: true heading; orange: decoded. Colours from 0 to the number at the right. {saved.ending}"
    )
    figure = new_figure("Activity of all cell types on a walk", caption, height=1.0 + ROW * len(types))
    panels = figure.subplots(len(types), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, types, strict=True):
        mine = np.array(network.type) == name
        _kymograph(axes, time, rates[:, mine].astype(float), network.ring_angle[mine])
        axes.set_ylabel(f"{name.replace('Delta', 'Δ')}\n({mine.sum()})", rotation=0, ha="right", va="center")
    first = types.index("EPG") if "EPG" in types else 0
    panels[first].plot(*broken_at_wraps(time, true), color=BLACK, linewidth=1.2)
    panels[first].plot(*broken_at_wraps(time, decoded), color=VERMILLION, linewidth=0.7)
    panels[-1].set_xlabel("time (s)")
    return figure


def _kymograph(axes: Axes, time: FloatArray, rates: FloatArray, ring_angle: FloatArray) -> None:
    step = (time[1] - time[0]) / 2 if len(time) > 1 else 0.5
    finite = rates[np.isfinite(rates)]
    angle, profile = by_wedge(rates, ring_angle)
    if len(angle) >= WEDGES / 2:
        degrees, image = around(angle, profile)
        edges = np.concatenate([[degrees[0] - 11.25], (degrees[1:] + degrees[:-1]) / 2, [degrees[-1] + 11.25]])
        axes.set_ylim(-180, 180)
        axes.set_yticks([-180, 0, 180])
        axes.spines.left.set_visible(False)
    else:
        image = rates[:, np.argsort(np.nan_to_num(rates).mean(axis=0), kind="stable")]
        edges = np.arange(image.shape[1] + 1) + 0.5
        axes.set_yticks([])
    top = float(np.nanmax(image)) if finite.size else 1.0
    axes.pcolormesh(
        np.append(time - step, time[-1] + step), edges, image.T, cmap=RATE, vmin=0, vmax=max(top, 1e-12),
        rasterized=True,
    )  # fmt: skip
    axes.set_xlim(time[0], time[-1])
    axes.text(1.005, 0.5, f"{top:.2g}", ha="left", va="center", color=GREY, transform=axes.transAxes)


def bump_animation(saved: SavedRun) -> bytes:
    """A GIF of the EPG bump on the ellipsoid body during a walk, at real speed.

    Outside, the rate of EPG by wedge; inside, the true heading as a black arrow and the decoded one as an orange line.
    """
    time, true, decoded, rates = saved.analysed_arrays_of(*_WALK)
    every = max(1, round(FRAME_S / (time[1] - time[0]))) if len(time) > 1 else 1
    network = saved.networks[0]
    mine = network.epg_mask
    angle, profile = by_wedge(rates[:, mine].astype(float), network.ring_angle[mine])
    shown = slice(0, every * FRAMES, every)
    with style():
        frames = _frames(saved.origin, time[shown], true[shown], decoded[shown], angle, profile[shown])
    buffer = io.BytesIO()
    frames[0].save(
        buffer, format="GIF", save_all=True, append_images=frames[1:], duration=round(1000 * FRAME_S), loop=0
    )
    return buffer.getvalue()


def _frames(
    origin: str, time: FloatArray, true: FloatArray, decoded: FloatArray, angle: FloatArray, profile: FloatArray
) -> list[Image.Image]:
    width, height = FRAME_INCHES
    below = caption_height(origin, width) + 0.08
    figure = new_figure("Bump on the ellipsoid body", origin, width=width, height=height, layout=None)
    canvas = FigureCanvasAgg(figure)
    side = height - below - 0.42
    axes = figure.add_axes(((width - side) / 2 / width, below / height, side / width, side / height))
    axes.set(xlim=(-1.32, 1.32), ylim=(-1.32, 1.32))
    axes.set_axis_off()
    top = np.nanmax(profile) if np.isfinite(profile).any() else 1.0
    half = 180 / WEDGES
    wedges = [Wedge((0, 0), 1.0, a - half, a + half, width=0.32, edgecolor=GREY, linewidth=0.3)
              for a in np.rad2deg(angle)]  # fmt: skip
    for wedge in wedges:
        axes.add_patch(wedge)
    (arrow,) = axes.plot([], [], color=BLACK, linewidth=2.2)
    (head,) = axes.plot([], [], "o", color=BLACK, markersize=5)
    (line,) = axes.plot([], [], color=VERMILLION, linewidth=1.6)
    clock = axes.text(0, 1.12, "", ha="center", va="bottom", fontsize=7)
    axes.text(0, -1.12, "black: true heading, orange: decoded", ha="center", va="top", fontsize=6, color=GREY)
    moving = [*wedges, arrow, head, line, clock]
    for artist in moving:
        artist.set_animated(True)  # left out when the rest is drawn, once
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    colours = _palette()  # the same for all frames: finding those of each takes as long as drawing it
    found = []
    for k in range(len(time)):
        for wedge, rate in zip(wedges, profile[k], strict=True):
            wedge.set_facecolor(RATE(rate / max(top, 1e-12)) if np.isfinite(rate) else PALE)
        x, y = np.cos(true[k]), np.sin(true[k])
        arrow.set_data([0, 0.62 * x], [0, 0.62 * y])
        head.set_data([0.62 * x], [0.62 * y])
        x, y = np.cos(decoded[k]), np.sin(decoded[k])
        line.set_data([0.68 * x, x], [0.68 * y, y])
        clock.set_text(f"{time[k]:.1f} s")
        canvas.restore_region(still)
        for artist in moving:
            axes.draw_artist(artist)
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        found.append(image.quantize(palette=colours, dither=Image.Dither.NONE))
    return found


def _palette() -> Image.Image:
    """What a frame is drawn in: rates, and lines on white or on the highest rate, with what lies between."""
    share = np.linspace(0, 1, 6)[:, None]
    shades = [
        0.0,
        *np.linspace(0.15, 1, 24),
    ]  # nothing next to white: Pillow compares rounded colours and would take it
    rates = np.array([RATE(shade)[:3] for shade in shades])
    lines = [
        (1 - share) * np.array(ground) + share * np.array(to_rgb(line))
        for line in (BLACK, GREY, VERMILLION)
        for ground in (rates[0], rates[-1])
    ]
    image = Image.new("P", (1, 1))
    image.putpalette(np.round(255 * np.concatenate([rates, [to_rgb(PALE)], *lines])).astype(np.uint8).tobytes())
    return image
