"""A study through the command line, as small as it can be: rows, resuming, failures, refusals."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from connectome_sim.build import run_study
from connectome_sim.cli import main
from connectome_sim.config import StudyConfig, StudySpec, compose, to_yaml
from connectome_sim.errors import ConfigError, RunFolderError
from connectome_sim.records import RunFolder
from connectome_sim.resources import conf_dir
from tests.end_to_end.test_runs import TINY

MEASURES = ("walking_error_0p5s_median_deg", "rest_drift_0p5s_median_deg", "bump_present_share")
# an inhibition that no circuit has: no start, hence a fit that fails before its first step
NO_START = ("start.ring_share=1.0", "start.gap=0.99")
SPEC = StudySpec(
    name="tiny",
    title="Tiny",
    recipes={"core": tuple(setting for setting in TINY if not setting.startswith(("threads", "progress", "figures")))},
    cases={"pair": (), "E/I": ("gains=ei",), "none": NO_START},
    measures=MEASURES,
)


def config(out: Path, **changes: object) -> StudyConfig:
    settings: dict[str, object] = {"study": SPEC, "seeds": 2, "out": str(out), "threads": 1, "formats": ("png",)}
    return StudyConfig(**(settings | changes))  # type: ignore[arg-type]


def rows(out: Path, name: str = "runs") -> list[dict[str, str]]:
    with open(out / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study that no test changes."""
    out = tmp_path_factory.mktemp("studies") / "tiny"
    run_study(config(out))
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "tiny"))


def test_every_fit_has_a_row_also_one_that_failed(finished: Path) -> None:
    found = rows(finished)
    assert [(row["case"], row["seed"]) for row in found] == [(c, s) for c in ("pair", "E/I", "none") for s in "01"]
    assert [row["status"] for row in found] == ["succeeded"] * 4 + ["failed"] * 2
    assert all("spectral start" in row["reason"] and not row[MEASURES[0]] for row in found[4:])
    metrics = RunFolder.open(finished / "runs" / "E_I" / "seed_001").metrics()
    assert float(found[3][MEASURES[0]]) == metrics[MEASURES[0]]
    pair, ei, _ = rows(finished, "summary")
    assert (pair["succeeded"], pair["share"]) == ("2", "1.0")
    # only thresholds are fitted: as many as there are types, whatever the gains
    assert pair["n_parameters"] == ei["n_parameters"] == "6"
    names = {path.name for path in finished.iterdir()}
    assert names == {"runs", "runs.csv", "summary.csv", "table.md", "tiny_core.png"}


def test_a_study_that_was_stopped_fits_what_it_lacks(copied: Path, finished: Path) -> None:
    kept, begun, gone = (copied / "runs" / run for run in ("pair/seed_000", "E_I/seed_000", "E_I/seed_001"))
    before = (kept / "manifest.json").read_bytes()
    run = RunFolder.open(begun)
    run.write_manifest(replace(run.manifest(), status="running"))
    (begun / "metrics.json").unlink()
    shutil.rmtree(gone)
    gone.mkdir()  # stopped before its manifest was written
    assert [row["case"] for row in rows(copied)].count("E/I") == 2
    said = []
    outcome = run_study(config(copied, seeds=3), on_end=said.append)
    fitted = {(fit.case, fit.seed) for fit in said}
    assert fitted == {("E/I", 0), ("E/I", 1), ("E/I", 2), ("none", 2), ("pair", 2)}
    assert len(outcome.fits) == 9 and (kept / "manifest.json").read_bytes() == before
    old, new = ([r for r in rows(out) if r["case"] == "E/I" and r["seed"] in "01"] for out in (finished, copied))
    assert [r[name] for r in old for name in MEASURES] == [r[name] for r in new for name in MEASURES]


def test_some_cases_alone_leave_the_rows_of_the_others(copied: Path) -> None:
    said = []
    outcome = run_study(config(copied, seeds=3, only=("pair",)), on_end=said.append)
    assert [(fit.case, fit.seed) for fit in said] == [("pair", 2)] and len(outcome.fits) == 7


def test_a_study_whose_first_case_has_no_fit_yet_says_what_there_is(tmp_path: Path) -> None:
    outcome = run_study(config(tmp_path / "out", seeds=1, only=("E/I",)))
    assert [(case.case, case.fits) for case in outcome.cases] == [("E/I", 1)]


def test_a_folder_with_other_fits_is_refused(copied: Path) -> None:
    with pytest.raises(RunFolderError, match="not the configuration"):
        run_study(config(copied, overrides=("fit.candidates=3",)))


def test_cases_that_share_a_folder_are_refused(tmp_path: Path) -> None:
    spec = replace(SPEC, cases={"E/I": (), "E I": ()})
    with pytest.raises(ConfigError, match="spelt alike"):
        run_study(config(tmp_path / "out", study=spec))
    assert not (tmp_path / "out").exists()


def test_the_command_prints_the_table_and_what_it_wrote(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the fits that are there already: nothing is left to do but tables and figure."""
    given = ["seeds=2", f"out={copied}", "threads=1", "formats=[png]"]
    (copied / "conf" / "study").mkdir(parents=True)
    (copied / "conf" / "study" / "tiny.yaml").write_text(to_yaml(SPEC))
    assert main(["study", "--config-dir", str(copied / "conf"), "study=tiny", *given]) == 0
    said = capsys.readouterr().out
    assert "| pair | 6 | 2 of 2 |" in said and str(copied / "tiny_core.png") in said


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "study").glob("*.yaml")))
def test_every_case_of_every_study_makes_a_fit(name: str) -> None:
    """On all its circuits, and one that measures what the table shows."""
    spec = compose("study", [f"study={name}"]).study
    assert spec.name == name
    for recipe in spec.recipes.values():
        for overrides in spec.cases.values():
            fit = compose("fit", [*recipe, *overrides])
            assert set(spec.measures) <= fit.measured


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("circuit=brain", "'brain', wanted one of"),
        ("only=[nothing]", "'nothing', wanted some of"),
        ("seeds=0", "at least 1"),
        ("threads=0", "at least 1"),
        ("+study.cases.a=['seed=3']", "'seed=3', which the study itself says"),
        ("study.measures=[a,b]", "three or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        compose("study", [override])
