"""Conditions of machines in the alarms job on a real cluster: a savepoint at parallelism 1, gone on from at 2, the same as without.

What each condition is when the savepoint is taken is a line of `PARTS`; it is so at several sites, for a site is what Flink moves. After it
everything of before is sent again, which changes nothing: events and actions are known by what is in the state. What must come out is what
the logic alone makes of the same records. A cluster of its own, some minutes: a campaign.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import pytest

from base import ids
from connectors.kafka import admin as kafka_admin
from connectors.kafka import client as kafka
from schemas import codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmAction, AlarmActionKind, AlarmEvent, AlarmState, alarm_id, source_id
from schemas.definitions import TagDefinition, encode_tag, encode_version
from schemas.events import DeviceEvent, EventKind
from stack import instance
from stack.config import Parallelism
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from tests.golden.support import tag
from tests.integration.polling import eventually
from tests.state.cluster import Cluster, Configured, Record

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1_800)]
PATIENCE_S = 300
ALARMS_ALONE = Parallelism(commands=0, telemetry=0, historian=0, alarms=2)
SITES = [f"plant{number}" for number in range(1, 13)]
RULE = AlarmRule.from_record(
    {
        "name": "machine",
        "kind": "CONDITION",
        "device_class": "press",
        "condition_type": "*",
        "severity": "MODERATE",
        "response": "PROMPT",
        "by_severity": {"800": "MAJOR PROMPT"},
        "shelve_max_s": 86_400,
    }
)
_IDS = UUID("7c0b8f0e-5a63-4d57-9d0d-0b8d5f1f3c11")
OFF, ACKED, UNACKED = {"active": "false"}, {"acked": "true"}, {"acked": "false"}
GONE = {"retain": "false"}

Step: TypeAlias = tuple[str, int, dict[str, Any]]
"""An event, or the kind of an action; its second; what it says other than that the condition is active and unacknowledged."""
RAISED: Step = ("event", 10, {})

PARTS: dict[str, Sequence[Sequence[Step]]] = {
    # Events, actions; then, at another parallelism, events, actions, events.
    "stands": ([RAISED], [], [("event", 40, ACKED)], [], []),
    "waits for its machine": ([RAISED], [("ACKNOWLEDGE", 20, {})], [("event", 40, ACKED)], [], []),
    "is over and waits for its machine": (
        [RAISED, ("event", 11, OFF)], [("ACKNOWLEDGE", 20, {})], [("event", 40, OFF | ACKED | GONE)], [], [],
    ),
    "has a branch": (
        [RAISED, ("event", 11, UNACKED | {"branch": "b1"}), ("event", 12, OFF | ACKED)],
        [],
        [],
        [("ACKNOWLEDGE", 50, {})],
        [("event", 60, ACKED | GONE | {"branch": "b1"})],
    ),
    "is shelved": ([RAISED], [("SHELVE", 20, {"until": 7200})], [("event", 40, OFF)], [], []),
    "gets more severe": (
        [RAISED, ("event", 11, ACKED)], [], [("event", 40, ACKED | {"severity": "900"})], [("ACKNOWLEDGE", 50, {})], [],
    ),
    "comes again": (
        [RAISED, ("event", 11, OFF)], [("ACKNOWLEDGE", 20, {})], [("event", 40, {})], [("ACKNOWLEDGE", 50, {})], [],
    ),
    "is let go": ([RAISED, ("event", 11, OFF)], [("ACKNOWLEDGE", 20, {})], [], [("RESET", 50, {})], []),
}  # fmt: skip


class Plant:
    """Records of all sites, and what the logic alone makes of them. Times are an hour ahead: nothing is late, whatever the machine does."""

    def __init__(self) -> None:
        self.base_us = ids.now_us() + 3_600_000_000
        self.alone = AlarmLogic(AlarmConfig(), ids.now_us())
        self.alarms: dict[UUID, Alarm] = {}
        self.events: dict[UUID, AlarmEvent] = {}
        self.tags: list[TagDefinition] = [
            dataclasses.replace(
                tag(number, device_id=number, name="temp"),
                site=site,
                gateway_id=f"gw-{site}",
                path=f"acme/{site}/press/temp",
            )
            for number, site in enumerate(SITES, 1)
        ]
        self.definitions: list[Record] = [
            (topics.TAGS.name, *pair)
            for pair in [*map(encode_tag, self.tags), encode_version(1, tags=len(SITES), time_us=1)]
        ]
        for _, _, value in self.definitions:
            self.alone.apply_registry(value)
        self.alone.apply_rule(RULE)
        self.definitions.append((topics.ALARM_RULES.name, RULE.key, RULE.encode()))

    def wave(self, number: int) -> list[Record]:
        """Records of a part of all conditions at all sites; taken by the logic as well."""
        found: list[Record] = []
        for one in self.tags:
            for name, parts in PARTS.items():
                for step in parts[number]:
                    made = self._event(one, name, step) if step[0] == "event" else self._action(one, name, step)
                    found.append(made)
                    self._take(one.site, made)
        return found

    def _take(self, site: str, record: Record) -> None:
        name, decoded = codec.decode(record[2], "DeviceEvent", "AlarmAction")
        step = self.alone.on_record(site, name, decoded, ids.now_us())
        self.alarms |= {alarm.alarm_id: alarm for alarm in step.alarms}
        self.events |= {event.event_id: event for event in step.events}

    def _event(self, one: TagDefinition, name: str, step: Step) -> Record:
        _, second, says = step
        said = {
            "connector": "plc", "condition": name, "condition_id": f"ns=2;s={name}", "condition_type": "OffNormalAlarmType",
            "severity": "500", "active": "true", "acked": "false", "retain": "true",
        }  # fmt: skip
        event = DeviceEvent(
            event_id=uuid5(_IDS, f"{one.site}/{name}/{step}"),
            kind=EventKind.STATE,
            gateway_id=one.gateway_id,
            device_id=one.device_id,
            time_us=self.base_us + second * 1_000_000,
            attributes=said | says,
        )
        return topics.EVENTS.for_site(one.site), str(one.device_id).encode(), event.encode()

    def _action(self, one: TagDefinition, name: str, step: Step) -> Record:
        kind, second, says = step
        condition = f"plc:ns=2;s={name}"
        source = source_id(one.site, f"machine/{condition}@{one.device_id}")
        action = AlarmAction(
            action_id=uuid5(_IDS, f"{one.site}/{name}/{step}"),
            kind=AlarmActionKind(kind),
            site=one.site,
            rule="machine",
            device_id=one.device_id,
            alarm_id=None if kind == "SHELVE" else alarm_id(source, self.base_us + 10_000_000),
            by="alice",
            time_us=self.base_us + second * 1_000_000,
            until_us=self.base_us + says["until"] * 1_000_000 if says else None,
            condition=condition,
        )
        return topics.ALARM_ACTIONS.name, action.key, action.encode()


def _newest(cluster: Cluster) -> dict[UUID, Alarm]:
    """Alarms as the topic has them."""
    read = kafka.read_to_end(cluster.settings, topics.ALARMS.name)
    found: dict[UUID, Alarm] = {}
    for alarm in (Alarm.from_record(codec.decode(one.value() or b"", "Alarm")[1]) for one in read):
        if alarm.alarm_id not in found or alarm.version > found[alarm.alarm_id].version:
            found[alarm.alarm_id] = alarm
    return found


def _settle(cluster: Cluster, plant: Plant, what: str) -> None:
    eventually(lambda: _newest(cluster) == plant.alarms, timeout_s=PATIENCE_S, period_s=1.0, what=what)


def _told(events: Iterable[AlarmEvent]) -> dict[UUID, AlarmEvent]:
    return {one.event_id: dataclasses.replace(one, recorded_us=0) for one in events}


def test_conditions_go_on_from_a_savepoint_at_another_parallelism() -> None:
    plant = Plant()
    with instance.temporary(taskmanagers=2, parallelism=ALARMS_ALONE) as running:
        cluster = Cluster(running.require("kafka", "flink"))
        kafka_admin.apply(cluster.settings, SITES)
        cluster.send(plant.definitions)

        cluster.submit("alarms", Configured({"parallelism": 1}, ""))
        before = plant.wave(0)
        cluster.send(before)
        _settle(cluster, plant, "conditions are raised")
        before += (actions := plant.wave(1))
        cluster.send(actions)
        _settle(cluster, plant, "what people did is taken")
        stood = {alarm.state for alarm in plant.alarms.values()}
        assert stood == {*AlarmState} - {AlarmState.NORMAL, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE}
        cluster.stop("alarms")

        cluster.submit("alarms", Configured({"parallelism": 2}, ""))
        cluster.send(before)
        for number in (2, 3, 4):
            cluster.send(plant.wave(number))
            _settle(cluster, plant, f"part {number} is taken")
        read = kafka.read_to_end(cluster.settings, topics.ALARM_EVENTS.name)
        told = [AlarmEvent.from_record(codec.decode(one.value() or b"", "AlarmEvent")[1]) for one in read]
        assert _told(told) == _told(plant.events.values())
        cluster.stop("alarms")
        del cluster  # or its producer complains about the broker that is gone
