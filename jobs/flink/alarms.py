"""The alarms operator: `stages.alarms.logic.AlarmLogic` between records, keyed state and the broadcast definitions.

Enters: rows of `types.record_type` of `telemetry.latest`, `device.events.*`, `telemetry.anomalies`, `command.states` and
`alarm.actions`, keyed by site; rows of `registry.tags` and `alarm.rules`, broadcast. Leaves: rows of `types.output_type` for
`alarms`, `alarm.events` and `telemetry.rejected`. The live objects are in the logic; what changed is written through to a map per
site behind every record and tick. A record on which the logic fails is refused, and its site goes back to the state before it. A site
whose state cannot be read is put aside, which is an alarm: its state stays as it is, its records are refused, until a start with a version
that can. When the operator opens it reads `alarms` whole, because what was published behind the last checkpoint is in no state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from base import ids, logs
from base.errors import MillraceError, SchemaError, UnknownSchemaError
from jobs.flink.metrics import Metrics
from jobs.flink.timers import END_OF_INPUT_MS, register_tick
from jobs.flink.types import KEY, OFFSET, PARTITION, TOPIC, VALUE, key_type, state_bytes_type
from jobs.heap_trim import HeapTrimmer
from schemas import codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm
from schemas.verdicts import RecordReject
from stages import rejects
from stages.alarms.config import AlarmConfig
from stages.alarms.listening import Reachable, always
from stages.alarms.logic import RECORDS, AlarmLogic
from stages.alarms.problems import Problem
from stages.alarms.published import Published
from stages.alarms.step import Step
from stages.expressions import program
from stages.outputs import Origin

log = logging.getLogger(__name__)

TICK_MS = 1_000
UNPLACED = ""
"""Flink key of records of which no site is known; they leave no state."""
_READ_AGAIN_US = 5_000_000
_ASK_AGAIN_US = 5_000_000
_OTHERS_US = 300_000_000
"""What is of no site that has come since the start is let go then, for it is of other subtasks; should one come, it is read again."""
_PROBLEMS_AT_ONCE = 200
"""So many rules that do not hold have a line of the log each; of more, as after a fault in one for all devices, the number is said."""
Snapshot = Callable[[], Iterable[bytes]]
Records = Callable[[], Iterable[tuple[bytes, bytes | None]]]
"""Keys and messages of a compacted topic, tombstones among them."""


def definitions_descriptor() -> MapStateDescriptor:
    """Broadcast state: topic and Kafka key to the newest message."""
    return MapStateDescriptor("definitions", key_type(), state_bytes_type())


class SiteOf:
    """Key selector: the site of a row. Most rows say it; of the others the registry knows the gateway or the device.

    The registry is read when it is first needed, on the TaskManager, and again for what is not known, every few seconds at most.
    Neither gateway nor device changes its site.
    """

    def __init__(self, snapshot: Snapshot, clock: ids.Clock = ids.now_us) -> None:
        self._snapshot, self._clock = snapshot, clock
        self._gateways: dict[str, str] = {}
        self._devices: dict[int, str] = {}
        self._read_us: int | None = None

    def __call__(self, row: Any) -> str:
        """Site, or UNPLACED."""
        topic, key = row[TOPIC], (row[KEY] or b"").decode(errors="backslashreplace")
        try:
            if topic == topics.LATEST.name:
                return self._look_up(self._gateways, key.rpartition("/")[0])
            if topic == topics.ANOMALIES.name:
                return self._look_up(self._devices, int(key))
            if topic == topics.ALARM_ACTIONS.name:
                return key
            if topic == topics.STATES.name:
                return str(codec.decode(row[VALUE] or b"", "CommandState")[1]["site"])
            return topics.site_of(topic)
        except (SchemaError, ValueError):
            return UNPLACED

    def _look_up(self, places: dict[Any, str], name: Any) -> str:
        now_us = self._clock()
        if name not in places and (self._read_us is None or now_us - self._read_us > _READ_AGAIN_US):
            self._read_us = now_us
            unreadable = sum(not self._learn(message) for message in self._snapshot())
            if unreadable:
                log.error("messages of the registry cannot be read", extra={"messages": unreadable})
        return places.get(name, UNPLACED)

    def _learn(self, message: bytes) -> bool:
        """Whether a message can be read; one that cannot hides none of those behind it."""
        try:
            name, record = codec.decode(message)
        except SchemaError:
            return False
        if name == "TagDefinition":
            self._gateways[record["gateway_id"]] = record["site"]
            self._devices[record["device_id"]] = record["site"]
        return True


class AlarmsOperator(KeyedBroadcastProcessFunction):
    """The logic of alarms behind Flink's interface, one per subtask; `clock` gives microseconds UTC.

    `snapshot` gives the messages of `registry.tags` and `alarm.rules` there are when the operator opens; broadcast are the changes since.
    `published` gives what is on the topic `alarms` then. `reachable` says whether the broker answers; it is asked when nothing comes of a
    site.
    """

    def __init__(
        self,
        config: AlarmConfig,
        *,
        clock: ids.Clock = ids.now_us,
        snapshot: Snapshot = tuple,
        published: Records = tuple,
        reachable: Reachable = always,
    ) -> None:
        self._config, self._clock, self._reachable = config, clock, reachable
        self._snapshot, self._published = snapshot, published

    def open(self, runtime_context: RuntimeContext) -> None:
        """Nothing is restored yet: keyed state can be read only under a key. Raises ConfigError without the library of expressions."""
        logs.configure("alarms")
        program.require()
        self._metrics = Metrics(runtime_context)
        self._trimmer = HeapTrimmer()
        self._asked_us, self._answered = 0, True
        published, definitions = self._read_published(), list(self._snapshot())
        # Nobody is silent by the time that reading takes.
        self._opened_us, self._told, self._told_of_all = self._clock(), published, True
        self._logic = AlarmLogic(self._config, self._opened_us, self._ask, published)
        for message in definitions:
            self._define("snapshot", message)
        self._parts = runtime_context.get_map_state(MapStateDescriptor("alarm-parts", key_type(), state_bytes_type()))
        self._definitions = definitions_descriptor()
        self._definitions_read = False
        self._touched: set[str] = set()
        self._put_aside: dict[str, str] = {}
        """Sites whose state cannot be read, and why."""
        self._problems: dict[str, Sequence[Problem]] = {}
        """By site, as they were told."""
        self._metrics.level("sites", lambda: len(self._touched))
        self._metrics.level("sites_put_aside", lambda: len(self._put_aside))
        self._metrics.level("sites_not_compared", lambda: self._told.waiting(self._touched))
        self._metrics.level(
            "rules_not_applied", lambda: sum(not one.applied for each in self._problems.values() for one in each)
        )

    def process_element(self, value: Row, ctx: Any) -> list[Row]:
        """One record of the current site."""
        site = ctx.get_current_key()
        self._metrics.count("records")
        if value[VALUE] is None:  # a tombstone of a compacted topic
            return []
        if site == UNPLACED:
            self._metrics.count("unplaced_records")
            return []
        try:
            name, record = codec.decode(value[VALUE], *RECORDS)
        except UnknownSchemaError as error:
            return [self._refused(value, RecordReject.UNKNOWN_SCHEMA, str(error))]
        except SchemaError as error:
            return [self._refused(value, RecordReject.UNDECODABLE, str(error))]
        rows = self._touch(site, ctx)
        if cause := self._put_aside.get(site):
            detail = f"state of site {site} cannot be read: {cause}"
            return [*rows, self._refused(value, RecordReject.PROCESSING_FAILED, detail)]
        try:
            rows += self._rows(self._logic.on_record(site, name, record, self._clock()))
            self._write_through(site)
        except Exception as error:
            log.exception("record failed", extra={"site": site, "topic": value[TOPIC], "offset": value[OFFSET]})
            refused = self._refused(value, RecordReject.PROCESSING_FAILED, f"{type(error).__name__}: {error}")
            return [*self._reload(site), refused]
        return rows

    def process_broadcast_element(self, value: Row, ctx: Any) -> list[Row]:
        """One definition. Flink snapshots the broadcast state; the logic has its own view of it."""
        self._read_definitions(ctx)
        key = f"{value[TOPIC]} {(value[KEY] or b'').decode(errors='backslashreplace')}"
        message = value[VALUE]
        if message is not None:
            ctx.get_broadcast_state(self._definitions).put(key, message)
            self._define(key, message)
        elif value[TOPIC] == topics.ALARM_RULES.name:
            ctx.get_broadcast_state(self._definitions).remove(key)
            self._logic.forget_rule(key.partition(" ")[2])
        return []

    def on_timer(self, timestamp: int, ctx: Any) -> list[Row]:
        """The site's tick."""
        if timestamp == END_OF_INPUT_MS:
            return []
        site = ctx.get_current_key()
        rows = self._touch(site, ctx)
        register_tick(ctx.timer_service(), TICK_MS)
        now_us = self._clock()
        self._trimmer.tick(now_us)
        self._metrics.tick(now_us)
        if self._told_of_all and now_us - self._opened_us > _OTHERS_US:
            self._told.keep_only(self._touched)
            self._told_of_all = False
        if site in self._put_aside:
            return rows
        try:
            rows += self._rows(self._logic.on_timer(site, now_us))
            self._write_through(site)
            self._tell_problems(site)
        except Exception:
            log.exception("tick failed", extra={"site": site})
            self._metrics.count("failed_ticks")
            rows += self._reload(site)
        return rows

    def _touch(self, site: str, ctx: Any) -> list[Row]:
        """Restore a site when it is touched for the first time; from then on it ticks. What changed meanwhile is told."""
        if site in self._touched:
            return []
        self._read_definitions(ctx)
        self._touched.add(site)
        if not self._told_of_all:
            self._told.take(site, self._read_published())
        register_tick(ctx.timer_service(), TICK_MS)
        return self._reload(site)

    def _ask(self) -> bool:
        now_us = self._clock()
        if not 0 <= now_us - self._asked_us < _ASK_AGAIN_US:
            answered = self._reachable()
            if self._answered and not answered:
                log.warning("the broker does not answer: no gateway is silent by that", extra={"fix": "see to Kafka"})
                self._metrics.count("broker_away")
            self._asked_us, self._answered = now_us, answered
        return self._answered

    def _write_through(self, site: str) -> None:
        for part, data in self._logic.drain_changes(site).items():
            if data is None:
                self._parts.remove(part)
            else:
                self._parts.put(part, data)

    def _tell_problems(self, site: str) -> None:
        """Each rule that does not hold somewhere once, as long as it does not."""
        problems, before = self._logic.problems(site), self._problems.get(site, ())
        if problems is before:
            return
        self._problems[site] = problems
        told = frozenset(before)
        new = [one for one in problems if one not in told]
        for one in new[:_PROBLEMS_AT_ONCE]:
            fields = {"site": site, "rule": one.rule_id, "key": one.key, "cause": str(one)}
            log.warning("alarm rule does not hold as it says", extra=fields)
        if (more := len(new) - _PROBLEMS_AT_ONCE) > 0:
            fix = "`millrace alarms check` names them all"
            log.warning("more alarm rules do not hold as they say", extra={"site": site, "rules": more, "fix": fix})

    def _reload(self, site: str) -> list[Row]:
        """To what the state holds: what a failed call left half done is forgotten. Where that cannot be read, the site is put aside."""
        stored = dict(self._parts.items())
        try:
            step = self._logic.restore(site, stored, self._clock())
        except Exception as error:
            log.exception(
                "state of a site cannot be read; it has no alarms", extra={"site": site, "parts": len(stored)}
            )
            self._put_aside[site] = cause = f"{type(error).__name__}: {error}"
            return self._rows(self._logic.put_aside(site, cause, self._clock()))
        self._write_through(site)
        return self._rows(step)

    def _read_definitions(self, ctx: Any) -> None:
        """Give the logic what the broadcast state was restored with; with a `snapshot` it knows that already."""
        if self._definitions_read:
            return
        self._definitions_read = True
        entries = dict(ctx.get_broadcast_state(self._definitions).items())
        marker = f"{topics.TAGS.name} {topics.REGISTRY_VERSION_KEY.decode()}"
        for key in sorted(entries, key=lambda one: one == marker):  # the marker says that all before it is complete
            self._define(key, entries[key])

    def _read_published(self) -> Published:
        found = Published()
        for key, message in self._published():
            if message is None:
                found.forget(key)
                continue
            try:
                found.fold(Alarm.from_record(codec.decode(message, "Alarm")[1]))
            except (MillraceError, ValueError):
                log.exception("alarm cannot be read", extra={"key": key.decode(errors="backslashreplace")})
                self._metrics.count("unreadable_alarms")
        found.complete()
        return found

    def _define(self, key: str, message: bytes) -> None:
        try:
            if codec.schema_of(message).name == "AlarmRule":
                self._logic.apply_rule(AlarmRule.from_record(codec.decode(message, "AlarmRule")[1]))
            else:
                self._logic.apply_registry(message)
        except MillraceError:
            log.exception("definition failed", extra={"key": key})
            self._metrics.count("failed_definitions")

    def _rows(self, step: Step) -> list[Row]:
        for note in step.notes:
            self._metrics.count(note)
        return list(self._records(step))

    def _records(self, step: Step) -> Iterator[Row]:
        for event in step.events:
            self._metrics.count(f"event_{event.kind.lower()}")
            yield Row(topics.ALARM_EVENTS.name, event.key, event.encode())
        for alarm in step.alarms:
            yield Row(topics.ALARMS.name, alarm.key, alarm.encode())
        for alarm_id in step.forgotten:
            self._metrics.count("forgotten_alarms")
            yield Row(topics.ALARMS.name, str(alarm_id).encode(), None)

    def _refused(self, row: Row, reason: RecordReject, detail: str) -> Row:
        self._metrics.count("refused_records")
        refused = rejects.whole(
            row[VALUE], Origin(row[TOPIC], row[PARTITION], row[OFFSET]), self._clock(), reason, detail
        )
        return Row(refused.topic, row[KEY], refused.value)
