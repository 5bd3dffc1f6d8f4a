"""``report.html`` of a run folder, from what the folder holds. Prints nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

from omegaconf import OmegaConf

from connectome_sim.build.scores import attractor_rows, score_rows
from connectome_sim.config import saved_config
from connectome_sim.config.compose import CONFIG
from connectome_sim.config.settings import HOW
from connectome_sim.figures.all import left_out
from connectome_sim.figures.needs import NotDrawn, not_drawn
from connectome_sim.figures.report import report
from connectome_sim.figures.saved import SavedRun
from connectome_sim.records import RunFolder, atomic

OVERRIDES = "overrides.yaml"
"""Beside the configuration: what the run was started with."""


def write_report(folder: RunFolder) -> Path:
    """Write the report of a run, also of one that failed; figures are those in its ``figures/``.

    Raises:
        RunFolderError: a damaged file, or no configuration in the folder.
    """
    saved, bounds = SavedRun.read(folder), saved_config(folder.path).success
    pictures = {
        path.name: path.read_bytes()
        for path in sorted(folder.figures.glob("*"))
        if path.suffix in (".png", ".gif", ".svg")
    }
    text = report(
        saved,
        scores=score_rows(saved.metrics, bounds),
        attractor=attractor_rows(saved.found),
        pictures=pictures,
        left_out=left_out(folder, saved),
        place=str(folder.path),
        config=(folder.path / CONFIG).read_text(encoding="utf-8"),
        commands=_commands(folder),
    )
    atomic.write_text(folder.report, text)
    return folder.report


def figures_not_drawn(folder: RunFolder) -> list[NotDrawn]:
    """The figures that the run does not hold enough for, and how to get them."""
    return not_drawn(left_out(folder, SavedRun.read(folder)), str(folder.path))


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
