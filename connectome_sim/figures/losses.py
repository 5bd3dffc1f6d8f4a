"""Loss curves by named term over the iterations of a fit. Knows the columns of the history and no loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import BLACK, CYCLE, GREY, PALE, VERMILLION, new_figure, styled

# columns of the history that are no loss term: where the fit stands, and what its optimiser says of its steps
NOT_LOSSES = frozenset(
    "start iteration stage horizon_s total wall_time_s".split()
    + "learning_rate gradient_norm damping largest_move total_after".split()
)
DECADES = 6  # drawn below the smallest total: a term that all but vanishes must not flatten the others (chosen)
VALIDATION = "validation_"
MARKERS = 40  # on a validation curve, about
Key = tuple[float | None, float | None]  # stage, horizon
_DASHES = ("-", (0, (4, 1.2)), (0, (1.2, 1)))
_CHARACTER = 0.052  # in, width of one of a label's
_AXES_WIDTH = 5.0  # in, about


@styled
def loss_curves(saved: SavedRun) -> Figure:
    """Total, terms and validation losses over iterations, on a logarithmic axis; stages of the horizon are shaded.

    Terms are drawn as recorded, before their weights. Of several starts the one that was kept is drawn. Rows without a
    term are left out of its line. Where a term is negative the axis is linear around zero.
    """
    caption = f"{saved.origin}. Terms are shown before their weights. {saved.ending}"
    figure = new_figure("Loss curves", caption, height=3.0)
    axes = figure.subplots()
    rows = [row for row in saved.history if row.get("start") == saved.history[-1].get("start")]
    columns = dict.fromkeys(name for row in rows for name in row)
    drawn = _curves(axes, rows, [name for name in columns if name not in NOT_LOSSES])
    _scale(axes, drawn, rows)
    _stages(axes, rows)
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    axes.margins(x=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lost = [row for row in rows if not np.isfinite(row.get("total", 0.0))]
    if lost:
        axes.set_title(
            f"total not finite in {len(lost)} of {len(rows)} iterations", loc="right", color=VERMILLION, pad=12
        )
    if drawn:
        figure.legend(loc="outside right upper")
    return figure


def _curves(axes: Axes, rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[np.ndarray]:
    """Draws all columns that are losses, the total last and on top; their finite values."""
    terms = [name for name in names if not name.startswith(VALIDATION)]
    colours = {name: CYCLE[i % len(CYCLE)] for i, name in enumerate(terms)} | {"total": BLACK}
    values = []
    for name in ["total", f"{VALIDATION}total", *terms, *(n for n in names if n not in (*terms, f"{VALIDATION}total"))]:
        x, y = _column(rows, name)
        if not len(y):
            continue
        values.append(y)
        term = name.removeprefix(VALIDATION)
        look: dict[str, Any] = {"color": colours.get(term, GREY), "linewidth": 1.2 if term == "total" else 0.7}
        if name.startswith(VALIDATION):
            every = max(1, len(y) // MARKERS)
            look |= {"linewidth": 0.8, "linestyle": (0, (3, 1.5))}
            look |= {"marker": "o", "markersize": 2.5, "markerfacecolor": "white", "markevery": every}
        elif term in terms:
            look |= {"linestyle": _DASHES[terms.index(term) // len(CYCLE) % len(_DASHES)]}
        if len(y) == 1:
            look |= {"marker": "o", "markersize": 2.5}
        axes.plot(x, y, label=name.replace("_", " "), zorder=3 if term == "total" else 2, **look)
    return values


def _column(rows: Sequence[Mapping[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and finite values of a column."""
    pairs = [
        (row.get("iteration", float(i)), row[name]) for i, row in enumerate(rows) if np.isfinite(row.get(name, np.nan))
    ]
    x, y = np.array(pairs, dtype=float).reshape(-1, 2).T
    return x, y


def _scale(axes: Axes, drawn: Sequence[np.ndarray], rows: Sequence[Mapping[str, float]]) -> None:
    """A logarithmic axis, linear around zero where a term is negative."""
    values = np.concatenate([*drawn, [0.0]])
    if not (values > 0).any():
        return
    if (values < 0).any():
        axes.set_yscale("symlog", linthresh=float(np.percentile(np.abs(values[values != 0]), 5)))
        return
    axes.set_yscale("log")
    totals = [row["total"] for row in rows if row.get("total", 0.0) > 0]
    if totals:
        axes.set_ylim(bottom=max(axes.get_ylim()[0], min(totals) / 10**DECADES))


def _stages(axes: Axes, rows: Sequence[Mapping[str, float]]) -> None:
    """Shades every other stage and writes its horizon above it, where there is room."""
    keys: list[Key] = [(row.get("stage"), row.get("horizon_s")) for row in rows]
    x = [row.get("iteration", float(i)) for i, row in enumerate(rows)]
    starts = [i for i in range(len(rows)) if i == 0 or keys[i] != keys[i - 1]]
    if len(starts) < 2:
        return
    span = (x[-1] - x[0]) or 1.0
    free = -1.0  # in, where the last label ends
    for number, (i, j) in enumerate(zip(starts, [*starts[1:], len(rows) - 1], strict=True)):
        if number % 2:
            axes.axvspan(x[i], x[j], color=PALE, linewidth=0, zorder=0)
        label = _stage_label(keys[i], keys[i - 1] if i else None)
        at = (x[i] - x[0]) / span * _AXES_WIDTH
        if free <= at <= _AXES_WIDTH - _CHARACTER * len(label):
            place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "left", "va": "bottom"}
            axes.text(x[i], 1.01, label, color=GREY, fontsize=6.5, **place)
            free = at + _CHARACTER * (len(label) + 2)


def _stage_label(key: Key, before: Key | None) -> str:
    """What changed: the horizon, or else the stage."""
    stage, horizon = key
    if horizon is not None and (before is None or horizon != before[1]):
        return f"{horizon:g} s" if before else f"horizon {horizon:g} s"
    return "" if stage is None else f"stage {stage:g}"
