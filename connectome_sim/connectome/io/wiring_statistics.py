"""Reader and writer of wiring statistics: one readable JSON file. Knows its layout, not what is drawn from it.

Layout (``format_version`` 1), postsynaptic before presynaptic everywhere:

- ``source``; ``signs`` by class; ``cells`` by database type and instance name
- ``totals``: synapses by class and class; the profiles must add up to them
- ``profiles``: connected pairs and synapses per offset bin by class, class and presynaptic side
- ``uniform``: the same without offset, by groups (classes with a ring angle, database types of the others)
- ``variation`` by class and class; ``shared`` variation by class
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from connectome_sim.connectome.anatomy import circuit_class, parse_instance
from connectome_sim.connectome.io.files import write_whole
from connectome_sim.connectome.wiring_statistics import (
    BINS,
    GLOMERULI,
    Block,
    PairVariation,
    SharedVariation,
    WiringStatistics,
)
from connectome_sim.errors import DataError

FORMAT = "connectome-sim wiring statistics"
FORMAT_VERSION = 1
_LINE = 160  # characters up to which nested values stay on one line


# ---- write


def write(statistics: WiringStatistics, path: Path) -> None:
    """Write the statistics, complete or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    text = _formatted(_content(statistics), "") + "\n"
    write_whole(path, text.encode())


def _content(statistics: WiringStatistics) -> dict[str, Any]:
    profiles: dict[str, Any] = {}
    uniform: dict[str, Any] = {}
    for block in statistics.blocks:
        if block.pre_side:
            sides = profiles.setdefault(block.post, {}).setdefault(block.pre, {})
            sides[block.pre_side] = {"pairs": list(block.pairs), "synapses": list(block.synapses)}
        else:
            row = uniform.setdefault(block.post, {"pairs": {}, "synapses": {}})
            row["pairs"][block.pre], row["synapses"][block.pre] = block.pairs[0], block.synapses[0]
    variation: dict[str, Any] = {}
    for (post, pre), pair in statistics.variation.items():
        variation.setdefault(post, {})[pre] = asdict(pair)
    classes, totals = statistics.classes, statistics.totals().tolist()
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "source": dict(statistics.source),
        "signs": dict(statistics.signs),
        "cells": {database_type: dict(instances) for database_type, instances in statistics.cells.items()},
        "totals": {post: dict(zip(classes, row, strict=True)) for post, row in zip(classes, totals, strict=True)},
        "profiles": profiles,
        "uniform": uniform,
        "variation": variation,
        "shared": {name: asdict(shared) for name, shared in statistics.shared.items()},
    }


def _formatted(value: Any, indent: str) -> str:
    """JSON with one line for what is flat or short."""
    line = json.dumps(value, ensure_ascii=False)
    flat = not isinstance(value, dict) or not any(isinstance(v, (dict, list)) for v in value.values())
    if flat or len(line) <= _LINE:
        return line
    inner = indent + " "
    return (
        "{\n"
        + ",\n".join(f"{inner}{json.dumps(k)}: {_formatted(v, inner)}" for k, v in value.items())
        + f"\n{indent}}}"
    )


# ---- read


def read(path: Path) -> WiringStatistics:
    """Read wiring statistics.

    Raises:
        DataError: no file, no JSON, another format or a newer version, a missing or impossible entry, or totals that
            the profiles do not add up to. The message names the entry.
    """
    root = _Entry(_parsed(path), str(path))
    if root["format"].value != FORMAT:
        raise root["format"].refused(repr(FORMAT))
    if root["format_version"].value != FORMAT_VERSION:
        raise root["format_version"].refused(
            f"{FORMAT_VERSION}, the version this program reads; a newer file needs a newer program"
        )
    source = {key: entry.text() for key, entry in root["source"].items()}
    for key in ("dataset", "version", "citation"):
        root["source"][key]
    signs = {name: entry.integer(-1) for name, entry in root["signs"].items()}
    for name, sign in signs.items():
        if sign == 0 or sign > 1:
            raise root["signs"][name].refused("+1 or -1")
    statistics = WiringStatistics(
        source=source,
        signs=signs,
        cells=_cells(root["cells"], signs),
        blocks=(*_profiles(root["profiles"]), *_uniform(root["uniform"])),
        variation=_variation(root["variation"]),
        shared=_shared(root["shared"]),
    )
    _check(statistics, root)
    return statistics


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); wanted a file of wiring statistics"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8 ({error.reason}); wanted a JSON file of wiring statistics") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: no JSON ({error.msg}); the file is damaged or cut off") from None


@dataclass(frozen=True)
class _Entry:
    """A value of the file and where it stands, so that every refusal names the place."""

    value: Any
    where: str

    def refused(self, wanted: str) -> DataError:
        shown = repr(self.value)
        return DataError(f"{self.where}: got {shown if len(shown) < 60 else shown[:57] + '...'}, wanted {wanted}")

    def items(self) -> Iterator[tuple[str, _Entry]]:
        if not isinstance(self.value, dict):
            raise self.refused("a table of named entries")
        return ((key, _Entry(value, f"{self.where}, {key}")) for key, value in self.value.items())

    def __getitem__(self, key: str) -> _Entry:
        entries = dict(self.items())
        if key not in entries:
            raise DataError(f"{self.where}: entry {key!r} is missing; there are {', '.join(entries) or 'none'}")
        return entries[key]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refused("text")
        return self.value

    def integer(self, low: int = 0) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < low:
            raise self.refused(f"a whole number of at least {low}")
        return self.value

    def number(self, low: float, high: float = 1e6) -> float:
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool) or not low <= self.value <= high:
            raise self.refused(f"a number from {low:g} to {high:g}")
        return float(self.value)

    def list(self, *lengths: int) -> list[_Entry]:
        if not isinstance(self.value, list) or len(self.value) not in lengths:
            raise self.refused(f"a list of {' or '.join(map(str, lengths))} numbers")
        return [_Entry(value, f"{self.where}, number {i}") for i, value in enumerate(self.value)]


def _cells(table: _Entry, signs: dict[str, int]) -> dict[str, dict[str, int]]:
    cells = {}
    for database_type, instances in table.items():
        name = circuit_class(database_type)
        if name not in signs:
            raise DataError(f"{instances.where}: class {name!r} is not among those with a sign, {', '.join(signs)}")
        cells[database_type] = {instance: entry.integer(1) for instance, entry in instances.items()}
        for instance in cells[database_type]:
            found = parse_instance(instance).cell_class
            if found != name:
                raise DataError(f"{instances.where}, {instance}: got an instance of {found}, wanted one of {name}")
    if absent := set(signs) - {circuit_class(database_type) for database_type in cells}:
        raise DataError(
            f"{table.where}: no cells of class {', '.join(sorted(absent))}, though it has a sign; wanted cells"
        )
    return cells


def _profiles(table: _Entry) -> Iterator[Block]:
    for post, row in table.items():
        for pre, sides in row.items():
            for side, entry in sides.items():
                if side not in ("L", "R"):
                    raise DataError(f"{entry.where}: got side {side!r}, wanted L or R")
                pairs, synapses = entry["pairs"].list(BINS), entry["synapses"].list(BINS)
                yield Block(post, pre, side, tuple(n.integer() for n in pairs), tuple(n.integer() for n in synapses))


def _uniform(table: _Entry) -> Iterator[Block]:
    for post, row in table.items():
        synapses = row["synapses"]
        for pre, pairs in row["pairs"].items():
            yield Block(post, pre, "", (pairs.integer(),), (synapses[pre].integer(),))


def _variation(table: _Entry) -> dict[tuple[str, str], PairVariation]:
    return {
        (post, pre): PairVariation(
            minimum=entry["minimum"].integer(1),
            in_cv=entry["in_cv"].number(0),
            out_cv=entry["out_cv"].number(0),
            dispersion=entry["dispersion"].number(0),
            in_by_glomerulus=tuple(n.number(1e-4) for n in entry["in_by_glomerulus"].list(0, GLOMERULI)),
            out_by_glomerulus=tuple(n.number(1e-4) for n in entry["out_by_glomerulus"].list(0, GLOMERULI)),
        )
        for post, row in table.items()
        for pre, entry in row.items()
    }


def _shared(table: _Entry) -> dict[str, SharedVariation]:
    return {
        name: SharedVariation(entry["in_cv"].number(0), entry["out_cv"].number(0), entry["correlation"].number(0, 1))
        for name, entry in table.items()
    }


def _check(statistics: WiringStatistics, root: _Entry) -> None:
    """The parts agree: every class and type pair is described, and the profiles add up to the totals."""
    for name in statistics.classes:
        root["shared"][name]
    for block in statistics.blocks:
        table = "profiles" if block.pre_side else "uniform"
        where = ", ".join(filter(None, (root.where, table, block.post, block.pre, block.pre_side)))
        for group in (block.post, block.pre):
            if circuit_class(group) not in statistics.classes:
                raise DataError(f"{where}: {group!r} is none of the classes {', '.join(statistics.classes)}")
        pair = circuit_class(block.post), circuit_class(block.pre)
        root["variation"][pair[0]][pair[1]]
        minimum = statistics.variation[pair].minimum
        for k, (pairs, synapses) in enumerate(zip(block.pairs, block.synapses, strict=True)):
            if synapses < pairs * minimum or (pairs == 0) != (synapses == 0):
                raise DataError(
                    f"{where}, bin {k}: got {synapses} synapses on {pairs} connected pairs, wanted at least "
                    f"{minimum} on each and none without a pair"
                )
    classes, totals = statistics.classes, statistics.totals()
    for i, post in enumerate(classes):
        for j, pre in enumerate(classes):
            stated = root["totals"][post][pre]
            if stated.integer() != totals[i, j]:
                raise stated.refused(f"{totals[i, j]}, the sum of its synapses in 'profiles' and 'uniform'")
