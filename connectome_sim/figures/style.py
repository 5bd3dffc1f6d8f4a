"""The look of all figures: sizes, colours, title and caption. Knows no result.

Nothing is set globally and no window is opened: settings hold inside :func:`style`, figures are made without pyplot.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from connectome_sim.figures.font import families

COLUMN_WIDTH = 3.4  # in, one column of a journal page
PAGE_WIDTH = 7.0  # in, both columns

# Okabe & Ito 2008, "Color Universal Design": told apart with every common kind of colour vision
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#6E6E6E", "#EDEDED"
# yellow is too faint for a line; the last three are of Paul Tol's "muted" scheme, for when seven do not do
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY, "#882255", "#332288", "#999933")

INHIBITION_EXCITATION = LinearSegmentedColormap.from_list(
    "inhibition_excitation",
    [(0.0, "#00263D"), (0.2, BLUE), (0.5, "#FFFFFF"), (0.8, VERMILLION), (1.0, "#541F00")],
)
RATE = LinearSegmentedColormap.from_list("rate", ["#FFFFFF", "#CFE8F8", "#86C8EE", "#3A9BD3"])

_CHARACTERS_PER_INCH = 19.5  # of the caption, on the safe side

_SETTINGS: dict[str, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "figure.titlesize": 8,
    "figure.titleweight": "bold",
    "figure.labelsize": 6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 4,
    "axes.labelpad": 2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.borderpad": 0.2,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "connectome-sim",  # the same figure is the same file
    "hatch.linewidth": 0.4,
    "image.interpolation": "nearest",
}

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults with this project's settings, whatever the user's own are, until the context ends."""
    small, whole = families()
    fonts = {"font.family": [small, whole], "mathtext.fontset": "custom", "mathtext.default": "regular"}
    fonts |= {f"mathtext.{face}": small for face in ("rm", "it", "bf", "sf", "tt", "cal")}
    with matplotlib.style.context(["default", _SETTINGS | fonts]):
        yield


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A drawing function that runs inside :func:`style`."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with style():
            return draw(*args, **kwargs)

    return inside


def new_figure(
    title: str,
    caption: str,
    *,
    width: float = PAGE_WIDTH,
    height: float,
    layout: Literal["constrained"] | None = "constrained",
) -> Figure:
    """An empty figure (in) with its title above and its caption below, both at the left and wrapped to its width."""
    figure = Figure(figsize=(width, height), layout=layout)
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(_wrapped(caption, width), x=0.01, ha="left", color=GREY, linespacing=1.25)
    return figure


def caption_height(caption: str, width: float) -> float:
    """Height (in) of a caption in a figure of this width (in), for those that place their panels themselves."""
    return 0.11 * (_wrapped(caption, width).count("\n") + 1)


def _wrapped(caption: str, width: float) -> str:
    return textwrap.fill(caption, round(width * _CHARACTERS_PER_INCH))


def panel_title(axes: Axes, title: str, *, warning: str = "") -> None:
    """A title at the left of a panel, and what is wrong with its content at the right."""
    axes.set_title(title, loc="left")
    if warning:
        axes.set_title(warning, loc="right", color=VERMILLION)


def blank(axes: Axes, text: str) -> None:
    """Says why a panel shows nothing."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, fontsize=8, transform=axes.transAxes)


def degrees_axis(axes: Axes, *, which: str = "y") -> None:
    """Makes an axis one of headings, -180 to 180 deg."""
    low, high, ticks = -180, 180, [-180, -90, 0, 90, 180]
    if which == "y":
        axes.set_ylim(low, high)
        axes.set_yticks(ticks)
    else:
        axes.set_xlim(low, high)
        axes.set_xticks(ticks)
