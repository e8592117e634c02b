"""Results to protobuf messages: the way back of `millrace_client.unpack`, for the fake plant's answers."""

from __future__ import annotations

from millrace_client._proto.millrace.v1 import commands_pb2, state_pb2
from millrace_client.results import Anomaly, Command, Device, Tag, TagUpdate, Value


def value(result: Value) -> state_pb2.Value:
    """A value."""
    return state_pb2.Value(
        value=result.value,
        time_us=result.time_us,
        quality=f"QUALITY_{result.quality}",
        quality_code=result.quality_code,
        age_us=result.age_us,
    )


def tag(result: Tag) -> state_pb2.Tag:
    """A tag with its last value."""
    return state_pb2.Tag(
        tag_id=result.tag_id,
        device_id=result.device_id,
        path=result.path,
        name=result.name,
        description=result.description,
        unit=result.unit,
        data_type=result.data_type,
        eu_low=result.eu_low,
        eu_high=result.eu_high,
        writable=result.writable,
        last=None if result.last is None else value(result.last),
    )


def device(result: Device) -> state_pb2.Device:
    """A device with its tags."""
    return state_pb2.Device(
        device_id=result.device_id,
        path=result.path,
        device_class=result.device_class,
        site=result.site,
        gateway_id=result.gateway_id,
        tags=map(tag, result.tags),
    )


def update(result: TagUpdate) -> state_pb2.TagUpdate:
    """A change of a tag."""
    return state_pb2.TagUpdate(tag_id=result.tag_id, path=result.path, value=value(result.value))


def anomaly(result: Anomaly) -> state_pb2.Anomaly:
    """A step of an anomaly episode."""
    return state_pb2.Anomaly(
        episode_id=result.episode_id,
        device_id=result.device_id,
        device_path=result.device_path,
        phase=f"ANOMALY_PHASE_{result.phase}",
        start_us=result.start_us,
        end_us=result.end_us,
        score=result.score,
        peak_score=result.peak_score,
        threshold=result.threshold,
        contributors=[
            state_pb2.Contributor(
                tag_id=part.tag_id,
                path=part.path,
                score=part.score,
                value=part.value,
                expected_low=part.expected_low,
                expected_high=part.expected_high,
            )
            for part in result.contributors
        ],
        detector=result.detector,
        detector_version=result.detector_version,
    )


def command(result: Command) -> commands_pb2.Command:
    """A command as it stands."""
    return commands_pb2.Command(
        command_id=str(result.command_id),
        state=f"COMMAND_STATE_{result.state}",
        version=result.version,
        device_id=result.device_id,
        device_path=result.device_path,
        name=result.name,
        parameters=dict(result.parameters),
        submitted_by=result.submitted_by,
        submitted_us=result.submitted_us,
        expires_us=result.expires_us,
        updated_us=result.updated_us,
        detail=result.detail,
        readback=dict(result.readback),
        late_acks=result.late_acks,
        duplicate_acks=result.duplicate_acks,
        provisional=result.provisional,
    )
