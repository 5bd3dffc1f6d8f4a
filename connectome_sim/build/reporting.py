"""``report.html`` of a run folder, from what the folder holds. Prints nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

from connectome_sim.build.scores import attractor_rows, score_rows
from connectome_sim.config import saved_config
from connectome_sim.config.compose import CONFIG, saved_overrides
from connectome_sim.config.settings import HOW
from connectome_sim.figures.report import report
from connectome_sim.figures.saved import SavedRun
from connectome_sim.records import RunFolder, atomic


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
        config=(folder.path / CONFIG).read_text(encoding="utf-8"),
        commands=_commands(folder),
    )
    atomic.write_text(folder.report, text)
    return folder.report


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
