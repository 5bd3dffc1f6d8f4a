"""What cell types do around the ring, on rates written down by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from connectome_sim.evaluate import rate_metric_names, rate_metrics

# heading, neuron: two EPG that follow, three PEG of which one does, a Delta7 that is silent and one that is saturated
TYPE = ("EPG", "EPG", "PEG", "PEG", "PEG", "Delta7", "Delta7")
STATES = np.array(
    [
        [0.1, 0.9, 0.80, 0.02, 0.50, 0.01, 0.99],
        [0.5, 0.3, 0.20, 0.04, 0.54, 0.03, 0.96],
        [0.8, 0.1, 0.40, 0.03, 0.52, 0.02, 1.00],
    ]
)


def test_modulation_is_the_range_of_the_median_cell_over_the_height_of_its_type() -> None:
    found = rate_metrics(STATES, TYPE, largest=1.0)
    assert found["rate_modulation_epg_median"] == pytest.approx((0.7 + 0.8) / 2 / 0.9)
    assert found["rate_modulation_peg_median"] == pytest.approx(0.04 / 0.8)  # ranges 0.6, 0.02, 0.04
    assert found["rate_modulation_delta7_median"] == pytest.approx((0.02 + 0.04) / 2 / 1.0)
    assert found["rate_modulation_lowest_type_median"] == found["rate_modulation_delta7_median"]


def test_silent_and_saturated_cells_are_so_at_every_heading() -> None:
    found = rate_metrics(STATES, TYPE, largest=1.0)
    assert (found["silent_cells_share"], found["saturated_cells_share"]) == (pytest.approx(2 / 7), pytest.approx(1 / 7))
    assert found["silent_cells_share_peg"] == pytest.approx(1 / 3) and found["silent_cells_share_epg"] == 0
    assert (found["silent_cells_share_delta7"], found["saturated_cells_share_delta7"]) == (0.5, 0.5)
    once = STATES.copy()
    once[0] = 0.5  # one heading at which all is well
    assert rate_metrics(once, TYPE, largest=1.0)["silent_cells_share"] == 0
    assert rate_metrics(once, TYPE, largest=1.0)["saturated_cells_share"] == 0


def test_rates_without_a_largest_one_are_neither_silent_nor_saturated() -> None:
    found = rate_metrics(STATES, TYPE, largest=math.inf)
    assert math.isnan(found["silent_cells_share"]) and math.isnan(found["saturated_cells_share_peg"])
    assert found["rate_modulation_peg_median"] == pytest.approx(0.05)


def test_a_type_that_is_silent_throughout_does_not_follow() -> None:
    assert rate_metrics(np.zeros((3, 2)), ("EPG", "EPG"), largest=1.0)["rate_modulation_epg_median"] == 0


def test_names_are_known_before_anything_is_simulated() -> None:
    assert rate_metric_names(["EPG", "PEG", "Delta7"]) == rate_metrics(STATES, TYPE, largest=1.0).keys()
    assert "rate_modulation_pen_a_median" in rate_metric_names(["PEN_a"])
