"""The contract as the HTTP face sees it: methods of `millrace.v1` with their messages, and what the .proto files say about each.

Enters: names such as `StateService.ListTags`. Leaves: message classes and descriptors; comments by full name, read from the .proto files
that ship with the code, so that OpenAPI says what gRPC says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from schemas.proto.millrace.v1 import alarms_pb2, audit_pb2, commands_pb2, history_pb2, line_pb2, state_pb2, work_pb2

PACKAGE = "millrace.v1"
_FILES = {
    "state": state_pb2,
    "commands": commands_pb2,
    "history": history_pb2,
    "line": line_pb2,
    "work": work_pb2,
    "audit": audit_pb2,
    "alarms": alarms_pb2,
}
_OPENS = re.compile(r"(message|enum|service|oneof)\s+(\w+)\s*\{(\s*\})?")
_NAMED = re.compile(r"(?:rpc\s+(\w+)\s*\(|(?:[\w.<>, ]+\s)?(\w+)\s*=\s*\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rpc:
    """A method of the contract."""

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    streaming: bool
    description: str

    @property
    def path(self) -> str:
        """As gRPC calls it."""
        return f"/{PACKAGE}.{self.service}/{self.name}"


@cache
def rpc(name: str) -> Rpc:
    """Method of `Service.Method`; raises KeyError for one that the contract does not have."""
    service, _, method = name.partition(".")
    for module in _FILES.values():
        if service in module.DESCRIPTOR.services_by_name:
            found = module.DESCRIPTOR.services_by_name[service].methods_by_name[method]
            return Rpc(
                service=service,
                name=method,
                request=message_factory.GetMessageClass(found.input_type),
                response=message_factory.GetMessageClass(found.output_type),
                streaming=found.server_streaming,
                description=comment(found.full_name),
            )
    raise KeyError(name)


def comment(full_name: str) -> str:
    """What stands above a message, field, enumeration or method in its .proto file; empty for nothing."""
    return _comments().get(full_name, "")


def short(enum: Any, name: str) -> str:
    """Name of an enumeration's value without the enumeration's own: QUALITY_GOOD is GOOD."""
    return name.removeprefix(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_")


@cache
def _comments() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _FILES:
        found |= comments_of((files("schemas.proto.millrace.v1") / f"{name}.proto").read_text())
    return found


def comments_of(text: str) -> dict[str, str]:
    """Comments of a .proto file by full name, a text each. The file is one of ours: a declaration a line, comments above."""
    found: dict[str, str] = {}
    scope = [PACKAGE]
    above: list[str] = []
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("//"):
            above.append(line.removeprefix("//").strip())
            continue
        if opened := _OPENS.match(line):
            # The fields of a oneof belong to its message.
            scope.append("" if opened[1] == "oneof" else opened[2])
            if opened[1] != "oneof":
                _keep(found, scope, above)
            if opened[3]:
                scope.pop()
        elif line.startswith("}"):
            scope.pop()
        elif (named := _NAMED.match(line)) and not line.startswith(("option ", "import", "package", "syntax")):
            _keep(found, [*scope, named[1] or named[2]], above)
        above = []
    return found


def _keep(found: dict[str, str], scope: list[str], above: list[str]) -> None:
    if above:
        found[".".join(part for part in scope if part)] = " ".join(above)
