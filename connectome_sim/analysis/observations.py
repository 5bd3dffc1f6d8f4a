"""What was seen in the animal: rows with their number, its spread, and where it was checked. Knows no network.

The table and what its columns mean: ``data/physiology``. A spread has a kind, and the kind decides how a value is
scored against it. A value is compared with single animals, so an SD over flies counts and not an SEM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from connectome_sim.errors import DataError
from connectome_sim.resources import data_dir

METHODS = ("imaging", "electrophysiology", "behaviour")
CHECKED = ("text", "raw data", "summary")
"""Where a number was checked; a summary is a third party's, not checked at the source."""
IQR_OF_A_NORMAL = 1.349  # interquartile range over SD


@dataclass(frozen=True)
class Kind:
    """How a kind of spread scores.

    Attributes:
        unit: of the score, for tables.
        within: how many of them still pass.
        ends: the spread is a pair, its lower and its upper end.
    """

    unit: str
    within: float
    ends: bool = False


KINDS: Mapping[str, Kind] = {
    "sd": Kind("SD", 2.0),  # where 95 of 100 flies would lie
    "sem": Kind("SD", 2.0),
    "iqr": Kind("SD from the IQR", 2.0, ends=True),
    "range": Kind("half ranges", 1.0, ends=True),
    "chosen": Kind("tolerances (chosen)", 1.0),
}
"""Kind of spread -> how it scores."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One row of the table.

    Attributes:
        id: name of the row.
        observation: in words.
        measure: what is measured of a network, by name.
        number: seen in the animal; mean, or median beside an interquartile range.
        spread: over flies. ``sd``, ``sem``, ``chosen``: a number above 0. ``iqr``, ``range``: its two ends.
        spread_kind: one of ``KINDS``.
        flies: how many, None where that is not known.
        unit: of number and spread.
        method: imaging, electrophysiology or behaviour.
        definition: how it is measured, here and there.
        source: publication.
        checked: one of ``CHECKED``.

    Raises:
        DataError: a word that the table does not know, or a number or spread that is none.
    """

    id: str
    observation: str
    measure: str
    number: float
    spread: float | tuple[float, float]
    spread_kind: str
    flies: int | None
    unit: str
    method: str
    definition: str
    source: str
    checked: str

    def __post_init__(self) -> None:
        for name, known in (("spread_kind", tuple(KINDS)), ("method", METHODS), ("checked", CHECKED)):
            if getattr(self, name) not in known:
                raise DataError(f"observation {self.id!r}, field {name!r}: got {getattr(self, name)!r}, wanted {known}")
        if not math.isfinite(self.number):
            raise DataError(f"observation {self.id!r}, field 'number': got {self.number}, wanted a finite one")
        pair = isinstance(self.spread, tuple)
        if pair != self.kind.ends or not self.scale > 0:
            wanted = "its lower and its upper end" if self.kind.ends else "a number above 0"
            raise DataError(f"observation {self.id!r}, field 'spread': got {self.spread}, wanted {wanted}")
        if self.spread_kind == "sem" and not (self.flies and self.flies > 1):
            raise DataError(f"observation {self.id!r}, field 'flies': got {self.flies}, wanted 2 or more beside an SEM")

    @property
    def kind(self) -> Kind:
        """How its spread scores."""
        return KINDS[self.spread_kind]

    @property
    def scale(self) -> float:
        """What a score counts: an SD over flies (of an IQR: IQR / 1.349), half a range, or the tolerance."""
        if isinstance(self.spread, tuple):
            width = self.spread[1] - self.spread[0]
            return width / (IQR_OF_A_NORMAL if self.spread_kind == "iqr" else 2)
        return self.spread * math.sqrt(self.flies or 1) if self.spread_kind == "sem" else self.spread

    @property
    def middle(self) -> float:
        """From where a score counts: the number, or the middle of a range."""
        return sum(self.spread) / 2 if self.spread_kind == "range" and isinstance(self.spread, tuple) else self.number

    def off_by(self, value: float) -> float:
        """How far a value is off, in units of ``scale``."""
        return (value - self.middle) / self.scale

    def passes(self, value: float) -> bool:
        """Whether a value is near enough."""
        return abs(self.off_by(value)) <= self.kind.within + 1e-9

    @property
    def spread_words(self) -> str:
        """The spread as tables show it."""
        if isinstance(self.spread, tuple):
            name = "IQR" if self.spread_kind == "iqr" else "range"
            return f"{name} {self.spread[0]:g}-{self.spread[1]:g}"
        return "no spread known" if self.spread_kind == "chosen" else f"± {self.spread:g} {self.spread_kind.upper()}"


def shipped_observations() -> tuple[Observation, ...]:
    """The table that ships with the package.

    Raises:
        DataError: it is damaged.
    """
    return read_observations(data_dir() / "physiology" / "physiology.yaml")


def read_observations(path: Path) -> tuple[Observation, ...]:
    """A table of observations.

    Raises:
        DataError: no such file, not a list of mappings, other fields, or a row that is not one.
    """
    names = {field.name for field in fields(Observation)}
    try:
        rows: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise DataError(f"{path}: got {type(rows).__name__}, wanted a list of observations")
        for row in rows:
            if not isinstance(row, dict) or set(row) != names:
                got = sorted(row) if isinstance(row, dict) else row
                raise DataError(f"{path}: got a row with fields {got}, wanted {sorted(names)}")
        return tuple(_observation(row) for row in rows)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _observation(row: dict[str, Any]) -> Observation:
    spread = row["spread"]
    if isinstance(spread, list) and len(spread) != 2:
        raise DataError(f"observation {row['id']!r}, field 'spread': got {spread}, wanted two ends")
    return Observation(**{**row, "spread": tuple(spread) if isinstance(spread, list) else spread})
