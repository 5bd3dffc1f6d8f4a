"""The space of solutions of an ensemble: distances, components, spectrum, time constants. Computes nothing new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from connectome_sim.analysis import Clusters, PrincipalComponents, Stiffness
from connectome_sim.analysis.population import over_fits
from connectome_sim.axes import FloatArray
from connectome_sim.figures.rendering import check_formats, rendered
from connectome_sim.figures.style import BLUE, CYCLE, GREY, PALE, RATE, VERMILLION, new_figure, panel_title, styled

FAMILY_COLOURS = {"gain": CYCLE[0], "threshold": CYCLE[2], "time_constant": CYCLE[1], "velocity_gain": CYCLE[3]}


@dataclass(frozen=True, eq=False)
class SolutionSpace:
    """What is known of the members of an ensemble together.

    Attributes:
        origin: for the caption.
        families: family of each of P parameters.
        names: name of each parameter within its family.
        seeds: of the M members.
        member: number of the member at which derivatives were taken.
        coordinates: logarithms of what is positive, thresholds as they are [M, P].
        distances: between members [M, M].
        components: principal components.
        clusters: discrete part.
        stiffness: spectrum and standard errors at the member.
        n_trials: that these come from.
    """

    origin: str
    families: tuple[str, ...]
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    member: int
    coordinates: FloatArray
    distances: FloatArray
    components: PrincipalComponents
    clusters: Clusters
    stiffness: Stiffness
    n_trials: int

    @property
    def values(self) -> FloatArray:
        """Parameters in their own units [M, P]."""
        linear = np.array([family == "threshold" for family in self.families])
        return np.where(linear, self.coordinates, np.exp(np.where(linear, 0.0, self.coordinates)))

    @property
    def spread(self) -> FloatArray:
        """SD over members of each coordinate [P]."""
        return self.coordinates.std(axis=0, ddof=1)


def draw_solutions(space: SolutionSpace, *, formats: Sequence[str]) -> dict[str, bytes]:
    """File name -> content of the figure.

    Raises:
        ConfigError: an unknown format.
    """
    check_formats(formats)
    figure = solution_space(space)
    return {f"solutions.{ending}": rendered(figure, ending) for ending in dict.fromkeys(formats)}


@styled
def solution_space(space: SolutionSpace) -> Figure:
    """Distances, components and variance (above); spectrum, errors and spread, time constants (below)."""
    caption = (
        f"{space.origin}. Distances are RMS over parameters, in units of the logarithm (thresholds: of input current). "
        f"Spectrum and standard errors at the member of seed {space.seeds[space.member]}, from {space.n_trials} "
        "trials and a prior of SD 1; shaded: lost in rounding. Seeds that lie on each other have no number. "
        f"The p of clusters is {over_fits()}."
    )
    figure = new_figure("Space of solutions", caption, height=4.6)
    above, below = figure.subplots(2, 3)
    _distances(figure, above[0], space)
    _scores(above[1], space)
    _shares(above[2], space)
    _spectrum(below[0], space)
    _errors(below[1], space)
    _time_constants(below[2], space)
    return figure


def _distances(figure: Figure, axes: Axes, space: SolutionSpace) -> None:
    order = np.lexsort((np.array(space.seeds), space.clusters.label))
    image = axes.imshow(space.distances[np.ix_(order, order)], cmap=RATE.reversed(), vmin=0)
    figure.colorbar(image, ax=axes, shrink=0.8, label="RMS distance (log units)")
    labels = [str(space.seeds[i]) for i in order]
    axes.set_xticks(range(len(labels)), labels, fontsize=5, rotation=90 * (len(labels) > 12))
    axes.set_yticks(range(len(labels)), labels, fontsize=5)
    axes.set_xlabel("seed")
    axes.set_ylabel("seed")
    panel_title(axes, "Distance between members")


def _scores(axes: Axes, space: SolutionSpace) -> None:
    score = space.components.score
    second = score[:, 1] if score.shape[1] > 1 else np.zeros(len(score))
    for label in range(space.clusters.n):
        mine = space.clusters.label == label
        axes.plot(score[mine, 0], second[mine], "o", color=CYCLE[label % len(CYCLE)])
    apart = np.hypot(score[:, 0, None] - score[:, 0], second[:, None] - second)
    np.fill_diagonal(apart, np.inf)
    readable = apart.min(axis=1) > 0.04 * np.ptp(score[:, 0])  # labels of closer ones would lie on each other
    for seed, x, y, shown in zip(space.seeds, score[:, 0], second, readable, strict=True):
        if not shown and len(score) > 2:
            continue
        axes.annotate(str(seed), (x, y), (3, 2), textcoords="offset points", fontsize=5, color=GREY)
    axes.margins(0.12)
    axes.set_xlabel("component 1")
    axes.set_ylabel("component 2")
    groups = space.clusters
    panel_title(axes, "One cloud" if groups.n == 1 else f"{groups.n} clusters (p = {groups.p_value:.2g})")


def _shares(axes: Axes, space: SolutionSpace) -> None:
    share = space.components.share
    axes.bar(np.arange(1, len(share) + 1), 100 * share, color=BLUE)
    axes.plot(np.arange(1, len(share) + 1), 100 * np.cumsum(share), color=GREY, marker="o", markersize=2)
    axes.set_ylim(0, 105)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("component")
    axes.set_ylabel("share of variance (%)")
    panel_title(axes, f"{space.components.dimension:.1f} effective dimensions")


def _spectrum(axes: Axes, space: SolutionSpace) -> None:
    stiff = space.stiffness
    number = np.arange(1, len(stiff.eigenvalues) + 1)
    axes.semilogy(number[stiff.resolved], stiff.eigenvalues[stiff.resolved], "o", color=BLUE, markersize=2.5)
    axes.axvspan(int(stiff.resolved.sum()) + 0.5, len(number) + 0.5, color=PALE, linewidth=0)
    axes.set_xlim(0.5, len(number) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("direction, stiff to sloppy")
    axes.set_ylabel("eigenvalue")
    unresolved = int((~stiff.resolved).sum())
    panel_title(axes, "Gauss-Newton spectrum" + (f", {unresolved} unresolved" if unresolved else ""))


def _errors(axes: Axes, space: SolutionSpace) -> None:
    error = space.stiffness.standard_error
    for family in dict.fromkeys(space.families):
        mine = np.array([f == family for f in space.families])
        axes.loglog(
            error[mine],
            space.spread[mine],
            "o",
            color=FAMILY_COLOURS.get(family, GREY),
            markersize=2.5,
            label=family.replace("_", " "),
        )
    axes.set_ylim(top=30 * float(space.spread.max()))  # room for the legend
    _plain_numbers(axes.xaxis)
    _plain_numbers(axes.yaxis)
    axes.set_xlabel("standard error")
    axes.set_ylabel("SD over members")
    axes.legend(loc="upper left", handletextpad=0.1, fontsize=5.5, ncols=2, columnspacing=0.8)
    panel_title(axes, "Parameters")


def _time_constants(axes: Axes, space: SolutionSpace) -> None:
    mine = [k for k, family in enumerate(space.families) if family == "time_constant"]
    for place, k in enumerate(mine):
        ms = 1000 * space.values[:, k]
        at, error = ms[space.member], float(space.stiffness.standard_error[k])
        axes.plot(np.full(len(ms), place), ms, "o", color=BLUE, markersize=2.5, alpha=0.6)
        axes.plot([place + 0.25] * 2, [at * np.exp(-error), at * np.exp(error)], color=VERMILLION, linewidth=1.2)
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis)
    axes.set_xticks(range(len(mine)), [space.names[k].replace("Delta", "Δ") for k in mine], rotation=45, ha="right")
    axes.set_ylabel("time constant (ms)")
    panel_title(axes, "Members, and standard error")


def _plain_numbers(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, ... as plain numbers."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())
