"""Checksums of a folder: kept with every write, checked at every read, whole after a kill, alike for sha256sum."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectome_sim import files
from connectome_sim.errors import DataError, RunFolderError
from connectome_sim.files import NAME, checksums
from connectome_sim.records import Manifest, RunFolder, SweepFolder, atomic, read_text


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", Manifest.start(dataset="by hand"))


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    checksums.say_once.cache_clear()
    yield
    checksums.say_once.cache_clear()


def sha256sum(root: Path) -> int:
    command = ["sha256sum", "--check", "--strict", "--quiet", NAME]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode


# --- what is written is listed ---


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_every_file_is_listed_as_sha256sum_lists_it(folder: RunFolder) -> None:
    folder.write_metrics({"a": 1.0})
    folder.write_checkpoint(3, {"a": 1})
    atomic.write_bytes(folder.figures / "a.png", b"picture")
    lines = (folder.path / NAME).read_text().splitlines()
    digest = hashlib.sha256(b"picture").hexdigest()
    assert f"{digest}  figures/a.png" in lines
    assert [line.split("  ")[1] for line in lines if not line.startswith("#")] == [
        "checkpoints/step_00000003.safetensors",
        "figures/a.png",
        "manifest.json",
        "metrics.json",
    ]
    assert sha256sum(folder.path) == 0
    (folder.path / "metrics.json").write_text("{}")
    assert sha256sum(folder.path) == 1


def test_what_is_replaced_or_removed_is_listed_anew_or_no_more(folder: RunFolder) -> None:
    path = folder.path / "metrics.json"
    folder.write_metrics({"a": 1.0})
    first = (folder.path / NAME).read_text()
    folder.write_metrics({"a": 2.0})
    assert (folder.path / NAME).read_text() != first and folder.metrics() == {"a": 2.0}
    atomic.remove(path)
    assert "metrics.json" not in (folder.path / NAME).read_text() and folder.metrics() == {}


def test_a_file_of_a_run_within_a_sweep_is_listed_in_the_run(tmp_path: Path) -> None:
    sweep = SweepFolder.create(tmp_path / "sweep", Manifest.start(verb="ablate"), config="a: 1\n")
    atomic.make_folder(sweep.refits / "case")
    atomic.write_bytes(sweep.refits / "case" / "source.h5", b"x")
    run = RunFolder.create(sweep.refits / "case" / "seed", Manifest.start())
    assert "refits/case/source.h5" in (sweep.path / NAME).read_text()
    assert "seed" not in (sweep.path / NAME).read_text()
    assert "manifest.json" in (run.path / NAME).read_text()


def test_checksums_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("0" * 64 + "  out.h5\n")
    atomic.write_bytes(tmp_path / "out.h5", b"ours")
    assert (tmp_path / NAME).read_text() == "0" * 64 + "  out.h5\n"
    assert files.read(tmp_path / "out.h5", most=100) == files.Content(b"ours", vouched=False)


# --- what is read is what was written ---


def test_a_changed_file_is_refused_with_both_digests_and_what_to_do(folder: RunFolder) -> None:
    folder.write_metrics({"a": 1.0})
    path = folder.path / "metrics.json"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text().replace("1", "2"))
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(RunFolderError, match=f"metrics.json: got SHA-256 {after}, wanted {before} .*restore it"):
        folder.metrics()


def test_a_file_that_was_never_written_there_is_refused_until_it_is_listed(folder: RunFolder) -> None:
    table = folder.path / "mine.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(RunFolderError, match=r"mine.csv: is not listed in .*sha256sum mine.csv >> SHA256SUMS"):
        folder.tables()
    line = f"{hashlib.sha256(table.read_bytes()).hexdigest()}  mine.csv\n"  # what the command of the message adds
    with open(folder.path / NAME, "a") as sums:
        sums.write(line)
    assert folder.tables() == {"mine": [{"a": "1", "b": "2"}]}


def test_a_listed_file_that_is_gone_is_not_taken_for_one_that_never_was(folder: RunFolder) -> None:
    folder.write_history([{"a": 1.0}])
    (folder.path / "history.csv").unlink()
    with pytest.raises(RunFolderError, match="history.csv: no such file, though .*SHA256SUMS lists it"):
        folder.history()
    folder.write_table("scores", [{"a": "1"}])
    (folder.path / "scores.csv").unlink()
    with pytest.raises(RunFolderError, match="scores.csv: no such file, though"):
        folder.tables()
    folder.write_checkpoint(3, {"a": 1})
    shutil.rmtree(folder.checkpoints)
    assert folder.has_checkpoint
    with pytest.raises(RunFolderError, match="step_00000003"):
        folder.last_checkpoint()


def test_a_folder_that_lost_its_checksums_is_refused_and_can_be_given_new_ones(folder: RunFolder) -> None:
    (folder.path / NAME).unlink()
    with pytest.raises(RunFolderError, match="SHA256SUMS: no such file") as error:
        RunFolder.open(folder.path)
    command = str(error.value).partition("make it anew: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert RunFolder.open(folder.path).manifest().dataset == "by hand"


@pytest.mark.parametrize(
    "line, message",
    [("no digest", "line 2: got 'no digest'"), ("0" * 64 + "  manifest.json", "manifest.json is listed twice")],
)
def test_damaged_checksums_are_refused_by_line(folder: RunFolder, line: str, message: str) -> None:
    lines = (folder.path / NAME).read_text().splitlines()
    (folder.path / NAME).write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(RunFolderError, match=message):
        RunFolder.open(folder.path)


def test_a_folder_of_version_1_reads_and_says_once_that_nothing_vouches_for_it(
    folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = folder.path / "manifest.json"
    content = manifest.read_text().replace('"format_version": 2', '"format_version": 1').replace('  "notes": [],\n', "")
    (folder.path / NAME).unlink()
    manifest.write_text(content)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            old = RunFolder.open(folder.path)
    assert [record.message for record in caplog.records] == [
        f"{folder.path}: holds no checksums (an older version wrote it); a file that was damaged since may go unnoticed"
    ]
    old.write_metrics({"a": 1.0})  # nothing is vouched for that was not written with the others
    assert not (folder.path / NAME).exists() and old.metrics() == {"a": 1.0}


def test_the_error_is_of_the_kind_that_the_reader_wants(folder: RunFolder) -> None:
    (folder.path / "connectome.h5").write_bytes(b"x")
    with pytest.raises(DataError, match="is not listed"):
        files.read(folder.path / "connectome.h5", most=100, error=DataError)


# --- kills and writers side by side ---


@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_kill_between_any_two_steps_of_a_write_leaves_the_old_or_the_new(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, last: int, is_new: bool
) -> None:
    """The steps are three renames: the announcement, the file, the line."""
    if not is_new:
        folder.write_metrics({"a": 1.0})
    done, rename = [], os.replace

    def replace(*paths: object) -> None:
        if len(done) == last - 1:
            raise KeyboardInterrupt
        done.append(rename(*paths))

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        folder.write_metrics({"a": 2.0})
    monkeypatch.undo()
    old = {} if is_new else {"a": 1.0}
    assert RunFolder.open(folder.path).metrics() == ({"a": 2.0} if last == 3 else old)
    folder.write_metrics({"a": 3.0})
    assert folder.metrics() == {"a": 3.0} and "about to be" not in (folder.path / NAME).read_text()


def test_a_kill_while_a_file_is_removed_leaves_a_folder_that_reads(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_metrics({"a": 1.0})

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.remove(folder.path / "metrics.json")
    monkeypatch.undo()
    assert folder.metrics() == {"a": 1.0}
    (folder.path / "metrics.json").unlink()
    assert folder.metrics() == {}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_writers_and_readers_side_by_side_do_not_disturb_each_other(folder: RunFolder) -> None:
    failed: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for step in range(8):
                folder.write_metrics({"a": k + step})
                atomic.write_text(folder.figures / f"{k}_{step}.svg", str(step))
                folder.metrics()
                folder.manifest()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(files.listed(folder.figures)) == 32
    assert sha256sum(folder.path) == 0


# --- what is no file of the folder ---


def test_a_link_out_of_the_folder_is_refused_also_in_an_old_one(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (folder.path / "metrics.json").symlink_to(tmp_path / "secret")
    for is_old in (False, True):
        if is_old:
            (folder.path / NAME).unlink()
        with pytest.raises(RunFolderError, match="metrics.json: is a link that leads to .*secret, wanted"):
            folder.metrics()


def test_a_pipe_a_folder_and_a_link_in_a_circle_are_refused(folder: RunFolder) -> None:
    path = folder.path / "metrics.json"
    for make in (lambda: os.mkfifo(path), path.mkdir, lambda: path.symlink_to(path)):
        make()
        with pytest.raises(RunFolderError, match="metrics.json: cannot be read"):
            files.read(path, most=100)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_file_larger_than_its_kind_can_be_is_refused_before_it_is_read(folder: RunFolder) -> None:
    path = folder.path / "metrics.json"
    with open(path, "wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(RunFolderError, match=f"metrics.json: has {2**40} bytes, wanted at most {files.JSON_BYTES}"):
        folder.metrics()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1, "a": 2}', '{"a": ' + "9" * 5000 + "}", '{"a": NaN}', "1"])
def test_json_that_no_writer_of_ours_writes_is_refused(folder: RunFolder, text: str) -> None:
    atomic.write_text(folder.path / "metrics.json", text)
    with pytest.raises(RunFolderError, match="metrics.json"):
        folder.metrics()


@pytest.mark.parametrize("text", ["a,a\n1,2\n", 'a\n"1\n', "a\n" + "x" * 200_000 + "\n", "a,b\n1\n"])
def test_a_table_that_no_writer_of_ours_writes_is_refused(folder: RunFolder, text: str) -> None:
    atomic.write_text(folder.path / "mine.csv", text)
    with pytest.raises(RunFolderError, match="mine.csv: line"):
        folder.tables()


def test_what_fails_is_blamed_on_a_folder_without_checksums_alone(folder: RunFolder) -> None:
    with pytest.raises(KeyError), files.blamed(folder.path, "drawing"):
        raise KeyError("a bug")
    (folder.path / NAME).unlink()
    with pytest.raises(RunFolderError, match="drawing failed on what the folder holds .*no checksums"):
        with files.blamed(folder.path, "drawing"):
            raise KeyError("renamed")


def test_text_that_is_none_is_refused(folder: RunFolder) -> None:
    atomic.write_bytes(folder.path / "a", b"\xff\xfe")
    with pytest.raises(RunFolderError, match="wanted UTF-8 text"):
        read_text(folder.path / "a")
