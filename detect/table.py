"""A history as its owner has it: a CSV file with a timestamp and one column per tag.

Enters a file; leaves a `History`. Whatever is wrong is an InvalidRequestError that names file, line and column. Missing values
are allowed anywhere but in the timestamp. Rows may be in any order. Columns that look like somebody's labels are left out, so
that a detector never sees the answer, and the report says so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from base.errors import InvalidRequestError
from detect.times import TimeFormatError, parse_times

TIME_NAMES = ("timestamp", "time", "datetime", "date", "ts", "date_time", "time_us", "time_s", "time_ms")
LABEL_NAMES = frozenset({"anomaly", "changepoint", "label", "labels", "is_anomaly", "anomaly_label", "fault", "attack"})
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?"})
MIN_ROWS = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class History:
    """Rows in the file's order. `time_us` (rows,) microseconds UTC; `values` (rows, tags), NaN where missing.

    `stamps` are the timestamps as they were written, `left_out` the columns that are no tags.
    """

    name: str
    stamps: tuple[str, ...]
    time_us: NDArray[np.int64]
    tags: tuple[str, ...]
    values: NDArray[np.float64]
    left_out: tuple[str, ...] = ()


def read_csv(path: Path, *, time_column: str = "", time_format: str = "", ignore: Sequence[str] = ()) -> History:
    """The history in a CSV file. Raises InvalidRequestError that names file, line and column."""
    lines, rows, delimiter = _rows(path)
    header = [name.strip() for name in rows[0]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        msg = f"{path.name}, line {lines[0]}: two columns are called {twice[0]!r}"
        raise InvalidRequestError(msg)
    if all(_number(field, delimiter) is not None for field in header):
        msg = f"{path.name}, line {lines[0]}: a header with the columns' names is missing"
        raise InvalidRequestError(msg)
    body, lines = rows[1:], lines[1:]
    if len(body) < MIN_ROWS:
        msg = f"{path.name} has {len(body)} rows below its header; at least {MIN_ROWS} are needed"
        raise InvalidRequestError(msg)
    unknown = sorted(set(ignore) - set(header))
    if unknown:
        msg = f"{path.name} has no column {unknown[0]!r} to leave out; it has {', '.join(header)}"
        raise InvalidRequestError(msg)
    at = _time_column(path, header, time_column)
    stamps = [row[at].strip() for row in body]
    try:
        time_us = parse_times(stamps, time_format)
    except TimeFormatError as error:
        msg = f"{path.name}, line {lines[error.row]}, column {header[at]!r}: {error}"
        raise InvalidRequestError(msg) from error
    if time_us.min() < 0:
        oldest = int(time_us.argmin())
        msg = f"{path.name}, line {lines[oldest]}, column {header[at]!r}: {stamps[oldest]!r} is before 1970"
        raise InvalidRequestError(msg)
    out = {name for name in header if name in ignore or name.lower() in LABEL_NAMES or not name}
    chosen = [column for column, name in enumerate(header) if column != at and name not in out]
    if not chosen:
        msg = f"{path.name} has no tag: its columns are {', '.join(header)}"
        raise InvalidRequestError(msg)
    values = np.full((len(body), len(chosen)), math.nan)
    for place, column in enumerate(chosen):
        for number, row in enumerate(body):
            value = _number(row[column], delimiter)
            if value is None:
                msg = (
                    f"{path.name}, line {lines[number]}, column {header[column]!r}: {row[column]!r} is not a number; "
                    f"leave a column out with --ignore {header[column]!r}"
                )
                raise InvalidRequestError(msg)
            values[number, place] = value
    return History(
        name=path.name,
        stamps=tuple(stamps),
        time_us=time_us,
        tags=tuple(header[column] for column in chosen),
        values=values,
        left_out=tuple(name for name in header if name in out and name),
    )


def _rows(path: Path) -> tuple[list[int], list[list[str]], str]:
    """Line numbers and fields of the rows that are not blank, header first, and the delimiter."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max((",", ";", "\t"), key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            lines, rows = [], []
            for row in reader:
                if any(field.strip() for field in row):
                    lines.append(reader.line_num)
                    rows.append(row)
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise InvalidRequestError(msg) from None
    except IsADirectoryError:
        msg = f"{path} is a folder; name CSV files"
        raise InvalidRequestError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not UTF-8 text (byte {error.start})"
        raise InvalidRequestError(msg) from error
    except csv.Error as error:
        msg = f"{path.name}, line {reader.line_num}: {error}"
        raise InvalidRequestError(msg) from error
    if not rows:
        msg = f"{path.name} is empty"
        raise InvalidRequestError(msg)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(rows[0]):
            msg = f"{path.name}, line {line}: {len(row)} fields, but the header has {len(rows[0])}"
            raise InvalidRequestError(msg)
    return lines, rows, delimiter


def _time_column(path: Path, header: Sequence[str], wanted: str) -> int:
    if wanted:
        if wanted not in header:
            msg = f"{path.name} has no column {wanted!r}; it has {', '.join(header)}"
            raise InvalidRequestError(msg)
        return header.index(wanted)
    lowered = [name.lower() for name in header]
    return next((lowered.index(name) for name in TIME_NAMES if name in lowered), 0)


def _number(text: str, delimiter: str) -> float | None:
    """Value of a field, NaN when it is missing, None when it is no number. A decimal comma needs another delimiter."""
    text = text.strip()
    if text.lower() in MISSING:
        return math.nan
    if delimiter != ",":
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(text.lower())
