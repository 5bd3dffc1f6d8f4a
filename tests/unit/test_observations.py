"""The table of what was seen in the animal: kinds of spread, what is refused, and that every row can be measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from connectome_sim.analysis.measures import MEASURES
from connectome_sim.analysis.observations import Observation, read_observations, shipped_observations
from connectome_sim.errors import DataError

ROWS = {row.id: row for row in shipped_observations()}


def test_the_shipped_table_is_whole() -> None:
    assert len(ROWS) == len(shipped_observations()) == 19
    assert {row.measure for row in ROWS.values()} == set(MEASURES)


def test_numbers_of_the_publication_are_those_of_its_text() -> None:
    """Turner-Evans et al. 2017, Figs 2, 8 and 9, read in the text: mean, SD over flies, number of flies."""
    published = {
        "pen_a_turning": (0.65, 0.14, 10),
        "pen_a_lead_0_30": (2.5, 2.1, 10),
        "pen_a_lead_150_180": (20.7, 11.7, 10),
        "pen_a_lead_swapped_150_180": (7.3, 7.2, 5),
        "pen_a_bridge_lag": (0.96, 0.40, 11),
        "pen_a_bridge_lag_contralateral": (1.0, 0.56, 11),
        "epg_amplitude_velocity": (0.31, 0.16, 5),
        "epg_width_velocity": (-0.036, 0.13, 5),
    }
    for name, numbers in published.items():
        row = ROWS[name]
        assert (row.number, row.spread, row.flies, row.spread_kind, row.checked) == (*numbers, "sd", "text"), name


def test_the_gain_has_an_interquartile_range() -> None:
    gain = ROWS["integration_gain"]
    assert (gain.number, gain.spread, gain.spread_kind) == (0.80, (0.67, 0.90), "iqr")
    assert gain.scale == pytest.approx(0.23 / 1.349)
    assert gain.spread_words == "IQR 0.67-0.9"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spread": 0}, "spread above 0|a number above 0"),
        ({"spread": [0.1, 0.2]}, "wanted a number above 0"),
        ({"spread": [0.1]}, "wanted two ends"),
        ({"spread_kind": "iqr"}, "wanted its lower and its upper end"),
        ({"spread_kind": "range", "spread": [0.2, 0.1]}, "wanted its lower and its upper end"),
        ({"spread_kind": "SD"}, "field 'spread_kind'"),
        ({"spread_kind": "sem", "flies": None}, "field 'flies'"),
        ({"checked": "somewhere"}, "field 'checked'"),
        ({"number": float("nan")}, "field 'number'"),
        ({"colour": "red"}, "fields"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    row = {name: getattr(shipped_observations()[0], name) for name in Observation.__dataclass_fields__}
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump([row | change]))
    with pytest.raises(DataError, match=message):
        read_observations(path)
    path.write_text("just words")
    with pytest.raises(DataError, match="wanted a list"):
        read_observations(path)
