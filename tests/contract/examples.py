"""One believable record of every type, from fixed seeds: what the golden files hold, and what tests take as a starting point."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

import numpy as np

from schemas import alarms, codec
from schemas import frame as frames
from schemas.alarm_rules import AlarmRule, ConditionKind
from schemas.audit import AuditEvent, Outcome
from schemas.commands import (
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    CommandStateRecord,
    ControlAction,
    Effect,
    ParameterOutcome,
)
from schemas.labels import AnomalyLabel, PatternTag
from schemas.labels import Verdict as Label
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState, raised_id
from schemas.priorities import Priority, Response, Severity
from schemas.quality import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN_LAST_USABLE
from schemas.verdicts import LATE_FLAG, Verdict

SEED = 20_260_105
EPOCH = UUID("019b8c00-0000-7000-8000-000000000001")
COMMAND = UUID("019b8c00-1111-7abc-9def-000000000002")
EVENT = UUID("019b8c00-2222-7abc-9def-000000000003")
LABEL = UUID("019b8c00-4444-7abc-9def-000000000004")
EPISODE = UUID("7d1f6a52-2f0b-5c55-8a43-0d6f5c1f9a10")
T0_US = 1_767_600_000_000_000  # 2026-01-05T08:00:00Z


def frame(samples: int = 12) -> frames.Frame:
    """A judged frame with every kind of float, good, uncertain and bad quality, and out-of-order times."""
    rng = np.random.default_rng(SEED)
    value = np.round(rng.normal(70, 5, samples), 3)
    value[:5] = [0.0, -0.0, np.nan, np.inf, -np.inf]
    quality = np.full(samples, GOOD, np.uint16)
    quality[-2:] = [UNCERTAIN_LAST_USABLE, BAD_SENSOR_FAILURE]
    verdict = np.zeros(samples, np.uint8)
    verdict[2:5] = Verdict.NOT_FINITE
    verdict[5] = Verdict.GOOD | LATE_FLAG
    verdict[-2:] = Verdict.DEGRADED_QUALITY
    built = frames.build(
        gateway_id="gw-north-1",
        epoch=EPOCH,
        lane=1,
        stream=frames.Stream.LIVE,
        sequence=42,
        closed_time_us=T0_US + 200_000,
        clock_status=frames.ClockStatus.SYNCHRONISED,
        registry_version=7,
        tag_id=rng.choice([101, 102, 205, 70_000], samples).astype(np.int32),
        time_us=T0_US + rng.permutation(samples) * 10_000 - 1,
        value=value,
        quality=quality,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return dataclasses.replace(built, verdict=verdict)


def frame_record(built: frames.Frame) -> dict[str, Any]:
    """Avro record of a frame."""
    record = {field.name: getattr(built, field.name) for field in dataclasses.fields(built)}
    return record | {"stream": built.stream.name, "clock_status": built.clock_status.value}


def _record(message: Any) -> dict[str, Any]:
    found = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    lists = {name: list(value) for name, value in found.items() if isinstance(value, tuple)}
    return found | {
        name: [dataclasses.asdict(one) if dataclasses.is_dataclass(one) else one for one in value]  # type: ignore[arg-type]
        for name, value in lists.items()
    }


def _aggregates() -> dict[str, Any]:
    rng = np.random.default_rng(SEED + 1)
    windows = 3
    low, high = np.sort(rng.normal(20, 2, (2, windows)), axis=0)
    start_us = T0_US + np.arange(windows, dtype=np.int64) * 1_000_000
    mean = (low + high) / 2
    mean[-1] = np.nan
    return {
        "gateway_id": "gw-north-1", "lane": 1, "window_s": 1, "closed_time_us": T0_US + 3_200_000, "lineage": -1_208_430_912,
        "tag_id": np.array([101, 101, 102], np.int32), "start_us": start_us,
        "count": np.array([10, 9, 4], np.int32), "good": np.array([10, 8, 0], np.int32),
        "mean": mean, "m2": np.array([0.5, 0.25, 0.0]),
        "min": low, "min_time_us": start_us + 100_000, "max": high, "max_time_us": start_us + 200_000,
        "first": low, "first_time_us": start_us, "last": high, "last_time_us": start_us + 900_000,
    }  # fmt: skip


def _rejected() -> dict[str, Any]:
    return {
        "reason": Verdict.OUT_OF_RANGE.name, "detail": "412.5 is above the limit 150", "rejected_time_us": T0_US + 250_000,
        "source_topic": "telemetry.frames.north", "source_partition": 3, "source_offset": 9_007_199_254_740_993,
        "gateway_id": "gw-north-1", "epoch": EPOCH, "lane": 1, "stream": "LIVE", "sequence": 42, "samples": 2,
        "position": np.array([0, 7], np.int32), "tag_id": np.array([101, 205], np.int32),
        "time_us": np.array([T0_US, T0_US + 1], np.int64), "value": np.array([412.5, -0.0]),
        "quality": np.array([0, 0x8000], np.uint16), "original": None,
    }  # fmt: skip


def _event() -> dict[str, Any]:
    return {
        "event_id": EVENT, "kind": "GAP", "gateway_id": "gw-north-1", "device_id": 0, "time_us": T0_US,
        "text": "buffer full: oldest segment dropped", "attributes": {"segment": "17"},
        "gap": {
            "lane": 1, "epoch": EPOCH, "stream": "BACKFILL", "first_sequence": 5, "last_sequence": 9, "samples": 4_321,
            "from_us": T0_US - 60_000_000, "to_us": T0_US, "cause": "FULL",
            "items": [
                {"tag_id": 101, "from_us": T0_US - 60_000_000, "to_us": T0_US - 1},
                {"tag_id": 102, "from_us": T0_US - 59_000_000, "to_us": T0_US},
            ],
        },
        "lanes": [{
            "lane": 1, "epoch": EPOCH, "stream": "LIVE", "next_sequence": 43, "produced_samples": 430_000,
            "produced_checksum": -1_234_567_890_123_456_789, "delivered_sequence": 40, "buffered_samples": 30_000,
            "dropped_samples": 0,
        }],
    }  # fmt: skip


_NO_FORECAST = dict.fromkeys(("limit", "limit_us", "earliest_us", "latest_us", "as_of_us"))


def _anomaly() -> dict[str, Any]:
    return {
        "episode_id": EPISODE, "device_id": 11, "phase": "CLOSE", "revision": 3, "start_us": T0_US,
        "end_us": T0_US + 42_000_000, "score": 0.125, "peak_score": 0.96875, "threshold": 0.75,
        "contributors": [
            {"tag_id": 101, "score": 0.9, "value": 91.5, "expected_low": 60.0, "expected_high": 80.0,
             "statistic": "level", **_NO_FORECAST},
            {"tag_id": 102, "score": 0.1, "value": 3.0, "expected_low": None, "expected_high": None, "statistic": "relation",
             **_NO_FORECAST},
            {"tag_id": 103, "score": 0.75, "value": 71.5, "expected_low": 0.0, "expected_high": 80.0, "statistic": "forecast",
             "limit": 80.0, "limit_us": T0_US + 86_400_000_000, "earliest_us": T0_US + 43_200_000_000, "latest_us": None,
             "as_of_us": T0_US},
        ],
        "detector": "default", "detector_version": 1,
    }  # fmt: skip


def label() -> AnomalyLabel:
    """A label that was withdrawn."""
    return AnomalyLabel(
        label_id=LABEL,
        episode_id=EPISODE,
        device_id=11,
        verdict=Label.NOT_A_FAULT,
        by="operator",
        time_us=T0_US + 60_000_000,
        reason="the die was warmed up",
        detector="default",
        peak_score=0.96875,
        pattern=(PatternTag(tag_id=101, statistic="level", direction=1),),
        withdrawn_us=T0_US + 90_000_000,
        withdrawn_by="shift leader",
        withdrawn_reason="it was not",
    )


def _progress() -> dict[str, Any]:
    return {
        "gateway_id": "gw-north-1", "lane": 1, "time_us": T0_US, "frames": 42, "samples": 420_000, "duplicate_frames": 2,
        "duplicate_samples": 20_000, "identity_conflicts": 1,
        "held": [{"epoch": EPOCH, "stream": "LIVE", "sequence": 43, "samples": 12}],
    }  # fmt: skip


def _definition() -> dict[str, Any]:
    return {
        "tag_id": 101, "device_id": 11, "registry_version": 7, "path": "acme/north/press/line1/cell1/press01/temperature",
        "name": "temperature", "site": "north", "device_class": "press", "tag_class": "process",
        "description": "Hydraulic oil temperature", "data_type": "DOUBLE", "unit": "Cel", "eu_low": 20.0, "eu_high": 90.0,
        "limit_low": -40.0, "limit_high": 150.0, "max_rate": 5.0, "stuck_after_s": None, "period_ms": 100, "deadband": 0.0,
        "windows_s": [1, 60], "detector": "default", "historise": "ALL", "gateway_id": "gw-north-1", "lane": 1,
        "address": "opcua:ns=2;s=north.press01.temperature", "writable": False, "retired": False,
        "deadband_percent": 0.5, "swinging_door": True, "max_silence_s": 30.0, "sampling_ms": 50,
        "expression": "tag.oil_inlet - tag.oil_outlet",
    }  # fmt: skip


def _latest() -> dict[str, Any]:
    return {
        "gateway_id": "gw-north-1", "lane": 1, "closed_time_us": T0_US + 200_000, "tag_id": np.array([101, 102], np.int32),
        "time_us": np.array([T0_US, T0_US - 86_400_000_000], np.int64), "value": np.array([71.25, 1.0]),
        "quality": np.array([GOOD, UNCERTAIN_LAST_USABLE], np.uint16),
    }  # fmt: skip


def _request() -> CommandRequest:
    return CommandRequest(
        command_id=COMMAND, device_id=11, gateway_id="gw-north-1", site="north", name="write",
        parameters={"speed_setpoint": 12.5}, submitted_by="operator", submitted_us=T0_US, expires_us=T0_US + 30_000_000,
        reason="new batch",
    )  # fmt: skip


def alarm() -> alarms.Alarm:
    """An alarm that stands, acknowledged and shelved."""
    source = alarms.source_id("north", "oil-hot@11")
    shelved = alarms.Override(
        kind=alarms.OverrideKind.SHELVED, since_us=T0_US, by="operator", reason="known", until_us=T0_US + 3_600_000_000
    )
    return alarms.Alarm(
        alarm_id=alarms.alarm_id(source, T0_US),
        source_id=source,
        version=3,
        site="north",
        rule="oil-hot",
        rule_version=3,
        device_id=11,
        gateway_id="gw-north-1",
        tag_id=101,
        path="acme/north/forming/line-1/blanking/press-01/oil_temperature",
        priority=Priority.HIGH,
        state=alarms.AlarmState.SHELVED,
        active=True,
        start_us=T0_US - 10_000_000,
        activated_us=T0_US,
        acknowledged_us=T0_US + 20_000_000,
        acknowledged_by="operator",
        activations=2,
        overrides=(shelved,),
        value=66.25,
        detail="oil_temperature is 66.25 Cel, HI is 65",
        first_out=True,
        title="Hydraulic oil is hot",
        updated_us=T0_US + 21_000_000,
    )


def notification() -> AlarmNotification:
    """What the on-call was told of the alarm, after ten minutes."""
    about = alarm()
    return AlarmNotification(
        notification_id=raised_id(about.alarm_id, 2, 1, "on-call"),
        kind=NotificationKind.RAISED,
        state=NotificationState.SENT,
        alarm_id=about.alarm_id,
        activation=2,
        route="forming",
        step=1,
        target="on-call",
        message_id=EVENT,
        site="north",
        rule="oil-hot",
        path=about.path,
        priority=Priority.HIGH,
        title=about.title,
        created_us=T0_US + 600_000_000,
        updated_us=T0_US + 601_500_000,
        attempts=2,
        detail="250 OK",
    )


def _audited() -> dict[str, Any]:
    return AuditEvent(
        event_id=EVENT,
        time_us=T0_US,
        service="serving",
        action="command:approve",
        outcome=Outcome.ALLOW,
        subject="6f1c2a9e",
        credential="issuer",
        amr=("pwd", "otp"),
        signed_in_us=T0_US - 120_000_000,
        second="b07d55e1",
        peer="ipv4:10.0.0.7:51000",
        method="CommandService/ApproveCommand",
        name="clear",
        device_class="oven",
        path="acme/north/curing/line-1/ovens/oven-01",
        command_id=str(COMMAND),
        reason="door checked",
        policies=("approve-where-granted",),
        policy_version="9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
        trace_id="0af7651916cd43dd8448eb211c80319c",
    ).record()


def records() -> dict[str, dict[str, Any]]:
    """Example of every record type, in the newest version."""
    request = _request()
    outcome: dict[str, Any] = {"command_id": COMMAND, "attempt": 1, "device_id": 11, "gateway_id": "gw-north-1"}
    state = CommandState.SUCCEEDED
    outcomes = (
        ParameterOutcome(name="speed_setpoint", effect=Effect.APPLIED, readback=12.5, detail="written and read back"),
    )
    return {
        "AggregateBatch": _aggregates(),
        "Alarm": _record(
            dataclasses.replace(
                alarm(),
                condition="press-plc:ns=2;s=Press.OilTemperatureHigh",
                acknowledged_reason="on my way",
                acknowledged_at_machine=False,
                seen_us=T0_US,
            )
        ),
        "AlarmAction": _record(
            alarms.AlarmAction(
                action_id=EVENT,
                kind=alarms.AlarmActionKind.SHELVE,
                site="north",
                rule="press-own",
                device_id=11,
                condition="press-plc:ns=2;s=Press.OilTemperatureHigh",
                by="operator",
                time_us=T0_US,
                reason="sensor is being changed",
                until_us=T0_US + 3_600_000_000,
                activations=2,
            )
        ),
        "AlarmEvent": _record(
            alarms.AlarmEvent(
                event_id=EVENT,
                alarm_id=alarm().alarm_id,
                source_id=alarm().source_id,
                version=2,
                kind=alarms.AlarmEventKind.ACKNOWLEDGED,
                state=alarms.AlarmState.ACKNOWLEDGED,
                site="north",
                rule="oil-hot",
                device_id=11,
                gateway_id="gw-north-1",
                path=alarm().path,
                priority=Priority.HIGH,
                time_us=T0_US,
                recorded_us=T0_US + 5_000,
                by="operator",
                reason="on my way",
                action_id=EVENT,
                withdrawn=True,
            )
        ),
        "AlarmNotification": _record(notification()),
        "AlarmRule": _record(
            AlarmRule(
                name="press-own",
                version=3,
                valid_from_us=T0_US,
                device_class="hydraulic_press",
                kind=ConditionKind.CONDITION,
                condition_type="*AlarmType",
                condition_source="Oil*",
                min_severity=100,
                by_severity=(("600", "MODERATE PROMPT"), ("900", "MAJOR IMMEDIATE")),
                on_delay_s=1.0,
                severity=Severity.MINOR,
                response=Response.LATER,
                title="Press",
                cause="See the press's own panel.",
                consequence="The press stops itself.",
                corrective_action="Read the code at the panel; call maintenance above 900.",
                author="operator",
                written_us=T0_US,
                reason="the press knows better",
            )
        )
        # A rule about conditions is a STATE in records, whose enum has no more symbols.
        | {"kind": "STATE", "inputs": {}, "by_severity": {"600": "MODERATE PROMPT", "900": "MAJOR IMMEDIATE"}},
        "Anomaly": _anomaly(),
        "AnomalyLabel": _record(label()),
        "AuditEvent": _audited(),
        "CommandAck": _record(
            CommandAck(
                **outcome,
                state=state,
                time_us=T0_US + 40_000,
                readback={"speed_setpoint": 12.5},
                outcomes=outcomes,
            )
        ),
        "CommandControl": _record(
            CommandControl(command_id=COMMAND, device_id=11, action=ControlAction.CANCEL, by="operator", time_us=T0_US)
        ),
        "CommandRequest": _record(request),
        "CommandState": _record(
            CommandStateRecord(
                **outcome,
                version=4,
                state=state,
                site=request.site,
                name=request.name,
                parameters=request.parameters,
                submitted_by=request.submitted_by,
                submitted_us=T0_US,
                expires_us=request.expires_us,
                updated_us=T0_US + 41_000,
                readback={"speed_setpoint": 12.5},
                duplicate_acks=1,
                outcomes=outcomes,
                reason=request.reason,
                approved_by="supervisor",
            )
        ),
        "DeviceEvent": _event(),
        "FrameBundle": {
            "gateway_id": "gw-north-1",
            "lane": 1,
            "frames": [codec.encode("TelemetryFrame", frame_record(frame()) | {"sequence": n}) for n in (7, 8)],
        },
        "LaneProgress": _progress(),
        "LatestBatch": _latest(),
        "SigningKey": {
            "key_id": "gateway-gw-north-1.1.0123456789abcdef",
            "statement": '{"from_us": 0, "holder": "gateway-gw-north-1"}',
            "proof": bytes(range(70)),
        },
        "SignOut": {"subject": "ann", "before_us": T0_US, "by": "root"},
        "RegistryVersion": {"version": 7, "tags": 400, "time_us": T0_US},
        "Rejected": _rejected(),
        "PushSubscription": {
            "subscription_id": UUID("6f9b1a52-0d43-4f7e-9a5b-0d8b8f1c5e22"),
            "principal": "ann",
            "endpoint": "https://push.example.com/x",
            "p256dh": "BG4d",
            "auth": "c2VjcmV0",
            "session_us": T0_US,
            "renewed_us": T0_US + 1_000_000,
        },
        "ShiftCalendar": {
            "scope": "acme/north",
            "from_us": T0_US,
            "until_us": T0_US + 86_400_000_000,
            "planned": [{"start_us": T0_US, "end_us": T0_US + 86_400_000_000}],
            "shifts": [{"shift": "early", "start_us": T0_US + 3_600_000_000, "end_us": T0_US + 32_400_000_000}],
            "names": ["early", "late"],
        },
        "TagDefinition": _definition(),
        "TelemetryFrame": frame_record(frame()),
    }
