"""From rows to statements: differences to the control of the same member, with intervals. Knows no file and no network.

Draws of one group are averaged within a member first. The tests are SciPy's: Wilcoxon's signed-rank test (exact where
it can be), the bias-corrected and accelerated bootstrap over members, Benjamini and Hochberg's control of the false
discovery rate over all rows of a summary. Members are fits of a connectome: what is said here is said over
fits, and not over animals.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from connectome_sim.ablation.floors import Floors, is_floor
from connectome_sim.ablation.plan import CONTROL, OF_A_REFIT, REFIT, TRANSPLANT, control_of
from connectome_sim.ablation.run import DIVERGED, FAILED, Row
from connectome_sim.axes import FloatArray

CONFIDENCE = 0.95
RESAMPLES = 2000  # of a bootstrap (chosen: an interval then moves by about 2 % of its width from seed to seed)
BOOTSTRAP_SEED = 0
FEWEST = 5  # pairs for an interval of the effect size: with fewer, too many resamples do not vary (chosen)

NOT_COMPARED = ("failed_trials_share", "fit_iterations")  # a status, and what was asked for; nor are floors

Statistic = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One measure of one group against the control, paired by member.

    Attributes:
        group: what was done.
        kind: perturbation, null, ...
        mode: transplant or refit.
        measure: name with unit.
        members: in the ensemble.
        paired: members that have a number in both; the fields below are over these, NaN where there is none.
        control_mean: of the intact networks.
        case_mean: of the perturbed ones.
        difference: mean of case minus control.
        low, high: interval of that mean, bootstrap over members (BCa); NaN below two pairs.
        effect_size: mean difference over the SD of the differences; NaN where they do not vary.
        effect_low, effect_high: its interval (percentiles of the same bootstrap), NaN below five pairs.
        p: Wilcoxon, two-sided; 1 where no member changed; NaN below two pairs.
        p_adjusted: the same after Benjamini and Hochberg over the whole summary.
        p_smallest: the smallest p that so many pairs can give, 2^(1 - paired).
        control_failed_share, case_failed_share: rows that failed or in which trials diverged.
        still, chance: floors of the measure, where it is a path error (`floors.py`); NaN elsewhere.
    """

    group: str
    kind: str
    mode: str = TRANSPLANT
    measure: str
    members: int
    paired: int
    control_mean: float
    case_mean: float
    difference: float
    low: float
    high: float
    effect_size: float
    effect_low: float
    effect_high: float
    p: float
    p_adjusted: float
    p_smallest: float
    control_failed_share: float
    case_failed_share: float
    still: float = math.nan
    chance: float = math.nan


def summarise(rows: Sequence[Row], measures: Sequence[str]) -> tuple[Effect, ...]:
    """Every group but the control, every measure, in the order of the rows."""
    groups = {row["group"]: (row["kind"], row["mode"]) for row in rows if row["kind"] != "control"}
    found = [
        replace(effect(rows, group, measure, kind=kind, control=control_of(mode)), mode=mode)
        for group, (kind, mode) in groups.items()
        for measure in measures
        if measure not in NOT_COMPARED and not is_floor(measure) and (mode == REFIT or measure not in OF_A_REFIT)
    ]
    p = np.array([item.p for item in found])
    known = np.isfinite(p)
    adjusted = np.full(len(p), np.nan)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known], method="bh")
    return tuple(replace(item, p_adjusted=value) for item, value in zip(found, adjusted.tolist(), strict=True))


def effect(rows: Sequence[Row], group: str, measure: str, *, kind: str = "", control: str = CONTROL) -> Effect:
    """One measure of one group against another one, the control unless told otherwise."""
    before, after = by_member(rows, control, measure), by_member(rows, group, measure)
    both = [name for name in before if name in after]
    first = np.array([before[name] for name in both])
    second = np.array([after[name] for name in both])
    kept = np.isfinite(first) & np.isfinite(second)
    first, second = first[kept], second[kept]
    difference = second - first
    low, high = _interval(difference, np.mean)
    effect_low, effect_high = _interval(difference, _standardised)
    n = len(difference)
    floors = next((found for row in rows if (found := Floors.beside(row, measure))), None)
    return Effect(
        group=group,
        kind=kind,
        measure=measure,
        members=len(before),
        paired=n,
        control_mean=_mean(first),
        case_mean=_mean(second),
        difference=_mean(difference),
        low=low,
        high=high,
        effect_size=float(_standardised(difference)) if n > 1 and np.ptp(difference) > 0 else math.nan,
        effect_low=effect_low,
        effect_high=effect_high,
        p=_wilcoxon(difference),
        p_adjusted=math.nan,
        p_smallest=2.0 ** (1 - n) if n else math.nan,
        control_failed_share=failed_share(rows, control),
        case_failed_share=failed_share(rows, group),
        still=floors.still_deg if floors else math.nan,
        chance=floors.chance_deg if floors else math.nan,
    )


def by_member(rows: Sequence[Row], group: str, measure: str) -> dict[str, float]:
    """Value of each member, the mean over its draws; NaN where one of them has none."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if row["group"] == group:
            values.setdefault(row["member"], []).append(float(row[measure] or "nan"))
    return {member: float(np.mean(found)) for member, found in values.items()}


def mean_interval(rows: Sequence[Row], group: str, measure: str) -> tuple[float, float]:
    """Interval of the mean over members of a group (bootstrap, BCa); NaN below two members with a number."""
    values = np.array(list(by_member(rows, group, measure).values()))
    return _interval(values[np.isfinite(values)], np.mean)


def failed_share(rows: Sequence[Row], group: str) -> float:
    """Share of the rows of a group that failed or diverged."""
    statuses = [row["status"] in (FAILED, DIVERGED) for row in rows if row["group"] == group]
    return float(np.mean(statuses)) if statuses else math.nan


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _standardised(difference: FloatArray, axis: int = -1) -> FloatArray:
    """Mean over SD, infinite where only the SD vanishes, as in a resample of one member."""
    mean, spread = np.mean(difference, axis=axis), np.std(difference, ddof=1, axis=axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean == 0, 0.0, mean / spread)


def _interval(difference: FloatArray, statistic: Statistic) -> tuple[float, float]:
    if len(difference) < (2 if statistic is np.mean else FEWEST):
        return math.nan, math.nan
    if np.ptp(difference) == 0:  # nothing to resample
        return (float(difference[0]),) * 2 if statistic is np.mean else (math.nan, math.nan)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (difference,),
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="BCa" if statistic is np.mean else "percentile",
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _wilcoxon(difference: FloatArray) -> float:
    if len(difference) < 2:
        return math.nan
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference, method="auto").pvalue)
