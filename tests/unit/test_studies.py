"""What a study says of its fits: shares, medians and intervals of numbers whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from connectome_sim.analysis.studies import Fitted, spread, summarise
from connectome_sim.build.studies import markdown


def fits(case: str, errors: list[float], *, status: str = "succeeded") -> list[Fitted]:
    return [
        Fitted(case=case, seed=k, status=status if math.isfinite(e) else "failed", reason="", n_parameters=50,
               wall_s=10.0 + k, metrics={"error_deg": e} if math.isfinite(e) else {})
        for k, e in enumerate(errors)
    ]  # fmt: skip


def test_a_share_has_wilsons_interval() -> None:
    """8 of 10: 0.490 to 0.943 (Newcombe 1998, the score interval without continuity correction, worked out by hand)."""
    (case,) = summarise(fits("a", [1.0] * 8) + fits("a", [1.0] * 2, status="missed"), ["error_deg"])
    z, p, n = 1.959964, 0.8, 10
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (case.fits, case.succeeded, case.share) == (10, 8, 0.8)
    assert case.share_low == pytest.approx((middle - half) / (1 + z**2 / n), abs=1e-5)
    assert case.share_high == pytest.approx((middle + half) / (1 + z**2 / n), abs=1e-5)


def test_a_fit_without_a_result_counts_as_a_failure_and_in_no_median() -> None:
    (case,) = summarise(fits("a", [4.0, math.nan, 2.0, 3.0]), ["error_deg"])
    assert (case.fits, case.succeeded) == (4, 3)
    found = case.measures["error_deg"]
    assert (found.measured, found.median, found.q1, found.q3) == (3, 3.0, 2.5, 3.5)
    assert math.isnan(found.low)  # of three fits


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    """Medians of 15 normal deviates: the percentile bootstrap covers 0 in 90 to 98 % of 200 draws (SE 1.5 %)."""
    random = np.random.default_rng(5)
    covered = [found.low <= 0 <= found.high for found in (spread(random.normal(size=15).tolist()) for _ in range(200))]
    assert 0.88 < np.mean(covered) < 0.99


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = spread([2.0] * 6)
    assert (found.low, found.median, found.high) == (2.0, 2.0, 2.0)


def test_the_table_has_a_line_for_every_case_also_without_results() -> None:
    cases = summarise(fits("a", [1.0, 3.0]) + fits("b", [math.nan]), ["error_deg"])
    assert markdown(cases, ["error_deg"]).splitlines()[2:] == [
        "| a | 50 | 2 of 2 | 2 (1.5-2.5) |",
        "| b | 50 | 0 of 1 | - |",
    ]
