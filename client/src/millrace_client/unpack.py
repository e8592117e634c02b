"""Protobuf messages to results. Pure; absent optional fields become None."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from millrace_client._proto.millrace.v1 import commands_pb2, state_pb2
from millrace_client.results import (
    Anomaly,
    AnomalyPhase,
    Command,
    CommandState,
    Contributor,
    Device,
    Page,
    Quality,
    Tag,
    TagUpdate,
    Value,
)

E = TypeVar("E", bound=StrEnum)


def _names(kind: type[E], numbers: dict[str, int], prefix: str) -> dict[int, E]:
    return {number: kind(name.removeprefix(prefix)) for name, number in numbers.items()}


_QUALITY = _names(Quality, dict(state_pb2.Quality.items()), "QUALITY_")
_PHASE = _names(AnomalyPhase, dict(state_pb2.AnomalyPhase.items()), "ANOMALY_PHASE_")
_STATE = _names(CommandState, dict(commands_pb2.CommandState.items()), "COMMAND_STATE_")


def value(message: state_pb2.Value) -> Value:
    """A value."""
    return Value(
        value=message.value,
        time_us=message.time_us,
        quality=_QUALITY.get(message.quality, Quality.UNSPECIFIED),
        quality_code=message.quality_code,
        age_us=message.age_us,
    )


def tag(message: state_pb2.Tag) -> Tag:
    """A tag with its last value."""
    return Tag(
        tag_id=message.tag_id,
        device_id=message.device_id,
        path=message.path,
        name=message.name,
        description=message.description,
        unit=message.unit,
        data_type=message.data_type,
        eu_low=message.eu_low if message.HasField("eu_low") else None,
        eu_high=message.eu_high if message.HasField("eu_high") else None,
        writable=message.writable,
        last=value(message.last) if message.HasField("last") else None,
    )


def device(message: state_pb2.Device) -> Device:
    """A device with the tags that came with it."""
    return Device(
        device_id=message.device_id,
        path=message.path,
        device_class=message.device_class,
        site=message.site,
        gateway_id=message.gateway_id,
        tags=tuple(map(tag, message.tags)),
    )


def devices(message: state_pb2.ListDevicesResponse) -> Page[Device]:
    """A page of devices."""
    return Page(items=tuple(map(device, message.devices)), next_page_token=message.next_page_token)


def tags(message: state_pb2.ListTagsResponse) -> Page[Tag]:
    """A page of tags."""
    return Page(items=tuple(map(tag, message.tags)), next_page_token=message.next_page_token)


def update(message: state_pb2.TagUpdate) -> TagUpdate:
    """A change of a tag."""
    return TagUpdate(tag_id=message.tag_id, path=message.path, value=value(message.value))


def anomaly(message: state_pb2.Anomaly) -> Anomaly:
    """A step of an anomaly episode."""
    return Anomaly(
        episode_id=message.episode_id,
        device_id=message.device_id,
        device_path=message.device_path,
        phase=_PHASE.get(message.phase, AnomalyPhase.UNSPECIFIED),
        start_us=message.start_us,
        end_us=message.end_us if message.HasField("end_us") else None,
        score=message.score,
        peak_score=message.peak_score,
        threshold=message.threshold,
        contributors=tuple(map(_contributor, message.contributors)),
        detector=message.detector,
        detector_version=message.detector_version,
    )


def command(message: commands_pb2.Command) -> Command:
    """A command as it stands."""
    return Command(
        command_id=UUID(message.command_id),
        state=_STATE.get(message.state, CommandState.UNSPECIFIED),
        version=message.version,
        device_id=message.device_id,
        device_path=message.device_path,
        name=message.name,
        parameters=dict(message.parameters),
        submitted_by=message.submitted_by,
        submitted_us=message.submitted_us,
        expires_us=message.expires_us,
        updated_us=message.updated_us,
        detail=message.detail,
        readback=dict(message.readback),
        late_acks=message.late_acks,
        duplicate_acks=message.duplicate_acks,
        provisional=message.provisional,
    )


def _contributor(message: state_pb2.Contributor) -> Contributor:
    return Contributor(
        tag_id=message.tag_id,
        path=message.path,
        score=message.score,
        value=message.value,
        expected_low=message.expected_low if message.HasField("expected_low") else None,
        expected_high=message.expected_high if message.HasField("expected_high") else None,
    )
