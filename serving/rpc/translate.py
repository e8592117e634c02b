"""Domain objects to protobuf messages and request fields to domain types.

No decisions, except refusing what is no id.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from base.errors import InvalidRequestError, shown
from schemas import quality
from schemas.commands import CommandState
from schemas.definitions import TagDefinition
from schemas.labels import AnomalyLabel
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from serving.caches.command_view import CommandView
from serving.caches.device_states import DeviceState
from serving.caches.episodes import Step
from serving.caches.plant import Plant
from serving.caches.plant_tree import Node
from serving.caches.values import LastValue
from serving.handlers.command_filter import CommandFilter
from serving.handlers.descriptions import CommandDescription
from serving.handlers.state import DeviceFilter, DeviceView, TagFilter, TagState

M = TypeVar("M", bound=Message)
_STATES = {number: name.removeprefix("COMMAND_STATE_") for name, number in commands_pb2.CommandState.items()}
QUALITY = {
    "good": state_pb2.QUALITY_GOOD,
    "uncertain": state_pb2.QUALITY_UNCERTAIN,
    "bad": state_pb2.QUALITY_BAD,
}
_QUALITY_NAME = {number: name for name, number in QUALITY.items()}


def messages(kind: type[M], items: Iterable[dict[str, Any]]) -> list[M]:
    """Messages of objects that have their fields; null is a field that is not there."""
    return [ParseDict(item, kind()) for item in items]


def value(last: LastValue, now_us: int) -> state_pb2.Value:
    """A value with its age."""
    return state_pb2.Value(
        value=last.value,
        time_us=last.time_us,
        quality=QUALITY[quality.name(last.quality)],
        quality_code=last.quality,
        age_us=max(0, now_us - last.time_us),
    )


def tag(state: TagState, now_us: int) -> state_pb2.Tag:
    """A tag with its last value."""
    definition: TagDefinition = state.tag
    return state_pb2.Tag(
        tag_id=definition.tag_id,
        device_id=definition.device_id,
        path=definition.path,
        name=definition.name,
        description=definition.description,
        unit=definition.unit,
        data_type=definition.data_type.value,
        eu_low=definition.eu_low,
        eu_high=definition.eu_high,
        writable=definition.writable,
        last=None if state.last is None else value(state.last, now_us),
        limit_low=definition.limit_low,
        limit_high=definition.limit_high,
        period_ms=definition.period_ms,
        stale=state.stale,
        device_path=definition.device_path,
        expression=definition.expression,
    )


def device(view: DeviceView, now_us: int) -> state_pb2.Device:
    """A device as it is."""
    found = view.device
    return state_pb2.Device(
        device_id=found.device_id,
        path=found.path,
        device_class=found.device_class,
        site=found.site,
        gateway_id=found.gateway_id,
        tags=[tag(state, now_us) for state in view.tags],
        commands=[_description(one) for one in view.commands],
        state=f"DEVICE_STATE_{view.state}",
        packml_state=view.packml_state,
        open_anomalies=view.open_anomalies,
    )


def _description(found: CommandDescription) -> state_pb2.CommandDescription:
    return state_pb2.CommandDescription(
        name=found.name,
        description=found.description,
        parameters=[
            state_pb2.ParameterDescription(
                name=one.name,
                description=one.description,
                data_type=one.data_type.value,
                unit=one.unit,
                low=one.low,
                high=one.high,
            )
            for one in found.parameters
        ],
    )


def node(found: Node) -> state_pb2.PlantNode:
    """A node of the plant's tree."""
    return state_pb2.PlantNode(**dataclasses.asdict(found))


def device_filter(request: state_pb2.ListDevicesRequest) -> DeviceFilter:
    """Filter of a request."""
    name = state_pb2.DeviceState.Name(request.state).removeprefix("DEVICE_STATE_")
    state = None if not request.state else DeviceState(name)
    return DeviceFilter(device_class=request.device_class, text=request.text, state=state)


def tag_filter(request: state_pb2.ListTagsRequest) -> TagFilter:
    """Filter of a request."""
    return TagFilter(
        quality=_QUALITY_NAME.get(request.quality, ""),
        stale=request.stale if request.HasField("stale") else None,
        writable=request.writable if request.HasField("writable") else None,
        text=request.text,
        device_class=request.device_class,
    )


def anomaly(step: Step, plant: Plant, labels: Iterable[AnomalyLabel] = ()) -> state_pb2.Anomaly:
    """A step of an episode, with paths and labels."""
    return state_pb2.Anomaly(
        episode_id=str(step["episode_id"]),
        device_id=step["device_id"],
        device_path=plant.device_path(step["device_id"]),
        phase=f"ANOMALY_PHASE_{step['phase']}",
        start_us=step["start_us"],
        end_us=step["end_us"],
        score=step["score"],
        peak_score=step["peak_score"],
        threshold=step["threshold"],
        contributors=[
            state_pb2.Contributor(**part, path=plant.tag_path(part["tag_id"])) for part in step["contributors"]
        ],
        detector=step["detector"],
        detector_version=step["detector_version"],
        labels=[
            state_pb2.AnomalyLabel(
                label_id=str(one.label_id),
                verdict=f"ANOMALY_VERDICT_{one.verdict}",
                by=one.by,
                time_us=one.time_us,
                reason=one.reason,
                withdrawn_us=one.withdrawn_us,
                withdrawn_by=one.withdrawn_by,
                withdrawn_reason=one.withdrawn_reason,
            )
            for one in labels
        ],
    )


def command(view: CommandView, plant: Plant) -> commands_pb2.Command:
    """A command as it stands."""
    return commands_pb2.Command(
        command_id=str(view.command_id),
        state=f"COMMAND_STATE_{view.state}",
        version=view.version,
        device_id=view.device_id,
        device_path=plant.device_path(view.device_id),
        name=view.name,
        parameters=view.parameters,
        submitted_by=view.submitted_by,
        submitted_us=view.submitted_us,
        expires_us=view.expires_us,
        updated_us=view.updated_us,
        detail=view.detail,
        readback=view.readback,
        late_acks=view.late_acks,
        duplicate_acks=view.duplicate_acks,
        provisional=view.provisional,
        outcomes=[
            commands_pb2.ParameterOutcome(
                name=one.name, effect=f"EFFECT_{one.effect}", readback=one.readback, detail=one.detail
            )
            for one in view.outcomes
        ],
        reason=view.reason,
        approved_by=view.approved_by,
        site=view.site,
    )


def command_filter(wanted: commands_pb2.CommandFilter) -> CommandFilter:
    """Which commands; raises InvalidRequestError."""
    return CommandFilter(
        prefix=wanted.prefix,
        states=frozenset(_command_state(number) for number in wanted.states),
        submitted_by=wanted.submitted_by,
        since_us=wanted.since_us,
        until_us=wanted.until_us,
    )


def _command_state(number: int) -> CommandState:
    name = _STATES.get(number, "")
    try:
        return CommandState(name)
    except ValueError:
        known = ", ".join(f"{n} ({name})" for n, name in _STATES.items() if n)
        msg = f"states has {number}, which is not one of {known}"
        raise InvalidRequestError(msg) from None


def command_id(text: str) -> UUID:
    """Id of a command; raises InvalidRequestError."""
    try:
        found = UUID(text)
    except ValueError:
        found = UUID(int=0)
    if not found.int:
        msg = f"command_id {shown(text)} is no UUID that can be an id; make a UUIDv7"
        raise InvalidRequestError(msg, field="command_id")
    return found
