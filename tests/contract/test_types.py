"""The same thing has the same name and members in Avro, in Python and in the protos."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

import pytest

from schemas import (
    alarm_rules,
    alarms,
    codec,
    commands,
    definitions,
    events,
    frame,
    labels,
    notifications,
    priorities,
    verdicts,
)
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from tests.contract import examples, golden_files


def enum_symbols(schema: Any, name: str) -> list[str] | None:
    """Symbols of a named enum, wherever it is in a schema."""
    if isinstance(schema, list):
        return next((found for branch in schema if (found := enum_symbols(branch, name))), None)
    if not isinstance(schema, dict):
        return None
    if schema.get("name") == name and schema.get("type") == "enum":
        return [str(symbol) for symbol in schema["symbols"]]
    inner = [field["type"] for field in schema.get("fields", ())]
    inner += [schema[part] for part in ("type", "items", "values") if isinstance(schema.get(part), dict | list)]
    return enum_symbols(inner, name) if inner else None


@pytest.mark.parametrize(
    ("record", "enum", "python"),
    [
        ("TelemetryFrame", "Stream", frame.Stream),
        ("Rejected", "Stream", frame.Stream),
        ("LaneProgress", "Stream", frame.Stream),
        ("DeviceEvent", "Stream", frame.Stream),
        ("TelemetryFrame", "ClockStatus", frame.ClockStatus),
        ("DeviceEvent", "EventKind", events.EventKind),
        ("CommandState", "State", commands.CommandState),
        ("CommandAck", "AckState", commands.CommandState),
        ("CommandControl", "Action", commands.ControlAction),
        ("TagDefinition", "DataType", definitions.DataType),
        ("TagDefinition", "Historise", definitions.Historise),
        ("Alarm", "AlarmPriority", priorities.Priority),
        ("Alarm", "AlarmState", alarms.AlarmState),
        ("Alarm", "AlarmOverrideKind", alarms.OverrideKind),
        ("AlarmAction", "AlarmActionKind", alarms.AlarmActionKind),
        ("AlarmEvent", "AlarmEventKind", alarms.AlarmEventKind),
        ("AlarmEvent", "AlarmPriority", priorities.Priority),
        ("AlarmEvent", "AlarmState", alarms.AlarmState),
        ("AlarmNotification", "AlarmNotificationKind", notifications.NotificationKind),
        ("AlarmNotification", "AlarmNotificationState", notifications.NotificationState),
        ("AlarmNotification", "AlarmPriority", priorities.Priority),
        ("AnomalyLabel", "AnomalyVerdict", labels.Verdict),
        ("AlarmRule", "AlarmConditionKind", alarm_rules.ConditionKind),
        ("AlarmRule", "AlarmGroupLevel", alarm_rules.GroupLevel),
        ("AlarmRule", "AlarmLevel", alarm_rules.Level),
        ("AlarmRule", "AlarmResponse", priorities.Response),
        ("AlarmRule", "AlarmSeverity", priorities.Severity),
    ],
)
def test_enums_have_the_same_symbols(record: str, enum: str, python: type[Enum]) -> None:
    # A record has an expression, or conditions of a server, as STATE: no enum gets another symbol.
    other = (alarm_rules.ConditionKind.EXPRESSION, alarm_rules.ConditionKind.CONDITION)
    names = [member.name for member in python if member not in other]
    assert enum_symbols(codec.newest(record).raw, enum) == names


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("TelemetryFrame", frame.Frame),
        ("TagDefinition", definitions.TagDefinition),
        ("CommandRequest", commands.CommandRequest),
        ("CommandControl", commands.CommandControl),
        ("CommandAck", commands.CommandAck),
        ("CommandState", commands.CommandStateRecord),
        ("DeviceEvent", events.DeviceEvent),
        ("Alarm", alarms.Alarm),
        ("AlarmAction", alarms.AlarmAction),
        ("AlarmEvent", alarms.AlarmEvent),
        ("AlarmNotification", notifications.AlarmNotification),
        ("AlarmRule", alarm_rules.AlarmRule),
        ("AnomalyLabel", labels.AnomalyLabel),
    ],
)
def test_domain_types_have_the_fields_of_their_records(name: str, python: Any) -> None:
    avro = [field["name"] for field in codec.newest(name).raw["fields"]]
    assert sorted(field.name for field in dataclasses.fields(python)) == sorted(avro)


@pytest.mark.parametrize(
    ("proto", "prefix", "names"),
    [
        (commands_pb2.CommandState, "COMMAND_STATE_", [state.name for state in commands.CommandState]),
        (state_pb2.AnomalyPhase, "ANOMALY_PHASE_", enum_symbols(codec.newest("Anomaly").raw, "Phase")),
        (
            state_pb2.AnomalyVerdict,
            "ANOMALY_VERDICT_",
            enum_symbols(codec.newest("AnomalyLabel").raw, "AnomalyVerdict"),
        ),
        (state_pb2.Quality, "QUALITY_", ["GOOD", "UNCERTAIN", "BAD"]),
    ],
    ids=["CommandState", "AnomalyPhase", "AnomalyVerdict", "Quality"],
)
def test_proto_enums_have_the_same_names(proto: Any, prefix: str, names: list[str]) -> None:
    assert proto.keys() == [f"{prefix}UNSPECIFIED", *(f"{prefix}{name}" for name in names)]


def test_verdict_numbers_are_what_they_have_always_been() -> None:
    assert {verdict.name: verdict.value for verdict in verdicts.Verdict} == {
        "GOOD": 0, "DEGRADED_QUALITY": 1, "DEGRADED_CLOCK": 2, "DEGRADED_RANGE": 3, "CORRECTED": 4,
        "CALCULATED": 5,
        "NOT_FINITE": 16, "NOT_REPRESENTABLE": 17, "OUT_OF_RANGE": 18, "RATE_OF_CHANGE": 19, "STUCK": 20, "FUTURE": 21,
        "TOO_OLD": 22, "UNKNOWN_TAG": 23, "GATEWAY_NOT_AUTHORISED": 24,
    }  # fmt: skip


def test_verdicts_leave_room_for_the_late_flag() -> None:
    for verdict in verdicts.Verdict:
        assert (verdict | verdicts.LATE_FLAG) & verdicts.VERDICT_MASK == verdict
        assert verdicts.is_reject(verdict) == (verdict >= verdicts.REJECT_FROM)


def test_reasons_of_samples_and_of_records_do_not_collide() -> None:
    assert not {verdict.name for verdict in verdicts.Verdict} & {reason.name for reason in verdicts.RecordReject}


def test_command_records_come_back_as_they_went() -> None:
    records = examples.records()
    for python in (commands.CommandRequest, commands.CommandControl, commands.CommandAck, commands.CommandStateRecord):
        name = python.__name__.removesuffix("Record")
        original = python.from_record(records[name])
        _, record = codec.decode(original.encode(), name)
        assert python.from_record(record) == original


def test_alarm_records_come_back_as_they_went() -> None:
    records = examples.records()
    for python in (
        alarms.Alarm,
        alarms.AlarmAction,
        alarms.AlarmEvent,
        alarm_rules.AlarmRule,
        notifications.AlarmNotification,
        labels.AnomalyLabel,
    ):
        original = python.from_record(records[python.__name__])
        _, record = codec.decode(original.encode(), python.__name__)
        assert python.from_record(record) == original


def test_device_events_come_back_as_they_went() -> None:
    event = events.decode(golden_files.load_message(codec.newest("DeviceEvent")))
    assert event.gap is not None
    assert event.gap.stream is frame.Stream.BACKFILL
    assert [lane.stream for lane in event.lanes] == [frame.Stream.LIVE]
    assert events.decode(event.encode()) == event
    plain = dataclasses.replace(event, gap=None, lanes=(), kind=events.EventKind.BIRTH)
    assert events.decode(plain.encode()) == plain


def test_a_registry_is_complete_once_its_marker_came() -> None:
    definition = definitions.tag_from_record(examples.records()["TagDefinition"])
    known = definitions.Registry()
    key, value = definitions.encode_tag(definition)
    assert key == b"101"
    assert known.apply(value) is False
    assert (known.version, known.tags) == (0, {101: definition})
    key, value = definitions.encode_version(7, tags=1, time_us=0)
    assert known.apply(value) is True
    assert known.apply(value) is False
    assert known.version == 7
    assert [tag.tag_id for tag in known.lane_tags("gw-north-1", 1)] == [101]
    assert list(known.lane_tags("gw-north-1", 2)) == []
    assert [tag.tag_id for tag in known.device_tags(11)] == [101]
    assert definition.device_path == "acme/north/press/line1/cell1/press01"
