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
from connectome_sim.ablation.plan import Case, perturbation_case
from connectome_sim.ablation.run import Row
from connectome_sim.ablation.statistics import Effect, effect, mean_interval
from connectome_sim.ablation.targets import Target
from connectome_sim.connectome.connectome import Connectome
from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir

AGREE, DISAGREE, NOT_TESTABLE, PREDICTION = "agree", "disagree", "not testable", "prediction"
EVIDENCE = ("animal", "model", "none")
PERTURB = ("output", "output_onto_epg", "clamp_silent")
RELATIONS = ("lower", "higher", "at_least", "at_most", "same", "prediction")
_NEED_BOUND = ("at_least", "at_most", "same")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of the table: what was silenced, what was seen, and what that means for a measure.

    Attributes: as the columns in ``data/silencing_literature/README.md``; ``bound`` is NaN where there is none.

    Raises:
        DataError: a word that the table does not know, or a relation without its bound.
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
        for name, known in (("evidence", EVIDENCE), ("perturb", PERTURB), ("relation", RELATIONS)):
            if getattr(self, name) not in known:
                raise DataError(f"finding {self.id!r}, field {name!r}: got {getattr(self, name)!r}, wanted {known}")
        if self.relation in _NEED_BOUND and math.isnan(self.bound):
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
        verdict: agree, disagree, not testable, or prediction.
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
    against = {"control": finding.perturbation((finding.against,)).name} if finding.against else {}
    if not any(row["group"] == group for row in rows) or finding.measure not in rows[0]:
        return Verdict(finding=finding, verdict=NOT_TESTABLE, reason="the sweep did not measure it")
    found = effect(rows, group, finding.measure, kind="perturbation", **against)
    verdict, reason = _compared(finding, found, mean_interval(rows, group, finding.measure))
    return Verdict(finding=finding, verdict=verdict, reason=reason, effect=found)


def _compared(finding: Finding, found: Effect, mean: tuple[float, float]) -> tuple[str, str]:
    numbers = (
        f"{found.measure} {found.control_mean:.3g} -> {found.case_mean:.3g}, "
        f"difference {found.difference:.3g} ({found.low:.3g} to {found.high:.3g}), "
        f"{found.paired} of {found.members} members"
    )
    if not found.paired:
        return NOT_TESTABLE, f"{found.measure} has no value in any member"
    if finding.relation == "prediction":
        return PREDICTION, numbers
    if finding.relation in ("lower", "higher"):
        side = 1 if finding.relation == "higher" else -1
        near, far = sorted((side * found.low, side * found.high))
        if near > 0:
            return AGREE, numbers
        return (DISAGREE, numbers) if far < 0 else (NOT_TESTABLE, f"{numbers}: the interval holds 0")
    low, high = (found.low, found.high) if finding.relation == "same" else mean
    if finding.relation == "same":
        limit = finding.bound * abs(found.control_mean)
        holds, fails = -limit <= low and high <= limit, low > limit or high < -limit
    elif finding.relation == "at_least":
        holds, fails = low >= finding.bound, high < finding.bound
    else:
        holds, fails = high <= finding.bound, low > finding.bound
    what = "difference" if finding.relation == "same" else "mean"
    numbers = f"{numbers}; {finding.relation.replace('_', ' ')} {finding.bound:g}, {what} {low:.3g} to {high:.3g}"
    if holds or fails:
        return (AGREE if holds else DISAGREE), numbers
    return NOT_TESTABLE, f"{numbers}: " + (
        "the interval holds the bound" if low == low else "no interval of one member"
    )
