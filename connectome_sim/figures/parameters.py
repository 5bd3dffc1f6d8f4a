"""Fitted parameters of a run, among those of its ensemble where they are known. Knows no network."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from connectome_sim.figures.circuit import ORDER
from connectome_sim.figures.saved import SavedRun
from connectome_sim.figures.style import BLUE, GREY, blank, new_figure, panel_title, styled

TITLES = {
    "gain": "Gain (post <- pre)",
    "threshold": "Threshold",
    "time_constant": "Time constant (ms)",
    "velocity_gain": "Velocity gain (s/rad)",
}
SCALE = {"time_constant": 1e3}  # s to ms
LINEAR = ("threshold", "velocity_gain")  # of either sign, or of one order of magnitude
MOST_ROWS = 24  # of gains in a column
MOST_GAINS = 96  # with more, as of single synapses, a row is a pair of types, a tick a gain
_NUMBER = re.compile(r"\[\d+\]")  # of the neuron, in the name of a synapse's gain: EPG[3]<-PEN_a[17]


@styled
def parameters(saved: SavedRun) -> Figure:
    """Every fitted parameter: of this run, and of the other members of its ensemble, seed by seed."""
    values, others = by_family(saved.parameters), _ensemble(saved.tables.get("ensemble_parameters", ()))
    among = f"Blue: this run; grey: {others[1]} members of its ensemble. " if others[1] else "Blue: this run. "
    figure = new_figure("Fitted parameters", f"{saved.origin}. {among}{saved.ending}", height=4.6)
    together = _by_pair(values.get("gain", {}))
    gains = sorted(together, key=_rank)
    rows = math.ceil(len(gains) / math.ceil(len(gains) / MOST_ROWS)) if gains else 1
    columns = [gains[k : k + rows] for k in range(0, len(gains), rows)] or [[]]
    grid = figure.add_gridspec(3, len(columns) + 1, height_ratios=[7, 7, 3])
    first = None
    for k, names in enumerate(columns):
        axes = figure.add_subplot(grid[:, k], sharex=first)
        first = first or axes
        _strip(axes, "gain", names, together, others[0])
        if names:
            axes.set_ylim(rows - 0.5, -0.5)
        merged = len(together) < len(values.get("gain", {}))
        title = TITLES["gain"] + (", each synapse; dot: median" if merged else "")
        panel_title(axes, title if k == 0 else "")
    for row, family in enumerate(("threshold", "time_constant", "velocity_gain")):
        axes = figure.add_subplot(grid[row, len(columns)])
        _strip(axes, family, sorted(values.get(family, {}), key=_rank), _alone(values.get(family, {})), others[0])
        panel_title(axes, TITLES[family])
    return figure


def by_family(numbers: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """``family/name`` -> value as family -> name -> value."""
    found: dict[str, dict[str, float]] = {}
    for key, value in numbers.items():
        family, _, name = key.partition("/")
        found.setdefault(family, {})[name] = value
    return found


def _alone(numbers: Mapping[str, float]) -> dict[str, list[float]]:
    return {name: [value] for name, value in numbers.items()}


def _by_pair(gains: Mapping[str, float]) -> dict[str, list[float]]:
    """Row -> its gains: each its own row, or with more than ``MOST_GAINS`` those of a pair of types together."""
    if len(gains) <= MOST_GAINS:
        return _alone(gains)
    found: dict[str, list[float]] = {}
    for name, value in gains.items():
        found.setdefault(_NUMBER.sub("", name), []).append(value)
    return found


def _rank(name: str) -> tuple[int, int, str]:
    """Sorts names by the postsynaptic type, then by the presynaptic one, in the order of the circuit."""
    post, _, pre = name.partition("<-")
    place = {known: k for k, known in enumerate(ORDER)}
    return place.get(post, len(ORDER)), place.get(pre, len(ORDER)), name


def _ensemble(rows: Sequence[Mapping[str, str]]) -> tuple[dict[str, np.ndarray], int]:
    """``family/name`` -> values of all members, and their number."""
    seeds = [name for name in rows[0] if name.startswith("seed_")] if rows else []
    found = {f"{row['family']}/{row['parameter']}": np.array([float(row[seed]) for seed in seeds]) for row in rows}
    return found, len(seeds)


def _strip(
    axes: Axes,
    family: str,
    names: Sequence[str],
    values: Mapping[str, Sequence[float]],
    others: Mapping[str, np.ndarray],
) -> None:
    if not names:
        blank(axes, "none")
        return
    scale = SCALE.get(family, 1.0)
    for y, name in enumerate(names):
        spread = others.get(f"{family}/{name}")
        if spread is not None:
            axes.plot(scale * spread, np.full(len(spread), y), "|", color=GREY, markersize=4, markeredgewidth=0.7)
        own = scale * np.asarray(values[name])
        if len(own) == 1:
            axes.plot(own, [y], "o", color=BLUE, markersize=2.8, zorder=3)
        else:
            axes.plot(own, np.full(len(own), y), "|", color=BLUE, markersize=4, markeredgewidth=0.3, alpha=0.5)
            axes.plot([np.median(own)], [y], "o", color=BLUE, markeredgecolor="white", markersize=3.4, zorder=3)
    if family not in LINEAR:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if family == "gain" else (1, 2, 5)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.axvline(0, color=GREY, linewidth=0.4)
    shown = [name.replace("Delta", "Δ").replace("<-", " ← ") for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", linewidth=0.25, color="#DDDDDD")
    axes.set_axisbelow(True)
