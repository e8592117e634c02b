"""What a part of a lane's state is, and how the parts of a lane are kept together.

State goes out in named entries of bytes, only those that changed, and comes back whole. An entry's name is its kind, and
what tells it from others of the kind: `meta`, `memory/LIVE`, `window/60/1767225600000000`. Names and bytes are a format:
what one version wrote, the next one reads. `stages.telemetry.lane` has one `PartSet`; the job's adapter keeps the entries.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar, Protocol

from stages.intake.lane_table import LaneTable

_log = logging.getLogger(__name__)


class StatePart(Protocol):
    """A part of a lane's state. It notes itself what of it changed."""

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of its entries."""
    by_tag: ClassVar[bool]
    """Whether what it holds is laid out by tag or device: its entries wait until the registry is known."""

    def drain_changes(self) -> dict[str, bytes | None]:
        """Entries changed since last asked, None for one that is gone."""

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Put entries back, laid out for the present table whatever table they were written for.

        Raises packing.StateError for an entry that this version cannot read.
        """

    def relayout(self, table: LaneTable) -> None:
        """Follow a new table: tags that stay keep what is known of them, tags that left are forgotten."""


class PartSet:
    """All parts of a lane, in the order in which they follow a table and are restored."""

    def __init__(self, *parts: StatePart) -> None:
        self._parts = parts
        self._part_of_kind = {kind: part for part in parts for kind in part.kinds}
        self._waiting: dict[str, bytes] = {}

    @property
    def waits(self) -> bool:
        """Whether entries wait for the registry."""
        return bool(self._waiting)

    def drain_changes(self) -> dict[str, bytes | None]:
        """Entries of all parts changed since last asked."""
        changes: dict[str, bytes | None] = {}
        for part in self._parts:
            changes.update(part.drain_changes())
        return changes

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Put back at once what does not depend on tags; the rest waits for `restore_by_tag`. Raises StateError."""
        for part, own in self._sorted(entries):
            if part.by_tag:
                self._waiting |= own
            else:
                part.restore(own)

    def restore_by_tag(self) -> None:
        """Put back what waits, when the table is that of the registry. Raises StateError."""
        waiting, self._waiting = self._waiting, {}
        for part, own in self._sorted(waiting):
            part.restore(own)

    def relayout(self, table: LaneTable) -> None:
        """All parts follow a new table."""
        for part in self._parts:
            part.relayout(table)

    def _sorted(self, entries: Mapping[str, bytes]) -> list[tuple[StatePart, dict[str, bytes]]]:
        """Entries of each part that has some, in the order of parts."""
        found: dict[int, dict[str, bytes]] = {}
        for name, data in entries.items():
            part = self._part_of_kind.get(name.partition("/")[0])
            if part is None:
                _log.warning("state entry of an unknown kind is left alone", extra={"entry": name})
            else:
                found.setdefault(self._parts.index(part), {})[name] = data
        return [(self._parts[at], own) for at, own in sorted(found.items())]
