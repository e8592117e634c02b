"""Finds entries of the log: by person, place, action, outcome, time. Enters: a readable log. Leaves: entries as fields, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from audit import entries
from audit.tiles import Readable

_CLOCKS_US = 3_600_000_000
"""The order of the log is that of the topic; times are those of the services, whose clocks may differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to look for; empty texts and 0 are everything. `path`: at or under it. `action`: it, or what begins with it and a colon."""

    person: str = ""
    path: str = ""
    action: str = ""
    outcome: str = ""
    command_id: str = ""
    since_us: int = 0
    until_us: int = 0

    def fits(self, fields: dict[str, Any]) -> bool:
        """Whether an entry is wanted."""
        time_us = int(fields.get("time_us", 0))
        return (
            (not self.person or self.person in {fields.get("subject"), fields.get("second")})
            and (not self.path or _under(str(fields.get("path", "")), self.path))
            and (not self.action or _under(str(fields.get("action", "")), self.action, ":"))
            and (not self.outcome or fields.get("outcome") == self.outcome)
            and (not self.command_id or fields.get("command_id") == self.command_id)
            and time_us >= self.since_us
            and (not self.until_us or time_us < self.until_us)
        )

    def over(self, fields: dict[str, Any]) -> bool:
        """Whether everything before an entry is too old."""
        # Events of the database have the time when they were noted, and may come long after.
        return fields.get("service") != "database" and 0 < int(fields.get("time_us", 0)) < self.since_us - _CLOCKS_US


def newest(log: Readable, wanted: Wanted, before: int | None = None) -> Iterator[dict[str, Any]]:
    """Entries that fit, newest first, each with its `index`."""
    for index, entry in log.newest_first(before):
        fields = entries.fields_of(entry)
        if wanted.fits(fields):
            yield fields | {"index": index}
        if wanted.over(fields):
            return


def oldest(log: Readable, wanted: Wanted, start: int = 0) -> Iterator[dict[str, Any]]:
    """Entries that fit from an index on, oldest first."""
    for index, entry in log.oldest_first(start):
        fields = entries.fields_of(entry)
        if wanted.fits(fields):
            yield fields | {"index": index}


def _under(text: str, prefix: str, separator: str = "/") -> bool:
    return text == prefix or text.startswith(prefix.rstrip(separator) + separator)
