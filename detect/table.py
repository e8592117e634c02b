"""A history as its owner has it: a CSV file with a timestamp and one column per tag.

Enters a file; leaves a `History`. Whatever is wrong is an InvalidRequestError that names file, line and column. Missing values
are allowed anywhere but in the timestamp. Rows may be in any order. Columns that look like somebody's labels are left out, so
that a detector never sees the answer; so are columns that only number the rows. What was left out or refused is in the history, with why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from base.errors import InvalidRequestError
from detect.numbers import Style, find_style
from detect.text import COMMENT, Rows, read_rows
from detect.times import TimeFormatError, Times, parse_times

TIME_NAMES = (
    "timestamp",
    "time",
    "datetime",
    "date",
    "ts",
    "date_time",
    "time_us",
    "time_s",
    "time_ms",
    "zeit",
    "datum",
    "zeitstempel",
)
DATE_NAMES, CLOCK_NAMES = ("date", "datum", "day"), ("time", "zeit", "uhrzeit", "hour")
LABEL_NAMES = frozenset({"anomaly", "changepoint", "label", "labels", "is_anomaly", "anomaly_label", "fault", "attack"})
NUMBERING_NAMES = frozenset(
    {
        "id",
        "index",
        "idx",
        "row",
        "rownum",
        "row_id",
        "no",
        "no.",
        "nr",
        "nr.",
        "#",
        "seq",
        "sequence",
        "record",
        "unnamed: 0",
    }
)
MIN_ROWS = 2
LATEST_US = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1e6)
"""A later row is a mistyped one: it would be the newest of all, and nothing after it would be scored."""
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s?[AaPp][Mm])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Oddity:
    """A field that cannot be used: `line` counts from 1, `why` is a verdict's name or a sentence."""

    line: int
    column: str
    text: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a file is to be read; every field is empty for: find out.

    `time_columns` are joined by a blank. `period_s` counts rows of a file without a time. `keep` names columns that would be left out.
    """

    time_columns: Sequence[str] = ()
    time_format: str = ""
    period_s: float = 0.0
    ignore: Sequence[str] = ()
    keep: Sequence[str] = ()
    encoding: str = ""
    comment: str = COMMENT
    delimiter: str = ""
    decimal: str = ""
    header: bool = True


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class History:
    """Rows in the file's order. `time_us` (rows,) microseconds UTC; `values` (rows, tags), NaN where missing.

    `stamps` are the timestamps as they were written, `left_out` the columns that are no tags, each with why. A row whose time is refused
    has no values and the time of the row before it. `read_as` says how times, numbers and text were read.
    """

    name: str
    stamps: tuple[str, ...]
    time_us: NDArray[np.int64]
    tags: tuple[str, ...]
    values: NDArray[np.float64]
    left_out: dict[str, str] = field(default_factory=dict)
    labelled: NDArray[np.bool_] | None = None
    """Rows that a column of labels marks, (rows,). For the report only: no detector sees it."""
    oddities: tuple[Oddity, ...] = ()
    read_as: str = ""


def read_csv(path: Path, reading: Reading | None = None) -> History:
    """The history in a CSV file. Raises InvalidRequestError that names file, line and column."""
    reading = reading or Reading()
    rows = read_rows(path, encoding=reading.encoding, comment=reading.comment, delimiter=reading.delimiter)
    header, body, lines = _header(path, rows, reading)
    for name in (*reading.ignore, *reading.keep, *reading.time_columns):
        if name not in header:
            msg = f"{path.name} has no column {name!r}; it has {', '.join(header)}"
            raise InvalidRequestError(msg)
    at = _time_columns(header, body, reading)
    stamps, times = _times(path, header, body, lines, at, reading)
    left_out = _left_out(header, body, at, reading)
    chosen = [place for place, name in enumerate(header) if place not in at and name not in left_out and name]
    if not chosen:
        msg = f"{path.name} has no tag: its columns are {', '.join(header)}"
        raise InvalidRequestError(msg)
    style = _style(path, body, chosen, rows.delimiter, reading)
    values = _values(path, header, body, lines, chosen, style)
    time_us, late = _refuse_late(times)
    values[late] = math.nan
    oddities = [
        Oddity(line=lines[row], column=header[at[0]] if at else "", text=stamps[row], why="a time after the year 2100")
        for row in np.flatnonzero(late).tolist()
    ]
    infinite = np.argwhere(np.isinf(values))
    oddities += [
        Oddity(line=lines[row], column=header[chosen[place]], text=body[row][chosen[place]].strip(), why="NOT_FINITE")
        for row, place in infinite.tolist()
    ]
    return History(
        name=path.name,
        stamps=tuple(stamps),
        time_us=time_us,
        tags=tuple(header[place] for place in chosen),
        values=values,
        left_out=left_out,
        labelled=_labelled(header, body, left_out),
        oddities=tuple(oddities),
        read_as=_read_as(rows, times, style),
    )


def _header(path: Path, rows: Rows, reading: Reading) -> tuple[list[str], list[list[str]], list[int]]:
    if not reading.header:
        header, body, lines = [f"column{place}" for place in range(1, len(rows.fields[0]) + 1)], rows.fields, rows.lines
    else:
        header, body, lines = [name.strip() for name in rows.fields[0]], rows.fields[1:], rows.lines[1:]
        if len(header) > 1 and all(_is_value(name) for name in header[1:]):
            msg = f"{path.name}, line {rows.lines[0]}: a header with the columns' names is missing; --no-header gives them names"
            raise InvalidRequestError(msg)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        msg = f"{path.name}, line {rows.lines[0]}: two columns are called {twice[0]!r}"
        raise InvalidRequestError(msg)
    if len(body) < MIN_ROWS:
        msg = f"{path.name} has {len(body)} rows below its header; at least {MIN_ROWS} are needed"
        raise InvalidRequestError(msg)
    return header, body, lines


def _is_value(text: str) -> bool:
    """Whether a field of the first row is a number rather than a name. An empty one is a nameless column."""
    return any(Style(decimal=mark).number(text) is not None for mark in ".,") and bool(text)


def _time_columns(header: Sequence[str], body: Sequence[Sequence[str]], reading: Reading) -> tuple[int, ...]:
    """Places of the columns that make the time; none when rows are counted."""
    if reading.period_s:
        return ()
    if reading.time_columns:
        return tuple(header.index(name) for name in reading.time_columns)
    lowered = [name.lower() for name in header]
    date = next((lowered.index(name) for name in DATE_NAMES if name in lowered), None)
    clock = next((lowered.index(name) for name in CLOCK_NAMES if name in lowered), None)
    if date is not None and clock is not None and _CLOCK.fullmatch(body[0][clock].strip()) and ":" not in body[0][date]:
        return date, clock
    return (next((lowered.index(name) for name in TIME_NAMES if name in lowered), 0),)


def _times(
    path: Path,
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    lines: Sequence[int],
    at: tuple[int, ...],
    reading: Reading,
) -> tuple[list[str], Times]:
    if not at:
        us = np.round(np.arange(len(body)) * reading.period_s * 1e6).astype(np.int64)
        return [str(number) for number in range(len(body))], Times(
            us=us, read_as=f"rows every {reading.period_s:g} s", relative=True
        )
    stamps = [" ".join(row[place].strip() for place in at) for row in body]
    named = " and ".join(repr(header[place]) for place in at)
    try:
        times = parse_times(stamps, reading.time_format)
    except TimeFormatError as error:
        hint = (
            "" if _known(header, at, reading) else "; name the column with --time-column, or count rows with --period"
        )
        msg = f"{path.name}, line {lines[error.row]}, column {named}: {error}{hint}"
        raise InvalidRequestError(msg) from error
    if times.relative and not _known(header, at, reading):
        msg = (
            f"{path.name}: no column is called a time, and the first one, {named}, holds {stamps[0]!r}, which is no date; "
            "name the column with --time-column, or count rows with --period 60"
        )
        raise InvalidRequestError(msg)
    if times.us.min() < 0:
        oldest = int(times.us.argmin())
        msg = f"{path.name}, line {lines[oldest]}, column {named}: {stamps[oldest]!r} is before 1970"
        raise InvalidRequestError(msg)
    if times.us.min() > LATEST_US:
        msg = f"{path.name}, column {named}: every time is after the year 2100, such as {stamps[0]!r}; name the unit with --time-format"
        raise InvalidRequestError(msg)
    if times.us.min() == times.us.max():
        msg = f"{path.name}, column {named}: all {len(stamps)} rows have the time {stamps[0]!r}; count rows with --period 60"
        raise InvalidRequestError(msg)
    return stamps, times


def _known(header: Sequence[str], at: tuple[int, ...], reading: Reading) -> bool:
    return bool(reading.time_columns or reading.time_format) or header[at[0]].lower() in TIME_NAMES


def _left_out(
    header: Sequence[str], body: Sequence[Sequence[str]], at: tuple[int, ...], reading: Reading
) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, name in enumerate(header):
        if place in at or name in reading.keep or not name:
            continue
        if name in reading.ignore:
            found[name] = "asked for"
        elif name.lower() in LABEL_NAMES:
            found[name] = "a label"
        elif name.lower() in NUMBERING_NAMES or _counts_rows([row[place] for row in body]):
            found[name] = "numbers the rows"
    return found


def _counts_rows(fields: Sequence[str]) -> bool:
    """Whether a column is whole numbers that go up by one from row to row, from 0 or 1: no machine does that for a whole history."""
    if fields[0].strip() not in {"0", "1"} or len(fields) < 10:
        return False
    first = int(fields[0])
    return all(field.strip() == str(first + row) for row, field in enumerate(fields))


def _labelled(
    header: Sequence[str], body: Sequence[Sequence[str]], left_out: dict[str, str]
) -> NDArray[np.bool_] | None:
    """Rows that the first column of labels marks; None without one that is numbers or truth values."""
    name = next((name for name, why in left_out.items() if why == "a label"), None)
    if name is None:
        return None
    place, style = header.index(name), Style()
    marks = [style.number(row[place]) for row in body]
    if any(mark is None for mark in marks):
        return None
    return np.array([mark is not None and mark > 0 for mark in marks])


def _style(path: Path, body: Sequence[Sequence[str]], chosen: Sequence[int], delimiter: str, reading: Reading) -> Style:
    if reading.decimal:
        return Style(decimal=reading.decimal, thousands="," if reading.decimal == "." else ".")
    try:
        return find_style((row[place] for row in body for place in chosen), delimiter=delimiter)
    except InvalidRequestError as error:
        msg = f"{path.name}: {error}"
        raise InvalidRequestError(msg) from error


def _values(
    path: Path,
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    lines: Sequence[int],
    chosen: Sequence[int],
    style: Style,
) -> NDArray[np.float64]:
    values = np.full((len(body), len(chosen)), math.nan)
    for place, column in enumerate(chosen):
        for number, row in enumerate(body):
            value = style.number(row[column])
            if value is None:
                msg = (
                    f"{path.name}, line {lines[number]}, column {header[column]!r}: {row[column]!r} is not a number; "
                    f"leave a column out with --ignore {header[column]!r}"
                )
                raise InvalidRequestError(msg)
            values[number, place] = value
    return values


def _refuse_late(times: Times) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times with those beyond LATEST_US replaced by the row before them (the first good one at the start), and which those are."""
    late = times.us > LATEST_US
    if not late.any():
        return times.us, np.zeros(len(late), dtype=bool)
    good = np.flatnonzero(~late)
    source = np.maximum(np.searchsorted(good, np.arange(len(late)), side="right") - 1, 0)
    return times.us[good[source]], late


def _read_as(rows: Rows, times: Times, style: Style) -> str:
    parts = [f"times as {times.read_as}"]
    if rows.encoding not in {"utf-8", "utf-8-sig"}:
        parts.append(f"text as {rows.encoding}")
    if style != Style():
        parts.append(
            f"decimal mark {style.decimal!r}" + (f", thousands {style.thousands!r}" if style.thousands else "")
        )
    if rows.comments:
        parts.append(f"{rows.comments} comment lines skipped")
    return "; ".join(parts)
