"""Whole sweeps through the command line: the folder, killing and going on, refusing, drawing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectome_sim.ablation.states import STATES
from connectome_sim.cli import main
from connectome_sim.figures.saved_sweep import SavedSweep
from connectome_sim.figures.sweep import wanted_figures
from connectome_sim.records import SweepFolder, atomic
from tests.fitted import run_folder

TINY = [
    "progress=false",
    "figures=false",
    "threads=2",
    *(
        f"ablation.held_out.protocol.{setting}"
        for setting in (
            "n_headings=2",
            "duration_s=0.4",
            "error_times_s=[0.4]",
            "constant_speeds_deg_per_s=[60.0]",
            "constant_headings=1",
            "constant_duration_s=0.2",
            "constant_transient_s=0.1",
            "jump_offsets_deg=[90.0]",
            "jump_headings=1",
            "jump_duration_s=0.1",
            "noise_headings=1",
            "noise_repeats=2",
            "noise_duration_s=1",
            "noise_times_s=[1]",
            "cue_duration_s=0.1",
            "settle_duration_s=0.1",
        )
    ),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    return f"[{run_folder(folder / 'a', 0)},{run_folder(folder / 'b', 1)}]"


@pytest.fixture(scope="module")
def finished(runs: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweeps") / "finished"
    assert main(["ablate", f"run={runs}", f"out={out}", "ablation.literature=true", *TINY]) == 0
    return out


def test_a_sweep_leaves_all_that_the_contract_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        ".lock",
        "arrays",
        "cases.csv",
        "config.yaml",
        "figures",
        "literature.csv",
        "manifest.json",
        "SHA256SUMS",
        "summary.csv",
    }
    folder = SweepFolder.open(finished)
    rows = folder.table("cases")
    assert [row["case"] for row in rows[:2]] == ["intact", "intact"]
    assert len(rows) == 2 * (1 + 3 + 6)
    assert {row["status"] for row in rows} <= {"ok", "diverged", "failed"}
    assert folder.manifest().status == "succeeded" and folder.manifest().seeds["seed 1"] == 1
    assert {row["group"] for row in folder.table("summary")} == {row["group"] for row in rows} - {"intact"}
    assert {row["over"] for row in folder.table("summary")} == {"over fits of one connectome, not over animals"}
    assert {row["state"] for row in rows} <= set(STATES)
    assert len({(row["walking_error_still_deg"], row["walking_error_chance_deg"]) for row in rows}) == 1
    floors = {row["measure"]: (row["still"], row["chance"]) for row in folder.table("summary")}
    assert all(floors.pop("walking_error_deg")) and set(floors.values()) == {("", "")}
    assert {row["verdict"] for row in folder.table("literature")} <= {
        "agree",
        "disagree",
        "no verdict",
        "not testable",
        "prediction",
    }


def test_a_sweep_that_is_killed_goes_on_to_the_same_bytes(finished: Path, runs: str, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    arguments = ["ablate", f"run={runs}", f"out={out}", "ablation.literature=true", *TINY]
    code = f"import sys; from connectome_sim.cli import main; sys.exit(main({arguments!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not (out / "cases.csv").exists() and process.poll() is None:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = SweepFolder.open(out).table("cases")
    assert 0 < len(before) < 20
    assert main(arguments) == 0
    assert (out / "cases.csv").read_bytes() == (finished / "cases.csv").read_bytes()
    assert (out / "summary.csv").read_bytes() == (finished / "summary.csv").read_bytes()


@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_whatever_was_written_when_a_sweep_stopped_it_goes_on_to_the_same_bytes(
    rows: int, finished: Path, runs: str, tmp_path: Path
) -> None:
    """A kill leaves the rows that were written, and perhaps the arrays of the next one: here those of all."""
    out = tmp_path / "stopped"
    shutil.copytree(finished, out)
    lines = (out / "cases.csv").read_bytes().splitlines(keepends=True)
    atomic.write_bytes(out / "cases.csv", b"".join(lines[: 1 + rows]))
    for name in ("summary.csv", "literature.csv"):
        atomic.remove(out / name)
    assert main(["ablate", f"run={runs}", f"out={out}", "ablation.literature=true", *TINY]) == 0
    for name in ("cases.csv", "summary.csv", "literature.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_a_folder_with_another_sweep_is_refused(finished: Path, runs: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["ablate", f"run={runs}", f"out={finished}", *TINY]) == 1  # without the literature
    assert "holds another sweep" in capsys.readouterr().err


def test_a_target_that_is_not_there_is_refused_before_there_is_a_folder(
    runs: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    case = "ablation.cases=[{perturb: [{kind: output, target: {type: [PEN_x]}}]}]"
    assert main(["ablate", f"run={runs}", f"out={tmp_path}/none", case, *TINY]) == 1
    assert re.search(r"'PEN_x'; there are EPG, PEN_a, Delta7", capsys.readouterr().err)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("bundle", "figures"),
    [
        ("cell_types", {"effects", "nulls", "kymographs"}),
        ("graded", {"effects", "levels", "kymographs"}),
        ("unilateral", {"effects", "one_side", "kymographs"}),
        ("timed", {"effects", "one_side", "kymographs", "timecourse"}),
        ("pairs", {"effects", "kymographs"}),
        ("nulls", {"effects", "nulls", "kymographs"}),
        ("deviations", {"effects", "levels", "kymographs"}),
    ],
)
def test_a_sweep_is_drawn_and_told_in_one_file(bundle: str, figures: set[str], runs: str, tmp_path: Path) -> None:
    out, more = tmp_path / "sweep", []
    if bundle == "timed":
        trial = ("duration=0.4", "start=0.1", "end=0.2", *(t.rsplit(".", 1)[1] for t in TINY[3:] if "n_heading" in t))
        more = [f"ablation.timed.{t}" if "n_head" not in t else f"ablation.timed.protocol.{t}" for t in trial]
        more += [f"{s}ablation.sets.timed.options.{t}" for s, t in
                 (("", "start=0.1"), ("", "end=0.2"), ("+", "period=0.04"), ("+", "width=0.02"))]  # fmt: skip
    if bundle == "graded":
        more = [f"+ablation.sets.graded.options.{option}" for option in ("types=[Delta7]", "factors=[0.5,2.0]")]
    if bundle == "pairs":
        more = ["+ablation.sets.pairs.options.types=[PEN_a,Delta7]"]
    if bundle == "nulls":
        more = ["ablation.sets.nulls.options.draws=2", "+ablation.sets.nulls.options.nulls=[shuffle_weights]"]
    if bundle == "deviations":
        more = ["ablation.modes=[transplant]", "+ablation.sets.deviations.options.levels={missed: [0.1, 0.5]}"]
    settings = [setting for setting in TINY if setting != "figures=false"]
    assert main(["ablate", f"run={runs}", f"out={out}", f"ablation={bundle}", *more, *settings]) == 0
    assert {path.stem for path in (out / "figures").glob("*.png")} == figures
    assert set(wanted_figures(SavedSweep.read(SweepFolder.open(out)))) == figures
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(figures) and "://" not in page
    assert "not over animals" in page and ("What became of the bump" in page) == (bundle != "timed")
