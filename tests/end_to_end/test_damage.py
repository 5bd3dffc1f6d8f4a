"""Damaged files of every kind: never believed where there are checksums, never a traceback or a hang anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectome_sim.errors import ConnectomeSimError
from tests.damage import EQUAL, HANG, OTHER, REFUSED, SILENT, Case, cases, outcome_of, table, tried
from tests.damaged_folders import fingerprint, make

N_LISTED, N_OLD = 20, 8  # damages of each kind; `python -m benchmarks.damage` tries 200


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damaged")
    make(path)
    return path


@pytest.mark.slow
def test_no_damage_is_believed_where_there_are_checksums(root: Path) -> None:
    results = list(tried(root, cases("listed", N_LISTED)))
    bad = [(case, outcome, words) for case, outcome, words in results if outcome not in (REFUSED, EQUAL)]
    assert not bad, table(results)


@pytest.mark.slow
def test_no_damage_of_an_old_folder_ends_in_a_traceback_or_a_hang(root: Path) -> None:
    results = list(tried(root, cases("old", N_OLD)))
    bad = [(case, outcome, words) for case, outcome, words in results if outcome in (OTHER, HANG)]
    assert not bad, table(results)


def test_every_outcome_is_told_apart() -> None:
    def fails(error: Exception) -> None:
        raise error

    wanted = fingerprint({"a": 1.0})
    assert outcome_of(lambda: {"a": 1.0}, wanted)[0] == EQUAL
    assert outcome_of(lambda: {"a": -1.0}, wanted)[0] == SILENT
    assert outcome_of(lambda: fails(ConnectomeSimError("no")), wanted) == (REFUSED, "no")
    assert outcome_of(lambda: fails(KeyError("a")), wanted)[0] == OTHER


def test_a_reader_that_hangs_is_ended_and_the_next_one_goes_on(root: Path) -> None:
    wanted = [Case("metrics.json", "listed", number) for number in range(2)]
    outcomes = [outcome for _, outcome, _ in tried(root, wanted, case_s=0.01)]
    assert outcomes == [HANG, HANG]  # none can have answered by then
