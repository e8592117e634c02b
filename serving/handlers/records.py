"""Lists from SQL: anomaly episodes, events, and what validation refused. Newest first, in pages.

Enters: a path, a range of time, filters. Leaves: records with present paths. A page's token holds the place of its
last row, so paging survives rows that come meanwhile. Raises the branches of `base.errors`; UnavailableError while
the database is away.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from base.errors import InvalidRequestError
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from schemas.events import EventKind
from schemas.verdicts import RecordReject, Verdict
from serving.caches.episodes import Step
from serving.caches.plant import Lookups, Plant
from serving.handlers.selection import at, range_of, since_epoch_us
from serving.handlers.state import Page, size_of
from serving.seen import seen

DAY_S = 86_400.0
KINDS = frozenset(EventKind) - {EventKind.GATEWAY_HEALTH}
"""Kinds of events that are listed and watched; health is the gateways' own list."""
REASONS = frozenset({*(verdict.name for verdict in Verdict), *RecordReject})
_MOST_COUNTS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is not a sample. `device_id` 0 is the gateway itself, without a path."""

    event_id: UUID
    kind: str
    gateway_id: str
    device_id: int
    device_path: str
    time_us: int
    text: str
    attributes: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """A refused sample, or a whole record (tag 0). `time_us`: None when it is nonsense or there is none."""

    rejected_us: int
    reason: str
    detail: str
    tag_id: int
    path: str
    time_us: int | None
    value: float | None
    gateway_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectCount:
    """How many samples and records were refused for a reason. `device_path` is empty for those without a known device."""

    reason: str
    device_path: str
    count: int


_ANOMALIES: LiteralString = """
    SELECT episode_id, device_id, phase, revision, start_time, end_time, score, peak_score, threshold, contributor_details, detector,
           detector_version
    FROM anomaly
    WHERE start_time < %(end)s AND (end_time IS NULL OR end_time >= %(start)s) AND (NOT %(open)s OR phase <> 'CLOSE')
      AND (%(devices)s::integer[] IS NULL OR device_id = ANY (%(devices)s::integer[]))
      AND (%(after_time)s::timestamptz IS NULL OR (start_time, episode_id) < (%(after_time)s::timestamptz, %(after_id)s::uuid))
    ORDER BY start_time DESC, episode_id DESC LIMIT %(rows)s"""
_ANOMALY: LiteralString = """
    SELECT episode_id, device_id, phase, revision, start_time, end_time, score, peak_score, threshold, contributor_details, detector,
           detector_version
    FROM anomaly WHERE episode_id = %(episode)s"""
_EVENTS: LiteralString = """
    SELECT event_id, kind, gateway_id, device_id, time, text, attributes FROM device_events
    WHERE time >= %(start)s AND time < %(end)s AND kind = ANY (%(kinds)s)
      AND (%(devices)s::integer[] IS NULL OR device_id = ANY (%(devices)s::integer[])
           OR (device_id = 0 AND gateway_id = ANY (%(gateways)s)))
      AND (%(after_time)s::timestamptz IS NULL OR (time, event_id) < (%(after_time)s::timestamptz, %(after_id)s::uuid))
    ORDER BY time DESC, event_id DESC LIMIT %(rows)s"""
_REJECTS: LiteralString = """
    SELECT rejected_at, reason, detail, coalesce(tag_id, 0), coalesce(path, ''), CASE WHEN isfinite(time) THEN time END, value,
           coalesce(gateway_id, ''), source_topic, source_partition, source_offset, coalesce(position, -1)
    FROM rejected
    WHERE rejected_at >= %(start)s AND rejected_at < %(end)s AND (%(reasons)s::text[] IS NULL OR reason = ANY (%(reasons)s::text[]))
      AND (%(tags)s::integer[] IS NULL OR tag_id = ANY (%(tags)s::integer[]))
      AND (%(after_time)s::timestamptz IS NULL
           OR (rejected_at, source_topic, source_partition, source_offset, reason, coalesce(position, -1))
              < (%(after_time)s::timestamptz, %(topic)s, %(partition)s::integer, %(offset)s::bigint, %(reason)s, %(position)s::integer))
    ORDER BY rejected_at DESC, source_topic DESC, source_partition DESC, source_offset DESC, reason DESC, coalesce(position, -1) DESC
    LIMIT %(rows)s"""
_COUNTS: LiteralString = """
    SELECT reason, coalesce(path, ''), count(*) FROM rejected
    WHERE rejected_at >= %(start)s AND rejected_at < %(end)s AND (%(tags)s::integer[] IS NULL OR tag_id = ANY (%(tags)s::integer[]))
    GROUP BY 1, 2"""


@dataclass(kw_only=True, slots=True)
class RecordHandlers:
    """The registry, for paths, and the database."""

    plant: Plant
    database: ReadPool
    ready: Callable[[], None]
    """Raises UnavailableError while the registry is being read."""
    clock: Clock = now_us

    async def list_anomalies(
        self,
        *,
        prefix: str = "",
        start_us: int = 0,
        end_us: int = 0,
        open_only: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Step]:
        """Episodes that overlap the range, as Anomaly records."""
        self.ready()
        size, place = size_of(page_size), _place(page_token, 2)
        within = range_of(start_us, end_us, now_us=self.clock())
        rows = await self.database.fetch(
            _ANOMALIES,
            {
                **within.parameters,
                "open": open_only,
                "devices": self._devices(prefix),
                "after_time": place and at(place[0]),
                "after_id": place and place[1],
                "rows": size + 1,
            },
        )
        return _page([(_step(row), [since_epoch_us(row[4]), str(row[0])]) for row in rows], size)

    async def get_anomaly(self, episode_id: UUID) -> Step | None:
        """An episode as an Anomaly record; None where there is none."""
        self.ready()
        rows = await self.database.fetch(_ANOMALY, {"episode": episode_id})
        return _step(rows[0]) if rows else None

    async def list_events(
        self,
        *,
        prefix: str = "",
        start_us: int = 0,
        end_us: int = 0,
        kinds: Sequence[str] = (),
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Event]:
        """Events of the devices under a path, and of their gateways; of the last 24 hours when `start_us` is 0."""
        self.ready()
        size, place = size_of(page_size), _place(page_token, 2)
        within = range_of(start_us, end_us, now_us=self.clock(), default_s=DAY_S)
        rows = await self.database.fetch(
            _EVENTS,
            {
                **within.parameters,
                "kinds": sorted(kinds_of(kinds)),
                "devices": self._devices(prefix),
                "gateways": sorted(gateways_under(seen(self.plant), prefix)),
                "after_time": place and at(place[0]),
                "after_id": place and place[1],
                "rows": size + 1,
            },
        )
        return _page([(self._event(row), [since_epoch_us(row[4]), str(row[0])]) for row in rows], size)

    async def list_rejects(
        self,
        *,
        prefix: str = "",
        start_us: int = 0,
        end_us: int = 0,
        reasons: Sequence[str] = (),
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Reject]:
        """Refused samples and records; of the last 24 hours when `start_us` is 0. Whole records belong to no path."""
        self.ready()
        size, place = size_of(page_size), _place(page_token, 6)
        within = range_of(start_us, end_us, now_us=self.clock(), default_s=DAY_S)
        time_us, topic, partition, offset, reason, position = place or (None,) * 6
        rows = await self.database.fetch(
            _REJECTS,
            {
                **within.parameters,
                "reasons": sorted(_known(reasons, REASONS, "reason")) or None,
                "tags": self._tags(prefix),
                "after_time": None if time_us is None else at(time_us),
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "reason": reason,
                "position": position,
                "rows": size + 1,
            },
        )
        return _page([(_reject(row), [since_epoch_us(row[0]), *row[8:11], row[1], row[11]]) for row in rows], size)

    async def count_rejects(self, *, prefix: str = "", start_us: int = 0, end_us: int = 0) -> list[RejectCount]:
        """Refused samples and records by reason and device, most first, at most 1,000 rows."""
        self.ready()
        within = range_of(start_us, end_us, now_us=self.clock(), default_s=DAY_S)
        rows = await self.database.fetch(_COUNTS, {**within.parameters, "tags": self._tags(prefix)})
        counted: Counter[tuple[str, str]] = Counter()
        for reason, path, count in rows:
            counted[reason, path.rpartition("/")[0]] += count
        return [
            RejectCount(reason=reason, device_path=path, count=count)
            for (reason, path), count in counted.most_common(_MOST_COUNTS)
        ]

    def _devices(self, prefix: str) -> list[int] | None:
        plant = seen(self.plant)
        if not prefix:
            return None if plant.whole else [device.device_id for device in plant.devices_under("")]
        return [device.device_id for device in devices_under(plant, prefix)]

    def _tags(self, prefix: str) -> list[int] | None:
        plant = seen(self.plant)
        if not prefix:
            return None if plant.whole else [tag.tag_id for tag in plant.tags_under("")]
        return [tag.tag_id for tag in plant.tags_under(prefix) or [plant.tag_at(prefix)]]

    def _event(self, row: tuple[Any, ...]) -> Event:
        event_id, kind, gateway_id, device_id, time, text, attributes = row
        return Event(
            event_id=event_id,
            kind=kind,
            gateway_id=gateway_id,
            device_id=device_id,
            device_path=self.plant.device_path(device_id),
            time_us=since_epoch_us(time),
            text=text,
            attributes=attributes,
        )


def devices_under(plant: Lookups, prefix: str) -> list[Any]:
    """Devices at or under a path; raises NotFoundError, which says what there is, for none."""
    return plant.devices_under(prefix) or [plant.device_at(prefix)]


def gateways_under(plant: Lookups, prefix: str) -> set[str]:
    """Gateways of the devices at or under a path; without a path those of the part that is seen, none for the whole plant."""
    if not prefix:
        return set() if plant.whole else {device.gateway_id for device in plant.devices_under("")}
    return {device.gateway_id for device in devices_under(plant, prefix)}


def kinds_of(names: Sequence[str]) -> set[str]:
    """Kinds of events of their names, all for none. Raises InvalidRequestError."""
    return _known(names, KINDS, "kind") or set(KINDS)


def _known(names: Sequence[str], known: frozenset[Any], what: str) -> set[str]:
    for name in names:
        if name not in known:
            msg = f"no {what} {name[:40]!r}; there are {', '.join(sorted(known))}"
            raise InvalidRequestError(msg)
    return set(names)


def _step(row: tuple[Any, ...]) -> Step:
    names = ("episode_id", "device_id", "phase", "revision", "start_us", "end_us", "score", "peak_score", "threshold")
    step = dict(zip((*names, "contributors", "detector", "detector_version"), row, strict=True))
    for name in ("start_us", "end_us"):
        step[name] = _us(step[name])
    return step


def _reject(row: tuple[Any, ...]) -> Reject:
    rejected_at, reason, detail, tag_id, path, time, value, gateway_id = row[:8]
    return Reject(
        rejected_us=since_epoch_us(rejected_at),
        reason=reason,
        detail=detail,
        tag_id=tag_id,
        path=path,
        time_us=_us(time),
        value=value,
        gateway_id=gateway_id,
    )


def _us(time: datetime | None) -> int | None:
    return None if time is None else since_epoch_us(time)


def _page(rows: list[tuple[Any, list[Any]]], size: int) -> Page[Any]:
    """`rows` are items and their places; one more than the page when there is a next one."""
    token = urlsafe_b64encode(json.dumps(rows[size - 1][1]).encode()).decode() if len(rows) > size else ""
    return Page(items=[item for item, _ in rows[:size]], next_token=token)


def _place(page_token: str, parts: int) -> list[Any] | None:
    """Place of a token, None for the first page; raises InvalidRequestError."""
    if not page_token:
        return None
    try:
        place = json.loads(urlsafe_b64decode(page_token.encode()))
        kinds = (int, str) if parts == 2 else (int, str, int, int, str, int)
        if len(place) == parts and all(type(one) is kind for one, kind in zip(place, kinds, strict=True)):
            if parts == 2:
                UUID(place[1])
            return list(place)
    except (Error, ValueError, TypeError) as error:
        raise _foreign() from error
    raise _foreign()


def _foreign() -> InvalidRequestError:
    return InvalidRequestError("page_token is not one that this server gave for this list")
