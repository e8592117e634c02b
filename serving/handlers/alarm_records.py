"""What happened to alarms, from SQL, where history keeps it.

Enters: an alarm. Leaves: its events and those of its source since it began, the newest first; or none, and why. An alarm is answered
without its past rather than not at all. An alarm that is over is answered from here whole. Enters: a path and a range. Leaves: the
activations that overlap it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from base.errors import MillraceError, NotFoundError
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from schemas.alarms import Alarm, AlarmEvent
from schemas.priorities import Priority
from serving.caches.plant import Lookups
from serving.handlers.alarm_figures import places
from serving.handlers.figures import computed_range
from serving.handlers.selection import at, microseconds

MOST = 100
_EVENTS: LiteralString = (
    "SELECT event_id, alarm_id, source_id, version, kind, state, site, rule, device_id, gateway_id, path, priority, "
    + microseconds("time")
    + ", "
    + microseconds("recorded_at")
    + ", who, reason, detail, action_id, "
    + microseconds("until_time")
    + """, value, late, withdrawn FROM alarm_events
    WHERE alarm_id = %(alarm)s OR (alarm_id = %(source)s AND time >= %(start)s)
    ORDER BY time DESC, version DESC LIMIT %(most)s"""
)
_FIELDS = (
    "event_id", "alarm_id", "source_id", "version", "kind", "state", "site", "rule", "device_id", "gateway_id", "path", "priority",
    "time_us", "recorded_us", "by", "reason", "detail", "action_id", "until_us", "value", "late", "withdrawn",
)  # fmt: skip
MOST_ACTIVATIONS = 1_000
# An activation that overlaps a range is of an alarm that stands, or whose newest record is of the range or later: both have an index.
_ACTIVATIONS: LiteralString = (
    """
    WITH candidates AS (
        SELECT alarm_id, title FROM alarms
        WHERE start_time < %(end)s AND (state <> 'NORMAL' OR (state = 'NORMAL' AND updated_at >= %(start)s))
    ), found AS (
        SELECT a.alarm_id, a.source_id, a.rule, c.title, a.priority, a.path, a.device_id, a.gateway_id, a.time,
               returned.time AS returned_at, taken.time AS acknowledged_at, coalesce(taken.who, '') AS who, e.detail,
               count(*) OVER () AS many
        FROM candidates c
        JOIN annunciation a USING (alarm_id)
        JOIN alarm_events e ON e.alarm_id = a.alarm_id AND e.version = a.version AND e.kind = a.kind
        LEFT JOIN LATERAL (
            SELECT n.version FROM alarm_events n WHERE n.alarm_id = a.alarm_id AND n.version > a.version AND n.kind = 'RAISED_AGAIN'
            ORDER BY n.version LIMIT 1) again ON true
        LEFT JOIN LATERAL (
            SELECT r.time FROM alarm_events r
            WHERE r.alarm_id = a.alarm_id AND r.version > a.version AND r.kind IN ('RETURNED', 'RULE_RETIRED', 'RAISED_AGAIN')
            ORDER BY r.version LIMIT 1) returned ON true
        LEFT JOIN LATERAL (
            SELECT k.time, k.who FROM alarm_events k
            WHERE k.alarm_id = a.alarm_id AND k.version > a.version AND k.kind = 'ACKNOWLEDGED'
              AND (again.version IS NULL OR k.version < again.version)
            ORDER BY k.version LIMIT 1) taken ON true
        WHERE a.time < %(end)s AND (returned.time IS NULL OR returned.time >= %(start)s)
          AND (scopes_cover(%(paths)s, a.path) OR (a.device_id = 0 AND a.gateway_id = ANY (%(gateways)s)))
        ORDER BY array_position(%(priorities)s, a.priority), a.time DESC, a.alarm_id LIMIT %(most)s
    )
    SELECT alarm_id, source_id, rule, title, priority, path, device_id, gateway_id, """
    + microseconds("time")
    + ", "
    + microseconds("returned_at")
    + ", "
    + microseconds("acknowledged_at")
    + ", who, detail, many FROM found ORDER BY time DESC, alarm_id"
)
_ALARM: LiteralString = (
    "SELECT alarm_id, source_id, version, site, rule, rule_version, device_id, gateway_id, tag_id, path, priority, state, active, "
    + microseconds("start_time")
    + ", "
    + microseconds("activated_at")
    + ", "
    + microseconds("returned_at")
    + ", "
    + microseconds("acknowledged_at")
    + """, acknowledged_by, activations, overrides, value, detail, cause_alarm_id, first_out, chattering, fleeting, late, title, cause,
    consequence, corrective_action, comment, """
    + microseconds("updated_at")
    + ", condition, acknowledged_at_machine, seen_us FROM alarms WHERE alarm_id = %(alarm)s"
)
_ALARM_FIELDS = (
    "alarm_id", "source_id", "version", "site", "rule", "rule_version", "device_id", "gateway_id", "tag_id", "path", "priority", "state",
    "active", "start_us", "activated_us", "returned_us", "acknowledged_us", "acknowledged_by", "activations", "overrides", "value",
    "detail", "cause_alarm_id", "first_out", "chattering", "fleeting", "late", "title", "cause", "consequence", "corrective_action",
    "comment", "updated_us", "condition", "acknowledged_at_machine", "seen_us",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """One time that an alarm was raised; times are microseconds UTC, None for what has not happened."""

    alarm_id: UUID
    source_id: UUID
    rule: str
    title: str
    priority: Priority
    path: str
    device_id: int
    gateway_id: str
    raised_us: int
    returned_us: int | None
    acknowledged_us: int | None
    acknowledged_by: str
    detail: str


@dataclass(kw_only=True, slots=True)
class AlarmRecords:
    """The database."""

    database: ReadPool
    clock: Clock = now_us

    async def activations(
        self, plant: Lookups, prefix: str, start_us: int, end_us: int
    ) -> tuple[list[Activation], int]:
        """What held within a range, the newest first, and how many more there were.

        Raises NotFoundError for a path of nothing, InvalidRequestError for a range that is none, and what the database raises.
        """
        within = computed_range(start_us, end_us, self.clock())
        paths, gateways = places(plant, prefix)
        asked = {
            **within.parameters,
            "paths": paths,
            "gateways": gateways,
            "priorities": [one.name for one in Priority],
            "most": MOST_ACTIVATIONS,
        }
        rows = await self.database.fetch(_ACTIVATIONS, asked)
        return [_activation(row) for row in rows], (rows[0][-1] - len(rows) if rows else 0)

    async def alarm(self, alarm_id: UUID) -> Alarm:
        """An alarm as the database keeps it, also one that is over. Raises NotFoundError, and what the database raises."""
        rows = await self.database.fetch(_ALARM, {"alarm": alarm_id})
        if not rows:
            msg = f"no alarm {alarm_id}"
            raise NotFoundError(msg)
        record: dict[str, Any] = dict(zip(_ALARM_FIELDS, rows[0], strict=True))
        return Alarm.from_record(record)

    async def events_of(self, alarm: Alarm) -> tuple[list[AlarmEvent], str]:
        """Events, at most `MOST`; and why there are none."""
        start_us = alarm.updated_us if alarm.start_us is None else alarm.start_us
        asked = {"alarm": alarm.alarm_id, "source": alarm.source_id, "start": at(start_us), "most": MOST}
        try:
            rows = await self.database.fetch(_EVENTS, asked)
        except MillraceError as error:
            return [], f"what happened to it is in the database: {error}"
        return [AlarmEvent.from_record(dict(zip(_FIELDS, row, strict=True))) for row in rows], ""


def _activation(row: Any) -> Activation:
    alarm_id, source_id, rule, title, priority, path, device_id, gateway_id, raised, returned, taken, who, detail, _ = (
        row
    )
    return Activation(
        alarm_id=alarm_id,
        source_id=source_id,
        rule=rule,
        title=title,
        priority=Priority[priority],
        path=path,
        device_id=device_id,
        gateway_id=gateway_id,
        raised_us=raised,
        returned_us=returned,
        acknowledged_us=taken,
        acknowledged_by=who,
        detail=detail,
    )
