"""The physiology scorecard: what was seen in the animal, and the same measured on a recorded network. Fits nothing.

A row of the table (`connectome_sim.analysis.observations`) names one of `MEASURES`; its spread says how it is scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connectome_sim.analysis.imaging import Session
from connectome_sim.analysis.measures import (
    BINS_DEG_PER_S,
    CURVES,
    MEASURES,
    STANDING,
    WITHOUT_BUMP,
    MissingRegion,
    in_bin,
)
from connectome_sim.analysis.observations import Observation
from connectome_sim.analysis.regions import EPG_RING
from connectome_sim.axes import FloatArray
from connectome_sim.errors import DataError

PASS, OFF, NOT_APPLICABLE = "pass", "off", "not applicable"
FEWEST_BUMPS = 0.5  # chosen: where fewer trials have a bump, its shape and its motion are not scored
MOST_FAILED = 0.1  # chosen: share of failed trials above which the others alone are not scored


@dataclass(frozen=True, kw_only=True)
class Score:
    """A row of the scorecard.

    Attributes:
        observation: what was seen in the animal.
        value: the same of the network, NaN where it has none.
        value_sd: its SD over trials, NaN where it is one number of all trials.
        off_by: value less number, in units of the row's scale.
        verdict: pass, off, or not applicable.
        reason: why not applicable, else empty.
    """

    observation: Observation
    value: float
    value_sd: float
    off_by: float
    verdict: str
    reason: str

    @property
    def words(self) -> str:
        """The verdict as the table shows it, with what it rests on where nobody checked that at the source."""
        if self.verdict == NOT_APPLICABLE:
            return f"{NOT_APPLICABLE}: {self.reason}"
        seen, outside = self.observation, ""
        if seen.spread_kind == "iqr" and isinstance(seen.spread, tuple):
            outside = ", inside it" if seen.spread[0] <= self.value <= seen.spread[1] else ", outside it"
        score = f"{self.off_by:+.1f} {seen.kind.unit}{outside}"
        verdict = f"{PASS} ({score})" if self.verdict == PASS else f"off by {score}"
        return f"{verdict}; the animal's number is a summary, not checked" if seen.checked == "summary" else verdict


def scorecard(observations: Sequence[Observation], session: Session) -> tuple[Score, ...]:
    """Scores every observation on a recorded network.

    Raises:
        DataError: a row names a measure that there is not.
    """
    for observation in observations:
        if observation.measure not in MEASURES:
            raise DataError(
                f"observation {observation.id!r}, field 'measure': got {observation.measure!r}, wanted one of "
                f"{', '.join(MEASURES)}"
            )
    return tuple(_scored(observation, session) for observation in observations)


def _scored(observation: Observation, session: Session) -> Score:
    def without(reason: str) -> Score:
        return Score(
            observation=observation,
            value=math.nan,
            value_sd=math.nan,
            off_by=math.nan,
            verdict=NOT_APPLICABLE,
            reason=reason,
        )

    if observation.measure not in WITHOUT_BUMP and session.bump_share < FEWEST_BUMPS:
        return without(f"{session.bump_share:.0%} of the trials have a bump")
    recorded = session.standing if observation.measure == STANDING else session.walk.calcium[EPG_RING]
    if observation.measure not in WITHOUT_BUMP and _failed_share(recorded) > MOST_FAILED:
        return without(f"{_failed_share(recorded):.0%} of the trials failed")
    try:
        values = np.atleast_1d(MEASURES[observation.measure](session))
    except MissingRegion as error:
        return without(str(error))
    values = values[np.isfinite(values)]
    if not len(values):
        return without("too few frames, or no trial, in which it can be measured")
    value = float(values.mean())
    return Score(
        observation=observation,
        value=value,
        value_sd=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        off_by=observation.off_by(value),
        verdict=PASS if observation.passes(value) else OFF,
        reason="",
    )


def curves(session: Session) -> dict[str, FloatArray]:
    """What is measured by velocity bin, for figures: name -> one value per bin, NaN where there is none.

    Trials that failed are in no bin; ``failed_trials_share``, the same in every bin, says how many those are.
    """
    known = np.isfinite(session.walk.decoded)
    counts = [(in_bin(session, number) & known).sum() for number in range(len(BINS_DEG_PER_S) - 1)]
    failed = _failed_share(session.walk.calcium[EPG_RING])
    found = {"frames": np.array(counts, dtype=float), "failed_trials_share": np.full(len(counts), failed)}
    for name, measure in CURVES.items():
        try:
            found[name] = measure(session)
        except MissingRegion:
            found[name] = np.full(len(BINS_DEG_PER_S) - 1, np.nan)
    return found


def _failed_share(recorded: FloatArray) -> float:
    """Share of the trials of a recording [t, B, region] that failed."""
    return float(1 - np.isfinite(recorded).all(axis=(0, -1)).mean())
