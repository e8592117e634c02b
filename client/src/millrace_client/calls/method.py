"""What a call is: a method, a request, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from millrace_client.errors import InvalidRequestError
from millrace_client.results import Command, Device, Tag

PAGE = 500
"""Results of a page, unless somebody says otherwise."""
HOUR = timedelta(hours=1)

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


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A call to be made. `unpack`: result of its answer, of each message of a stream.

    `metadata`: what goes with it besides the connection's own.
    """

    method: Method
    request: Message
    unpack: Callable[[Any], T]
    metadata: tuple[tuple[str, str], ...] = ()


def message(kind: type[M], **fields: Any) -> M:
    """Request with these fields; protobuf checks types and ranges. Raises InvalidRequestError."""
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        msg = f"{kind.__name__.removesuffix('Request')} cannot be asked with these arguments: {error}"
        raise InvalidRequestError(msg) from error


def texts(one_or_more: str | Iterable[str]) -> list[str]:
    """One text, or several."""
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def device_of(device: DeviceRef) -> dict[str, Any]:
    """Fields that name a device."""
    device = device.device_id if isinstance(device, Device) else device
    return {"device_id": device} if isinstance(device, int) else {"path": device}


def tags_of(tags: TagRef | Iterable[TagRef]) -> tuple[list[int], list[str]]:
    """Ids and paths of one or more tags; what is neither is left for protobuf to refuse."""
    each = [tags] if isinstance(tags, int | str | Tag) else list(tags)
    named = [one.tag_id if isinstance(one, Tag) else one for one in each]
    return [one for one in named if not isinstance(one, str)], [one for one in named if isinstance(one, str)]


def command_of(command: CommandRef) -> str:
    """Id of a command."""
    return str(command.command_id if isinstance(command, Command) else command)
