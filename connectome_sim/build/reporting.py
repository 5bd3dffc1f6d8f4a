"""``report.html`` of a run folder, from what the folder holds. Prints nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

from connectome_sim import files
from connectome_sim.build.scores import attractor_rows, score_rows
from connectome_sim.config import saved_config
from connectome_sim.config.compose import CONFIG, saved_overrides
from connectome_sim.config.settings import HOW
from connectome_sim.figures.report import report
from connectome_sim.figures.saved import SavedRun
from connectome_sim.records import RunFolder, atomic, read_text

_PICTURES = (".png", ".gif", ".svg")


def write_report(folder: RunFolder) -> Path:
    """Write the report of a run, also of one that failed; figures are those in its ``figures/``.

    Raises:
        RunFolderError: a damaged file, or no configuration in the folder.
    """
    with files.blamed(folder.path, "the report"):
        text = _text(folder)
    atomic.write_text(folder.report, text)
    return folder.report


def _text(folder: RunFolder) -> str:
    saved, bounds = SavedRun.read(folder), saved_config(folder.path).success
    names = {*(path.name for path in folder.figures.glob("*")), *files.listed(folder.figures)}
    shown = sorted(name for name in names if Path(name).suffix in _PICTURES)
    pictures = {name: files.read(folder.figures / name, most=files.PICTURE_BYTES).data for name in shown}
    return report(
        saved,
        scores=score_rows(saved.metrics, bounds),
        attractor=attractor_rows(saved.found),
        pictures=pictures,
        config=read_text(folder.path / CONFIG),
        commands=_commands(folder),
    )


def _commands(folder: RunFolder) -> dict[str, str]:
    """What for -> command that repeats it."""
    run, hydra = f"run={folder.path}", (folder.path / CONFIG).parent
    exactly = ["connectome-sim", "fit", "--config-dir", str(hydra), "--config-name", CONFIG.stem, "run=runs/again"]
    found = {"The fit, from this folder": shlex.join(exactly)}
    if (given := saved_overrides(folder.path)) is not None:
        kept = [item for item in given if item.lstrip("+").partition("=")[0] not in HOW]
        found["The fit, as it was started"] = shlex.join(["connectome-sim", "fit", *kept])
    found["What was measured and drawn"] = "\n".join(
        shlex.join(["connectome-sim", verb, run]) for verb in ("evaluate", "analyze", "figures")
    )
    return found
