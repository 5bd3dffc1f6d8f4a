"""Figures of a sweep: what every case does to every measure, levels, null models, kymographs. Knows no network.

Drawn from the sweep folder only (cases.csv, summary.csv, arrays/).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from connectome_sim import files
from connectome_sim.figures.headings import around, broken_at_wraps
from connectome_sim.figures.rendering import rendered
from connectome_sim.figures.saved_sweep import Row, SavedSweep
from connectome_sim.figures.style import (
    BLACK,
    BLUE,
    CYCLE,
    GREY,
    INHIBITION_EXCITATION,
    PALE,
    RATE,
    VERMILLION,
    blank,
    degrees_axis,
    new_figure,
    panel_title,
    styled,
)
from connectome_sim.figures.sweep_report import report
from connectome_sim.records import SweepFolder, atomic

CONTROL = "intact"
MOST_IMAGES = 12  # kymographs that a page has room for (chosen)
FEWEST_FOR_BOLD = 5  # networks: an interval over fewer hardly says anything (chosen)
SMALLEST_SHARE = 0.1  # of the control that gets a full colour (chosen)
UNITS = {"_deg_per_s": "deg/s", "_deg2_per_s": "deg^2/s", "_deg": "deg", "_share": "share"}

Draw = Callable[[SavedSweep], Figure]


@styled
def effects(saved: SavedSweep) -> Figure:
    """Every group by every measure: the number is the mean over members, the colour its difference to the control.

    Shares are coloured from 0 to 1, other measures up to the largest difference of the column, but at least a tenth of
    the control; bold where the interval of the difference leaves out 0.
    """
    groups, measures = tuple(dict.fromkeys(row["group"] for row in saved.summary)), saved.measures
    caption = (
        f"{saved.origin}. Numbers: mean over networks ('-': none). Colour: paired difference to the intact control, "
        "relative to the largest of the column. Bold: the 95 % interval of that difference (BCa bootstrap over "
        f"{FEWEST_FOR_BOLD} networks or more) leaves out 0, {saved.over}. {_about_floors(saved, measures)}"
        "Right: networks by what became of their bump."
    )
    figure = new_figure("What each case changes", caption, height=2.4 + 0.16 * (len(groups) + 1))
    axes = figure.subplots()
    if not groups:
        blank(axes, "nothing measured")
        return figure
    nothing: Row = {
        "case_mean": "",
        "difference": "",
        "low": "",
        "high": "",
        "paired": "0",
    }  # of measures of refits alone
    found = {(group, measure): nothing for group in groups for measure in measures}
    found |= {(row["group"], row["measure"]): row for row in saved.summary}
    difference = np.array([[_number(found[g, m]["difference"]) for m in measures] for g in groups])
    control = np.array([float(_mean(saved.values(CONTROL, measure), axis=0)) for measure in measures])
    relative = difference / _full_colour(difference, control, measures)
    axes.imshow(
        np.vstack([np.zeros(len(measures)), np.nan_to_num(relative)]),
        cmap=INHIBITION_EXCITATION,
        vmin=-1.6,
        vmax=1.6,
        aspect="auto",
    )
    for k, measure in enumerate(measures):
        _cell(axes, k, 0, control[k], False)
        for i, group in enumerate(groups):
            row = found[group, measure]
            apart = _number(row["low"]) > 0 or _number(row["high"]) < 0
            _cell(axes, k, i + 1, _number(row["case_mean"]), apart and int(row["paired"]) >= FEWEST_FOR_BOLD)
    titles = [_title(measure) + _floor_text(saved, measure) for measure in measures]
    axes.set_xticks(range(len(measures)), titles, rotation=40, ha="left")
    axes.set_yticks(range(len(groups) + 1), [CONTROL, *groups])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)
    axes.axhline(0.5, color=BLACK, linewidth=0.6)
    states = axes.secondary_yaxis("right")
    states.set_yticks(range(len(groups) + 1), [saved.states(group) for group in (CONTROL, *groups)], fontsize=5.5)
    states.tick_params(length=0)
    states.spines[:].set_visible(False)
    return figure


def _full_colour(difference: np.ndarray, control: np.ndarray, measures: Sequence[str]) -> np.ndarray:
    """The difference in each column that gets the full colour [measures]: a change of a percent gets next to none."""
    largest = np.abs(np.nan_to_num(difference)).max(axis=0)
    of_control = SMALLEST_SHARE * np.abs(np.nan_to_num(control))
    shares = np.array(["share" in measure or measure == "viable" for measure in measures])
    return np.where(shares, 1.0, np.maximum(np.maximum(largest, of_control), np.finfo(float).tiny))


def _cell(axes: Axes, x: int, y: int, value: float, bold: bool) -> None:
    digits = ".0f" if abs(value) >= 99.5 else ".2f" if abs(value) < 0.095 else ".2g"
    text = "-" if math.isnan(value) else "0" if abs(value) < 5e-3 else format(value, digits)
    axes.text(x, y, text, ha="center", va="center", fontsize=5.5, fontweight="bold" if bold else "normal")


@styled
def levels(saved: SavedSweep) -> Figure:
    """Measures against the level: factor of a graded silencing, or level of a deviation. Thin: one network each."""
    targets = tuple(dict.fromkeys(row["target"] for row in saved.cases if row["level"]))
    modes = tuple(dict.fromkeys(row["mode"] for row in saved.cases if row["level"]))
    measures = _headline(saved)
    if "refit" in modes:
        measures = ["viable", *(m for m in measures if m != "bump_amplitude"), "parameter_distance"]
    caption = f"{saved.origin}. Thin lines: single networks; thick: their mean; dashed: mean of the intact control."
    if "refit" in modes:
        caption += (
            " Blue: fitted parameters kept; vermillion: fitted anew to each connectome, dashed: to the intact one. "
            "Parameter distance: RMS log difference to the network's own parameters."
        )
    caption += f" {_about_floors(saved, measures, dotted=True)}"
    figure = new_figure("From little to much", caption, height=0.8 + 1.15 * max(1, len(targets)))
    if not targets:
        blank(figure.subplots(), "no case has a level")
        return figure
    panels = figure.subplots(len(targets), len(measures), squeeze=False, sharex="row", sharey="col")
    kinds = {row["kind"] for row in saved.cases if row["level"]}
    for i, target in enumerate(targets):
        for k, measure in enumerate(measures):
            axes = panels[i, k]
            for mode in modes:
                _curve(axes, saved, target, mode, measure)
            _draw_floors(axes.axhline, saved, measure)
            if i == 0:
                panel_title(axes, "\n".join(textwrap.wrap(_title(measure), 14)))
            if k == 0:
                axes.set_ylabel("\n".join(textwrap.wrap(target, 16)))
    for axes in panels[-1]:
        axes.set_xlabel("factor of its output" if kinds == {"perturbation"} else "level")
    return figure


def _curve(axes: Axes, saved: SavedSweep, target: str, mode: str, measure: str) -> None:
    """One measure of one mode against the level; nothing where there is no number."""
    rows = [row for row in saved.cases if row["target"] == target and row["mode"] == mode and row["level"]]
    found = {float(row["level"]): row["group"] for row in rows}
    control, colour = saved.control(mode), VERMILLION if mode == "refit" else BLUE
    graded = any(row["kind"] == "perturbation" for row in rows)
    found[1.0 if graded or target == "connections below" else 0.0] = control
    x = sorted(found)
    y = np.array([saved.values(found[level], measure) for level in x])
    if not np.isfinite(y).any():
        return
    axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.45)
    axes.plot(x, _mean(y, axis=1), "o-", color=colour, markersize=2.5, linewidth=1.4)
    before = float(_mean(saved.values(control, measure), axis=0))
    axes.axhline(before, color=GREY if mode == "transplant" else colour, linewidth=0.7, linestyle="--")


@styled
def nulls(saved: SavedSweep) -> Figure:
    """Networks on null models of the wiring beside the connectome: one dot per network."""
    return _strips(saved, "Null models of the wiring", saved.groups("null"))


@styled
def one_side(saved: SavedSweep) -> Figure:
    """Turning of the bump at rest when one side is perturbed: one dot per network."""
    groups = [group for group in saved.groups("perturbation") if "left" in group or "right" in group]
    wanted = ("rest_rotation_deg_per_s", "rotation_during_deg", "bump_amplitude", "bump_present_share")
    return _strips(saved, "One side", groups, [m for m in wanted if m in saved.measures])


def _strips(saved: SavedSweep, title: str, groups: Sequence[str], measures: Sequence[str] = ()) -> Figure:
    measures = list(measures) or _headline(saved)
    caption = f"{saved.origin}. Dots: single networks (mean over draws); bars: their mean; band: the intact control. "
    caption += _about_floors(saved, measures, dotted=True)
    figure = new_figure(title, caption, height=1.8 + 0.17 * len(groups))
    if not groups or not measures:
        blank(figure.subplots(), "no such case in this sweep")
        return figure
    shown = [CONTROL, *groups]
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        control = saved.values(CONTROL, measure)
        if np.isfinite(control).any():
            axes.axvspan(float(np.nanmin(control)), float(np.nanmax(control)), color=PALE, zorder=0, linewidth=0)
        for i, group in enumerate(shown):
            values = saved.values(group, measure)
            colour = BLACK if group == CONTROL else VERMILLION
            axes.plot(values, np.full(len(values), i), "o", color=colour, markersize=2.5, alpha=0.7)
            axes.plot([float(_mean(values, axis=0))] * 2, [i - 0.3, i + 0.3], color=colour, linewidth=1.4)
        _draw_floors(axes.axvline, saved, measure)
        panel_title(axes, _title(measure))
        axes.grid(axis="y", color=PALE, linewidth=0.5)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(shown)), shown)
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    return figure


@styled
def kymographs(saved: SavedSweep) -> Figure:
    """Mean EPG rate around the ring in one trial of the first network, intact and in each case; heading on top."""
    names = list(saved.arrays)[:MOST_IMAGES]
    timed = any("rest/kymograph" in saved.arrays[name] for name in names)
    what = "at rest; between the dashed lines the perturbation acts" if timed else "while walking; black: true heading"
    more = f" The first {len(names)} of {len(saved.arrays)} cases." if len(saved.arrays) > len(names) else ""
    caption = f"{saved.origin}; shown is {saved.members[0] if saved.members else 'none'}, one trial {what}.{more}"
    rows = max(1, math.ceil(len(names) / 3))
    figure = new_figure("The bump", caption, height=0.9 + 1.25 * rows)
    if not names:
        blank(figure.subplots(), "no traces were kept")
        return figure
    panels = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
    prefix = "rest" if timed else "walking"
    top = max(float(np.nanmax(saved.arrays[name][f"{prefix}/kymograph"])) for name in names)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, names, strict=False):
        _kymograph(axes, saved.arrays[name], prefix, top)
        panel_title(axes, textwrap.shorten(name, 46, placeholder="..."))
    for axes in panels[:, 0]:
        axes.set_ylabel("heading (deg)")
    for axes in panels.flat[max(0, len(names) - 3) : len(names)]:
        axes.set_xlabel("time (s)")
        axes.tick_params(labelbottom=True)
    return figure


def _kymograph(axes: Axes, arrays: Mapping[str, np.ndarray], prefix: str, top: float) -> None:
    time = arrays[f"{prefix}/time_s"].astype(float)
    degrees, rate = around(
        arrays[f"{prefix}/kymograph_angle_rad"].astype(float), arrays[f"{prefix}/kymograph"].astype(float)
    )
    half = (degrees[1] - degrees[0]) / 2
    extent = (time[0], time[-1], degrees[0] - half, degrees[-1] + half)
    axes.imshow(rate.T, cmap=RATE, vmin=0, vmax=top, origin="lower", aspect="auto", extent=extent, rasterized=True)
    if f"{prefix}/true_heading_rad" in arrays:
        true = arrays[f"{prefix}/true_heading_rad"][:, 0].astype(float)
        axes.plot(*broken_at_wraps(time, true), color=BLACK, linewidth=1.2)
    heading = arrays[f"{prefix}/decoded_heading_rad"][:, 0].astype(float)
    axes.plot(*broken_at_wraps(time, heading), color=VERMILLION, linewidth=0.7)
    if f"{prefix}/window_s" in arrays:
        start, end = arrays[f"{prefix}/window_s"].tolist()
        axes.axvspan(start, end, color=GREY, alpha=0.18, linewidth=0)
        for time_s in (start, end):
            axes.axvline(time_s, color=BLACK, linewidth=0.6, linestyle="--")
    degrees_axis(axes)
    axes.set_xlim(time[0], time[-1])


@styled
def timecourse(saved: SavedSweep) -> Figure:
    """Length of the population vector and turning of the bump over a timed trial, mean over headings of one network."""
    names = [name for name, found in saved.arrays.items() if "rest/vector_length" in found]
    caption = (
        f"{saved.origin}; shown is {saved.members[0] if saved.members else 'none'}, mean over headings at rest; "
        "shaded: the window. Turned: heading since the start of the window."
    )
    figure = new_figure("Before, during and after", caption, height=4.2)
    if not names:
        blank(figure.subplots(), "not a timed sweep")
        return figure
    length, turned = figure.subplots(2, 1, sharex=True)
    start, end = saved.arrays[names[0]]["rest/window_s"].tolist()
    for axes in (length, turned):
        axes.axvspan(start, end, color=PALE, linewidth=0)
    for k, name in enumerate(names):
        found = saved.arrays[name]
        time, heading = found["rest/time_s"], found["rest/decoded_heading_rad"].astype(float)
        colour = BLACK if name == CONTROL else CYCLE[k % len(CYCLE)]
        line = "-" if k <= len(CYCLE) else "--"
        length.plot(time, found["rest/vector_length"].mean(axis=1), line, color=colour, label=name)
        since = np.rad2deg(heading - heading[int(np.argmin(np.abs(time - start)))])
        turned.plot(time, since.mean(axis=1), line, color=colour)
    turned.set_xlabel("time (s)")
    turned.set_ylabel("turned (deg)")
    length.set_ylabel("length of the\npopulation vector")
    length.set_ylim(0, 1)
    figure.legend(*length.get_legend_handles_labels(), loc="outside right upper", fontsize=5.5)
    return figure


def wanted_figures(saved: SavedSweep) -> dict[str, Draw]:
    """The figures that this sweep has something for: name of the file -> drawing function."""
    timed = any("rest/window_s" in found for found in saved.arrays.values())
    sides = any("left" in group or "right" in group for group in saved.groups("perturbation"))
    found: dict[str, Draw] = {"effects": effects}
    found |= {"levels": levels} if any(row["level"] for row in saved.cases) else {}
    found |= {"nulls": nulls} if saved.groups("null") else {}
    found |= {"one_side": one_side} if sides else {}
    return found | {"kymographs": kymographs} | ({"timecourse": timecourse} if timed else {})


def draw_sweep(folder: SweepFolder) -> list[Path]:
    """Draws the figures of a sweep (PNG and PDF) and its report, replacing those of an earlier call.

    Raises:
        RunFolderError: a damaged file, or the figures cannot be written.
    """
    with files.blamed(folder.path, "drawing"):
        return _drawn(folder)


def _drawn(folder: SweepFolder) -> list[Path]:
    saved = SavedSweep.read(folder)
    paths: list[Path] = []
    images: dict[str, bytes] = {}
    for name, draw in wanted_figures(saved).items():
        figure = draw(saved)
        for ending in ("png", "pdf"):
            content = rendered(figure, ending)
            path = folder.figures / f"{name}.{ending}"
            atomic.write_bytes(path, content)
            paths.append(path)
            if ending == "png":
                images[name] = content
    text = report(saved.manifest, saved.cases, saved.summary, saved.literature, images)
    atomic.write_text(folder.report, text)
    return [*paths, folder.report]


def _headline(saved: SavedSweep) -> list[str]:
    wanted = ("bump_present_share", "bump_amplitude", "walking_error_deg", "integration_gain", "rest_drift_deg")
    return [measure for measure in wanted if measure in saved.measures] or list(saved.measures[:4])


def _draw_floors(line: Callable[..., object], saved: SavedSweep, measure: str) -> None:
    """Lines at the floors of a path error: dotted a still bump, dash-dotted random headings."""
    if floors := saved.floors(measure):
        for value, dots in ((floors.still_deg, ":"), (floors.chance_deg, "-.")):
            line(value, color=GREY, linewidth=0.7, linestyle=dots, zorder=0)


def _about_floors(saved: SavedSweep, measures: Sequence[str], *, dotted: bool = False) -> str:
    """What the floors are, and how they are drawn where they are lines; nothing where no measure has any."""
    if not any(saved.floors(measure) for measure in measures):
        return ""
    names = "Still (dotted), chance (dash-dotted)" if dotted else "Still, chance"
    return f"{names}: walking error of a bump that stays where it is, and of random headings, on the same walks. "


def _floor_text(saved: SavedSweep, measure: str) -> str:
    floors = saved.floors(measure)
    return f", still {floors.still_deg:.0f}, chance {floors.chance_deg:.0f}" if floors else ""


def _title(measure: str) -> str:
    """``rest_drift_deg`` -> "rest drift (deg)"."""
    for ending, unit in UNITS.items():
        if measure.endswith(ending) and ending != "_share":
            return f"{measure.removesuffix(ending).replace('_', ' ')} ({unit})"
    return measure.replace("_", " ")


def _number(text: str) -> float:
    return float(text or "nan")


def _mean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Mean of what there is; NaN where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.divide(
        np.where(known, values, 0).sum(axis=axis), count, out=np.full(count.shape, np.nan), where=count > 0
    )
