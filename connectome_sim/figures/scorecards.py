"""The physiology scorecard of whole ensembles: every member of each in every row. Computes nothing new."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connectome_sim.analysis.physiology import NOT_APPLICABLE, PASS
from connectome_sim.figures.physiology import REACH, animal, label_of
from connectome_sim.figures.style import BLUE, GREY, ORANGE, PALE, PURPLE, VERMILLION, new_figure, styled

COLOURS = (BLUE, VERMILLION, PURPLE, ORANGE)
SPREAD = 0.5  # of a row's height, over which ensembles and their members lie


@styled
def scorecards(scores: pd.DataFrame) -> Figure:
    """How far every member is off in every row (dots), and the median member (bar).

    Args:
        scores: rows of one or more ensembles, see `connectome_sim.build.scorecards.member_scorecards`.
    """
    rows, ensembles = scores.drop_duplicates("id"), list(scores.ensemble.unique())
    caption = (
        "Dots: members; bars: the median member. Grey: what passes, 2 SD over flies (of an interquartile range: IQR / "
        "1.349), or a tolerance of ours where no spread is known. *: the animal's number is a third party's summary, "
        f"not checked. At the edge: more than {REACH:g} off. Right: the animal; members that pass of those measured."
    )
    figure = new_figure("Physiology scorecard, all members", caption, height=1.1 + 0.36 * len(rows))
    axes = figure.subplots()
    for y, (_, row) in enumerate(rows.iterrows()):
        axes.barh(y, 2 * row.passes_within, left=-row.passes_within, height=0.8, color=PALE)
        for k, name in enumerate(ensembles):
            here = y + SPREAD * ((k + 0.5) / len(ensembles) - 0.5)
            _members(axes, here, scores[(scores.id == row.id) & (scores.ensemble == name)], COLOURS[k % len(COLOURS)])
    for k, name in enumerate(ensembles):
        axes.plot([], [], "o", color=COLOURS[k % len(COLOURS)], label=name)
    axes.axvline(0, color=GREY, linewidth=0.6)
    axes.set_xlim(-REACH - 0.3, REACH + 0.3)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [label_of(row) for _, row in rows.iterrows()], fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("network less animal (SD over flies, or tolerances)")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [_counts(row, scores, ensembles) for _, row in rows.iterrows()], fontsize=6)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    figure.legend(loc="outside upper right", ncols=len(ensembles))
    return figure


def _members(axes: Axes, y: float, found: pd.DataFrame, colour: str) -> None:
    off_by = found.off_by[found.verdict != NOT_APPLICABLE].to_numpy(dtype=float)
    if not len(off_by):
        axes.text(0, y, "not measured", ha="center", va="center", color=colour, fontsize=5)
        return
    place = y + 0.2 * SPREAD * np.linspace(-1, 1, len(off_by))
    axes.plot(np.clip(off_by, -REACH, REACH), place, "o", color=colour, markersize=1.8, alpha=0.6, markeredgewidth=0)
    median = np.clip(np.median(off_by), -REACH, REACH)
    axes.plot([median, median], [y - 0.4 * SPREAD, y + 0.4 * SPREAD], color=colour, linewidth=1.6)


def _counts(row: pd.Series, scores: pd.DataFrame, ensembles: list[str]) -> str:
    of_row = scores[scores.id == row.id]
    counts = []
    for name in ensembles:
        verdicts = of_row.verdict[of_row.ensemble == name]
        counts.append(f"{(verdicts == PASS).sum()}/{(verdicts != NOT_APPLICABLE).sum()}")
    return f"{animal(row)}\n{', '.join(counts)}"
