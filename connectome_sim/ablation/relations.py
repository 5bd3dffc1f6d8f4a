"""What a published finding claims of a measure, and when a sweep agrees. Knows no table of findings and no network.

Every relation is an object: which number of a row it is about, and its verdict on what was seen. Intervals are those of
`statistics.py`, over fits and not over animals.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectome_sim.ablation.floors import Floors
from connectome_sim.ablation.run import Row
from connectome_sim.ablation.states import STATES
from connectome_sim.ablation.statistics import Effect, effect, mean_interval

AGREE, DISAGREE, NOT_TESTABLE, PREDICTION = "agree", "disagree", "not testable", "prediction"
NO_VERDICT = "no verdict"
MOST = 0.5  # share of the networks that has to be in a state (chosen: more than not)


class Outcome(NamedTuple):
    """A verdict and its reason."""

    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a sweep has to say of one measure of one group.

    Attributes:
        effect: against the control, or another group, paired by network.
        before: interval of the mean of the control.
        after: interval of the mean of the group.
    """

    effect: Effect
    before: tuple[float, float]
    after: tuple[float, float]

    @classmethod
    def of(cls, rows: Sequence[Row], group: str, measure: str, *, control: str) -> Seen:
        """From the rows of a sweep."""
        return cls(
            effect=effect(rows, group, measure, control=control),
            before=mean_interval(rows, control, measure),
            after=mean_interval(rows, group, measure),
        )

    @property
    def numbers(self) -> str:
        """The effect in words."""
        found = self.effect
        floors = "" if math.isnan(found.still) else f" (still {found.still:.3g}, chance {found.chance:.3g})"
        return (
            f"{found.measure} {found.control_mean:.3g} -> {found.case_mean:.3g}{floors}, difference "
            f"{found.difference:.3g} ({found.low:.3g} to {found.high:.3g}), {found.paired} of {found.members} networks"
        )

    @property
    def both_at_floor(self) -> bool:
        """Whether neither path error is known to be better than that of a bump that knows no velocity."""
        if math.isnan(self.effect.still):
            return False
        limit = Floors(self.effect.still, self.effect.chance).limit_deg
        means = (self.effect.control_mean, self.before[1]), (self.effect.case_mean, self.after[1])
        return all(not max(mean, 0.0 if math.isnan(high) else high) <= limit for mean, high in means)


class Relation(ABC):
    """What a finding claims.

    Attributes:
        needs_bound: whether it has to state a bound.
        supposes_a_bump: whether it fails where the measure is one of a heading and most networks have lost the bump.
    """

    needs_bound = False
    supposes_a_bump = True

    def number(self, row: Row, measure: str) -> str:
        """The number of a row that the claim is about, as text; nothing where there is none."""
        return row[measure]

    @abstractmethod
    def verdict(self, seen: Seen, bound: float) -> Outcome:
        """Whether what was seen bears the claim out; ``bound`` is NaN for a relation that needs none."""


class Prediction(Relation):
    """Nothing is claimed: what is seen is a prediction."""

    supposes_a_bump = False

    def verdict(self, seen: Seen, bound: float) -> Outcome:
        """As in ``Relation``."""
        return Outcome(PREDICTION, seen.numbers)


@dataclass(frozen=True)
class Changed(Relation):
    """Lower or higher than the control: the interval of the paired difference lies on that side of 0.

    Two path errors at the floor are not compared: which of two lost headings is farther off says nothing.

    Attributes:
        side: 1 for higher, -1 for lower.
    """

    side: int

    def verdict(self, seen: Seen, bound: float) -> Outcome:
        """As in ``Relation``."""
        if seen.both_at_floor:
            return Outcome(NO_VERDICT, f"both at the floor: {seen.numbers}")
        near, far = sorted((self.side * seen.effect.low, self.side * seen.effect.high))
        return _told(near > 0, far < 0, seen.numbers, near, "0")


class Same(Relation):
    """As the control: the interval of the paired difference lies within that share of the control's mean."""

    needs_bound = True

    def verdict(self, seen: Seen, bound: float) -> Outcome:
        """As in ``Relation``."""
        low, high, limit = seen.effect.low, seen.effect.high, bound * abs(seen.effect.control_mean)
        numbers = f"{seen.numbers}; same within {bound:g} of the control, {-limit:.3g} to {limit:.3g}"
        return _told(-limit <= low and high <= limit, low > limit or high < -limit, numbers, low, "the bound")


@dataclass(frozen=True)
class Bounded(Relation):
    """At least or at most a bound: the interval of the mean of the silenced networks lies on that side of it.

    Attributes:
        side: 1 for at least, -1 for at most.
    """

    side: int
    needs_bound = True

    def verdict(self, seen: Seen, bound: float) -> Outcome:
        """As in ``Relation``."""
        low, high = seen.after
        near, far = sorted((self.side * (low - bound), self.side * (high - bound)))
        words = "at least" if self.side > 0 else "at most"
        return _told(
            near >= 0, far < 0, f"{seen.numbers}; {words} {bound:g}, mean {low:.3g} to {high:.3g}", low, "the bound"
        )


@dataclass(frozen=True)
class InState(Relation):
    """Most networks are in a state: the interval of their share lies at a half or above it.

    Attributes:
        state: one of `STATES`.
    """

    state: str

    def number(self, row: Row, measure: str) -> str:
        """1 for a network in the state, 0 for one in another; nothing where the state is not known."""
        return str(float(row[measure] == self.state)) if row[measure] else ""

    def verdict(self, seen: Seen, bound: float) -> Outcome:
        """As in ``Relation``."""
        verdict, reason = Bounded(1).verdict(seen, MOST)
        return Outcome(verdict, f"share that is {self.state}: {reason}")


RELATIONS: Mapping[str, Relation] = {
    "lower": Changed(-1),
    "higher": Changed(1),
    "at_least": Bounded(1),
    "at_most": Bounded(-1),
    "same": Same(),
    "prediction": Prediction(),
    **{name: InState(name) for name in STATES},
}
"""Name in the table -> what it claims."""


def _told(holds: bool, fails: bool, numbers: str, low: float, what: str) -> Outcome:
    """A verdict where there is one; else why the interval that begins at ``low`` says nothing."""
    if holds or fails:
        return Outcome(AGREE if holds else DISAGREE, numbers)
    why = "no interval of one network" if math.isnan(low) else f"the interval holds {what}"
    return Outcome(NOT_TESTABLE, f"{numbers}: {why}")
