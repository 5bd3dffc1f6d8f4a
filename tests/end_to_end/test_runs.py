"""Whole runs through the command line, as small as they can be: the run folder, resuming, failing, repeating."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy.integrate import solve_ivp

from connectome_sim.analysis import VERDICTS
from connectome_sim.build import FitOutcome, Member, fitting, run_fit, run_fits
from connectome_sim.build.reporting import write_report
from connectome_sim.build.sweep import _apart
from connectome_sim.cli import main
from connectome_sim.config import FitConfig, compose, saved_config
from connectome_sim.config.compose import saved_overrides
from connectome_sim.connectome.io import hdf5
from connectome_sim.errors import ConfigError, FitError, RunFolderError
from connectome_sim.evaluate import FULL, parameter_metrics, restore
from connectome_sim.fit import SpectralStart
from connectome_sim.model import Drive
from connectome_sim.records import RunFolder, atomic, read_arrays, read_checkpoint, read_network, read_parameters
from connectome_sim.solve import SolveOptions, solve
from tests.fitted import listed_anew

# three steps on trials of 0.1 s, judged for half a second: enough to go through everything, not to learn anything
TINY = [
    "connectome=statistics",
    "fit.stages=[{horizon_s: 0.1, iterations: 2, n_trials: 4}, {horizon_s: 0.15, iterations: 1, n_trials: 4}]",
    "fit.validation_trials=4",
    "fit.cue_duration_s=0.1",
    "fit.settle_duration_s=0.05",
    "parameters.trainable=[threshold]",
    "fit.candidates=2",
    "checkpoint_every_s=0",
    "progress=false",
    "figures=false",
    "threads=1",
    "~success",
    *(
        f"evaluation.protocol.{setting}"
        for setting in (
            "n_headings=2",
            "duration_s=0.5",
            "error_times_s=[0.5]",
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
            "noise_rate_percent=0",
            "cue_duration_s=0.1",
            "settle_duration_s=0.1",
        )
    ),
]
ONE_STEP = ["fit.stages=[{horizon_s: 0.1, iterations: 1, n_trials: 4}]"]


def tiny(run: Path | str, *more: str) -> list[str]:
    return ["fit", *TINY, f"run={run}", *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that no test changes."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(tiny(run)) == 0
    return run


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def test_a_run_leaves_all_that_the_contract_names(finished: Path) -> None:
    run = RunFolder.open(finished)
    assert {path.name for path in (finished / ".hydra").iterdir()} == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    assert {path.name for path in finished.iterdir()} == {
        ".hydra",
        ".lock",
        "SHA256SUMS",
        "checkpoints",
        "connectome.h5",
        "evaluation.h5",
        "figures",
        "history.csv",
        "manifest.json",
        "metrics.json",
        "network.h5",
        "parameters.safetensors",
    }
    assert [row["iteration"] for row in run.history()] == [1, 2, 3]
    assert set(read_arrays(run.evaluation)) >= {"walking/time_s", "rest/time_s"}
    assert run.last_checkpoint()[0] == 3


def test_a_drawn_connectome_is_called_so_wherever_the_run_names_it(finished: Path) -> None:
    run = RunFolder.open(finished)
    (network,) = read_network(run.network)
    connectome = hdf5.read(run.connectome)
    assert all("wiring statistics" in name for name in (run.manifest().dataset, network.dataset))
    assert "wiring statistics" in connectome.provenance.dataset
    assert run.manifest().dataset_sha256 == connectome.provenance.sha256 == network.dataset_sha256
    assert run.manifest().seeds == {"connectome": 0, "fit": 0, "held_out": 0}


def test_the_manifest_and_the_metrics_say_that_it_succeeded(finished: Path) -> None:
    manifest = RunFolder.open(finished).manifest()
    assert (manifest.status, manifest.reason) == ("succeeded", "")
    assert manifest.wall_time_s is not None and manifest.wall_time_s > 0
    assert RunFolder.open(finished).metrics()["success"] == 1


def test_the_network_file_is_made_of_the_stored_parameters(finished: Path) -> None:
    parameters = read_parameters(RunFolder.open(finished).parameters)
    (network,) = read_network(RunFolder.open(finished).network)
    for i, name in enumerate(network.type):
        assert network.bias[i] == pytest.approx(-float(parameters[f"threshold/{name}"]), rel=1e-6)
        assert network.time_constant[i] == pytest.approx(float(parameters[f"time_constant/{name}"]), rel=1e-6)
    assert "gain/EPG<-PEN_a" in parameters


def test_the_fit_moved_what_is_trainable_and_nothing_else(finished: Path) -> None:
    run = RunFolder.open(finished)
    start = read_parameters(run.parameters)
    config = saved_config(finished)
    assert config.parameters.trainable == {"threshold"}
    assert all(
        float(value) == pytest.approx(config.start.time_constant)
        for name, value in start.items()
        if name.startswith("time_constant/")
    )


def test_a_second_run_in_the_same_folder_is_refused_and_changes_nothing(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert main(tiny(finished, "seed=1")) == 1
    assert "exists already" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def assert_same_history(run: Path, wanted: Path) -> None:
    """The same up to the rounding of float32 matrix products, which depends on where memory lies.

    That a resumed fit goes on bit for bit from its checkpoint is tested in float64 in tests/unit/test_fit_loop.py.
    """
    rows, expected = RunFolder.open(run).history(), RunFolder.open(wanted).history()
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-6, nan_ok=True)


def test_an_interrupted_fit_resumes_to_the_same_history(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, keep = tmp_path / "interrupted", RunFolder.write_history

    def interrupt(folder: RunFolder, rows: list[dict[str, float]]) -> None:
        if len(rows) == 2:  # the checkpoint is written, its history is not
            raise KeyboardInterrupt
        keep(folder, rows)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "write_history", interrupt)
        assert main(tiny(run)) == 130
    assert RunFolder.open(run).manifest().reason == "interrupted"
    assert len(RunFolder.open(run).history()) == 1
    assert main(["fit", f"run={run}", "resume=true"]) == 0
    assert_same_history(run, finished)
    assert RunFolder.open(run).manifest().status == "succeeded"


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_file_and_resumes(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    command = [sys.executable, "-c", "import sys; from connectome_sim.cli import main; sys.exit(main(sys.argv[1:]))"]
    process = subprocess.Popen([*command, *tiny(run)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(run.glob("checkpoints/step_*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in run.glob("checkpoints/step_*.safetensors"):
        read_checkpoint(path)
    RunFolder.open(run).history()
    hdf5.read(run / "connectome.h5")
    assert main(["fit", "resume=true", f"run={run}"]) == 0
    assert_same_history(run, finished)


@pytest.mark.parametrize(
    "command",
    ["from={run}", "--config-dir {run}/.hydra --config-name config", "--config-name=config --config-dir={run}/.hydra"],
)
def test_a_run_is_repeated_from_what_its_folder_holds(command: str, finished: Path, tmp_path: Path) -> None:
    """Also by the command that reports of earlier versions print."""
    again = tmp_path / "again"
    assert main(["fit", *command.format(run=finished).split(), f"run={again}"]) == 0
    assert_same_history(again, finished)
    manifests = [RunFolder.open(run).manifest() for run in (again, finished)]
    assert manifests[0].config_sha256 == manifests[1].config_sha256


def test_a_run_is_repeated_with_a_change_and_says_with_which(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    assert main(["fit", f"from={finished}", *ONE_STEP, "seed=1", f"run={again}"]) == 0
    assert saved_config(again) == replace(
        saved_config(finished),
        fit=replace(saved_config(finished).fit, stages=saved_config(again).fit.stages),
        id=saved_config(again).id,
        seed=1,
        run=str(again),
    )
    given = saved_overrides(again) or ()
    assert given[: len(TINY)] == (saved_overrides(finished) or ())[: len(TINY)] and "seed=1" in given
    assert main(["fit", f"from={finished}"]) == 1
    assert "run=PATH" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run={run}", "resume=true", "seed=1"], "seed"),
        (["resume=true"], "run"),
        (["run={run}/nowhere", "resume=true"], "nowhere"),
    ],
)
def test_what_cannot_be_resumed_is_refused(
    finished: Path, arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *(argument.format(run=finished) for argument in arguments)]) == 1
    assert named in capfd.readouterr().err


def test_a_run_whose_configuration_was_edited_is_not_resumed(copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = copied / ".hydra" / "config.yaml"
    atomic.write_text(path, path.read_text().replace("seed: 0", "seed: 1", 1))
    assert main(["fit", "resume=true", f"run={copied}"]) == 1
    assert "config.yaml" in capfd.readouterr().err


@pytest.mark.parametrize("verb", ["evaluate", "figures", "export", "fit"])
def test_a_run_of_a_newer_format_is_refused(copied: Path, verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = copied / "manifest.json"
    atomic.write_text(path, json.dumps({**json.loads(path.read_text()), "format_version": 3}))
    config = copied / ".hydra" / "config.yaml"
    atomic.write_text(config, config.read_text() + "of_the_future: 1\n")
    more = {"export": [f"out={copied / 'out.h5'}"], "fit": ["resume=true"]}.get(verb, [])
    assert main([verb, f"run={copied}", *more]) == 1
    assert "newer" in capfd.readouterr().err


def test_a_fit_that_misses_a_bound_exits_with_2_says_why_and_keeps_everything(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "failed"
    assert main(tiny(run, *ONE_STEP, "+success.walking_error_0p5s_median_deg=[1000, null]")) == 2
    out, err = capfd.readouterr()
    folder = RunFolder.open(run)
    assert "walking_error_0p5s_median_deg" in err and "at least 1000" in err
    assert str(run) in out
    assert "walking_error_0p5s_median_deg" in folder.manifest().reason
    assert folder.manifest().status == "failed"
    assert folder.metrics()["success"] == 0
    assert folder.network.exists()


def test_a_fit_that_cannot_start_exits_with_2_and_is_recorded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "no_start"
    assert main(tiny(run, "start.gap=0.99")) == 2  # no ring mode stands that far above the next one
    assert "start.gap" in capfd.readouterr().err
    assert RunFolder.open(run).manifest().status == "failed"
    assert "spectral start" in RunFolder.open(run).manifest().reason


def test_data_that_are_not_there_leave_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONNECTOME_SIM_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = tmp_path / "runs" / "none"
    assert main(["fit", "connectome=hemibrain", f"run={run}"]) == 1
    assert "connectome-sim data download hemibrain" in capfd.readouterr().err
    assert not run.parent.exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(tiny(tmp_path / "file" / "run")) == 1
    assert "file, not a folder" in capfd.readouterr().err


def test_a_torn_checkpoint_is_passed_over_said_and_noted_and_the_run_ends_as_it_would_have(
    finished: Path, copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torn = copied / "checkpoints" / "step_00000003.safetensors"
    torn.write_bytes(torn.read_bytes()[:-100])
    assert main(["fit", "resume=true", f"run={copied}"]) == 0
    words = "damaged checkpoint passed over, the run goes on from step 2"
    assert words in caplog.text and str(torn) in caplog.text
    manifest = RunFolder.open(copied).manifest()
    assert manifest.status == "succeeded" and [note[: len(words)] for note in manifest.notes] == [words]
    for name in ("history.csv", "metrics.json", "network.h5"):
        assert (copied / name).read_bytes() == (finished / name).read_bytes()
    assert RunFolder.open(copied).last_checkpoint(say=pytest.fail)[0] == 3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("network.h5", ["evaluate", "progress=false"]),
        ("metrics.json", ["analyze", "headings=16", "walk_s=0.5", "physiology=false"]),
        ("history.csv", ["figures", "formats=[png]"]),
        ("parameters.safetensors", ["ensemble", "out={run}/ensemble"]),
        ("connectome.h5", ["ablate", "out={run}/sweep", "progress=false"]),
        (".hydra/config.yaml", ["fit", "resume=true"]),
    ],
)
def test_a_file_in_which_one_bit_has_turned_ends_each_verb_and_nothing_is_written(
    copied: Path, name: str, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    path = copied / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()}
    assert main([argument.format(run=copied) for argument in arguments] + [f"run={copied}"]) == 1
    err = capfd.readouterr().err
    assert f"{path}: got SHA-256 " in err and "wanted" in err and "Traceback" not in err
    assert {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()} == before


def test_a_picture_from_outside_is_not_shown_in_a_report(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(b"secret")
    (copied / "figures" / "mine.png").symlink_to(tmp_path / "private.png")
    with pytest.raises(RunFolderError, match="mine.png: is a link that leads to"):
        write_report(RunFolder.open(copied))
    assert not (copied / "report.html").exists()


def test_evaluating_again_gives_the_same_numbers_from_the_network_file_alone(copied: Path) -> None:
    before = RunFolder.open(copied).metrics()
    atomic.remove(copied / "parameters.safetensors")
    atomic.remove(copied / "metrics.json")
    assert main(["evaluate", f"run={copied}", "progress=false"]) == 0
    after = RunFolder.open(copied).metrics()
    fitted_only = {"best_iteration", "validation_total", *parameter_metrics(())}
    assert after == {name: value for name, value in before.items() if name not in fitted_only}


def test_runs_measured_side_by_side_are_those_measured_alone(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = RunFolder.open(finished).metrics()
    runs = [tmp_path / "one", tmp_path / "other"]
    for run in runs:
        shutil.copytree(finished, run)
        atomic.remove(run / "metrics.json")
    assert main(["evaluate", f"run=[{','.join(map(str, runs))}]", "progress=false", "threads=2"]) == 0
    out = capfd.readouterr().out
    for run in runs:
        found = RunFolder.open(run).metrics()
        assert found == {name: before[name] for name in found} and "gain_at_60_deg_per_s" in found
        assert str(run) in out
    assert main(["evaluate", f"run=[{runs[0]},{tmp_path / 'nothing'}]"]) == 1


def test_evaluating_one_probe_keeps_what_the_others_found(copied: Path) -> None:
    before = RunFolder.open(copied).metrics()
    options = ["evaluation.which=[constant]", "evaluation.protocol.constant_headings=2", "progress=false"]
    assert main(["evaluate", f"run={copied}", *options]) == 0
    after = RunFolder.open(copied).metrics()
    changed = {name for name in before if before[name] != after[name] and not math.isnan(after[name])}
    assert after.keys() == before.keys()
    assert changed and all(name.startswith("gain_") or "speed" in name or "linear" in name for name in changed)
    assert "walking/time_s" in read_arrays(copied / "evaluation.h5")


def test_a_run_of_a_former_noise_is_read_and_its_figure_goes_when_any_probe_is_measured_again(copied: Path) -> None:
    """White noise for a minute and the variance among repeats: not what stands under the present names."""
    config = OmegaConf.load(copied / ".hydra" / "config.yaml")
    protocol = config.evaluation.protocol
    for name in [name for name in protocol if name.startswith("noise_")]:
        del protocol[name]
    protocol.update(noise_headings=1, noise_repeats=2, noise_duration_s=0.2, noise_intensity=0.05)
    OmegaConf.save(config, copied / ".hydra" / "config.yaml")
    listed_anew(copied)
    folder = RunFolder.open(copied)
    folder.write_metrics({**folder.metrics(), "noise_diffusion_deg2_per_s": 3.0})
    assert saved_config(copied).evaluation.protocol.noise_current_sd == FULL.noise_current_sd
    assert main(["evaluate", f"run={copied}", "evaluation.which=[jump]", "progress=false"]) == 0
    assert "noise_diffusion_deg2_per_s" not in folder.metrics()


def test_figures_measured_under_different_conditions_do_not_share_a_table(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = RunFolder.open(copied).metrics()
    for option, named in (("step=0.0005", "evaluation_step_s"), ("seed=7", "evaluation_seed"), ("method=rk4", "order")):
        options = ["evaluation.which=[constant]", f"evaluation.{option}", "progress=false"]
        assert main(["evaluate", f"run={copied}", *options]) == 1
        assert named in capfd.readouterr().err
    assert RunFolder.open(copied).metrics() == before


def test_a_heading_that_cannot_be_read_is_refused_before_there_is_a_folder(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = hdf5.read(finished / "connectome.h5")
    gone = whole.neurons.instance[whole.neurons.type == "EPG"][0]
    hdf5.write(whole.select(whole.neurons.instance != gone, step="hole"), tmp_path / "holes.h5")
    assert main(tiny(tmp_path / "run", f"connectome.source={tmp_path / 'holes.h5'}")) == 1
    assert "glomerulus missing" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_figures_are_drawn_from_the_folder(copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", f"run={copied}", "formats=[png]"]) == 0
    drawn = sorted((copied / "figures").iterdir())
    assert drawn and all(path.suffix == ".png" and path.stat().st_size > 1000 for path in drawn)
    assert sorted(capfd.readouterr().out.split()) == [*(str(path) for path in drawn), str(copied / "report.html")]
    page = (copied / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(drawn) and "not analysed: connectome-sim analyze" in page


def test_export_writes_one_run_or_an_ensemble(finished: Path, tmp_path: Path) -> None:
    one, many = tmp_path / "one.h5", tmp_path / "many.h5"
    assert main(["export", f"run={finished}", f"out={one}"]) == 0
    assert main(["export", f"run=[{finished},{finished}]", f"out={many}"]) == 0
    assert len(read_network(one)) == 1
    assert len(read_network(many)) == 2
    assert main(["export", f"run={finished}", f"out={one}"]) == 1  # it exists
    assert main(["export", f"run={finished}", f"out={one}", "overwrite=true"]) == 0


@pytest.mark.slow
def test_a_sweep_runs_every_job_and_exits_with_the_code_of_the_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [a for a in tiny("", *ONE_STEP) if a != "run="]
    assert main([*arguments, "name=sweep", "start.gap=0.99,0.1", "--multirun"]) == 2
    statuses = [RunFolder.open(path).manifest().status for path in tmp_path.glob("runs/sweep/*_*_*")]
    assert sorted(statuses) == ["failed", "succeeded"]


@pytest.mark.slow
def test_members_fitted_side_by_side_are_those_fitted_alone(tmp_path: Path) -> None:
    def config(run: str, seed: int) -> FitConfig:
        return compose(
            "fit", [*TINY, "threads=2", "parameters.trainable=[gain]", f"seed={seed}", f"run={tmp_path / run}"]
        )

    seen = []
    members = [Member(config(f"together{seed}", seed)) for seed in range(3)]
    failing = replace(members[0].config, run=str(tmp_path / "failing"), start=SpectralStart(gap=0.99))
    together = run_fits([*members, Member(failing)], on_end=lambda member, ended: seen.append(member))
    assert isinstance(together[3], FitError) and len(seen) == 4
    for seed, outcome in enumerate(together[:3]):
        alone = run_fit(config(f"alone{seed}", seed))
        assert isinstance(outcome, FitOutcome) and outcome.metrics == alone.metrics
        one, other = (RunFolder.open(tmp_path / f"{how}{seed}") for how in ("together", "alone"))
        assert one.history() == other.history()
        found, wanted = read_parameters(one.parameters), read_parameters(other.parameters)
        assert all(torch.equal(found[name], value) for name, value in wanted.items())
    with pytest.raises(ConfigError, match="more than once, wanted a run folder for each"):
        run_fits([members[0], members[0]])
    assert run_fits([]) == ()


def test_members_stop_when_one_is_told_to(tmp_path: Path) -> None:
    config = compose("fit", [*TINY, f"run={tmp_path / 'run'}"])
    with pytest.raises(KeyboardInterrupt):
        run_fit(config, stop=lambda: True)
    folder = RunFolder.open(config.run)
    assert folder.manifest().reason == "interrupted"
    assert folder.last_checkpoint()[0] == 1  # from which it can go on


def test_a_fit_from_python_takes_three_lines(tmp_path: Path) -> None:
    outcome = run_fit(compose("fit", [*TINY, *ONE_STEP, f"run={tmp_path / 'run'}"]))
    assert outcome.succeeded
    assert "rest_drift_0p5s_median_deg" in outcome.metrics
    with pytest.raises(RunFolderError, match="exists already"):
        run_fit(saved_config(outcome.folder.path))


def test_the_network_file_follows_from_counts_and_parameters_by_hand_and_integrates_the_same(finished: Path) -> None:
    """Weights from connectome.h5 and parameters.safetensors, stepped by SciPy (DOP853), without model or solver."""
    connectome, parameters = hdf5.read(finished / "connectome.h5"), read_parameters(finished / "parameters.safetensors")
    (network,) = read_network(finished / "network.h5")
    counts, types, side = connectome.dense(), connectome.neurons.type, connectome.neurons.side
    inhibits, c0 = {"Delta7": -1.0}, counts.sum() / len(types)
    weights = np.zeros_like(counts, dtype=float)
    for i, j in zip(*counts.nonzero(), strict=True):
        sign = inhibits.get(types[j], 1.0)
        weights[i, j] = float(parameters[f"gain/{types[i]}<-{types[j]}"]) * sign * counts[i, j] / c0
    velocity = np.array(
        [
            float(parameters[f"velocity_gain/{t}"]) * {"R": 1.0, "L": -1.0}[s] if t in ("PEN_a", "PEN_b") else 0.0
            for t, s in zip(types, side, strict=True)
        ]
    )
    np.testing.assert_allclose(network.weights, weights, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(network.velocity_input, velocity, rtol=1e-5)

    tau, bias = np.asarray(network.time_constant), np.asarray(network.bias)
    start, omega, seconds = np.random.default_rng(0).uniform(0, 0.5, len(types)), 1.0, 0.2

    def slope(_: float, r: np.ndarray) -> np.ndarray:
        return (-r + 1 / (1 + np.exp(-(weights @ r + bias + velocity * omega)))) / tau

    exact = solve_ivp(slope, (0, seconds), start, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    model, _ = restore(network)
    steps = round(seconds / 1e-3)
    drive = Drive(1e-3, torch.full((steps, 1), omega, dtype=torch.float64))
    ours = solve(model, torch.from_numpy(start)[None], drive, SolveOptions(method="rk4", step=1e-3)).final[0]
    np.testing.assert_allclose(ours.numpy(), exact, atol=1e-6)


def test_what_was_done_since_the_last_checkpoint_is_written_when_a_fit_ends_early(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        arguments = [a for a in TINY if not a.startswith("checkpoint_every_s")]
        config = compose("fit", [*arguments, f"run={run}", "checkpoint_every_s=1000"])
        real = fitting.fit

        def interrupted(*given: object, on_iteration: object, **options: object) -> object:
            def stop(row: object, state: object) -> None:
                on_iteration(row, state)  # type: ignore[operator]
                if state.iteration == 2:  # type: ignore[attr-defined]
                    raise KeyboardInterrupt

            return real(*given, on_iteration=stop, **options)  # type: ignore[arg-type]

        with mock.patch.object(fitting, "fit", interrupted):
            fitting.run_fit(config)
    folder = RunFolder.open(run)
    assert folder.last_checkpoint()[0] == 2
    assert [row["iteration"] for row in folder.history()] == [1, 2]
    assert folder.manifest().status == "interrupted"


def test_analyze_says_what_it_found_also_of_a_network_that_learned_nothing(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", f"run={copied}", "headings=32", "walk_s=1", "threads=1"]) == 0
    out = capsys.readouterr().out
    content = json.loads((copied / "analysis.json").read_text())
    assert content["verdict"] in VERDICTS and VERDICTS[content["verdict"]] in out
    assert content["seed"] == 0 and "wiring statistics" in content["dataset"]
    arrays = read_arrays(RunFolder.open(copied).analysis)
    assert len(arrays["points/heading_rad"]) == content["stable_fixed_points"] + content["unstable_fixed_points"]
    assert main(["figures", f"run={copied}", "formats=[png]"]) == 0
    names = ("drift_field", "eigenvalue_spectrum", "state_space", "type_kymographs")
    scored = ("scorecard", "bump_by_velocity", "beside_others")
    assert all((copied / "figures" / f"{name}.png").exists() for name in (*names, *scored))
    assert all((copied / f"{name}.csv").read_text().count("\n") > 6 for name in scored)
    assert arrays["walk/rates"].shape == (21, 152) and content["visited_landmarks"] > 0
    assert (copied / "figures" / "bump_animation.gif").read_bytes().startswith(b"GIF89a")
    page = (copied / "report.html").read_text()
    assert VERDICTS[content["verdict"]] in page and "<h2>Scorecard</h2>" in page
    assert (copied / "figures" / "bump_shape.png").exists() == bool(content["has_ring"])
    assert ("Not drawn: Bump shape. The analysis found no ring to show." in page) != bool(content["has_ring"])


@pytest.mark.slow
def test_several_runs_are_looked_at_side_by_side_and_one_that_is_damaged_stops_no_other(
    copied: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other, damaged = (shutil.copytree(copied, tmp_path / name) for name in ("other", "damaged"))
    (damaged / "network.h5").write_bytes(b"half a file")
    short = ["headings=16", "walk_s=0.5", "physiology=false", "threads=2"]
    assert main(["analyze", f"run=[{damaged},{copied},{other}]", *short]) == 1
    out, err = capfd.readouterr()
    assert str(damaged / "network.h5") in err and not (damaged / "analysis.json").exists()
    found = [json.loads((run / "analysis.json").read_text()) for run in (copied, other)]
    assert found[0] == found[1] and out.count(VERDICTS[found[0]["verdict"]]) == 2
    assert main(["figures", "--multirun", f"run={copied},{other}", "formats=[png]"]) == 0
    drawn = [sorted(path.name for path in (run / "figures").iterdir()) for run in (copied, other)]
    assert drawn[0] == drawn[1] and "drift_field.png" in drawn[0]


@pytest.mark.parametrize(
    "arguments",
    [["analyze", "run=[a,./a]"], ["analyze", "--multirun", "headings=16,32"], ["figures", "--multirun", "run=a,a"]],
)
def test_two_at_once_in_one_folder_are_refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert "more than once, wanted a run folder for each" in capfd.readouterr().err


@pytest.mark.slow
def test_an_interruption_drops_what_has_not_begun(tmp_path: Path) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    commands = [["sh", "-c", f"sleep 1; touch {tmp_path}/{k}"] for k in range(12)]
    with pytest.raises(KeyboardInterrupt):
        _apart(subprocess.check_call, commands, 2, interrupted)
    assert 0 < len(list(tmp_path.iterdir())) < 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run=a", "ensemble=c"], "wanted runs, whose results go into their own folders, or a member"),
        (["run=a", "out=b"], "out='b'"),
        (["member=-1"], "member: got -1"),
        (["run=a", "walk_s=0"], "walk_s=0"),
        (["run=a", "headings=3"], "headings=3"),
        (["run=no_such_run"], "no such folder"),
    ],
)
def test_analyze_refuses_what_it_cannot_do(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", *arguments]) == 1
    assert message in capsys.readouterr().err
