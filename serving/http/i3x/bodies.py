"""Bodies of i3X's requests: which fields they have, of what kind, within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from base.errors import InvalidRequestError, shown

MAX_ELEMENTS = 1_000
MAX_TEXT = 500


def text(body: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
    """A text. Raises InvalidRequestError."""
    value = body.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        _wrong(name, f"a text of at most {MAX_TEXT} printable characters")
    return value


def texts(body: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts. Raises InvalidRequestError."""
    values = body.get(name)
    if not isinstance(values, list) or len(values) > MAX_ELEMENTS:
        _wrong(name, f"a list of at most {MAX_ELEMENTS:,}")
    for value in values:
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            _wrong(name, f"a list of texts of at most {MAX_TEXT} characters")
    return values


def integer(body: Mapping[str, Any], name: str, low: int, high: int, default: int | None) -> int | None:
    """An integer. Raises InvalidRequestError."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        _wrong(name, f"an integer from {low} to {high}")
    return value


def depth(body: Mapping[str, Any]) -> int:
    """`maxDepth`: 0 is all, 1 the object alone."""
    found = integer(body, "maxDepth", 0, 1_000, 1)
    assert found is not None
    return found


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A truth value. Raises InvalidRequestError."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        _wrong(name, "true or false")
    return bool(value)


def time_us(body: Mapping[str, Any], name: str) -> int:
    """A time of RFC 3339 as microseconds UTC. Raises InvalidRequestError."""
    value = body.get(name)
    if not isinstance(value, str) or len(value) > 40:
        _wrong(name, "a time of RFC 3339")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        msg = f"{name} is {shown(value)}, not a time of RFC 3339"
        raise InvalidRequestError(msg, field=name) from None
    if found.tzinfo is None:
        _wrong(name, "a time in UTC, with a Z at its end")
    since = found.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _wrong(name: str, expected: str) -> NoReturn:
    msg = f"{name} is missing, or is not {expected}"
    raise InvalidRequestError(msg, field=name)
