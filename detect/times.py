"""Timestamps of a column of text, whatever the writer's habit: ISO 8601, epochs, and the common orders of day and month.

One format holds for a whole column, and it must explain every row. Where two do (every day of the month is below 13), the one
in whose order time goes forward is taken; when that does not tell either, the user has to. Times without a zone are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class TimeFormatError(InvalidRequestError):
    """A timestamp cannot be read. `row` counts from 0."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


def parse_times(texts: Sequence[str], time_format: str = "") -> NDArray[np.int64]:
    """Microseconds UTC of each text, shape (n,); `time_format` as for strptime. Raises TimeFormatError for the row that fails."""
    if time_format:
        return _by(texts, _reader(time_format), f"in the format {time_format!r}")
    first = next((text for text in texts if text), "")
    if _is_number(first):
        compact = _COMPACT.get(len(first)) if first[:2] in {"19", "20"} and first.isdigit() else None
        if compact and _fits(first, compact):
            return _by(texts, _reader(compact), f"in the format {compact!r}")
        return _epochs(texts)
    if _is_iso(first):
        return _by(texts, datetime.fromisoformat, "in ISO 8601 like the first")
    return _by_known_format(texts, first)


def _by_known_format(texts: Sequence[str], first: str) -> NDArray[np.int64]:
    candidates = [each for each in FORMATS if _fits(first, each)]
    if not candidates:
        msg = f"{first!r} is no timestamp in a known format; give one, such as --time-format '%d/%m/%Y %H:%M:%S'"
        raise TimeFormatError(0, msg)
    found: list[tuple[int, NDArray[np.int64]]] = []
    failure: TimeFormatError | None = None
    for each in candidates:
        try:
            times = _by(texts, _reader(each), f"in the format {each!r}")
        except TimeFormatError as error:
            failure = error if failure is None or error.row > failure.row else failure
            continue
        found.append((int((np.diff(times) < 0).sum()), times))
    if not found:
        assert failure is not None
        raise failure
    found.sort(key=lambda one: one[0])
    if len(found) > 1 and found[0][0] == found[1][0] and not np.array_equal(found[0][1], found[1][1]):
        msg = f"{first!r} may mean day/month or month/day; say which: --time-format '%d/%m/%Y …' or '%m/%d/%Y …'"
        raise TimeFormatError(0, msg)
    return found[0][1]


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


def _epochs(texts: Sequence[str]) -> NDArray[np.int64]:
    numbers = np.empty(len(texts))
    for row, text in enumerate(texts):
        if not _is_number(text):
            msg = f"{text!r} is no timestamp in seconds (or milli-, micro-, nanoseconds) like the first"
            raise TimeFormatError(row, msg)
        numbers[row] = float(text)
    size = float(np.median(np.abs(numbers)))
    unit_us = next(unit for largest, unit in _EPOCHS if size < largest)
    times: NDArray[np.int64] = np.round(numbers * unit_us).astype(np.int64)
    return times


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
