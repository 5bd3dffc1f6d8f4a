"""Tables of text with checked columns: missing columns, bad numbers and cut lines are errors with file and line.

Knows nothing of what a column means.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from connectome_sim.errors import DataError

_WHOLE_NUMBER = r"\s*[0-9]+\s*"


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one file, all of the same length.

    Attributes:
        name: file name, for messages.
        columns: column name -> int64 array or array of strings.
    """

    name: str
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    def line(self, row: int | np.integer) -> int:
        """Line of the file (from 1, the header is line 1) that holds a row (from 0)."""
        return int(row) + 2


def read_csv(content: bytes, *, name: str, integers: Sequence[str] = (), texts: Sequence[str] = ()) -> Table:
    """Read a comma-separated table with a header.

    Args:
        content: the bytes of the file, UTF-8.
        name: file name, for messages.
        integers: columns of whole numbers, zero or more, at most 2**63 - 1; never read through a float.
        texts: columns of text; an empty field is "".

    Raises:
        DataError: empty file, no rows, missing column, a line with too many or too few fields, a field that is no whole
            number.
    """
    wanted = [*integers, *texts]
    header = _header(content, name)
    for column in wanted:
        if column not in header:
            raise DataError(
                f"{name}, line 1: column {column!r} is missing; got {', '.join(header)}, wanted {', '.join(wanted)}"
            )
        if header.count(column) > 1:
            raise DataError(f"{name}, line 1: column {column!r} is there {header.count(column)} times, wanted once")
    # Types of the numbers are left to pandas: asked for int64 it would quietly turn 1.0e9 into one.
    frame = _parse(content, name, texts)
    if not all(frame[column].dtype == np.int64 and (frame[column] >= 0).all() for column in integers):
        frame = _located(_parse(content, name, wanted), name, integers)  # slow, and finds the line
    if frame.empty:
        raise DataError(f"{name}: got a header and no rows, wanted at least one row")
    _refuse_short_lines(content, name, len(header))
    columns: dict[str, np.ndarray] = {column: frame[column].to_numpy(dtype=np.int64) for column in integers}
    columns.update({column: np.array(frame[column].tolist(), dtype=str) for column in texts})
    return Table(name, columns)


def _refuse_short_lines(content: bytes, name: str, n_fields: int) -> None:
    """Pandas fills a line that is cut with empty fields; those that are there end in separators."""
    line, found = _lines_with_quotes(content, name) if b'"' in content else _lines(content)
    short = np.flatnonzero(found < n_fields)
    if short.size:
        raise DataError(
            f"{name}, line {line[short[0]]}: got {found[short[0]]} field(s), wanted {n_fields} as in the header; the "
            f"line is cut ({short.size} such line(s))"
        )


def _lines(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Number of each line that is not blank, and its number of fields."""
    data = np.frombuffer(content.replace(b"\r\n", b"\n"), dtype=np.uint8)
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    separators = np.searchsorted(np.flatnonzero(data == ord(",")), ends)
    filled = np.flatnonzero(np.diff(ends, prepend=-1) > 1)
    return filled + 1, np.diff(separators, prepend=0)[filled] + 1


def _lines_with_quotes(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The same of a table whose fields may hold separators."""
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig")), skipinitialspace=True)
    try:
        rows = [(reader.line_num, len(row)) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}") from None
    return np.array([line for line, _ in rows]), np.array([fields for _, fields in rows])


def _header(content: bytes, name: str) -> list[str]:
    first_line = content.split(b"\n", 1)[0]
    try:
        text = first_line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError:
        raise DataError(f"{name}, line 1: got bytes that are not text, wanted a header of column names") from None
    if not text.strip():
        raise DataError(f"{name}: the file is empty, wanted a header of column names and rows")
    return [column.lstrip().strip('"') for column in text.split(",")]


def _parse(content: bytes, name: str, texts: Sequence[str]) -> pd.DataFrame:
    """All columns, ``texts`` as text; blank lines are kept so that row and line numbers agree."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(content),
                dtype=dict.fromkeys(texts, str),
                index_col=False,
                keep_default_na=False,
                skip_blank_lines=False,
                skipinitialspace=True,
                low_memory=False,
                encoding="utf-8-sig",
            )
    except pd.errors.ParserError as error:
        raise DataError(f"{name}: {str(error).strip().removeprefix('Error tokenizing data. C error: ')}") from None
    except pd.errors.ParserWarning:
        raise DataError(f"{name}: lines hold more fields than the header names columns") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: got bytes that are not UTF-8 text ({error.reason})") from None


def _located(frame: pd.DataFrame, name: str, integers: Sequence[str]) -> pd.DataFrame:
    """The table read as text with its whole numbers converted, or the error for the first field that is none."""
    frame = frame.fillna("").astype(str)
    filled = np.flatnonzero((frame != "").any(axis=1))
    frame = frame.iloc[: filled[-1] + 1 if filled.size else 0]  # blank lines at the end are no rows
    for column in integers:
        bad = np.flatnonzero(~frame[column].str.fullmatch(_WHOLE_NUMBER).to_numpy(dtype=bool))
        if bad.size:
            came = frame[column].iloc[bad[0]]
            raise DataError(
                f"{name}, line {bad[0] + 2}, column {column!r}: got {came!r}, wanted a whole number, zero or more, "
                f"without point or exponent ({bad.size} such line(s))"
            )
        large = np.flatnonzero([_is_large(value) for value in frame[column]])
        if large.size:
            came = frame[column].iloc[large[0]]
            raise DataError(f"{name}, line {large[0] + 2}, column {column!r}: got {came}, wanted less than 2**63")
    return frame.assign(**{column: frame[column].astype(np.int64) for column in integers})


def _is_large(digits: str) -> bool:
    digits = digits.strip().lstrip("0")
    return len(digits) > 19 or int(digits or 0) >= 2**63  # int() refuses thousands of digits
