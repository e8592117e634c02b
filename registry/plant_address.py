"""Addresses of tags: a pattern of the plant file, filled in for a device and a tag.

A pattern is a text with `{site}`, `{area}`, `{line}`, `{cell}`, `{device}` and `{tag}`; a brace that means itself is written twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from string import Formatter

FIELDS = ("site", "area", "line", "cell", "device", "tag")
_SHOWN = ", ".join(f"{{{name}}}" for name in FIELDS)


class Pattern:
    """A parsed pattern; raises ValueError for one that names something else."""

    def __init__(self, text: str) -> None:
        try:
            parts = [(before, name, spec, how) for before, name, spec, how in Formatter().parse(text)]
        except ValueError as error:
            msg = f"{text[:200]!r} is no pattern: {error}; a brace that means itself is written twice"
            raise ValueError(msg) from error
        for _, name, spec, how in parts:
            if name is not None and (name not in FIELDS or spec or how):
                msg = f"{text[:200]!r} names {{{name}}}; known: {_SHOWN}"
                raise ValueError(msg)
        self._parts = [(before, name) for before, name, _, _ in parts]

    def fill(self, places: Mapping[str, str]) -> str:
        """The address; `places` has a value for each of FIELDS."""
        return "".join(before + (places[name] if name is not None else "") for before, name in self._parts)


@lru_cache(maxsize=1024)
def pattern(text: str) -> Pattern:
    """The parsed pattern; raises ValueError."""
    return Pattern(text)
