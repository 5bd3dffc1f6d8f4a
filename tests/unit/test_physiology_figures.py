"""Tables and figures of the scorecard say what was scored, and what was not. Scores are made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from connectome_sim.analysis.beside_others import Row, published
from connectome_sim.analysis.observations import shipped_observations
from connectome_sim.analysis.physiology import NOT_APPLICABLE, OFF, PASS, Score
from connectome_sim.build.physiology import beside_table, score_table
from connectome_sim.errors import RunFolderError
from connectome_sim.evaluate import FULL
from connectome_sim.figures.physiology import (
    BESIDE,
    BY_VELOCITY,
    FIGURES,
    SCORECARD,
    SavedPhysiology,
    beside_others,
    bump_by_velocity,
    scorecard,
)
from connectome_sim.figures.rendering import rendered

PROTOCOL = replace(FULL, constant_speeds_deg_per_s=(60.0, 120.0))


def scores(verdict: str) -> list[Score]:
    found = []
    for observation in shipped_observations():
        off_by = {PASS: 0.5, OFF: -9.0, NOT_APPLICABLE: math.nan}[verdict]
        value = observation.middle + off_by * observation.scale
        reason = "no bump" if verdict == NOT_APPLICABLE else ""
        found.append(
            Score(
                observation=observation,
                value=value,
                value_sd=math.nan,
                off_by=off_by,
                verdict=verdict,
                reason=reason,
            )
        )
    return found


def saved(folder: Path, verdict: str = PASS) -> SavedPhysiology:
    gains = {f"gain_at_{sign}{speed}_deg_per_s": 0.9 for sign in ("", "minus_") for speed in (60, 120)}
    errors = {f"walking_error_{at:g}s_median_deg": at for at in PROTOCOL.error_times_s}
    own = Row(model="mine", kind="this network", source="", figures={} if verdict == NOT_APPLICABLE else gains | errors)
    score_table(scores(verdict)).to_csv(folder / SCORECARD, index=False)
    beside_table([*published(), own], PROTOCOL).to_csv(folder / BESIDE, index=False)
    value = math.nan if verdict == NOT_APPLICABLE else 10.0
    low = range(0, 180, 30)
    table = {"from_deg_per_s": low, "to_deg_per_s": [x + 30 for x in low], "frames": 100.0}
    pd.DataFrame(
        {**table, "width_deg": value, "amplitude": value, "pen_a_lead_deg": value, "pen_a_lead_swapped_deg": value}
    ).to_csv(folder / BY_VELOCITY, index=False)
    return SavedPhysiology.read(folder, "made by hand")


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in (axes.title, *axes.texts, axes._left_title))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("verdict", "says"), [(PASS, "19 of 19 pass"), (OFF, "0 of 19 pass"), (NOT_APPLICABLE, "0 of 0 pass")]
)
def test_the_scorecard_counts_what_was_scored(tmp_path: Path, verdict: str, says: str) -> None:
    figure = scorecard(saved(tmp_path, verdict))
    assert says in words(figure)
    assert words(figure).count("not applicable") == (19 if verdict == NOT_APPLICABLE else 0)


def test_the_network_is_drawn_beside_the_fly(tmp_path: Path) -> None:
    figure = beside_others(saved(tmp_path))
    gain, error, spread = figure.axes
    assert [line.get_ydata().tolist() for line in gain.lines if line.get_label() == "mine"] == [[0.9, 0.9]]
    assert [line.get_ydata().tolist() for line in error.lines][0] == list(PROTOCOL.error_times_s)
    assert [line.get_ydata().tolist() for line in spread.lines if line.get_label() == "fly"] == [[43, 67, 77, 86]]


def test_a_network_without_a_bump_leaves_its_curves_out(tmp_path: Path) -> None:
    figure = bump_by_velocity(saved(tmp_path, NOT_APPLICABLE))
    assert all(line.get_label() != "network" for axes in figure.axes for line in axes.lines)
    assert all(rendered(draw(saved(tmp_path, NOT_APPLICABLE)), "png") for draw in FIGURES.values())


def test_the_table_keeps_what_is_published(tmp_path: Path) -> None:
    table = saved(tmp_path).beside.set_index("model")
    fly = table.loc["fly, walking in darkness"]
    assert fly.walking_gain == 0.80 and fly.walking_spread_20s_deg == 86 and fly.kind == "animal"
    assert table.loc["mine", "gain_at_60_deg_per_s"] == pytest.approx(0.9)
    assert math.isnan(fly.rest_drift_60s_median_deg)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="scorecard.csv: no such file"):
        SavedPhysiology.read(tmp_path, "")
