"""The network beside the animal and other models: scorecard, bump by velocity, comparison. Computes nothing new."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from connectome_sim import files
from connectome_sim.analysis.physiology import NOT_APPLICABLE, PASS
from connectome_sim.errors import RunFolderError
from connectome_sim.figures.needs import Need
from connectome_sim.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
    blank,
    new_figure,
    panel_title,
    styled,
)
from connectome_sim.records import read_text

SCORECARD, BY_VELOCITY, BESIDE = "scorecard.csv", "bump_by_velocity.csv", "beside_others.csv"
NEEDS = Need("it was not scored beside the animal", "analyze", lambda s: "scorecard" in s.tables)
REACH = 6.0  # spreads; what is further off is a triangle at the edge
LOOKS = ((BLUE, "o"), (GREEN, "s"), (SKY, "D"), (VERMILLION, "^"), (PURPLE, "v"), (ORANGE, "P"))


@dataclass(frozen=True, eq=False)
class SavedPhysiology:
    """Saved tables of a scored network.

    Attributes:
        origin: for captions.
        scores: ``scorecard.csv``.
        by_velocity: ``bump_by_velocity.csv``.
        beside: ``beside_others.csv``.
    """

    origin: str
    scores: pd.DataFrame
    by_velocity: pd.DataFrame
    beside: pd.DataFrame

    @classmethod
    def read(cls, folder: Path, origin: str) -> SavedPhysiology:
        """Reads the tables of a folder.

        Raises:
            RunFolderError: one is missing or damaged.
        """
        try:
            texts = [read_text(folder / name, most=files.TABLE_BYTES) for name in (SCORECARD, BY_VELOCITY, BESIDE)]
            tables = [pd.read_csv(io.StringIO(text)) for text in texts]
        except ValueError as error:
            raise RunFolderError(f"{folder}: the physiology tables cannot be read ({error}).") from error
        return cls(origin, *tables)


@styled
def scorecard(saved: SavedPhysiology) -> Figure:
    """How far each observation of the network is from the animal's, in spreads of the latter."""
    rows = saved.scores
    passed, counted = (rows.verdict == PASS).sum(), (rows.verdict != NOT_APPLICABLE).sum()
    caption = (
        f"{saved.origin}. Grey: what passes, 2 SD over flies (of an interquartile range: IQR / 1.349), or a tolerance "
        "of ours where no spread is known (hollow). *: the animal's number is a third party's summary, not checked. "
        f"Imaging rows through a model of the indicator. Triangles: more than {REACH:g} off."
    )
    figure = new_figure("Physiology scorecard", caption, height=1.0 + 0.27 * len(rows))
    axes = figure.subplots()
    for y, (_, row) in enumerate(rows.iterrows()):
        within = float(row.passes_within)
        axes.barh(y, 2 * within, left=-within, height=0.7, color=PALE)
        if row.verdict == NOT_APPLICABLE:
            axes.text(0, y, "not applicable", ha="center", va="center", color=GREY, fontsize=6)
            continue
        colour = BLUE if row.verdict == PASS else VERMILLION
        off_by = float(row.off_by)
        marker = "o" if abs(off_by) <= REACH else (">" if off_by > 0 else "<")
        fill = "white" if row.spread_kind == "chosen" else colour
        axes.plot(
            np.clip(off_by, -REACH, REACH), y, marker, color=colour, markerfacecolor=fill, clip_on=False, zorder=3
        )
    axes.axvline(0, color=GREY, linewidth=0.6)
    axes.set_xlim(-REACH, REACH)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [label_of(row) for _, row in rows.iterrows()], fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("network less animal (SD over flies, or tolerances)")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [_numbers(row) for _, row in rows.iterrows()], fontsize=6)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    unchecked = ((rows.verdict == PASS) & (rows.checked == "summary")).sum()
    panel_title(axes, f"{passed} of {counted} pass, {unchecked} of them *")
    axes.set_title("animal: network", loc="right", x=1.25, fontsize=6, color=GREY)
    return figure


def label_of(row: pd.Series) -> str:
    """What was observed, with a star where nobody checked the number at the source."""
    return textwrap.fill(row.observation + " *" * (row.checked == "summary"), 62)


def animal(row: pd.Series) -> str:
    """What was seen in the animal, with its spread."""
    unit = "" if row.unit in ("1", 1) else f" {row.unit}"
    return f"{row.animal:.3g}{'' if row.spread_kind == 'chosen' else ' ' + row.spread}{unit}"


def _numbers(row: pd.Series) -> str:
    return f"{animal(row)}: {'-' if np.isnan(row.network) else format(row.network, '.3g')}"


@styled
def bump_by_velocity(saved: SavedPhysiology) -> Figure:
    """Lead of the PEN_a, amplitude and width of the EPG bump against angular velocity, with the fly's."""
    caption = (
        f"{saved.origin}. Walks in darkness, bins of the smoothed velocity. Lead: jRGECO1a in EPG, GCaMP6f in PEN_a "
        "(squares: swapped); the rest: GCaMP6f. Fly: Turner-Evans et al. 2017; amplitude and width by their slopes."
    )
    figure = new_figure("The bump on the move", caption, height=2.5)
    table = saved.by_velocity
    speed = (table.from_deg_per_s + table.to_deg_per_s) / 2
    seen = saved.scores.set_index("id").animal
    lead = [
        seen[f"pen_a_lead_{low:g}_{high:g}"] for low, high in zip(table.from_deg_per_s, table.to_deg_per_s, strict=True)
    ]
    beyond = (speed - speed.iloc[0]) / 100
    panels = (
        ("PEN_a ahead of EPG", "lead (deg)", table.pen_a_lead_deg, lead),
        (
            "EPG amplitude",
            "relative to 0-30 deg/s",
            table.amplitude / table.amplitude.iloc[0],
            1 + seen["epg_amplitude_velocity"] * beyond,
        ),
        (
            "EPG width",
            "width (deg)",
            table.width_deg,
            seen["epg_width_2017"] * (1 + seen["epg_width_velocity"] * beyond),
        ),
    )
    for axes, (title, label, network, fly) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.plot(speed, fly, "D--", color=BLACK, markerfacecolor="white", linewidth=0.8, label="fly")
        axes.set_xlabel("angular velocity (deg/s)")
        axes.set_ylabel(label)
        axes.axhline(0, color=GREY, linewidth=0.6)
        axes.set_xticks([0, 60, 120, 180])
        axes.set_xlim(0, 180)
        if network.notna().any():
            axes.plot(speed, network, "o-", color=BLUE, label="network")
            if axes is figure.axes[0]:
                axes.plot(speed, table.pen_a_lead_swapped_deg, "s:", color=SKY, label="network, swapped")
            panel_title(axes, title)
        else:
            panel_title(axes, title, warning="not measured")
        low, high = axes.get_ylim()
        axes.set_ylim(min(0.0, low), max(1.15 * high, 1e-3))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


@styled
def beside_others(saved: SavedPhysiology) -> Figure:
    """Gain curve, walking error and spread of the network, of the fly and of other models."""
    caption = (
        f"{saved.origin}. Models in colour were simulated on the same held-out walks and velocities, with the same "
        "readout of their heading. Fly: median fly, imaging noise included; dotted: its gain. Right: circular "
        "SD of bump less gain x heading."
    )
    figure = new_figure("Beside others", caption, height=3.5)
    table = saved.beside
    ours = table[table.kind.isin(["this network", "simulated here"])]
    fly = table[table.kind == "animal"].iloc[0]
    gain, error, spread = figure.subplots(1, 3)
    for axes, pattern, title, label in (
        (gain, r"^gain_at_([\dp]+)_deg_per_s$", "Gain", "gain"),
        (error, r"^walking_error_([\dp]+)s_median_deg$", "Walking error, median", "error (deg)"),
        (spread, r"^walking_spread_(\d+)s_deg$", "Spread", "circular SD (deg)"),
    ):
        names = [name for name in table.columns if pd.Series([name]).str.match(pattern)[0]]
        at = pd.Series(names).str.extract(pattern)[0].str.replace("p", ".").astype(float).to_numpy()
        for (colour, marker), (_, row) in zip(LOOKS, ours.iterrows(), strict=False):
            own = row.kind == "this network"
            axes.plot(
                at,
                row[names].to_numpy(dtype=float),
                marker + "-",
                color=colour,
                markersize=3,
                linewidth=1.4 if own else 0.8,
                zorder=4 if own else 3,
                label=row.model,
            )
        _log_axis(axes, at)
        axes.set_ylabel(label)
        panel_title(axes, title)
        if axes is spread:
            axes.plot(at, fly[names].to_numpy(dtype=float), "D", color=BLACK, markerfacecolor="white", label="fly")
    if not ours[[name for name in table.columns if name.startswith("gain_at_")]].notna().any(axis=None):
        blank(gain, "not measured")
    gain.axhline(1, color=GREY, linewidth=0.6)
    gain.axhline(float(fly.walking_gain), color=BLACK, linewidth=0.8, linestyle=":")
    gain.set_ylim(-0.1, 1.4)
    gain.set_xlabel("angular velocity (deg/s)")
    for axes in (error, spread):
        axes.set_ylim(bottom=0)
        axes.set_xlabel("time walked (s)")
    handles, labels = spread.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _log_axis(axes: Axes, at: np.ndarray) -> None:
    axes.set_xscale("log")
    ticks = at if len(at) <= 6 else at[:: max(1, round(len(at) / 5))]
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


FIGURES: Mapping[str, Callable[[SavedPhysiology], Figure]] = {
    "scorecard": scorecard,
    "bump_by_velocity": bump_by_velocity,
    "beside_others": beside_others,
}
"""Name of the file without its ending -> drawing function."""
