"""A report says first whether it worked, holds all that is beside it, and needs nothing else. Runs are made by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from connectome_sim.build.reporting import write_report
from connectome_sim.build.scores import attractor_rows, score_rows
from connectome_sim.config import compose, to_yaml
from connectome_sim.errors import RunFolderError
from connectome_sim.figures import needs
from connectome_sim.figures.html import table
from connectome_sim.figures.needs import Need
from connectome_sim.figures.published import PUBLISHED, beside
from connectome_sim.figures.report import report
from connectome_sim.figures.saved import SavedRun
from connectome_sim.records import Manifest, RunFolder, atomic

METRICS = {"walking_error_60s_median_deg": 8.61, "walking_error_60s_p90_deg": 14.7, "bump_present_share": 1.0}
BOUNDS = {"walking_error_60s_median_deg": (None, 25.0), "rest_drift_60s_median_deg": (None, 10.0)}
FOUND = {"verdict": "no_bump", "verdict_means": "no bump", "stable_fixed_points": 1.0, "is_continuum": 0.0}
PNG = b"\x89PNG and more"


def text_of(saved: SavedRun, pictures: dict[str, bytes] | None = None, left_out: dict[str, Need] | None = None) -> str:
    scores, attractor = score_rows(saved.metrics, BOUNDS), attractor_rows(saved.found)
    commands = {"The fit": "connectome-sim fit seed=1 'a=<b>'"}
    return report(
        saved,
        scores=scores,
        attractor=attractor,
        pictures=pictures or {},
        left_out=left_out or {},
        place="runs/a",
        config="seed: 1\n",
        commands=commands,
    )


def manifest(status: str, reason: str = "") -> Manifest:
    return replace(Manifest.start(seeds={"fit": 1}, dataset="hemibrain"), status=status, reason=reason)


def verdict(text: str) -> str:
    """What stands in the box at the top."""
    found = re.search(r'<div class="verdict (\w+)" id="verdict">(.*?)</div>', text)
    assert found is not None and text.index('id="verdict"') < text.index("<table")
    return f"{found[1]}: {found[2]}"


def test_a_run_that_succeeded_says_so_first_with_its_numbers() -> None:
    text = text_of(SavedRun(manifest=manifest("succeeded"), metrics=METRICS | {"rest_drift_60s_median_deg": 1.0}))
    top = verdict(text)
    assert top.startswith("good: ") and "The fit succeeded." in top and "Every bound" in top
    assert "After 60 s of walking in darkness" in top and "8.61 deg off in the median and 14.7 deg" in top


def test_a_success_whose_bounds_do_not_hold_now_is_not_green() -> None:
    """The manifest speaks of the evaluation that ended the fit, the table of the last one."""
    later = METRICS | {"walking_error_60s_median_deg": 40.0, "rest_drift_60s_median_deg": 1.0}
    top = verdict(text_of(SavedRun(manifest=manifest("succeeded"), metrics=later)))
    assert top.startswith("bad: ") and "at the last evaluation" in top and "walking error 60s median" in top
    assert "Every bound" not in top and "rest drift" not in top


def test_a_success_without_bounds_is_open() -> None:
    saved = SavedRun(manifest=manifest("succeeded"), metrics=METRICS)
    text = report(
        saved, scores=score_rows(METRICS, {}), attractor=[], pictures={}, left_out={}, place="", config="", commands={}
    )
    top = verdict(text)
    assert top.startswith("open: ") and "no bounds were stated" in top and "Every bound" not in top


def test_a_failed_run_says_so_first_with_its_reason() -> None:
    saved = SavedRun(manifest=manifest("failed", "it diverged at <step> 3"), found=FOUND)
    top = verdict(text_of(saved))
    assert top.startswith("bad: ") and "The fit failed." in top and "it diverged at &lt;step&gt; 3" in top
    assert "There is no fitted network" in top and "Attractor: no bump." in top


@pytest.mark.parametrize(
    ("saved", "wanted"),
    [
        (SavedRun(manifest=manifest("running")), "open: .*has not ended"),
        (SavedRun(manifest=manifest("succeeded"), metrics={"bump_present_share": 0.5}), "bad: .*bump in 50 % of"),
        (SavedRun(manifest=manifest("succeeded"), metrics={"linear_range_low_deg_per_s": math.nan}), "At no speed"),
        (
            SavedRun(manifest=manifest("failed"), metrics={"walking_error_0p5s_median_deg": 3.0}),
            "After 0.5 s of walking",
        ),
        (SavedRun(manifest=replace(manifest("failed"), dataset="wiring statistics (x)")), "none of its neurons"),
    ],
)
def test_what_is_wrong_is_said_at_the_top(saved: SavedRun, wanted: str) -> None:
    assert re.search(wanted, verdict(text_of(saved)))


def test_scores_stand_beside_what_was_wanted_and_what_others_found() -> None:
    text = text_of(SavedRun(manifest=manifest("failed"), metrics=METRICS))
    row = text[text.index("walking error 60s median") :].split("</tr>")[0]
    assert 'data-value="8.61"' in row and "at most 25" in row and '"yes"' in row
    assert "most errors within 60 deg" in row and "Vafidis 2022" in row
    missing = text[text.index("rest drift 60s median") :].split("</tr>")[0]
    assert 'class="NO"' in missing  # what was not measured is not good


def test_every_published_number_has_its_source_and_says_what_was_not_checked() -> None:
    assert all(number.source and re.search(r"\d{4}", number.source) for number in PUBLISHED)
    assert all("not checked" in number.source for number in PUBLISHED if "Seelig" in number.source)
    assert [number.source for number in beside("walking_error_10s_median_deg")] == ["Turner-Evans 2017, raw data"]
    assert beside("walking_error_10s_median_deg_of_another") == []


def test_pictures_lie_inside_and_a_page_loads_nothing() -> None:
    text = text_of(SavedRun(manifest=manifest("failed")), {"drift_field.png": PNG, "drift_field.pdf": b"%PDF",
                                                           "mine.gif": b"GIF89a", "mine.png": PNG})  # fmt: skip
    assert text.count("<img ") == 2  # the animation or its picture, not both; what a page cannot show is left out
    assert not re.search(r'(src|href)="(?!data:)', text) and "default-src 'none'" in text
    assert text.index("What attractor it has") < text.index("Further figures")


def test_a_figure_that_was_not_drawn_has_the_command_that_measures_it_in_its_place() -> None:
    missing = {"rest_drift": Need("no trial is saved", "evaluate", lambda s: False), "drift_field": needs.ANALYSIS}
    text = text_of(SavedRun(manifest=manifest("succeeded")), {"gain_curve.png": PNG, "drift_field.png": PNG}, missing)
    assert "Not drawn: Rest drift. No trial is saved; measure and draw it with:</p><pre>connectome-sim evaluate" in text
    assert text.index("How well it integrates") < text.index("Not drawn: Rest drift") < text.index("What attractor it")
    assert "Not drawn: Drift field" not in text  # its picture is there


def test_a_table_keeps_its_texts_and_sorts_by_all_digits() -> None:
    text = table([{"a_b": "0.123456789", "c": "<x>"}, {"a_b": "nan", "c": ""}])
    assert 'data-value="0.123456789">0.1235<' in text and "&lt;x&gt;" in text and ">a b<" in text
    assert 'data-value="">' in text  # not a number: sorts last


def test_whole_numbers_keep_their_digits() -> None:
    text = table([{"count": "48158", "id": "5813027016", "share": "48158.25", "metric": "48158.0"}])
    assert text.count(">48158<") == 2 and ">5813027016<" in text and ">4.816e+04<" in text


def run_with_tables(path: Path) -> RunFolder:
    folder = RunFolder.create(path, manifest("succeeded"))
    (path / ".hydra").mkdir()
    atomic.write_text(path / ".hydra" / "config.yaml", to_yaml(compose("fit", [f"run={path}"])))
    atomic.write_text(path / "scorecard.csv", "observation,ours\nbump width,101.5\n")
    folder.write_history([{"iteration": 1.0, "total": 0.5}])
    return folder


def test_the_report_of_a_folder_shows_its_tables_and_how_to_repeat_it(tmp_path: Path) -> None:
    folder = run_with_tables(tmp_path / "run")
    text = write_report(folder).read_text()
    assert "<h2>Scorecard</h2>" in text and 'data-value="101.5"' in text
    assert "<h2>History</h2>" not in text
    assert f"connectome-sim fit from={folder.path} run=" in text
    assert "activation: sigmoid" in text


def test_parameters_at_a_bound_are_a_warning_above_every_score() -> None:
    def row(family: str, name: str, value: float, at_bound: str, fitted: str = "yes") -> dict[str, str]:
        return {"family": family, "parameter": name, "value": repr(value), "at_bound": at_bound, "fitted": fitted}

    rows = [row("gain", "EPG<-PEN_a", 847.25, "yes"), row("time_constant", "EPG", 0.0101, "yes")]
    rows += [row("gain", "EPG<-EPG", 2.0, ""), row("threshold", "EPG", 0.0, "", fitted="")]
    text = text_of(SavedRun(manifest=manifest("succeeded"), metrics=METRICS, tables={"parameters": rows}))
    box = re.search(r'<div class="verdict bad" id="at_bound">(.*?)</div>', text)
    assert box is not None and text.index('id="at_bound"') < text.index("<table")
    assert "Warning: 2 of 3 fitted parameters are at a bound." in box[1]
    assert "gain EPG&lt;-PEN_a (847), time constant EPG (0.0101)." in box[1]
    many = [row("gain", f"EPG<-ER{k}", 900.0, "yes") for k in range(15)]
    assert "and 3 more" in text_of(SavedRun(manifest=manifest("succeeded"), tables={"parameters": many}))


def test_without_a_parameter_at_a_bound_there_is_no_warning() -> None:
    row = {"family": "gain", "parameter": "EPG<-EPG", "value": "2.0", "at_bound": "", "fitted": "yes"}
    assert 'id="at_bound"' not in text_of(SavedRun(manifest=manifest("succeeded"), tables={"parameters": [row]}))
    assert 'id="at_bound"' not in text_of(SavedRun(manifest=manifest("running")))


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    folder = run_with_tables(tmp_path / "run")
    atomic.write_text(folder.path / "scorecard.csv", "a,b\n1\n")
    with pytest.raises(RunFolderError, match="scorecard.csv: line 2: wanted 2 fields"):
        write_report(folder)
