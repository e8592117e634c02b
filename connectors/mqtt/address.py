"""Where a value is on an MQTT broker. Pure functions; no MQTT library.

An address is `<topic>[#<path>][;<option>=<value>…]`.

- topic: the whole name, without wildcards (`+` and `#`).
- path: where the value is in a JSON document: `$.name.other`, `$.list[2]`, `$['a name with dots']` (the part of JSONPath, RFC 9535,
  that names one place). Without a path it is `$.value` of an object, or a payload that is a number, text, true or false itself.
- `time_ms`, `time_s`, `time_us`, `time_iso`: path of the time, as a number since 1970 or an ISO 8601 text with its offset from UTC.
  Without one it is `$.timestamp_ms` where a document has that, else the time of receipt.
- `quality`: path of the quality (default `$.quality`): `good`, `uncertain`, `bad`, or an OPC UA status code.
- `set`: topic that takes writes; the connection's `write_topic` when there is none.

A topic with `;` in its name cannot be an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_LONGEST = 1024
_DEEPEST = 32
_STEP = re.compile(
    r"\.(?P<name>[^.\[\]'\"\s]+)|\[(?P<index>[0-9]{1,6})\]|\['(?P<quoted>[^'\\]+)'\]|\[\"(?P<double>[^\"\\]+)\"\]"
)
TIME_UNITS_US = {"time_us": 1, "time_ms": 1000, "time_s": 1_000_000}
_OPTIONS = frozenset({*TIME_UNITS_US, "time_iso", "quality", "set"})

Path = tuple[str | int, ...]
"""Steps from the root of a document: names and indices."""


class Missing:
    """What `at` returns for a place that is not in the document: a null is a value."""


MISSING = Missing()


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A parsed address. `path` None is a UNS document or a value of its own; `time_key` empty is the default."""

    topic: str
    path: Path | None = None
    time_key: str = ""
    time_path: Path = ("timestamp_ms",)
    quality_path: Path = ("quality",)
    set_topic: str = ""


def parse(text: str) -> Place:
    """Place of an address; raises ValueError with the cause."""
    if len(text) > _LONGEST:
        msg = f"an address of {len(text)} characters is longer than {_LONGEST}"
        raise ValueError(msg)
    where, *options = text.split(";")
    topic, hash_sign, path = where.partition("#")
    check_topic(topic, "topic")
    found: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if key not in _OPTIONS or not equals:
            msg = f"{option[:60]!r} is no option; known: {', '.join(sorted(_OPTIONS))}"
            raise ValueError(msg)
        if key in found or (key.startswith("time_") and any(one.startswith("time_") for one in found)):
            msg = f"{key}: a sample has one {'time' if key.startswith('time_') else key}"
            raise ValueError(msg)
        found[key] = value
    time_key = next((key for key in found if key.startswith("time_")), "")
    if "set" in found:
        check_topic(found["set"], "set")
    return Place(
        topic=topic,
        path=parse_path(path) if hash_sign else None,
        time_key=time_key,
        time_path=parse_path(found[time_key]) if time_key else ("timestamp_ms",),
        quality_path=parse_path(found["quality"]) if "quality" in found else ("quality",),
        set_topic=found.get("set", ""),
    )


def check(text: str) -> None:
    """Raise ValueError with the cause unless the text is an address."""
    parse(text)


def machine_of(text: str) -> str:
    """The level above the last one of an address's topic; the topic itself where it has one level."""
    topic = text.partition(";")[0].partition("#")[0]
    return topic.rpartition("/")[0] or topic


def check_topic(topic: str, what: str) -> None:
    """Raise ValueError unless the text is the name of one topic."""
    if not topic or "\0" in topic or len(topic.encode()) > 0xFFFF:
        msg = f"{what} is {topic[:60]!r}: a topic has 1 to 65535 bytes and no NUL"
        raise ValueError(msg)
    if "+" in topic or "#" in topic:
        msg = f"{what} {topic[:60]!r} has a wildcard: an address names one topic"
        raise ValueError(msg)
    if topic.startswith("$SYS"):
        msg = f"{what} {topic[:60]!r} belongs to the broker"
        raise ValueError(msg)


def parse_path(text: str) -> Path:
    """Steps of a path; raises ValueError."""
    if not text.startswith("$"):
        msg = f"path {text[:60]!r} does not begin with $"
        raise ValueError(msg)
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            msg = f"path {text[:60]!r} is not understood from {text[at : at + 20]!r}: write $.name, $.list[0] or $['name']"
            raise ValueError(msg)
        if len(steps) == _DEEPEST:
            msg = f"path {text[:60]!r} is deeper than {_DEEPEST}"
            raise ValueError(msg)
        index = step["index"]
        steps.append(int(index) if index is not None else step["name"] or step["quoted"] or step["double"])
        at = step.end()
    return tuple(steps)


def path_text(path: Path) -> str:
    """A path as it is written."""
    plain = re.compile(r"[^.\[\]'\"\s;#]+")
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step}" if plain.fullmatch(step) else f"['{step}']"
        for step in path
    )
    return "$" + "".join(steps)


def at(document: Any, path: Path) -> Any:
    """What is at a path; MISSING where there is nothing."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(document, dict) or step not in document:
                return MISSING
        elif not isinstance(document, list) or step >= len(document):
            return MISSING
        document = document[step]
    return document
