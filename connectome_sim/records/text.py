"""JSON and tables of text, read with typed errors. Knows nothing of what they mean."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from connectome_sim import files
from connectome_sim.errors import RunFolderError
from connectome_sim.records import atomic

Table = Sequence[Mapping[str, str]]


def read_text(path: Path, *, most: int = files.TEXT_BYTES) -> str:
    """Content of a text file, checked against the checksums of its folder.

    Raises:
        RunFolderError: missing, too large, not UTF-8, or changed after it was written.
    """
    try:
        return files.read_text(path, most=most)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.parent.exists():
            raise RunFolderError(f"{path.parent}: no such folder.") from error
        raise RunFolderError(f"{path}: no such file; {path.parent} is not a complete run folder.") from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; errors as for `parse_object` and `read_text`."""
    return parse_object(read_text(path, most=files.JSON_BYTES), path=path)


def parse_object(text: str, *, path: Path) -> dict[str, Any]:
    """A JSON object; ``path`` is for messages.

    Raises:
        RunFolderError: not JSON, no object, a name twice, or a number that is not finite.
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{path}: line {error.lineno}: not JSON ({error.msg}).") from error
    except (RecursionError, ValueError) as error:  # nested without end, a number of thousands of digits
        raise RunFolderError(f"{path}: not JSON that can be read ({error}).") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path}: wanted a JSON object, got {type(content).__name__}.")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name is there twice")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"got {constant}, wanted null for a number that does not exist")


def numbers(content: Mapping[str, Any], *, path: Path, place: str = "") -> dict[str, float]:
    """Numbers by name, NaN where there is null.

    Raises:
        RunFolderError: a value that is no number.
    """
    for name, value in content.items():
        if value is not None and not isinstance(value, (int, float)):
            raise RunFolderError(f"{path}: {place}{name} is {str(value)[:100]!r}, wanted a number or null.")
    try:
        return {name: math.nan if value is None else float(value) for name, value in content.items()}
    except OverflowError as error:
        raise RunFolderError(f"{path}: {place}{error}, wanted numbers that float64 holds.") from error


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a comma-separated table.

    Raises:
        RunFolderError: not a table, a column twice, or a row of another length (its line is named).
    """
    text = read_text(path, most=files.TABLE_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = list(reader)
    except csv.Error as error:
        raise RunFolderError(f"{path}: line {reader.line_num}: cannot be read ({error}).") from error
    header = lines[0] if lines else []
    if len(set(header)) < len(header):
        raise RunFolderError(f"{path}: line 1: a column is there twice.")
    if short := next((number for number, line in enumerate(lines, 1) if len(line) != len(header)), 0):
        raise RunFolderError(f"{path}: line {short}: wanted {len(header)} fields.")
    return header, [dict(zip(header, line, strict=True)) for line in lines[1:]]


def write_table(path: Path, columns: Sequence[str], rows: Table) -> None:
    """Writes a comma-separated table; what a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(path, text.getvalue())


def number(text: str, *, path: Path, place: str) -> float:
    """A field as a number, NaN where it is empty.

    Raises:
        RunFolderError: it is none.
    """
    try:
        return float(text or "nan")
    except ValueError as error:
        raise RunFolderError(f"{path}: {place}: got {text[:100]!r}, wanted a number.") from error


def check_rows(rows: Table, columns: Sequence[str], *, numbers: Sequence[str] = (), path: Path) -> None:
    """Make sure that a table has some columns, and numbers or nothing in some of these.

    Raises:
        RunFolderError: it does not; file, line and column are named.
    """
    for line, row in enumerate(rows, 2):
        if missing := [name for name in columns if name not in row]:
            raise RunFolderError(f"{path}: column {missing[0]!r} is missing; the file is damaged.")
        for name in numbers:
            number(row[name], path=path, place=f"line {line}, {name}")
