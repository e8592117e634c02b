"""Alarms in every state that the alarms job keeps, and what happens to each afterwards.

A device is a scenario: its number is its tag and its rule `r<number>`. `before` is what the job reads until its state is kept, `after` what
it reads then. Nothing of site south is read afterwards: only its timer goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np

from schemas import alarms, codec, topics
from schemas.alarm_rules import AlarmRule
from schemas.alarms import AlarmAction, AlarmActionKind
from schemas.commands import CommandState, CommandStateRecord
from schemas.definitions import encode_tag, encode_version
from schemas.events import DEAD_DEVICES, DeviceEvent, EventKind, device_ranges
from stages.alarms.config import AlarmConfig
from tests.golden.support import GATEWAY, SITE, tag, us

CONFIG = AlarmConfig(forget_ms=60_000)
CUT_S, END_S = 100.0, 760.0
SOUTH, SOUTH_GATEWAY, SOUTH_DEVICE = "south", "gw-south", 40
MODE, SETPOINT = 118, 119
"""Tags beside the one that is watched, of devices 18 and 19."""
ANOMALY, COMMAND, SILENT, DEAD, DEVIATES = 13, 14, 16, 20, 19
LOW, HIGH = 20.0, 90.0
Step = list[Any]

_OWN: dict[int, dict[str, Any]] = {
    5: {"latch": True},
    7: {"parent": "r6", "device": 6},
    9: {"on_delay_s": 30.0},
    10: {"group": "line"},
    11: {"group": "line"},
    12: {"group": "line"},
    ANOMALY: {"kind": "ANOMALY", "min_score": 0.5},
    COMMAND: {"kind": "COMMAND"},
    SILENT: {"kind": "NO_DATA", "after_s": 30.0},
    18: {"suppress_tag": "mode", "suppress_values": [3.0]},
    DEVIATES: {"kind": "DEVIATION", "limit": 10.0, "setpoint_tag": "setpoint"},
    DEAD: {"kind": "NO_DATA", "after_s": 20.0},
}
"""What the rule of a device has beside those of the others: a high limit."""


def _path(device_id: int, site: str = SITE) -> str:
    return f"acme/{site}/area/line/cell/device{device_id}"


def _rule(number: int, *, site: str = SITE, **changes: Any) -> AlarmRule:
    own = dict(_OWN.get(number, {}))
    fields: dict[str, Any] = {
        "name": f"r{number}",
        "device_path": _path(number, site),
        "severity": "MINOR",
        "response": "PROMPT",
        "title": f"rule {number}",
    }
    if (device_id := own.pop("device", None)) is not None:
        fields["parent_path"] = _path(device_id)
    fields |= {"kind": "LIMIT"} | own
    if fields["kind"] == "LIMIT":
        fields |= {"level": "HI", "limit": 80.0, "deadband": 1.0}
    if fields["kind"] not in ("ANOMALY", "COMMAND"):
        fields["tag"] = "value"
    if "group" in own:
        fields["group_level"] = "CELL"
    return AlarmRule.from_record(fields | changes)


def registry() -> list[tuple[bytes, bytes]]:
    """Messages of `registry.tags`."""
    tags = [tag(number, number, name="value", path=f"{_path(number)}/value") for number in range(1, 23)]
    tags += [
        tag(MODE, 18, name="mode", path=f"{_path(18)}/mode"),
        tag(SETPOINT, DEVIATES, name="setpoint", path=f"{_path(DEVIATES)}/setpoint"),
        tag(
            SOUTH_DEVICE,
            SOUTH_DEVICE,
            name="value",
            path=f"{_path(SOUTH_DEVICE, SOUTH)}/value",
            site=SOUTH,
            gateway_id=SOUTH_GATEWAY,
        ),
    ]
    return [*map(encode_tag, tags), encode_version(1, tags=len(tags), time_us=us(0))]


def rules() -> list[AlarmRule]:
    """Those of the beginning."""
    silent = {"name": "gateway-silent", "kind": "NO_DATA", "of_gateway": True, "after_s": 60.0, "severity": "MAJOR"}
    return [
        *(_rule(number) for number in range(1, 23)),
        _rule(SOUTH_DEVICE, site=SOUTH),
        AlarmRule.from_record(silent | {"response": "PROMPT"}),
    ]


# --- steps --------------------------------------------------------------------------------------------------------------


def _row(topic: str, key: bytes, value: bytes, at_s: float) -> Step:
    return ["row", topic, 0, round(at_s * 1000), key, value, us(at_s)]


def _values(at_s: float, values: dict[int, float], gateway_id: str = GATEWAY) -> Step:
    record = {
        "gateway_id": gateway_id,
        "lane": 0,
        "closed_time_us": us(at_s),
        "tag_id": np.array(list(values), dtype=np.int32),
        "time_us": np.full(len(values), us(at_s)),
        "value": np.array(list(values.values())),
        "quality": np.zeros(len(values), dtype=np.uint16),
    }
    return _row(topics.LATEST.name, f"{gateway_id}/0".encode(), codec.encode("LatestBatch", record), at_s)


def _health(at_s: float, dead: tuple[int, ...] = ()) -> Step:
    event = DeviceEvent(
        kind=EventKind.GATEWAY_HEALTH,
        gateway_id=GATEWAY,
        device_id=0,
        time_us=us(at_s),
        attributes={DEAD_DEVICES: device_ranges(dead)},
    )
    return _row(topics.EVENTS.for_site(SITE), event.key, event.encode(), at_s)


def _anomaly(at_s: float, number: int, phase: str) -> Step:
    record = {
        "episode_id": UUID(int=number),
        "device_id": ANOMALY,
        "phase": phase,
        "revision": 1,
        "start_us": us(20),
        "end_us": us(at_s) if phase == "CLOSE" else None,
        "score": 0.9,
        "peak_score": 0.9,
        "threshold": 0.5,
        "contributors": [],
        "detector": "default",
        "detector_version": 1,
    }
    return _row(topics.ANOMALIES.name, str(ANOMALY).encode(), codec.encode("Anomaly", record), at_s)


def _command(at_s: float, number: int) -> Step:
    state = CommandStateRecord(
        command_id=UUID(int=number),
        version=3,
        state=CommandState.UNKNOWN,
        device_id=COMMAND,
        gateway_id=GATEWAY,
        site=SITE,
        name="start",
        parameters={},
        submitted_by="alice",
        submitted_us=us(0),
        expires_us=us(60),
        updated_us=us(at_s),
        attempt=1,
    )
    return _row(topics.STATES.name, str(state.command_id).encode(), state.encode(), at_s)


def _act(at_s: float, kind: str, device_id: int, start_s: float | None = None, **fields: Any) -> Step:
    site = SOUTH if device_id == SOUTH_DEVICE else SITE
    key = alarms.source_key(f"r{device_id}", device_id, "")
    action = AlarmAction(
        action_id=UUID(int=round(at_s * 1000) * 1000 + device_id),
        kind=AlarmActionKind(kind),
        site=site,
        rule=f"r{device_id}",
        device_id=device_id,
        alarm_id=None if start_s is None else alarms.alarm_id(alarms.source_id(site, key), us(start_s)),
        by="alice",
        time_us=us(at_s),
        **({"reason": "test"} | fields),
    )
    return _row(topics.ALARM_ACTIONS.name, action.key, action.encode(), at_s)


def _rule_step(rule: AlarmRule) -> Step:
    return ["broadcast", topics.ALARM_RULES.name, rule.key, rule.encode()]


def before() -> Iterator[Step]:
    """Until the state is kept."""
    for key, value in registry():
        yield ["broadcast", topics.TAGS.name, key, value]
    for rule in rules():
        yield _rule_step(rule)
    quiet = dict.fromkeys(range(1, 23), LOW)
    yield _values(1, quiet | {MODE: 1.0, SETPOINT: LOW})
    yield _values(2, {SOUTH_DEVICE: LOW}, SOUTH_GATEWAY)
    yield _values(3, {3: HIGH})
    yield _values(4, {3: LOW})
    yield _act(5, "ACKNOWLEDGE", 3, 3)
    yield _values(10, dict.fromkeys((1, 2, 3, 4, 5, 6, 21, 22), HIGH))
    yield _act(11, "ACKNOWLEDGE", 2, 10)
    yield _values(11.5, {7: HIGH})
    yield _values(12, {3: LOW, 5: LOW})
    yield _act(13, "SHELVE", 4, until_us=us(130))
    yield _act(13.1, "OUT_OF_SERVICE", 8)
    yield _act(13.2, "COMMENT", 22, 10)
    yield _act(13.3, "SHELVE", SOUTH_DEVICE, until_us=us(140))
    yield _values(14, {10: HIGH})
    yield _values(15, {11: HIGH})
    yield _anomaly(20, 1, "OPEN")
    yield _anomaly(20.1, 2, "OPEN")
    yield _command(21, 1)
    speaking = dict.fromkeys(set(range(1, 16)) - {1, 2, 4, 6, 7, 10, 11, 15}, LOW)
    yield _values(40, speaking)
    yield _values(60, {MODE: 3.0})
    yield _values(61, {18: HIGH})
    yield _health(70, (DEAD,))
    yield _values(80, {15: HIGH})
    yield _values(85, {15: LOW})
    yield _values(90, {15: HIGH, 9: HIGH})
    yield _act(95, "ACKNOWLEDGE", 17, 116)
    yield _values(96, {SOUTH_DEVICE: LOW}, SOUTH_GATEWAY)
    yield _values(99, {13: LOW})


def after() -> Iterator[Step]:
    """What follows. The first that the job is told is that a rule is retired: by the clock that it remembers."""
    yield _rule_step(_rule(21, version=2, retired=True, valid_from_us=us(98)))
    yield _rule_step(_rule(22, version=2, title="rule 22 in other words", valid_from_us=us(98)))
    yield _rule_step(_rule(SOUTH_DEVICE, site=SOUTH, version=2, limit=10.0, valid_from_us=us(90)))
    yield _act(101, "ACKNOWLEDGE", 3, 3)
    yield _act(101.1, "ACKNOWLEDGE", 3, 10)
    yield _act(101.2, "ACKNOWLEDGE", 5, 10)
    yield _act(101.3, "RESET", 5, 10)
    yield _act(101.4, "OUT_OF_SERVICE", 1, until_us=us(150))
    yield _values(105, {15: LOW})
    yield _values(110, {15: HIGH, 8: HIGH, 6: LOW})
    yield _values(111, {12: HIGH})
    yield _act(112, "IN_SERVICE", 8)
    yield _command(113, 1)
    yield _command(114, 2)
    yield _anomaly(115, 1, "CLOSE")
    yield _values(116, {17: HIGH})
    yield _anomaly(116.5, 2, "CLOSE")
    yield _values(117, {MODE: 1.0})
    yield _values(118, {DEVIATES: 45.0})
    yield _health(119)
    yield _values(120, {SILENT: LOW})
    yield _values(125, {9: HIGH})
    yield _values(160, {9: HIGH})
    yield _values(200, dict.fromkeys(range(1, 23), LOW))
    yield _values(720, dict.fromkeys(range(1, 23), LOW))
    yield ["advance", us(END_S)]
