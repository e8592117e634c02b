"""What tags were through a range of time: paths, units and limits of then, from SQL.

Enters: tags and a range. Leaves: the periods of each tag that overlap it, oldest first, the first cut to the start of
the range. One statement for all tags of a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString

from connectors.postgres.pool import ReadPool
from serving.handlers.selection import Range


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """What a tag was from a time on."""

    start_us: int
    path: str
    unit: str
    eu_low: float | None
    eu_high: float | None
    limit_low: float | None
    limit_high: float | None


async def of_tags(database: ReadPool, tag_ids: Iterable[int], within: Range) -> dict[int, tuple[Period, ...]]:
    """Periods by tag; a tag that the database does not know has none."""
    rows = await database.fetch(_PERIODS, {"tags": list(tag_ids), **within.parameters})
    found: dict[int, tuple[Period, ...]] = {}
    for tag_id, start_us, path, unit, eu_low, eu_high, limit_low, limit_high in rows:
        found[tag_id] = (
            *found.get(tag_id, ()),
            Period(
                start_us=start_us,
                path=path,
                unit=unit,
                eu_low=eu_low,
                eu_high=eu_high,
                limit_low=limit_low,
                limit_high=limit_high,
            ),
        )
    return found


_PERIODS: LiteralString = """
SELECT tag_id, (extract(epoch FROM greatest(valid_from, %(start)s)) * 1000000)::bigint, path, unit, eu_low, eu_high, limit_low, limit_high
FROM tag_periods
WHERE tag_id = ANY (%(tags)s) AND valid_from < %(end)s AND valid_to > %(start)s
ORDER BY tag_id, valid_from"""
