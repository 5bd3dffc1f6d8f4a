"""``report.html`` of a run folder, from what the folder holds. Prints nothing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from connectome_sim import files
from connectome_sim.build.measuring import fitted_numbers
from connectome_sim.build.scores import attractor_rows, score_rows
from connectome_sim.config import FitConfig, saved_config
from connectome_sim.config.compose import CONFIG, saved_overrides
from connectome_sim.config.settings import HOW
from connectome_sim.evaluate import Number
from connectome_sim.figures.all import left_out
from connectome_sim.figures.input_shares import run_shares
from connectome_sim.figures.needs import NotDrawn, not_drawn
from connectome_sim.figures.report import PARAMETERS, report
from connectome_sim.figures.saved import SavedRun
from connectome_sim.records import RunFolder, atomic, read_text

_PICTURES = (".png", ".gif", ".svg")


def write_report(folder: RunFolder) -> Path:
    """Write the report of a run, also of one that failed, and the tables of it that follow from its other files.

    Figures are those in its ``figures/``.

    Raises:
        RunFolderError: a damaged file, or no configuration in the folder.
    """
    with files.blamed(folder.path, "the report"):
        text = _text(folder)
    atomic.write_text(folder.report, text)
    return folder.report


def _text(folder: RunFolder) -> str:
    saved, fitted = SavedRun.read(folder), saved_config(folder.path)
    _write_tables(folder, saved, fitted)
    saved = replace(saved, tables=folder.tables())
    names = {*(path.name for path in folder.figures.glob("*")), *files.listed(folder.figures)}
    shown = sorted(name for name in names if Path(name).suffix in _PICTURES)
    pictures = {name: files.read(folder.figures / name, most=files.PICTURE_BYTES).data for name in shown}
    return report(
        saved,
        scores=score_rows(saved.metrics, fitted.success),
        attractor=attractor_rows(saved.found),
        pictures=pictures,
        left_out=left_out(folder, saved),
        place=str(folder.path),
        config=read_text(folder.path / CONFIG),
        commands=_commands(folder),
    )


def _write_tables(folder: RunFolder, saved: SavedRun, fitted: FitConfig) -> None:
    """``parameters.csv`` and ``input_shares.csv``, where there is what they are made of."""
    if saved.connectome is not None and saved.parameters:
        found = fitted_numbers(fitted, saved.connectome, saved.parameters)
        folder.write_table(PARAMETERS, [_row(number) for number in found])
    if (shares := run_shares(saved)) is not None:
        folder.write_table("input_shares", shares.rows())


def _row(number: Number) -> dict[str, str]:
    return {
        "family": number.family,
        "parameter": number.name,
        "value": repr(number.value),
        "lower_bound": repr(number.bounds.low),
        "upper_bound": repr(number.bounds.high),
        "at_bound": "yes" if number.at_bound else "",
        "fitted": "yes" if number.fitted else "",
        "synapses": "" if number.synapses is None else str(number.synapses),
    }


def figures_not_drawn(folder: RunFolder) -> list[NotDrawn]:
    """The figures that the run does not hold enough for, and how to get them."""
    return not_drawn(left_out(folder, SavedRun.read(folder)), str(folder.path))


def _commands(folder: RunFolder) -> dict[str, str]:
    """What for -> command that repeats it."""
    run, given = f"run={folder.path}", saved_overrides(folder.path)
    exactly = ["connectome-sim", "fit", f"from={folder.path}", "run=runs/again"]
    found = {"The fit, from this folder": shlex.join(exactly)}
    if given is not None:
        kept = [item for item in given if item.lstrip("+").partition("=")[0] not in HOW]
        found["The fit, as it was started"] = shlex.join(["connectome-sim", "fit", *kept])
    found["What was measured and drawn"] = "\n".join(
        shlex.join(["connectome-sim", verb, run]) for verb in ("evaluate", "analyze", "figures")
    )
    return found
