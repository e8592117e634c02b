"""Whose history is asked for, and of when: ids and paths become tags, times become bounds that SQL takes.

Enters: what a caller named. Leaves: definitions of tags and a range of time, or an error that says what would be
right. Pure over the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from base.errors import InvalidRequestError
from schemas.definitions import TagDefinition
from serving.caches.plant import Lookups

MAX_TAGS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = 4_102_444_800_000_000
"""2100-01-01: no sample is later, and no earlier than 1970."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Tags by id and by path (of tags, or of what they lie under), from a time, inclusive, to another, exclusive; 0 ends now."""

    tag_ids: Sequence[int] = ()
    prefixes: Sequence[str] = ()
    start_us: int = 0
    end_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """A range of time, microseconds UTC: `start_us` inclusive, `end_us` exclusive."""

    start_us: int
    end_us: int
    parameters: dict[str, datetime] = field(init=False)
    """For SQL: `start`, `end`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", {"start": at(self.start_us), "end": at(self.end_us)})

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_us - self.start_us) / 1e6


def at(time_us: int) -> datetime:
    """Time that SQL takes; what is outside of 1970 to 2100 becomes its nearest end."""
    return _EPOCH + timedelta(microseconds=min(max(time_us, 0), _LATEST_US))


def since_epoch_us(time: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def microseconds(column: LiteralString) -> LiteralString:
    """A time of SQL as microseconds since 1970 UTC; null for none and for one that is not finite."""
    return "CASE WHEN isfinite(" + column + ") THEN (extract(epoch FROM " + column + ") * 1000000)::bigint END"


def range_of(start_us: int, end_us: int, *, now_us: int, default_s: float | None = None) -> Range:
    """Bounds of a request: an end of 0 is now, a start of 0 is `default_s` before the end, or 1970. Raises InvalidRequestError."""
    end_us = end_us or now_us
    if default_s is not None and not start_us:
        start_us = end_us - int(default_s * 1e6)
    if start_us < 0 or start_us >= end_us:
        msg = f"the range from {start_us} to {end_us} is empty; start_us must be before end_us, microseconds since 1970 UTC"
        raise InvalidRequestError(msg)
    return Range(start_us=start_us, end_us=end_us)


def tags_of(plant: Lookups, selection: Selection, *, at_most: int = MAX_TAGS) -> list[TagDefinition]:
    """Tags in the order of the request, each once.

    Raises InvalidRequestError for none or too many, NotFoundError for what does not exist.
    """
    if not selection.tag_ids and not selection.prefixes:
        msg = "name the tags by tag_ids or by prefixes"
        raise InvalidRequestError(msg)
    found: dict[int, TagDefinition] = {}
    for tag_id in selection.tag_ids:
        found[tag_id] = plant.tag(tag_id)
        _bounded(found, at_most)
    for prefix in selection.prefixes:
        under = plant.tags_under(prefix, limit=at_most + 1) or [plant.tag_at(prefix)]
        found.update((tag.tag_id, tag) for tag in under)
        _bounded(found, at_most)
    return list(found.values())


def _bounded(found: dict[int, TagDefinition], at_most: int) -> None:
    if len(found) > at_most:
        msg = f"more than {at_most} tags are selected; name narrower paths, or ask several times"
        raise InvalidRequestError(msg)
