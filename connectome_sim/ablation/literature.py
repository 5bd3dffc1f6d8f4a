"""Published silencing experiments as a table, and whether a sweep agrees with each. Knows no network.

The table and what its columns mean: ``data/silencing_literature``. Nothing is tuned to it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from connectome_sim.ablation.perturbations import Clamp, Output, Perturbation
from connectome_sim.ablation.plan import CONTROL, Case, perturbation_case
from connectome_sim.ablation.probes import OF_A_HEADING
from connectome_sim.ablation.relations import DISAGREE, MOST, NOT_TESTABLE, RELATIONS, InState, Outcome, Seen
from connectome_sim.ablation.run import Row
from connectome_sim.ablation.states import LOST, STATE, STATES, counted
from connectome_sim.ablation.statistics import Effect, mean_interval
from connectome_sim.ablation.targets import Target
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir

EVIDENCE = ("animal", "model", "none")
PERTURB = ("output", "output_onto_epg", "clamp_silent")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of the table: what was silenced, what was seen, and what that means for a measure.

    Attributes: as the columns in ``data/silencing_literature/README.md``; ``bound`` is NaN where there is none.

    Raises:
        DataError: a word that the table does not know, a relation without its bound, or a state of another measure.
    """

    id: str
    evidence: str
    target: str
    method: str
    perturb: str
    types: tuple[str, ...]
    subtypes: tuple[str, ...]
    against: str
    measure: str
    relation: str
    bound: float
    effect: str
    source: str
    checked: str

    def __post_init__(self) -> None:
        for name, known in (("evidence", EVIDENCE), ("perturb", PERTURB), ("relation", tuple(RELATIONS))):
            if getattr(self, name) not in known:
                raise DataError(f"finding {self.id!r}, field {name!r}: got {getattr(self, name)!r}, wanted {known}")
        if (self.measure == STATE) != (self.relation in STATES):
            raise DataError(
                f"finding {self.id!r}: got the relation {self.relation!r} of {self.measure!r}, wanted one of "
                f"{', '.join(STATES)} exactly where the measure is {STATE!r}"
            )
        if RELATIONS[self.relation].needs_bound and math.isnan(self.bound):
            raise DataError(f"finding {self.id!r}, field 'bound': got none, wanted a number for {self.relation}")
        if (self.evidence == "none") != (self.relation == "prediction"):
            raise DataError(f"finding {self.id!r}: wanted the relation 'prediction' exactly where evidence is 'none'")

    def perturbation(self, types: tuple[str, ...]) -> Perturbation:
        """What is done, to these types in the place of its own (or to its own subtypes where it names some)."""
        target = Target(type=types, subtype=self.subtypes)
        if self.perturb == "clamp_silent":
            return Clamp(target=target, rate=0.0)
        return Output(target=target, onto=Target(type=("EPG",)) if self.perturb == "output_onto_epg" else None)

    def missing(self, connectome: Connectome) -> tuple[str, ...]:
        """Types and subtypes that it needs and the circuit lacks."""
        needed = (*self.types, *((self.against,) if self.against else ()))
        neurons = connectome.neurons
        without = [name for name in needed if name not in neurons.type]
        return (*without, *(name for name in self.subtypes if name not in neurons.database_type))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a sweep says to a finding.

    Attributes:
        finding: the row of the table.
        verdict: agree, disagree, no verdict, not testable, or prediction.
        reason: why, with numbers.
        effect: of its measure; None where nothing was simulated.
    """

    finding: Finding
    verdict: str
    reason: str
    effect: Effect | None = None


def shipped_findings() -> tuple[Finding, ...]:
    """The table that ships with the package.

    Raises:
        DataError: it is damaged.
    """
    return read_findings(data_dir() / "silencing_literature" / "silencing.csv")


def read_findings(path: Path) -> tuple[Finding, ...]:
    """A table of findings.

    Raises:
        DataError: no such file, other columns, or a row that is not one.
    """
    names = [field.name for field in fields(Finding)]
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != names:
                raise DataError(f"{path}: got columns {reader.fieldnames}, wanted {names}")
            return tuple(_finding(row) for row in reader)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _finding(row: dict[str, str]) -> Finding:
    split = {name: tuple(part for part in row[name].split("+") if part) for name in ("types", "subtypes")}
    return Finding(**{**row, **split, "bound": float(row["bound"] or "nan")})  # type: ignore[arg-type]


def literature_cases(findings: Sequence[Finding], connectome: Connectome) -> tuple[Case, ...]:
    """The cases that the findings need, each once; none for what the circuit lacks."""
    found: dict[str, Case] = {}
    for finding in findings:
        if finding.missing(connectome):
            continue
        for types in (finding.types, *(((finding.against,),) if finding.against else ())):
            case = perturbation_case(finding.perturbation(types))
            found.setdefault(case.name, case)
    return tuple(found.values())


def judge(findings: Sequence[Finding], rows: Sequence[Row], connectome: Connectome) -> tuple[Verdict, ...]:
    """A verdict on every finding, from the rows of a sweep that has its cases."""
    return tuple(_judged(finding, rows, connectome) for finding in findings)


def _judged(finding: Finding, rows: Sequence[Row], connectome: Connectome) -> Verdict:
    if missing := finding.missing(connectome):
        return Verdict(finding=finding, verdict=NOT_TESTABLE, reason=f"the circuit has no {', '.join(missing)}")
    group = finding.perturbation(finding.types).name
    control = finding.perturbation((finding.against,)).name if finding.against else CONTROL
    rows = _with_a_bump_when_intact(rows)
    if not rows:
        return Verdict(finding=finding, verdict=NOT_TESTABLE, reason="no network has a bump when intact")
    if not any(row["group"] == group for row in rows) or finding.measure not in rows[0]:
        return Verdict(finding=finding, verdict=NOT_TESTABLE, reason="the sweep did not measure it")
    seen = Seen.of(_claimed(finding, rows), group, finding.measure, control=control)
    verdict, reason = _compared(finding, seen, rows, group)
    if states := counted(row[STATE] for row in rows if row["group"] == group):
        reason = f"{reason}; bump {states}"
    return Verdict(finding=finding, verdict=verdict, reason=reason, effect=seen.effect)


def _compared(finding: Finding, seen: Seen, rows: Sequence[Row], group: str) -> Outcome:
    relation = RELATIONS[finding.relation]
    if finding.measure in OF_A_HEADING and relation.supposes_a_bump and _mostly_lost(rows, group):
        return Outcome(DISAGREE, f"there is no bump of which {finding.measure} would tell")
    if not seen.effect.paired:
        return Outcome(NOT_TESTABLE, f"{finding.measure} has no value in any network")
    return relation.verdict(seen, finding.bound)


def _mostly_lost(rows: Sequence[Row], group: str) -> bool:
    """Whether most networks of a group have lost the bump: the interval of their share lies at a half or above."""
    numbers = [{**row, STATE: InState(LOST).number(row, STATE)} for row in rows]
    low, _ = mean_interval(numbers, group, STATE)
    return low >= MOST


def _with_a_bump_when_intact(rows: Sequence[Row]) -> list[Row]:
    """Without the networks that have no bump before anything is silenced: they cannot lose it."""
    without = {row["member"] for row in rows if row["group"] == CONTROL and row[STATE] == LOST}
    return [row for row in rows if row["member"] not in without]


def _claimed(finding: Finding, rows: Sequence[Row]) -> list[Row]:
    """The rows with the number that the claim is about, none where it would be that of a bump which is lost."""
    relation, measure = RELATIONS[finding.relation], finding.measure
    of_a_heading = measure in OF_A_HEADING
    return [
        {**row, measure: "" if of_a_heading and row[STATE] == LOST else relation.number(row, measure)} for row in rows
    ]
