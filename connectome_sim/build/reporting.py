"""``report.html`` of a run folder, from what the folder holds. Prints nothing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from connectome_sim.build.measuring import fitted_numbers
from connectome_sim.build.scores import attractor_rows, score_rows
from connectome_sim.config import FitConfig, saved_config
from connectome_sim.config.compose import CONFIG
from connectome_sim.config.settings import HOW
from connectome_sim.evaluate import Number
from connectome_sim.figures.input_shares import run_shares
from connectome_sim.figures.report import PARAMETERS, report
from connectome_sim.figures.saved import SavedRun
from connectome_sim.records import RunFolder, atomic

OVERRIDES = "overrides.yaml"
"""Beside the configuration: what the run was started with."""


def write_report(folder: RunFolder) -> Path:
    """Write the report of a run, also of one that failed, and the tables of it that follow from its other files.

    Figures are those in its ``figures/``.

    Raises:
        RunFolderError: a damaged file, or no configuration in the folder.
    """
    saved, fitted = SavedRun.read(folder), saved_config(folder.path)
    _write_tables(folder, saved, fitted)
    saved = replace(saved, tables=folder.tables())
    pictures = {
        path.name: path.read_bytes()
        for path in sorted(folder.figures.glob("*"))
        if path.suffix in (".png", ".gif", ".svg")
    }
    text = report(
        saved,
        scores=score_rows(saved.metrics, fitted.success),
        attractor=attractor_rows(saved.found),
        pictures=pictures,
        config=(folder.path / CONFIG).read_text(encoding="utf-8"),
        commands=_commands(folder),
    )
    atomic.write_text(folder.report, text)
    return folder.report


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


def _commands(folder: RunFolder) -> dict[str, str]:
    """What for -> command that repeats it."""
    run, hydra = f"run={folder.path}", (folder.path / CONFIG).parent
    exactly = ["connectome-sim", "fit", "--config-dir", str(hydra), "--config-name", CONFIG.stem, "run=runs/again"]
    found = {"The fit, from this folder": shlex.join(exactly)}
    if (hydra / OVERRIDES).exists():
        given = [str(item) for item in OmegaConf.load(hydra / OVERRIDES)]
        kept = [item for item in given if item.lstrip("+").partition("=")[0] not in HOW]
        found["The fit, as it was started"] = shlex.join(["connectome-sim", "fit", *kept])
    found["What was measured and drawn"] = "\n".join(
        shlex.join(["connectome-sim", verb, run]) for verb in ("evaluate", "analyze", "figures")
    )
    return found
