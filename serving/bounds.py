"""Bounds of what a caller may send: checked before any work, for every field of every request of every face.

Enters: names and values of fields as a face decodes them: texts, numbers, bytes, lists, maps. Leaves: nothing, or InvalidRequestError that
names the field and its bound. The tables say what a name may hold in any message; a name that is in no table has the default, so a new
field is bounded from its first day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from base.errors import InvalidRequestError, shown

MAX_REQUEST = 256 * 1024
"""Bytes of a request as it travels."""
MAX_TEXT = 200
"""Characters of a text that is in no table."""
MAX_ITEMS = 1_000
"""Elements of a list; entries of a map."""
MAX_DEPTH = 16
"""Parts of a path; the plant's have seven."""

TEXT: Mapping[str, int] = {
    "path": 500,
    "paths": 500,
    "prefix": 500,
    "prefixes": 500,
    "page_token": 1_000,
    "resume_position": 200,
    "reason": 500,
    "why": 1_000,
    "scope": 500,
    "device_path": 500,
    "command_id": 36,
    "alarm_id": 36,
    "alarm_ids": 36,
    "action_id": 36,
    "comment": 500,
}
PATHS = frozenset({"path", "paths", "prefix", "prefixes", "scope", "device_path"})
ITEMS: Mapping[str, int] = {"parameters": 100, "states": 20, "kinds": 20, "reasons": 50, "ranges": 100}


def size(length: int) -> None:
    """Bound of a whole request, in bytes, before it is decoded."""
    if length > MAX_REQUEST:
        msg = f"the request has {length:,} bytes, more than {MAX_REQUEST:,}"
        raise InvalidRequestError(msg)


def text(name: str, value: str, *, where: str = "") -> None:
    """Bound of a text; `name` finds its row, `where` (default: the name) is what the message calls it."""
    where = where or name
    limit = TEXT.get(name, MAX_TEXT)
    if len(value) > limit:
        msg = f"{where} has {len(value)} characters, more than {limit}"
        raise InvalidRequestError(msg, field=where)
    if "\x00" in value:
        msg = f"{where} contains a NUL character"
        raise InvalidRequestError(msg, field=where)
    if name in PATHS and (parts := value.count("/") + 1) > MAX_DEPTH:
        msg = f"{where} has {parts} parts, more than {MAX_DEPTH}"
        raise InvalidRequestError(msg, field=where)


def count(name: str, items: int, *, where: str = "") -> None:
    """Bound of the number of elements of a list or entries of a map."""
    where = where or name
    limit = ITEMS.get(name, MAX_ITEMS)
    if items > limit:
        msg = f"{where} has {items:,} entries, more than {limit:,}"
        raise InvalidRequestError(msg, field=where)


def value(name: str, given: object, *, where: str = "") -> None:
    """Bounds of a value of any kind, and of what is in it."""
    where = where or name
    if isinstance(given, str):
        text(name, given, where=where)
    elif isinstance(given, bytes):
        if len(given) > MAX_TEXT:
            msg = f"{where} has {len(given):,} bytes, more than {MAX_TEXT}"
            raise InvalidRequestError(msg, field=where)
    elif isinstance(given, Mapping):
        count(name, len(given), where=where)
        for key, item in given.items():
            if isinstance(key, str):
                text("", key, where=f"a key of {where}")
            value("", item, where=f"{where}[{shown(key)}]")
    elif isinstance(given, Sequence):
        count(name, len(given), where=where)
        for index, item in enumerate(given):
            value(name, item, where=f"{where}[{index}]")
