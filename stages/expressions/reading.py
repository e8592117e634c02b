"""The text of an expression before CEL sees it: bounded, and known by name. Pure text; no library.

What may be named: `tag.NAME` (last value), `age_s.NAME` (seconds since its source time), `known.NAME` (whether it can be used),
`mean_5m.NAME`, `min_30s.NAME`, `max_1h.NAME` (windows), and `deadband`. Numbers are doubles, so a whole number may be written without a
point: it is widened here. There are no texts, no loops and no functions but a few, so what is left costs time in proportion to its length.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import NamedTuple

from base.errors import ConfigError
from stages.expressions.bounds import check_length

MAX_TAGS, MAX_WINDOWS = 16, 8
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1, 86_400
FUNCTIONS = ("math.abs", "math.greatest", "math.least", "math.sqrt", "math.isNaN")
DEADBAND = "deadband"
TAG, AGE, KNOWN = "tag", "age_s", "known"
_WORDS = frozenset({"true", "false", "in"})
_SIGNS = re.compile(r"[^\w\s.+\-*/<>=!&|?:(),\[\]]|//", re.ASCII)
_WINDOW = re.compile(r"(mean|min|max)_(\d{1,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TOKEN = re.compile(
    r"(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", re.ASCII
)


class Variable(NamedTuple):
    """A variable as the expression names it."""

    name: str
    word: str
    """What of the tag: `tag`, `age_s`, `known`, `mean`, `min` or `max`."""
    tag: str
    length_us: int = 0
    """Of a window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a text names, each once in order of its first use; `widened` is what CEL is given."""

    text: str
    widened: str
    variables: tuple[Variable, ...]
    tags: tuple[str, ...]
    inserted: tuple[int, ...]
    """Places in `widened` where two signs are more than in `text`."""

    def place(self, line: int, column: int) -> str:
        """Where that of the widened text is in the text, for people; both from 1."""
        offset = sum(len(one) + 1 for one in self.widened.split("\n")[: line - 1]) + column - 1
        offset -= 2 * sum(at < offset for at in self.inserted)
        before = self.text[:offset].split("\n")
        return (
            f"column {len(before[-1]) + 1}" if "\n" not in self.text else f"line {line}, column {len(before[-1]) + 1}"
        )


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """Read a text; raises ConfigError that says what cannot be in it."""
    check_length(text)
    if found := _SIGNS.search(text):
        msg = f"{found[0]!r} has no meaning here: there are names, numbers, operators, ( ) and [ ]"
        raise ConfigError(msg)
    widened, inserted, variables = "", list[int](), dict[str, Variable]()
    done = 0
    for token in _TOKEN.finditer(text):
        widened += text[done : token.end()]
        done = token.end()
        if token["name"]:
            called = text[done:].lstrip().startswith("(")
            if (variable := _variable(token["name"], called=called)) is not None:
                variables[variable.name] = variable
        elif token["number"].isdigit():
            inserted.append(len(widened))
            widened += ".0"
    known = tuple(variables.values())
    reading = Reading(
        text=text,
        widened=widened + text[done:],
        variables=known,
        tags=tuple(dict.fromkeys(one.tag for one in known if one.tag)),
        inserted=tuple(inserted),
    )
    _check_bounds(reading)
    return reading


def _variable(name: str, *, called: bool) -> Variable | None:
    if called:
        if name in FUNCTIONS or name in _WORDS:
            return None
        msg = f"there is no function {name[:80]}; there are: {', '.join(FUNCTIONS)}"
        raise ConfigError(msg)
    if name in _WORDS:
        return None
    if name == DEADBAND:
        return Variable(name, DEADBAND, "")
    word, _, tag = name.partition(".")
    if tag and "." not in tag:
        if word in (TAG, AGE, KNOWN):
            return Variable(name, word, tag)
        if window := _WINDOW.fullmatch(word):
            length_s = int(window[2]) * _SECONDS[window[3]]
            if not SHORTEST_WINDOW_S <= length_s <= LONGEST_WINDOW_S:
                msg = f"the window {word} is not from {SHORTEST_WINDOW_S} s to {LONGEST_WINDOW_S // 3600} h long"
                raise ConfigError(msg)
            return Variable(name, window[1], tag, length_s * 1_000_000)
    there_are = f"tag.NAME, age_s.NAME, known.NAME, windows as mean_5m.NAME (mean, min, max; s, m, h), {DEADBAND}"
    msg = f"there is no {name[:80]}; there are {there_are}"
    raise ConfigError(msg)


def _check_bounds(reading: Reading) -> None:
    windows = sum(one.length_us > 0 for one in reading.variables)
    if not reading.tags:
        msg = "it names no tag: it would never change"
        raise ConfigError(msg)
    if len(reading.tags) > MAX_TAGS:
        msg = f"it names {len(reading.tags)} tags, more than {MAX_TAGS}"
        raise ConfigError(msg)
    if windows > MAX_WINDOWS:
        msg = f"it has {windows} windows, more than {MAX_WINDOWS}"
        raise ConfigError(msg)
