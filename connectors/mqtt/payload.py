"""JSON payloads: what a message says of a tag, and what is written. Pure functions.

Errors are ValueError with the cause; they show at most the beginning of a value, never a payload.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from connectors.mqtt.address import MISSING, TIME_UNITS_US, Path, Place, at
from connectors.readings import Value
from schemas import quality
from schemas.definitions import DataType

_TEXTS = {"good": quality.GOOD, "uncertain": quality.UNCERTAIN, "bad": quality.BAD}
_OPC_DA_GOOD = 192
_LARGEST_TIME_US = 253_402_300_799_999_999


class Sample(NamedTuple):
    """What a message says; `time_us` 0 when it has no time."""

    value: Value
    time_us: int
    quality: int


def decode(data: bytes, max_bytes: int) -> Any:
    """The document of a payload."""
    if len(data) > max_bytes:
        msg = f"the payload is longer than {max_bytes} bytes"
        raise ValueError(msg)
    try:
        return json.loads(data)
    except RecursionError:
        msg = "the payload is nested too deeply"
    except UnicodeDecodeError:
        msg = "the payload is not UTF-8"
    except json.JSONDecodeError as error:
        msg = f"the payload is not JSON: {error.msg} at character {error.pos}"
    except ValueError:
        msg = "the payload has a number with too many digits"
    raise ValueError(msg)


def sample(document: Any, place: Place) -> Sample:
    """What a document says of a place."""
    value = _value(document, place)
    return Sample(value, _time_us(document, place), _quality(document, place))


def _value(document: Any, place: Place) -> Value:
    if place.path is not None:
        found, where = at(document, place.path), "the address's path"
    elif isinstance(document, dict):
        found, where = document.get("value", MISSING), "$.value"
    else:
        found, where = document, "the payload"
    if found is MISSING:
        msg = f"there is nothing at {where}"
        raise ValueError(msg)
    if isinstance(found, dict | list):
        msg = f"{where} is {'an object' if isinstance(found, dict) else 'a list'}, not a value"
        raise ValueError(msg)
    value: Value = found
    return value


def _time_us(document: Any, place: Place) -> int:
    found = at(document, place.time_path)
    if found is MISSING:
        if not place.time_key:
            return 0
        msg = f"there is no {place.time_key}"
        raise ValueError(msg)
    if place.time_key == "time_iso":
        return _iso_us(found)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        msg = f"the time is {str(found)[:40]!r}, not a number"
        raise ValueError(msg)
    unit_us = TIME_UNITS_US[place.time_key or "time_ms"]
    if not 0 < found * unit_us <= _LARGEST_TIME_US:
        msg = f"the time {str(found)[:40]} is not between 1970 and 9999"
        raise ValueError(msg)
    return round(found * unit_us)


def _iso_us(text: Any) -> int:
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        msg = f"the time is {str(text)[:40]!r}, not ISO 8601"
        raise ValueError(msg) from None
    if time.tzinfo is None:
        msg = f"the time {str(text)[:40]!r} has no offset from UTC"
        raise ValueError(msg)
    time_us = round(time.timestamp() * 1_000_000)
    if time_us <= 0:
        msg = f"the time {str(text)[:40]!r} is before 1970"
        raise ValueError(msg)
    return time_us


def _quality(document: Any, place: Place) -> int:
    found = at(document, place.quality_path)
    if found is MISSING or found is None:
        return quality.GOOD
    if isinstance(found, str) and found.lower() in _TEXTS:
        return _TEXTS[found.lower()]
    if isinstance(found, int) and not isinstance(found, bool):
        if found in {0, _OPC_DA_GOOD}:
            return quality.GOOD
        if 0xFFFF < found <= 0xFFFF_FFFF:
            return quality.from_status_code(found)
    msg = f"the quality is {str(found)[:40]!r}, not good, uncertain, bad or an OPC UA status code"
    raise ValueError(msg)


def encode(value: float, data_type: DataType, path: Path | None, now_us: int) -> bytes:
    """Payload of a write: `{"value": …, "timestamp_ms": …}`, or for a path an object that has the value there alone."""
    typed = _typed(value, data_type)
    if path is None:
        return json.dumps({"value": typed, "timestamp_ms": now_us // 1000}).encode()
    document: Any = typed
    for step in reversed(path):
        if isinstance(step, int):
            msg = "an element of a list cannot be written alone"
            raise ValueError(msg)
        document = {step: document}
    return json.dumps(document).encode()


def _typed(value: float, data_type: DataType) -> float | int | bool:
    if not math.isfinite(value):
        msg = f"{value} is no number that JSON has"
        raise ValueError(msg)
    if data_type is DataType.BOOLEAN:
        if value not in {0, 1}:
            msg = f"{value:g} is neither 0 nor 1"
            raise ValueError(msg)
        return bool(value)
    if data_type is DataType.INTEGER:
        if value != round(value):
            msg = f"{value:g} is not a whole number"
            raise ValueError(msg)
        return int(value)
    return float(value)


def leaves(document: Any, most: int) -> Iterator[tuple[Path | None, Value]]:
    """Places of a document that could be tags, at most so many: (path, value), path None where an address needs none."""
    stack: list[tuple[Path, Any]] = [((), document)]
    while stack and most > 0:
        path, found = stack.pop()
        if isinstance(found, dict):
            stack += [((*path, key), one) for key, one in reversed(list(found.items())[:most])]
        elif isinstance(found, list):
            stack += [((*path, index), one) for index, one in reversed(list(enumerate(found[:most])))]
        elif path not in {("timestamp_ms",), ("quality",)}:
            most -= 1
            yield (None if path in {(), ("value",)} else path), found
