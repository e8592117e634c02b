"""A thousand alarms within ten seconds, from the job's logic into the database: none is lost, the figures are those made by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from uuid import UUID

import numpy as np

from benchmarks.alarms import flood, record
from benchmarks.alarms.oracle import Activation
from historian.store import HistorianStore
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm
from schemas.definitions import encode_tag, encode_version
from schemas.priorities import Priority
from stages.alarms.calm import calm_list
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.step import Step
from tests.golden.support import tag
from tests.integration.fix_history import history_template, plain_history
from tests.integration.history import T0_US, Record

__all__ = ["history_template", "plain_history"]
S = 1_000_000
TICK_US = 100_000


class Line:
    """The logic, and a store behind it; who looks at the calm list."""

    def __init__(self, dsn: str, machines: list[flood.Machine]) -> None:
        self.machines, self.store = machines, HistorianStore(dsn)
        self.logic = AlarmLogic(AlarmConfig(), T0_US - 60 * S)
        self.offset = itertools.count()
        self.alarms: dict[UUID, Alarm] = {}
        for number, one in enumerate(machines, 1):
            about = {"device_class": "flooded-critical" if one.critical else "flooded", "gateway_id": flood.GATEWAY}
            known = tag(number, number, name="level", path=one.path, site=flood.SITE, **about)
            self.logic.apply_registry(encode_tag(known)[1])
        self.logic.apply_registry(encode_version(1, tags=len(machines), time_us=T0_US)[1])
        for fields in flood.rules():
            self.logic.apply_rule(AlarmRule.from_record(fields))

    def see(self, chosen: list[int], value: float, at_us: int) -> None:
        ids = np.array(chosen, dtype=np.int32) + 1
        record = {
            "gateway_id": flood.GATEWAY, "lane": 0, "closed_time_us": at_us, "tag_id": ids, "time_us": np.full(len(ids), at_us),
            "value": np.full(len(ids), value), "quality": np.zeros(len(ids), np.uint16),
        }  # fmt: skip
        self._keep(self.logic.on_record(flood.SITE, "LatestBatch", record, at_us))

    def acknowledge(self, alarm: Alarm, at_us: int) -> None:
        action = {
            "action_id": alarm.alarm_id, "kind": "ACKNOWLEDGE", "site": flood.SITE, "rule": alarm.rule, "device_id": alarm.device_id,
            "gateway_id": "", "alarm_id": alarm.alarm_id, "by": "ann", "time_us": at_us, "reason": "", "until_us": None,
        }  # fmt: skip
        self._keep(self.logic.on_record(flood.SITE, "AlarmAction", action, at_us))

    def _keep(self, step: Step) -> None:
        self.alarms |= {alarm.alarm_id: alarm for alarm in step.alarms}
        told = [("alarm.events", event.key, event.encode()) for event in step.events]
        told += [("alarms", alarm.key, alarm.encode()) for alarm in step.alarms]
        records = [Record(topic, 0, next(self.offset), key, value) for topic, key, value in told]
        assert self.store.write(records).poisoned == []


def test_a_thousand_alarms_in_ten_seconds_are_all_there_the_critical_on_top_and_the_figures_are_those_by_hand(
    plain_history: str,
) -> None:
    machines = flood.plan(1)
    line, raised_us = Line(plain_history, machines), dict[int, int]()
    line.see(list(range(len(machines))), flood.NORMAL, T0_US)
    begin_us = T0_US + 595 * S  # a border of ten minutes is in the midst
    for tick in range(1, round(flood.SPAN_S * S) // TICK_US + 1):
        at_us = begin_us + tick * TICK_US
        chosen = [n for n, one in enumerate(machines) if n not in raised_us and one.at_s * S < tick * TICK_US]
        if not chosen:
            continue
        raised_us |= dict.fromkeys(chosen, at_us)
        line.see(chosen, flood.BEYOND, at_us)
        lines = calm_list(line.alarms.values())
        critical = {machines[n].path for n in raised_us if machines[n].critical}
        assert len(lines) <= flood.MOST_LINES
        assert {one.head.path for one in lines[: len(critical)]} == critical
        assert sum(len(one.alarms) for one in lines) == len(raised_us)
    assert len(raised_us) == flood.MACHINES
    acknowledged: dict[str, int] = {}
    for number, alarm in enumerate(sorted(line.alarms.values(), key=lambda one: one.path)):
        if number % 3 == 0:
            acknowledged[alarm.path] = begin_us + 20 * S + number * 1_000
            line.acknowledge(alarm, acknowledged[alarm.path])
    line.see(list(range(len(machines))), flood.NORMAL, begin_us + 60 * S)
    line.store.close()

    activations = [
        Activation(
            path=one.path,
            rule=flood.RULES[one.critical],
            priority=Priority.CRITICAL if one.critical else Priority.MEDIUM,
            time_us=raised_us[number],
            acknowledged_us=acknowledged.get(one.path),
        )
        for number, one in enumerate(machines)
    ]
    until_us = T0_US + 1_500 * S
    rows = record.stored(plain_history, since_us=T0_US, rules=flood.RULES)
    assert len(rows) == len({row.path for row in rows}) == flood.MACHINES
    assert [row.start_us for row in rows] == sorted(raised_us.values())
    states = Counter((row.state, row.events) for row in rows)
    assert states == {
        ("NORMAL", record.COURSE): len(acknowledged),
        ("RETURNED_UNACKNOWLEDGED", ("RAISED", "RETURNED")): flood.MACHINES - len(acknowledged),
    }
    assert record.unlike(rows, line.alarms) == []
    assert not record.settled(plain_history, since_us=T0_US, rules=flood.RULES, count=flood.MACHINES)
    assert record.wrong_figures(plain_history, activations, T0_US, until_us) == []
    kpis, _ = record.figures(plain_history, T0_US, until_us)
    assert {row["flood_share"] for row in kpis} == {2 / 3}
    assert record.wrong_figures(plain_history, activations[1:], T0_US, until_us) != []
