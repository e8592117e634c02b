"""Timestamps of a column of text, whatever the writer's habit: ISO 8601, epochs, spreadsheets' days, day and month in the common orders.

One format holds for a whole column, and it must explain every row. Where two do (every day of the month is below 13), the one
in whose order time goes forward is taken; when that does not tell either, the user has to. Times without a zone are UTC. How a column was
read is part of the answer, because a wrong guess must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from base.errors import InvalidRequestError

FORMATS = tuple(
    f"{date}{time}"
    for date in (
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d/%m/%y",
        "%m/%d/%y",
        "%d.%m.%Y",
        "%d.%m.%y",
        "%d-%m-%Y",
        "%Y/%m/%d",
        "%d-%b-%Y",
    )
    for time in (" %H:%M:%S.%f", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "")
)
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_EPOCHS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (float("inf"), 1e-3))
"""Largest number that is seconds, milliseconds, microseconds, nanoseconds, and microseconds in one of them."""
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
"""`time_format` for numbers: microseconds in one."""
_LARGEST = 9e18
EXCEL = "excel"
_EXCEL_EPOCH_DAYS = 25_569
_EXCEL_DAYS = (20_000.0, 80_000.0)
"""Days since the end of 1899 that a spreadsheet may hold: 1954 to 2119."""
_EXCEL_STEP_DAYS = 0.2
_LEAST_EPOCH_S = 1e8
"""Below it (1973) a number of seconds is counted from the start of a trial, not from 1970."""


class TimeFormatError(InvalidRequestError):
    """A timestamp cannot be read. `row` counts from 0."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Times:
    """Microseconds UTC since 1970, shape (n,), and how the column was read, for people. `relative`: counted from the start of a trial."""

    us: NDArray[np.int64]
    read_as: str
    relative: bool = False


def parse_times(texts: Sequence[str], time_format: str = "") -> Times:
    """The times of a column. `time_format` is one of strptime, or s, ms, us, ns, excel. Raises TimeFormatError for the row that fails."""
    if time_format == EXCEL:
        return _excel(_numbers(texts, "in days of a spreadsheet"))
    if time_format in _UNITS:
        us = np.round(_numbers(texts, f"in {time_format}") * _UNITS[time_format]).astype(np.int64)
        return _counted(us, time_format)
    if time_format:
        return Times(us=_by(texts, _reader(time_format), f"in the format {time_format!r}"), read_as=time_format)
    first = next((text for text in texts if text), "")
    if _is_number(first):
        compact = _COMPACT.get(len(first)) if first[:2] in {"19", "20"} and first.isdigit() else None
        if compact and _fits(first, compact):
            return Times(us=_by(texts, _reader(compact), f"in the format {compact!r}"), read_as=compact)
        return _of_numbers(texts)
    if _is_iso(first):
        return Times(us=_by(texts, datetime.fromisoformat, "in ISO 8601 like the first"), read_as="ISO 8601")
    return _by_known_format(texts, first)


def _by_known_format(texts: Sequence[str], first: str) -> Times:
    candidates = [each for each in FORMATS if _fits(first, each)]
    if not candidates:
        msg = f"{first!r} is no timestamp in a known format; give one, such as --time-format '%d/%m/%Y %H:%M:%S'"
        raise TimeFormatError(0, msg)
    found: list[tuple[int, NDArray[np.int64], str]] = []
    failure: TimeFormatError | None = None
    for each in candidates:
        try:
            times = _by(texts, _reader(each), f"in the format {each!r}")
        except TimeFormatError as error:
            failure = error if failure is None or error.row > failure.row else failure
            continue
        found.append((int((np.diff(times) < 0).sum()), times, each))
    if not found:
        assert failure is not None
        raise failure
    found.sort(key=lambda one: one[0])
    if len(found) > 1 and found[0][0] == found[1][0] and not np.array_equal(found[0][1], found[1][1]):
        msg = f"{first!r} may mean day/month or month/day; say which: --time-format '%d/%m/%Y …' or '%m/%d/%Y …'"
        raise TimeFormatError(0, msg)
    return Times(us=found[0][1], read_as=found[0][2])


def _by(texts: Sequence[str], read: Callable[[str], datetime], how: str) -> NDArray[np.int64]:
    times = np.empty(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        try:
            moment = read(text)
        except ValueError:
            msg = f"{text!r} is no timestamp {how}"
            raise TimeFormatError(row, msg) from None
        times[row] = _to_us(moment)
    return times


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _to_us(moment: datetime) -> int:
    delta = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _of_numbers(texts: Sequence[str]) -> Times:
    """Epochs, days of a spreadsheet, or seconds from the start of a trial."""
    numbers = _numbers(texts, "in seconds (or milli-, micro-, nanoseconds) like the first")
    size = float(np.median(np.abs(numbers)))
    if numbers.min() >= _EXCEL_DAYS[0] and numbers.max() <= _EXCEL_DAYS[1]:
        steps = np.diff(np.unique(numbers))
        if len(steps) and float(np.median(steps)) < _EXCEL_STEP_DAYS:
            return _excel(numbers)
        msg = f"{texts[0]!r} may be a spreadsheet's day or seconds from a start; say which: --time-format excel or --time-format s"
        raise TimeFormatError(0, msg)
    unit_us = next(unit for largest, unit in _EPOCHS if size < largest)
    name = next(name for name, us in _UNITS.items() if us == unit_us)
    return _counted(np.round(numbers * unit_us).astype(np.int64), name)


def _counted(us: NDArray[np.int64], unit: str) -> Times:
    relative = float(np.median(np.abs(us))) < _LEAST_EPOCH_S * 1e6
    return Times(us=us, read_as=f"{unit} from a start" if relative else f"{unit} since 1970", relative=relative)


def _excel(days: NDArray[np.float64]) -> Times:
    """A double holds a moment of our days to about a microsecond; spreadsheets round to milliseconds."""
    us = np.round((days - _EXCEL_EPOCH_DAYS) * 86_400_000.0).astype(np.int64) * 1_000
    return Times(us=us, read_as="days of a spreadsheet")


def _numbers(texts: Sequence[str], how: str) -> NDArray[np.float64]:
    numbers = np.empty(len(texts))
    for row, text in enumerate(texts):
        if not _is_number(text):
            msg = f"{text!r} is no timestamp {how}"
            raise TimeFormatError(row, msg)
        numbers[row] = float(text)
        if abs(numbers[row]) > _LARGEST:
            msg = f"{text[:40]!r} is too large for a timestamp"
            raise TimeFormatError(row, msg)
    return numbers


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _fits(text: str, time_format: str) -> bool:
    try:
        _reader(time_format)(text)
    except ValueError:
        return False
    return True


def _reader(time_format: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, time_format)  # noqa: DTZ007  # without a zone it is UTC, see _to_us
