"""Effects of known rows, and verdicts on the literature from them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from connectome_sim.ablation.literature import (
    Finding,
    judge,
    literature_cases,
    read_findings,
    shipped_findings,
)
from connectome_sim.ablation.probes import HeldOut
from connectome_sim.ablation.run import Row
from connectome_sim.ablation.statistics import effect, summarise
from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir
from tests import typed_ring

CONTROL = [1.0, 1.1, 0.9, 1.2, 1.0]
CASE = [0.5, 0.7, 0.2, 0.9, 0.4]


def rows(group: str, values: list[float | None], *, status: str = "ok", measure: str = "bump_amplitude") -> list[Row]:
    blank = {"state": "", **dict.fromkeys(HeldOut().measures, "")}
    return [
        {"case_id": f"{k}/{group}", "group": group, "kind": "control" if group == "intact" else "perturbation",
         "mode": "transplant",
         "member": f"seed {k}", "status": status, **blank, measure: "" if value is None else repr(value)}
        for k, value in enumerate(values)
    ]  # fmt: skip


def test_an_effect_is_the_paired_difference_with_its_interval() -> None:
    found = effect([*rows("intact", CONTROL), *rows("lesion", CASE)], "lesion", "bump_amplitude")
    d = np.array(CASE) - np.array(CONTROL)  # -0.5 -0.4 -0.7 -0.3 -0.6
    assert found.difference == pytest.approx(-0.5)
    assert found.effect_size == pytest.approx(-0.5 / np.sqrt(0.025))  # SD by hand: sum of squares 0.1, over 4
    assert found.low < -0.5 < found.high < 0 and found.effect_low < found.effect_size < found.effect_high
    boot = stats.bootstrap((d,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(7))
    assert found.low == pytest.approx(boot.confidence_interval.low, abs=0.02)
    assert found.p == found.p_smallest == 2 / 2**5  # all five of one sign: two of the 32 sign patterns are as extreme
    assert (found.members, found.paired, found.case_failed_share) == (5, 5, 0.0)


def test_pairs_are_by_member_and_draws_are_averaged_first() -> None:
    shuffled = [*rows("null", [0.0, 1.0, 2.0])[::-1], *rows("null", [2.0, 3.0, 4.0])]
    found = effect([*rows("intact", [0.0, 1.0, 2.0]), *shuffled], "null", "bump_amplitude")
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)
    assert math.isnan(found.effect_size)  # differences that do not vary have no standard deviation
    assert found.paired == 3


def test_a_row_without_a_number_leaves_the_pair_out_and_shows_in_the_shares() -> None:
    lost = rows("lesion", [None], status="failed") + rows("lesion", CASE)[1:]
    found = effect([*rows("intact", CONTROL), *lost], "lesion", "bump_amplitude")
    assert (found.paired, found.members, found.case_failed_share) == (4, 5, 0.2)
    assert found.control_mean == pytest.approx(np.mean(CONTROL[1:]))


@pytest.mark.parametrize(("values", "p"), [([1.0], math.nan), ([1.0, 2.0, 3.0], 1.0)])
def test_one_pair_says_nothing_and_no_change_is_no_evidence(values: list[float], p: float) -> None:
    found = effect([*rows("intact", values), *rows("lesion", values)], "lesion", "bump_amplitude")
    assert found.difference == 0 and (found.p == p or math.isnan(p) and math.isnan(found.p))


def test_p_values_are_adjusted_over_the_whole_summary() -> None:
    other = [*rows("other", [c + x for c, x in zip(CONTROL, [0.1, -0.1, 0.2, 0.05, -0.3], strict=True)])]
    found = summarise([*rows("intact", CONTROL), *rows("lesion", CASE), *other], HeldOut().measures)
    by_name = {(item.group, item.measure): item for item in found}
    raw = [by_name[group, "bump_amplitude"].p for group in ("lesion", "other")]
    wanted = stats.false_discovery_control(raw, method="bh")
    assert [by_name[g, "bump_amplitude"].p_adjusted for g in ("lesion", "other")] == pytest.approx(wanted.tolist())
    assert math.isnan(by_name["lesion", "bump_peaks"].p_adjusted)  # not measured
    assert len(found) == 2 * (len(HeldOut().measures) - 3)  # but for the status of trials and the two floors


# --- the literature ---

PUBLISHED = {finding.id: finding for finding in shipped_findings()}
CIRCUIT = typed_ring.connectome()


def verdict(finding: Finding, control: list[float], case: list[float]) -> str:
    group = finding.perturbation(finding.types).name
    found = [*rows("intact", control, measure=finding.measure), *rows(group, case, measure=finding.measure)]
    return judge([finding], found, CIRCUIT)[0].verdict


def test_the_table_names_measures_that_exist_and_a_source_for_every_experiment() -> None:
    assert {finding.measure for finding in PUBLISHED.values()} <= {"state", *HeldOut().measures}
    assert all(finding.source and finding.checked for finding in PUBLISHED.values() if finding.evidence != "none")
    assert len(PUBLISHED) == len(shipped_findings())


@pytest.mark.parametrize(
    ("name", "control", "case", "wanted"),
    [
        ("pen_a_amplitude", CONTROL, CASE, "agree"),
        ("pen_a_amplitude", CASE, CONTROL, "disagree"),
        ("pen_a_amplitude", CONTROL, [1.1, 1.0, 1.0, 1.1, 1.0], "not testable"),  # the interval holds 0
        ("epg_bump", [1.0] * 5, [0.0, 0.1, 0.0, 0.0, 0.0], "agree"),
        ("epg_bump", [1.0] * 5, [1.0] * 5, "disagree"),
        ("epg_bump", [1.0] * 5, [1.0, 0.0, 0.0, 1.0, 0.0], "not testable"),  # the interval holds the bound
        ("epg_bump", [1.0], [0.0], "not testable"),  # one member has no interval
        ("pen_a_bump", [1.0] * 8, [0.0, 1.0] * 4, "not testable"),  # half of the networks: a mean at the bound
        ("pen_a_bump", [1.0] * 8, [0.9, 1.0] * 4, "agree"),
        ("pen_a_bump", [1.0] * 8, [0.1, 0.0] * 4, "disagree"),
        ("delta7_width", [90.0] * 5, [95.0] * 5, "agree"),
        ("delta7_width", [90.0] * 5, [90.0, 90.0, 140.0, 90.0, 140.0], "not testable"),
        ("delta7_width", [90.0] * 5, [140.0] * 5, "disagree"),
    ],
)
def test_a_verdict_follows_from_the_numbers(name: str, control: list[float], case: list[float], wanted: str) -> None:
    assert verdict(PUBLISHED[name], control, case) == wanted


def test_what_the_circuit_lacks_is_not_testable_and_not_simulated() -> None:
    names = [case.name for case in literature_cases(tuple(PUBLISHED.values()), CIRCUIT)]
    assert names == ["output of PEN_a", "output of EPG", "output of Delta7"]
    found = judge([PUBLISHED["tubu_bump"], PUBLISHED["peg_prediction"]], rows("intact", CONTROL), CIRCUIT)
    assert [item.verdict for item in found] == ["not testable"] * 2
    assert found[0].reason == "the circuit has no TuBu"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("shibire-ts,output,PEN_a", "shibire-ts,lesion,PEN_a", "'lesion'"),
        ("at_least,0.5", "at_least,", "wanted a number"),
        ("evidence,", "proof,", "got columns"),
        ("none,PEG output", "animal,PEG output", "exactly where evidence is 'none'"),
    ],
)
def test_a_damaged_table_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = (data_dir() / "silencing_literature" / "silencing.csv").read_text()
    path = tmp_path / "silencing.csv"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        read_findings(path)
