"""Signals, kills and two processes at once: what was done is kept, said, and goes on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectome_sim.build import fitting, run_study
from connectome_sim.cli import main, verbs
from connectome_sim.config import compose
from connectome_sim.errors import BusyError, Interrupted, RunFolderError
from connectome_sim.records import RunFolder, SweepFolder, atomic
from connectome_sim.solve.threads import Halt
from tests import fitted
from tests.end_to_end import test_ablate, test_studies
from tests.end_to_end.test_runs import ONE_STEP, TINY, assert_same_history, tiny

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
PATIENCE = 300  # s, of a busy machine; nothing waits that long where all is well


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(tiny(run)) == 0
    return run


def signal_at(monkeypatch: pytest.MonkeyPatch, signum: int, *, rows: int) -> None:
    """Sends this process a signal before a history of so many rows is written, and lets it be heard first."""
    keep, told, heard = RunFolder.write_history, Halt.set, threading.Event()

    def tell(halt: Halt) -> None:
        told(halt)
        heard.set()

    def write(folder: RunFolder, history: list[dict[str, float]]) -> None:
        if len(history) == rows:
            os.kill(os.getpid(), signum)
            if threading.current_thread() is not threading.main_thread():  # which alone hears signals
                assert heard.wait(PATIENCE)
        keep(folder, history)

    monkeypatch.setattr(Halt, "set", tell)
    monkeypatch.setattr(RunFolder, "write_history", write)


def command_in(text: str) -> list[str]:
    """The words of the command that goes on, after ``connectome-sim``."""
    (line,) = [line for line in text.splitlines() if line.startswith("go on with: ")]
    program, *words = shlex.split(line.removeprefix("go on with: "))
    assert program == "connectome-sim"
    return words


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_saves_says_how_to_go_on_and_is_the_exit_code(
    signum: signal.Signals,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, before = tmp_path / "a run", signal.signal(signum, signal.default_int_handler)  # ignored, under nohup
    try:
        with monkeypatch.context() as patched:
            signal_at(patched, signum, rows=2)
            assert main(tiny(run)) == 128 + signum
        assert signal.getsignal(signum) == signal.default_int_handler
    finally:
        signal.signal(signum, before)
    said = capfd.readouterr().err
    assert f"interrupted by {signum.name}" in said and "Traceback" not in said
    manifest = RunFolder.open(run).manifest()
    assert (manifest.status, manifest.reason) == ("interrupted", f"interrupted by {signum.name}")
    assert not manifest.is_done and manifest.wall_time_s is not None
    assert RunFolder.open(run).last_checkpoint()[0] == 2
    assert main(command_in(said)) == 0
    assert_same_history(run, finished)
    assert RunFolder.open(run).manifest().status == "succeeded"


def test_a_signal_that_was_to_be_ignored_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``nohup`` has it."""
    signal_at(monkeypatch, signal.SIGHUP, rows=1)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(tiny(tmp_path / "run", *ONE_STEP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_does_not_disturb_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = RunFolder.stop

    def stop(folder: RunFolder, error: BaseException, **more: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        keep(folder, error, **more)

    signal_at(monkeypatch, signal.SIGTERM, rows=2)
    monkeypatch.setattr(RunFolder, "stop", stop)
    assert main(tiny(tmp_path / "run")) == 143
    assert RunFolder.open(tmp_path / "run").manifest().status == "interrupted"


def test_a_disk_that_is_full_interrupts_a_fit_and_a_fit_that_cannot_start_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RunFolderError("history.csv: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_history", full)
        assert main(tiny(tmp_path / "full")) == 1
    assert main(tiny(tmp_path / "failed", "start.gap=0.99")) == 2
    states = [RunFolder.open(tmp_path / name).manifest() for name in ("full", "failed")]
    assert [(state.status, state.is_done) for state in states] == [("interrupted", False), ("failed", True)]
    assert "disk is full" in states[0].reason


def test_a_fit_that_is_interrupted_while_it_is_drawn_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("connectome_sim.figures.draw_all", interrupted)
    assert main(tiny(tmp_path / "run", *ONE_STEP, "figures=true")) == 143
    assert command_in(capfd.readouterr().err) == ["figures", f"run={tmp_path / 'run'}"]
    assert RunFolder.open(tmp_path / "run").manifest().status == "succeeded"


# --- sweeps of fits ---------------------------------------------------------------------------------------------------


def sweep(*more: str) -> list[str]:
    return ["fit", "--multirun", *TINY, *ONE_STEP, *more]


@pytest.mark.parametrize("run", ["", "run=mine/${seed}"], ids=["named by itself", "named"])
def test_a_sweep_goes_on_done_ones_are_left_begun_ones_resumed_the_others_fitted(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    named, places = [run] * bool(run), "mine/*" if run else "runs/s/*"
    two_steps = ["name=s", *named, *(setting for setting in TINY if setting.startswith("fit.stages"))]
    assert main(sweep(*two_steps, "seed=0")) == 0
    (done,) = tmp_path.glob(places)
    with monkeypatch.context() as patched:
        signal_at(patched, signal.SIGTERM, rows=2)
        assert main(sweep(*two_steps, "seed=1")) == 143
    again = command_in(capfd.readouterr().err)
    assert again[0] == "fit" and again[-1] == "resume=true" and "--multirun" in again
    (begun,) = set(tmp_path.glob(places)) - {done}
    assert RunFolder.open(begun).manifest().reason == "interrupted by SIGTERM"
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    assert main([word.replace("seed=1", "seed=0,1,2") for word in again]) == 0
    assert f"{done.relative_to(tmp_path)}: done before, succeeded" in capfd.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before
    runs = {RunFolder.open(path).manifest().seeds["fit"]: RunFolder.open(path) for path in tmp_path.glob(places)}
    assert sorted(runs) == [0, 1, 2] and runs[1].path == begun
    assert {run.manifest().status for run in runs.values()} == {"succeeded"}
    assert [len(run.history()) for run in runs.values()] == [3, 3, 3]


def test_a_sweep_that_goes_on_leaves_with_the_code_of_a_fit_that_had_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(sweep("name=s", "start.gap=0.99,0.1", "resume=true")) == 2
    assert len(list(tmp_path.glob("runs/s/*"))) == 2
    assert re.search(r"done before, failed .*spectral start", capfd.readouterr().out)


def test_a_sweep_takes_up_no_folder_with_another_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(sweep("run=mine/${seed}", "seed=0")) == 0
    assert main(sweep("run=mine/${seed}", "seed=0,1", "resume=true", "gains=ei")) == 1
    assert "is not the configuration" in capfd.readouterr().err
    assert not (tmp_path / "mine" / "1").exists()


# --- other verbs ------------------------------------------------------------------------------------------------------


def test_a_sweep_of_ablations_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run, out, keep = fitted.run_folder(tmp_path / "run", 0), tmp_path / "sweep", SweepFolder.write_table
    arguments = ["ablate", f"run={run}", "ablation=literature", *test_ablate.TINY]

    def write(folder: SweepFolder, name: str, columns: object, rows: list[object]) -> None:
        keep(folder, name, columns, rows)  # type: ignore[arg-type]
        if len(rows) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(SweepFolder, "write_table", write)
        assert main([*arguments, f"out={out}"]) == 143
    manifest = SweepFolder.open(out).manifest()
    assert (manifest.status, manifest.reason) == ("interrupted", "interrupted by SIGTERM")
    again = command_in(capfd.readouterr().err)
    assert again[-1] == f"out={out}" and main(again) == 0
    assert SweepFolder.open(out).manifest().status == "succeeded"


def test_a_study_keeps_what_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_at(monkeypatch, signal.SIGTERM, rows=2)
    from connectome_sim.cli import signals

    config = test_studies.config(tmp_path / "out", seeds=1, only=("pair",))
    with pytest.raises(Interrupted, match="SIGTERM"), signals.as_exceptions():
        run_study(config)
    run = RunFolder.open(tmp_path / "out" / "runs" / "pair" / "seed_000")
    assert run.manifest().reason == "interrupted by SIGTERM"
    monkeypatch.undo()
    assert [fit.status for fit in run_study(config).fits] == ["succeeded"]
    assert len(run.history()) == 3


@pytest.mark.parametrize(
    ("arguments", "runs", "left"),
    [
        (["evaluate", "run=[{0},{1}]", "progress=false"], "run_evaluations", "evaluate run=[{1}] progress=false"),
        (["analyze", "run=[{0},{1}]", "headings=32"], "run_analyses", "analyze run=[{0},{1}] headings=32"),
        (["study", "study=loss", "out={0}"], "run_study", "study study=loss out={0}"),
    ],
)
def test_the_other_verbs_say_how_to_go_on(
    arguments: list[str],
    runs: str,
    left: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    copies = [shutil.copytree(finished, tmp_path / name) for name in ("one", "other")]

    def interrupted(configs: list[object], *, on_end: Callable[..., None]) -> None:
        if runs == "run_evaluations":
            on_end(configs[0], {}, [])  # the first is done
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(verbs, runs, interrupted)
    assert main([argument.format(*copies) for argument in arguments]) == 143
    assert command_in(capfd.readouterr().err) == left.format(*copies).split()


# --- real processes ---------------------------------------------------------------------------------------------------


def process(code: str, *arguments: str) -> subprocess.Popen[str]:
    program = f"import os, signal, sys\n{code}\nfrom connectome_sim.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)


def test_a_sweep_in_a_process_of_its_own_saves_every_fit_at_a_signal(tmp_path: Path) -> None:
    endless = [
        "fit.stages=[{horizon_s: 0.1, iterations: 1000000, n_trials: 4}]",
        "fit.validation_trials=4",
        "threads=2",
        f"run={tmp_path}/${{seed}}",
    ]
    running = process("", *sweep(*endless, "seed=0,1"))
    try:
        deadline = time.monotonic() + PATIENCE
        while len({path.parent for path in tmp_path.glob("[01]/checkpoints/step_*")}) < 2:
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
    assert running.returncode == 143 and "Traceback" not in said
    for seed in (0, 1):
        folder = RunFolder.open(tmp_path / str(seed))
        assert folder.manifest().reason == "interrupted by SIGTERM"
        assert len(folder.history()) == folder.last_checkpoint()[0] > 0
    assert command_in(said)[-1] == "resume=true"


def test_a_kill_while_a_run_folder_is_made_stands_in_nobodys_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "from connectome_sim.connectome.io import hdf5\nhdf5.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    running = process(code, *tiny(tmp_path / "run", *ONE_STEP))
    running.communicate(timeout=PATIENCE)
    assert running.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.") and left.name.endswith(".tmp")
    assert main(tiny(tmp_path / "run", *ONE_STEP)) == 0
    assert f"{left}: left by a process that was killed" in caplog.text
    assert {path.name for path in tmp_path.iterdir()} == {"run", left.name}


def test_two_processes_never_work_in_one_folder(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    code = (
        f"from pathlib import Path\nfrom connectome_sim.records import atomic\nwith atomic.alone(Path({str(run)!r})):\n"
        "    print('locked', file=sys.stderr, flush=True)\n    sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{code}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert holder.stderr is not None and "locked" in holder.stderr.readline()
        before = (run / "manifest.json").read_bytes()
        assert main(["fit", f"run={run}", "resume=true"]) == 1
        assert "another process is at work in it" in capfd.readouterr().err
        assert (run / "manifest.json").read_bytes() == before
    finally:
        holder.kill()
        holder.communicate(timeout=PATIENCE)
    assert (run / ".lock").exists()  # left by the process that was killed, but no longer held
    assert main(["fit", f"run={run}", "resume=true"]) == 0


def test_a_folder_that_is_made_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"), atomic.new_folder(tmp_path / "a") as folder:
        (folder / "file").touch()
        raise ValueError("half way")
    assert list(tmp_path.iterdir()) == []
    with atomic.new_folder(tmp_path / "a") as folder:
        (folder / "file").touch()
        assert not (tmp_path / "a").exists()
    with pytest.raises(RunFolderError, match="exists already"), atomic.new_folder(tmp_path / "a"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "file"]
    with atomic.alone(tmp_path / "a"), pytest.raises(BusyError), atomic.alone(tmp_path / "a"):
        pass


def test_a_run_that_was_made_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, fill = compose("fit", [*TINY, f"run={tmp_path / 'run'}"]), fitting._fill

    def slow(*arguments: object) -> None:
        fill(*arguments)  # type: ignore[arg-type]
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "of another").touch()

    monkeypatch.setattr(fitting, "_fill", slow)
    with pytest.raises(RunFolderError, match="exists already"):
        fitting.run_fit(config)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "of another"]
