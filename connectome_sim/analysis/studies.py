"""From the fits of a study to statements about its cases: shares, medians, intervals. Knows no file and no network.

The intervals are SciPy's: Wilson's for the share of fits that succeed, the percentile bootstrap over seeds for medians.
They speak of fits of one connectome, and not of animals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000  # of a bootstrap (chosen, as for ablations)
BOOTSTRAP_SEED = 0
FEWEST = 5  # fits for an interval of a median: of fewer, most resamples have the same (chosen)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What came of one fit.

    Attributes:
        case: which.
        seed: of the fit.
        status: "succeeded"; "missed": measured, beyond a bound; "failed": nothing to measure.
        reason: why it did not succeed.
        n_parameters: numbers that the fit could move.
        wall_s: duration, s.
        metrics: held-out scores, NaN where there is none.
    """

    case: str
    seed: int
    status: str
    reason: str
    n_parameters: int
    wall_s: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """One measure over the fits of a case that have it; NaN where none has.

    Attributes:
        measured: how many have it.
        median: their median.
        q1: first quartile.
        q3: third quartile.
        low: lower end of the interval of the median; NaN below five fits.
        high: upper end.
    """

    measured: int
    median: float
    q1: float
    q3: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CaseSummary:
    """All fits of a case.

    Attributes:
        case: which.
        n_parameters: numbers that a fit can move.
        fits: how many.
        succeeded: how many succeeded.
        share: of those that succeeded.
        share_low: lower end of its interval.
        share_high: upper end.
        wall_s: median duration of a fit, s.
        measures: name -> what the fits have of it.
    """

    case: str
    n_parameters: int
    fits: int
    succeeded: int
    share: float
    share_low: float
    share_high: float
    wall_s: float
    measures: Mapping[str, Spread]


def summarise(fits: Sequence[Fitted], measures: Sequence[str]) -> tuple[CaseSummary, ...]:
    """A summary of each case, in the order of the fits."""
    cases = dict.fromkeys(fit.case for fit in fits)
    return tuple(_case([fit for fit in fits if fit.case == case], measures) for case in cases)


def _case(fits: Sequence[Fitted], measures: Sequence[str]) -> CaseSummary:
    succeeded = sum(fit.status == "succeeded" for fit in fits)
    interval = stats.binomtest(succeeded, len(fits)).proportion_ci(CONFIDENCE, method="wilson")
    return CaseSummary(
        case=fits[0].case,
        n_parameters=fits[0].n_parameters,
        fits=len(fits),
        succeeded=succeeded,
        share=succeeded / len(fits),
        share_low=float(interval.low),
        share_high=float(interval.high),
        wall_s=float(np.median([fit.wall_s for fit in fits])),
        measures={name: spread([fit.metrics.get(name, math.nan) for fit in fits]) for name in measures},
    )


def spread(values: Sequence[float]) -> Spread:
    """Median, quartiles and the interval of the median of what is not NaN."""
    found = np.array([value for value in values if math.isfinite(value)])
    if not len(found):
        return Spread(0, *[math.nan] * 5)
    q1, median, q3 = (float(q) for q in np.percentile(found, [25, 50, 75]))
    low = high = math.nan
    if len(found) >= FEWEST:
        low, high = (median, median) if np.ptp(found) == 0 else _interval(found)
    return Spread(len(found), median, q1, q3, low, high)


def _interval(values: np.ndarray) -> tuple[float, float]:
    found = stats.bootstrap(
        (values,),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
