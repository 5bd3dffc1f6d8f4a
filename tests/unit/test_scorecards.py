"""Scorecards of whole ensembles: counts and medians by hand, and a figure that shows every member."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from connectome_sim.analysis.observations import shipped_observations
from connectome_sim.analysis.physiology import NOT_APPLICABLE, OFF, PASS, Score
from connectome_sim.build import scorecards as build
from connectome_sim.build.physiology import score_table
from connectome_sim.build.scorecards import across_members, member_scorecards
from connectome_sim.config import FitConfig, compose
from connectome_sim.figures.scorecards import scorecards

ROW = next(row for row in shipped_observations() if row.id == "pen_a_turning")  # 0.65 +- 0.14
ABSENT = next(row for row in shipped_observations() if row.id == "delta7_opposite")


def score(value: float) -> Score:
    return Score(
        observation=ROW,
        value=value,
        value_sd=math.nan,
        off_by=ROW.off_by(value),
        verdict=PASS if ROW.passes(value) else OFF,
        reason="",
    )


def absent() -> Score:
    nothing = {"value": math.nan, "value_sd": math.nan, "off_by": math.nan}
    return Score(observation=ABSENT, **nothing, verdict=NOT_APPLICABLE, reason="the network has no Delta7")


def made_up() -> pd.DataFrame:
    """Two ensembles: of three members, and of one that has no bump to speak of."""
    tables = [
        score_table([score(value), absent()]).assign(ensemble="big", member=k)
        for k, value in enumerate((0.6, 0.3, 0.9))
    ]
    lone = replace(score(0.6), value=math.nan, off_by=math.nan, verdict=NOT_APPLICABLE, reason="no bump")
    tables.append(score_table([lone, absent()]).assign(ensemble="small", member=0))
    return pd.concat(tables, ignore_index=True)


def test_members_are_counted_and_those_without_a_value_are_not() -> None:
    """0.6 and 0.9 lie within 2 SD of 0.65 +- 0.14, 0.3 does not."""
    table = across_members(made_up()).set_index(["ensemble", "id"])
    big = table.loc[("big", "pen_a_turning")]
    assert (big.members, big.measured, big["pass"]) == (3, 3, 2)
    assert (big["median"], big.lowest, big.highest) == (0.6, 0.3, 0.9)
    small = table.loc[("small", "pen_a_turning")]
    assert (small.measured, small["pass"]) == (0, 0) and "no bump" in small.reason
    assert math.isnan(small["median"])
    assert "no Delta7" in table.loc[("big", "delta7_opposite")].reason


def test_every_member_is_drawn_and_what_is_absent_is_said() -> None:
    figure = scorecards(made_up())
    axes = figure.axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    np.testing.assert_allclose(dots[0].get_xdata(), [ROW.off_by(x) for x in (0.6, 0.3, 0.9)])
    assert len(dots) == 1
    assert [text.get_text() for text in axes.texts] == ["not measured"] * 3


def test_each_member_has_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop, with what it measures replaced by a number."""

    class Member:
        def __init__(self, seed: int) -> None:
            self.seed, self.metrics = seed, {"evaluation_seed": 1000.0}

    class Fake(list[Member]):
        name = "fake"

        def config_of(self, number: int) -> FitConfig:
            return compose("fit", [f"seed={number}"])

        def stored(self, number: int) -> int:
            return number

    monkeypatch.setattr(build, "load_ensemble", lambda name: Fake([Member(7), Member(9)]))
    monkeypatch.setattr(build, "recorded", lambda stored, config, seed, green: (stored, seed))
    monkeypatch.setattr(build, "scorecard", lambda observations, session: (score(session[0]), score(session[1])))
    found = pd.concat(member_scorecards("fake"))
    assert found.network.tolist() == [0, 1000, 1, 1000]
    assert found.seed.tolist() == [7, 7, 9, 9] and found.member.tolist() == [0, 0, 1, 1]
    assert pd.concat(member_scorecards("fake", members=[1])).seed.tolist() == [9, 9]
