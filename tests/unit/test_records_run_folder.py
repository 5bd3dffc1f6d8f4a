from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from connectome_sim.errors import RunFolderError
from connectome_sim.records import (
    Manifest,
    RunFolder,
    atomic,
    config_hash,
    read_arrays,
    read_parameters,
    write_arrays,
    write_parameters,
)
from connectome_sim.records import manifest as manifest_module


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "first", Manifest.start(seeds={"fit": 3}, dataset="hemibrain"))


def names(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def fails_with(error: int):
    def failing(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return failing


# --- the folder itself ---


def test_a_new_folder_holds_a_manifest_and_its_places(folder: RunFolder) -> None:
    assert names(folder.path) == ["SHA256SUMS", "checkpoints", "figures", "manifest.json"]
    assert RunFolder.open(folder.path).manifest() == folder.manifest()


def test_an_existing_folder_is_refused_and_untouched(folder: RunFolder) -> None:
    before = (folder.path / "manifest.json").read_bytes()
    with pytest.raises(RunFolderError, match="exists already"):
        RunFolder.create(folder.path, Manifest.start())
    assert (folder.path / "manifest.json").read_bytes() == before


def test_an_empty_existing_folder_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="exists already"):
        RunFolder.create(tmp_path, Manifest.start())
    assert names(tmp_path) == []


def test_a_folder_that_hydra_prepared_is_accepted_once(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "fit.log").touch()
    RunFolder.create(tmp_path, Manifest.start(), prepared=True)
    with pytest.raises(RunFolderError, match="exists already and holds"):
        RunFolder.create(tmp_path, Manifest.start(), prepared=True)


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="is a file, not a folder"):
        RunFolder.create(tmp_path / "file" / "run", Manifest.start())


def test_what_is_no_run_folder_is_not_opened(folder: RunFolder) -> None:
    atomic.remove(folder.path / "manifest.json")
    with pytest.raises(RunFolderError, match="not a complete run folder"):
        RunFolder.open(folder.path)
    with pytest.raises(RunFolderError, match="nowhere: no such folder"):
        RunFolder.open(folder.path / "nowhere")


# --- manifest ---


def test_a_manifest_says_what_ran_and_how_it_ended(folder: RunFolder) -> None:
    started = folder.manifest()
    assert started.status == "running" and started.wall_time_s is None
    assert {"connectome-sim", "python", "torch", "numpy"} <= started.versions.keys()
    assert started.versions["torch"].startswith(torch.__version__.split("+")[0])
    folder.finish(status="failed", reason="diverged", wall_time_s=1.5)
    ended = folder.manifest()
    assert (ended.status, ended.reason, ended.wall_time_s) == ("failed", "diverged", 1.5)
    assert (ended.seeds, ended.dataset, ended.started) == ({"fit": 3}, "hemibrain", started.started)


@pytest.mark.parametrize(
    "version, message", [(3, "newer than 2"), (0, "whole number"), ("1", "whole number"), (None, "whole number")]
)
def test_another_format_version_is_refused(folder: RunFolder, version: object, message: str) -> None:
    path = folder.path / "manifest.json"
    atomic.write_text(path, json.dumps(json.loads(path.read_text()) | {"format_version": version}))
    with pytest.raises(RunFolderError, match=message) as error:
        RunFolder.open(folder.path)
    assert "manifest.json" in str(error.value)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"colour": 1}, r"unknown: \['colour'\]"),
        ({"seeds": None}, r"missing: \['seeds'\]"),
        ({"status": "done"}, "status is 'done'"),
    ],
)
def test_a_damaged_manifest_is_refused_by_field(folder: RunFolder, change: dict, message: str) -> None:
    path = folder.path / "manifest.json"
    content = {
        k: v
        for k, v in (json.loads(path.read_text()) | change).items()
        if v is not None or k in ("commit", "wall_time_s")
    }
    atomic.write_text(path, json.dumps(content))
    with pytest.raises(RunFolderError, match=message):
        RunFolder.open(folder.path)


def test_a_truncated_manifest_is_refused_by_line(folder: RunFolder) -> None:
    path = folder.path / "manifest.json"
    atomic.write_text(path, path.read_text()[:40])
    with pytest.raises(RunFolderError, match=r"manifest.json: line \d+: not JSON"):
        RunFolder.open(folder.path)


def test_the_config_hash_depends_on_values_and_not_on_their_order() -> None:
    a = config_hash({"fit": {"lr": 0.1, "steps": 5}, "seed": 0})
    assert a == config_hash({"seed": 0, "fit": {"steps": 5, "lr": 0.1}})
    assert a != config_hash({"seed": 1, "fit": {"steps": 5, "lr": 0.1}})


def test_the_commit_is_that_of_this_source_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # an installed copy inside some other project's checkout must not report that project's commit
    monkeypatch.setattr(manifest_module, "__file__", str(tmp_path / "manifest.py"))
    manifest_module._git(tmp_path, "init", "--quiet")
    assert manifest_module.commit() is None


# --- history and metrics ---


def test_history_reads_back_exactly_and_grows_columns(folder: RunFolder) -> None:
    assert folder.history() == []
    first = {"step": 0, "loss": 0.1 + 0.2}
    folder.write_history([first])
    assert folder.history() == [first]
    folder.write_history([first, {"step": 1, "loss": math.inf, "bump": np.float32(0.5)}, {"step": 2, "loss": 1e-300}])
    assert folder.history() == [
        {"step": 0.0, "loss": 0.1 + 0.2},
        {"step": 1.0, "loss": math.inf, "bump": 0.5},
        {"step": 2.0, "loss": 1e-300},
    ]
    assert (folder.path / "history.csv").read_text().splitlines()[0] == "step,loss,bump"


def test_a_history_that_is_not_numbers_is_refused_by_line(folder: RunFolder) -> None:
    atomic.write_text(folder.path / "history.csv", "step,loss\n0,1.0\n1,high\n")
    with pytest.raises(RunFolderError, match="history.csv: line 3"):
        folder.history()


def test_metrics_are_flat_numbers_with_null_for_what_does_not_exist(folder: RunFolder) -> None:
    folder.write_metrics(
        {"walking_error_10s_median_deg": 5.25, "linear_range_low_deg_per_s": math.nan, "n": np.int64(3)}
    )
    content = json.loads((folder.path / "metrics.json").read_text())
    assert content == {"linear_range_low_deg_per_s": None, "n": 3, "walking_error_10s_median_deg": 5.25}
    folder.write_metrics({**folder.metrics(), "n": 4, "rest_drift_60s_max_deg": torch.tensor(2.0)})
    read = folder.metrics()
    assert math.isnan(read.pop("linear_range_low_deg_per_s"))
    assert read == {"n": 4, "walking_error_10s_median_deg": 5.25, "rest_drift_60s_max_deg": 2.0}


@pytest.mark.parametrize(
    "metrics", [{"Walking error": 1.0}, {"walking": {"error": 1.0}}, {"walking": "good"}, {"walking": None}]
)
def test_metrics_that_are_not_flat_numbers_are_refused(folder: RunFolder, metrics: dict) -> None:
    with pytest.raises(RunFolderError):
        folder.write_metrics(metrics)
    assert not (folder.path / "metrics.json").exists()


# --- nothing half-written ---


@pytest.mark.parametrize(
    "error, advice", [("ENOSPC", "the disk is full"), ("EROFS", "read-only"), ("EACCES", "permission")]
)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_whole(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, error: str, advice: str, where: str
) -> None:
    folder.write_metrics({"a": 1.0})
    before = {name: (folder.path / name).read_bytes() for name in ("metrics.json", "manifest.json")}
    monkeypatch.setattr(os, where, fails_with(getattr(__import__("errno"), error)))
    with pytest.raises(RunFolderError, match=advice) as caught:
        folder.write_metrics({"a": 2.0})
    assert "metrics.json" in str(caught.value)
    assert {name: (folder.path / name).read_bytes() for name in before} == before
    assert names(folder.path) == ["SHA256SUMS", "checkpoints", "figures", "manifest.json", "metrics.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_disk_that_is_really_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "builtins.open", lambda path, mode, _open=open: _open("/dev/full", "wb") if "x" in mode else _open(path, mode)
    )
    with pytest.raises(RunFolderError, match="the disk is full"):
        atomic.write_bytes(tmp_path / "a", b"x" * 10_000_000)
    assert names(tmp_path) == []


def test_a_kill_during_the_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(tmp_path / "a", b"x")
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="create it first"):
        atomic.write_text(tmp_path / "nowhere" / "a", "x")


# --- arrays and parameters ---


def test_arrays_read_back_equal_with_their_groups(tmp_path: Path) -> None:
    arrays = {"walking/time_s": np.arange(5) * 0.02, "walking/n": np.array(3), "gain": np.array([[1.0, np.nan]])}
    write_arrays(tmp_path / "evaluation.h5", arrays)
    read = read_arrays(tmp_path / "evaluation.h5")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_parameters_read_back_equal_also_when_they_share_memory(tmp_path: Path) -> None:
    base = torch.arange(6, dtype=torch.float32)
    write_parameters(tmp_path / "p.safetensors", {"gain": base.reshape(2, 3).T, "threshold": base[:2].double()})
    read = read_parameters(tmp_path / "p.safetensors")
    assert torch.equal(read["gain"], base.reshape(2, 3).T) and torch.equal(read["threshold"], base[:2].double())


@pytest.mark.parametrize(
    "read, words", [(read_arrays, "not a readable HDF5"), (read_parameters, "no safetensors file")]
)
def test_a_truncated_or_missing_file_is_named(tmp_path: Path, read, words: str) -> None:
    with pytest.raises(RunFolderError, match="no such file"):
        read(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 20)
    with pytest.raises(RunFolderError, match=words):
        read(tmp_path / "a")
