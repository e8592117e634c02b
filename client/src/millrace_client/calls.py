"""Every call of the two services as a value: method, request, and how the answer is read. Pure; transports carry them out.

Enters: arguments of callers. Leaves: `Call`s. Raises InvalidRequestError for arguments that do not fit into a request; everything else is
for the server to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import commands_pb2, state_pb2
from millrace_client.errors import InvalidRequestError
from millrace_client.results import Anomaly, Command, Device, Page, Tag, TagUpdate

T = TypeVar("T")
M = TypeVar("M", bound=Message)

DeviceRef = int | str | Device
"""A device by id, by path, or as an answer gave it."""
TagRef = int | str | Tag
"""A tag by id, by path, or as an answer gave it."""
CommandRef = UUID | str | Command
"""A command by id, or as an answer gave it."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service. `idempotent`: saying it again means the same, so it may be tried again."""

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    streaming: bool = False
    idempotent: bool = True

    @property
    def path(self) -> str:
        """Name on the wire."""
        return f"/millrace.v1.{self.service}/{self.name}"


_STATE, _COMMANDS = "StateService", "CommandService"
LIST_DEVICES = Method(_STATE, "ListDevices", state_pb2.ListDevicesRequest, state_pb2.ListDevicesResponse)
GET_DEVICE = Method(_STATE, "GetDevice", state_pb2.GetDeviceRequest, state_pb2.Device)
LIST_TAGS = Method(_STATE, "ListTags", state_pb2.ListTagsRequest, state_pb2.ListTagsResponse)
GET_TAG = Method(_STATE, "GetTag", state_pb2.GetTagRequest, state_pb2.Tag)
WATCH_TAGS = Method(_STATE, "WatchTags", state_pb2.WatchTagsRequest, state_pb2.TagUpdate, streaming=True)
WATCH_ANOMALIES = Method(_STATE, "WatchAnomalies", state_pb2.WatchAnomaliesRequest, state_pb2.Anomaly, streaming=True)
# Idempotent because the command's id is made here, before the first try.
SUBMIT = Method(_COMMANDS, "SubmitCommand", commands_pb2.SubmitCommandRequest, commands_pb2.Command)
GET_COMMAND = Method(_COMMANDS, "GetCommand", commands_pb2.GetCommandRequest, commands_pb2.Command)
WATCH_COMMAND = Method(
    _COMMANDS, "WatchCommand", commands_pb2.WatchCommandRequest, commands_pb2.Command, streaming=True
)
CANCEL = Method(_COMMANDS, "CancelCommand", commands_pb2.ControlCommandRequest, commands_pb2.Command)
# Not idempotent: a command that was approved refuses a second approval, so a retry would report a success as a failure.
APPROVE = Method(
    _COMMANDS, "ApproveCommand", commands_pb2.ControlCommandRequest, commands_pb2.Command, idempotent=False
)
METHODS = (
    LIST_DEVICES,
    GET_DEVICE,
    LIST_TAGS,
    GET_TAG,
    WATCH_TAGS,
    WATCH_ANOMALIES,
    SUBMIT,
    GET_COMMAND,
    WATCH_COMMAND,
    CANCEL,
    APPROVE,
)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A call to be made. `metadata`: what goes with it besides the connection's own."""

    method: Method
    request: Message
    unpack: Callable[[Any], T]
    metadata: tuple[tuple[str, str], ...] = ()


def list_devices(prefix: str, page_size: int, page_token: str) -> Call[Page[Device]]:
    """A page of the devices at or under a path."""
    request = _message(state_pb2.ListDevicesRequest, prefix=prefix, page_size=page_size, page_token=page_token)
    return Call(LIST_DEVICES, request, unpack.devices)


def get_device(device: DeviceRef) -> Call[Device]:
    """A device with its tags."""
    return Call(GET_DEVICE, _message(state_pb2.GetDeviceRequest, **_device(device)), unpack.device)


def list_tags(prefix: str, page_size: int, page_token: str) -> Call[Page[Tag]]:
    """A page of the tags at or under a path."""
    request = _message(state_pb2.ListTagsRequest, prefix=prefix, page_size=page_size, page_token=page_token)
    return Call(LIST_TAGS, request, unpack.tags)


def get_tag(tag: TagRef) -> Call[Tag]:
    """A tag with its last value."""
    tag = tag.tag_id if isinstance(tag, Tag) else tag
    key = {"tag_id": tag} if isinstance(tag, int) else {"path": tag}
    return Call(GET_TAG, _message(state_pb2.GetTagRequest, **key), unpack.tag)


def watch_tags(paths: str | Iterable[str], max_rate_hz: float) -> Call[TagUpdate]:
    """Values of the tags at or under paths; one path may come as it is."""
    prefixes = [paths] if isinstance(paths, str) else list(paths)
    request = _message(state_pb2.WatchTagsRequest, prefixes=prefixes, max_rate_hz=max_rate_hz)
    return Call(WATCH_TAGS, request, unpack.update)


def watch_anomalies(prefix: str) -> Call[Anomaly]:
    """Anomaly episodes of the devices at or under a path."""
    return Call(WATCH_ANOMALIES, _message(state_pb2.WatchAnomaliesRequest, prefix=prefix), unpack.anomaly)


def submit(
    device: DeviceRef,
    name: str,
    parameters: Mapping[str, float] | None,
    *,
    command_id: UUID,
    expires_ms: int,
    requires_approval: bool,
    traceparent: str,
) -> Call[Command]:
    """A new command, or the same one again."""
    request = _message(
        commands_pb2.SubmitCommandRequest,
        command_id=str(command_id),
        name=name,
        parameters=dict(parameters or {}),
        expires_after_ms=expires_ms,
        requires_approval=requires_approval,
        **_device(device),
    )
    return Call(SUBMIT, request, unpack.command, (("traceparent", traceparent),) if traceparent else ())


def get_command(command: CommandRef) -> Call[Command]:
    """A command as it stands."""
    request = _message(commands_pb2.GetCommandRequest, command_id=_command(command))
    return Call(GET_COMMAND, request, unpack.command)


def watch_command(command: CommandRef) -> Call[Command]:
    """A command until its outcome."""
    request = _message(commands_pb2.WatchCommandRequest, command_id=_command(command))
    return Call(WATCH_COMMAND, request, unpack.command)


def cancel(command: CommandRef, reason: str) -> Call[Command]:
    """Withdraw a command."""
    request = _message(commands_pb2.ControlCommandRequest, command_id=_command(command), reason=reason)
    return Call(CANCEL, request, unpack.command)


def approve(command: CommandRef, reason: str) -> Call[Command]:
    """Release a command."""
    request = _message(commands_pb2.ControlCommandRequest, command_id=_command(command), reason=reason)
    return Call(APPROVE, request, unpack.command)


def _device(device: DeviceRef) -> dict[str, Any]:
    device = device.device_id if isinstance(device, Device) else device
    return {"device_id": device} if isinstance(device, int) else {"path": device}


def _command(command: CommandRef) -> str:
    return str(command.command_id if isinstance(command, Command) else command)


def _message(kind: type[M], **fields: Any) -> M:
    """Request with these fields; protobuf checks types and ranges."""
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        msg = f"{kind.__name__.removesuffix('Request')} cannot be asked with these arguments: {error}"
        raise InvalidRequestError(msg) from error
