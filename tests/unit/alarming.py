"""The alarms job's own logic in the place of the job: it judges values and answers the actions that a server writes, at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from base.ids import now_us
from schemas import codec, definitions, topics
from schemas.alarm_rules import AlarmRule, ConditionKind, Level
from schemas.alarms import Alarm, AlarmEvent
from schemas.definitions import TagDefinition
from schemas.priorities import Response, Severity
from serving.caches.alarm_job import AlarmJob
from serving.server import ALARM_SERVICE, Server
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.step import Step

_SINCE_US = 60_000_000


def rule(name: str, tag: str, limit: float, **fields: Any) -> AlarmRule:
    """A rule of a high limit at the devices of class press."""
    usual: dict[str, Any] = {
        "kind": ConditionKind.LIMIT,
        "level": Level.HI,
        "device_class": "press",
        "severity": Severity.MODERATE,
        "response": Response.PROMPT,
        "title": name.replace("-", " ").capitalize(),
    }
    return AlarmRule(**(usual | {"name": name, "tag": tag, "limit": limit} | fields))


class AlarmsInPlace:
    """The logic, and the server that it tells. Give `acted` what the server writes."""

    def __init__(self, server: Server, tags: Iterable[TagDefinition], rules: Iterable[AlarmRule]) -> None:
        self.server = server
        self.logic = AlarmLogic(AlarmConfig(), now_us() - _SINCE_US)
        known = list(tags)
        for tag in known:
            self.logic.apply_registry(definitions.encode_tag(tag)[1])
        self.logic.apply_registry(definitions.encode_version(1, tags=len(known), time_us=now_us())[1])
        for one in rules:
            self.logic.apply_rule(one)
        self._tags = {tag.tag_id: tag for tag in known}
        self.told: list[str] = []
        """Kinds of all events so far."""
        self._offset = 0
        self._clock_us = 0

    async def begin(self) -> None:
        """The alarms have been read, and the job has been seen to advance."""
        await self.server.set_ready(ALARM_SERVICE)
        self.advance()
        self.advance()

    def advance(self) -> None:
        """The job commits."""
        self._offset += 1
        at = {(topics.LATEST.name, 0): self._offset}
        self.server.alarms.job.saw(at, at)

    def stall(self) -> None:
        """The job stands still for a minute, and there is something to read."""
        job = AlarmJob(lambda: self._clock_us)
        self.server.alarms.job = job
        self._clock_us = now_us() - _SINCE_US
        self.advance()
        self.advance()
        self._clock_us = now_us()
        at = {(topics.LATEST.name, 0): self._offset}
        job.saw(at, {place: offset + 1 for place, offset in at.items()})

    def see(self, values: dict[int, float], *, time_us: int = 0) -> list[Alarm]:
        """Values of tags of one gateway; the alarms that changed."""
        first = self._tags[next(iter(values))]
        at_us, count = time_us or now_us(), len(values)
        batch = {
            "gateway_id": first.gateway_id,
            "lane": first.lane,
            "closed_time_us": at_us,
            "tag_id": np.array(list(values), np.int32),
            "time_us": np.full(count, at_us, np.int64),
            "value": np.array(list(values.values()), np.float64),
            "quality": np.zeros(count, np.uint16),
        }
        return self._told(self.logic.on_record(first.site, "LatestBatch", batch, now_us()))

    def acted(self, topic: str, value: bytes) -> None:
        """What the server wrote."""
        if topic == topics.ALARM_ACTIONS.name:
            record = codec.decode(value, "AlarmAction")[1]
            self._told(self.logic.on_record(record["site"], "AlarmAction", record, now_us()))

    def _told(self, step: Step) -> list[Alarm]:
        alarms = self.server.alarms
        for alarm in step.alarms:
            alarms.alarms.apply(Alarm.from_record(codec.decode(alarm.encode(), "Alarm")[1]))
        for event in step.events:
            self.told.append(event.kind)
            alarms.answers.apply(AlarmEvent.from_record(codec.decode(event.encode(), "AlarmEvent")[1]))
        return step.alarms
