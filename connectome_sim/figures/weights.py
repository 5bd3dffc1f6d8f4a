"""The signed weight matrix, ordered by type and ring: synapse counts beside fitted weights. Knows no equation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from connectome_sim.connectome.connectome import Connectome
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import (
    GREY,
    INHIBITION_EXCITATION,
    caption_height,
    new_figure,
    panel_title,
    styled,
)
from connectome_sim.records import FittedNetwork

DECADES = 3  # shown below the largest weight; what is smaller fades to white linearly (chosen)
PERCENTILE = 99.9  # of the non-zero weights, where the colours end (chosen: a single outlier does not set the scale)
PANEL, LEFT, RIGHT, GAP, TOP, BELOW = 2.72, 0.60, 0.12, 0.70, 0.46, 1.16  # in: side of a panel, space around it
NAME_LENGTH = 6  # characters of a type label
LABEL_HEIGHT = 0.105  # in, of a type label with the space around it


@dataclass(frozen=True, eq=False)
class _Matrix:
    """A matrix [post, pre] to draw, its neurons in any order; ``smallest`` is where the logarithmic scale begins."""

    title: str
    unit: str
    values: np.ndarray
    type: np.ndarray
    ring_angle: np.ndarray
    smallest: float | None = None


@styled
def weight_matrix(saved: SavedRun) -> Figure:
    """Signed synapse counts (left) and fitted weights (right) [post, pre], sorted by type, then ring angle.

    The colour scale is symmetric and logarithmic, so that neither outliers nor gains that differ by orders of magnitude
    hide the rest. Of an ensemble, the first member is drawn.
    """
    matrices = []
    if saved.connectome is not None:
        matrices.append(_counts(saved.connectome))
    if saved.networks:
        matrices.append(_weights(saved.networks[0]))
    caption = f"{saved.origin}. Within a type, neurons are in the order of their ring angle. {saved.ending}"
    number = len(matrices)
    width = LEFT + number * PANEL + (number - 1) * GAP + RIGHT
    below = BELOW + caption_height(caption, width)
    height = TOP + PANEL + below
    figure = new_figure("Weight matrix", caption, width=width, height=height, layout=None)
    for i, matrix in enumerate(matrices):
        left = LEFT + i * (PANEL + GAP)
        axes = figure.add_axes((left / width, below / height, PANEL / width, PANEL / height))
        bar = figure.add_axes((left / width, (below - 0.72) / height, PANEL / width, 0.08 / height))
        _draw(figure, axes, bar, matrix)
    return figure


def ring_order(type: np.ndarray, ring_angle: np.ndarray) -> np.ndarray:
    """Indices that sort neurons by type (in order of first appearance), then ring angle; NaN last, ties as they are."""
    _, first, inverse = np.unique(type, return_index=True, return_inverse=True)
    return np.lexsort((ring_angle, first[inverse]))


def _counts(connectome: Connectome) -> _Matrix:
    types, values, title = connectome.types, connectome.dense().astype(float), "Synapse counts, signed"
    if set(types) <= set(connectome.signs.by_type):
        values *= connectome.signs.table(types)[np.ix_(connectome.type_index, connectome.type_index)]
    else:
        title = "Synapse counts, signs not stated"
    return _Matrix(title, "synapses", values, connectome.neurons.type, connectome.neurons.ring_angle, smallest=1.0)


def _weights(network: FittedNetwork) -> _Matrix:
    return _Matrix("Fitted weights", "weight", network.weights, np.array(network.type), network.ring_angle)


def _draw(figure: Figure, axes: Axes, below: Axes, matrix: _Matrix) -> None:
    order = ring_order(matrix.type, matrix.ring_angle)
    values, types = matrix.values[np.ix_(order, order)], matrix.type[order]
    norm, ticks, beyond = _scale(values, matrix.smallest)
    image = axes.imshow(values, cmap=INHIBITION_EXCITATION, norm=norm, aspect="equal", rasterized=True)
    panel_title(axes, matrix.title)
    axes.spines[:].set_visible(True)
    axes.spines[:].set(color=GREY, linewidth=0.5)
    _label_types(axes, types)
    axes.text(0.5, -0.165, "presynaptic", ha="center", va="top", transform=axes.transAxes)
    axes.text(-0.205, 0.5, "postsynaptic", ha="left", va="center", rotation=90, transform=axes.transAxes)
    bar = figure.colorbar(
        image, cax=below, orientation="horizontal", ticks=ticks, extend="both" if beyond else "neither"
    )
    bar.set_ticklabels(_tick_labels(ticks))
    bar.minorticks_off()
    bar.outline.set_linewidth(0.5)
    bar.set_label(f"inhibition  ◂  {matrix.unit}  ▸  excitation")


def _scale(values: np.ndarray, smallest: float | None) -> tuple[SymLogNorm, list[float], bool]:
    """Norm, ticks at powers of ten, and whether values lie beyond the colours."""
    sizes = np.abs(values[values != 0])
    largest = float(np.percentile(sizes, PERCENTILE)) if sizes.size else 1.0
    start = min(smallest or largest / 10**DECADES, largest / 2)
    norm = SymLogNorm(linthresh=start, linscale=0.4, vmin=-largest, vmax=largest, base=10)
    powers = 10.0 ** np.arange(np.ceil(np.log10(start)), np.floor(np.log10(largest)) + 1)
    ticks = [*(-powers[::-1]).tolist(), 0.0, *powers.tolist()]
    return norm, ticks, bool(sizes.size and sizes.max() > largest)


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """Plain numbers where all are handy, powers of ten otherwise."""
    if all(tick == 0 or 0.01 <= abs(tick) <= 1000 for tick in ticks):
        return [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
    powers = [round(np.log10(abs(tick))) if tick else 0 for tick in ticks]
    return [f"${'-' if t < 0 else ''}10^{{{p}}}$" if t else "0" for t, p in zip(ticks, powers, strict=True)]


def _label_types(axes: Axes, types: np.ndarray) -> None:
    """Lines between types; a label at the middle of each, moved aside where types are small and tied to its place."""
    starts = np.flatnonzero(np.concatenate([[True], types[1:] != types[:-1]]))
    ends = np.append(starts[1:], len(types))
    for edge in starts[1:] - 0.5:
        axes.axhline(edge, color=GREY, linewidth=0.3)
        axes.axvline(edge, color=GREY, linewidth=0.3)
    centres = (starts + ends - 1) / 2
    axes.set_xticks([])
    axes.set_yticks([])
    size = 6.5 * min(1.0, PANEL / LABEL_HEIGHT / len(centres))
    for name, centre, place in zip(types[starts], centres, apart(centres, len(types)), strict=True):
        label, middle, edge = _short(str(name)), (place + 0.5) / len(types), (centre + 0.5) / len(types)
        _tied_label(axes, label, (0, 1 - edge), (-0.045, 1 - middle), ha="right", va="center", fontsize=size)
        _tied_label(axes, label, (edge, 0), (middle, -0.045), ha="center", va="top", rotation=90, fontsize=size)


def _tied_label(axes: Axes, label: str, at: tuple[float, float], place: tuple[float, float], **text: Any) -> None:
    end = (0.5, 1.0) if "rotation" in text else (1.0, 0.5)  # of the label, where its line begins
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0.5, "shrinkB": 0, "relpos": end}
    axes.annotate(label, at, place, xycoords="axes fraction", arrowprops=line, annotation_clip=False, **text)


def _short(name: str) -> str:
    """A type's name in no more characters than there is room for."""
    name = name.replace("Delta", "Δ")
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"


def apart(centres: np.ndarray, n: int) -> np.ndarray:
    """Places for labels, as near to ``centres`` (increasing, of ``n`` neurons) as a label's height allows."""
    step = min(LABEL_HEIGHT / PANEL * n, n / len(centres))
    shift = step * np.arange(len(centres))
    moved = isotonic_regression(centres - shift).x  # least squares under "at least a step apart"
    return np.clip(moved, 0, max(0.0, n - 1 - shift[-1])) + shift
