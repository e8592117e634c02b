"""The public surface: both clients alike, every method of the services, results that cannot be changed."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.message import Message

import millrace_client
from millrace_client import AsyncClient, Client, CommandState, InvalidRequestError, Quality, calls, unpack
from millrace_client._proto.millrace.v1 import commands_pb2, state_pb2


def surface(kind: type) -> dict[str, list[inspect.Parameter]]:
    """Public methods and their parameters."""
    return {
        name: list(inspect.signature(member).parameters.values())
        for name, member in vars(kind).items()
        if not name.startswith("_") and callable(member)
    }


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    assert surface(Client) == surface(AsyncClient)
    sync, asynchronous = (list(inspect.signature(kind).parameters) for kind in (Client, AsyncClient))
    assert sync == asynchronous


def test_every_method_of_the_services_can_be_called() -> None:
    files = (state_pb2.DESCRIPTOR, commands_pb2.DESCRIPTOR)
    offered = {
        (service.name, method.name, method.input_type.name, method.output_type.name, method.server_streaming)
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }
    known = {
        (one.service, one.name, one.request.DESCRIPTOR.name, one.response.DESCRIPTOR.name, one.streaming)
        for one in calls.METHODS
    }
    assert known == offered
    assert calls.GET_TAG.path == "/millrace.v1.StateService/GetTag"
    assert [one.name for one in calls.METHODS if not one.idempotent] == ["ApproveCommand"]


@pytest.mark.parametrize(
    "message",
    [state_pb2.Value, state_pb2.Tag, state_pb2.Device, state_pb2.TagUpdate, state_pb2.Anomaly, state_pb2.Contributor,
     commands_pb2.Command],
)  # fmt: skip
def test_results_have_the_fields_of_the_messages(message: type[Message]) -> None:
    result = getattr(millrace_client, message.DESCRIPTOR.name)
    assert {field.name for field in dataclasses.fields(result)} == {field.name for field in message.DESCRIPTOR.fields}


def test_results_are_values() -> None:
    message = commands_pb2.Command(
        command_id=str(UUID(int=7)), state=commands_pb2.COMMAND_STATE_SUCCEEDED, parameters={"a": 1.0}
    )
    command = unpack.command(message)
    assert (command, hash(command)) == (unpack.command(message), hash(unpack.command(message)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.version = 3  # type: ignore[misc]


def test_a_newer_servers_states_have_no_name_here() -> None:
    message = commands_pb2.Command(command_id=str(UUID(int=7)))
    message.MergeFromString(bytes([2 << 3, 99]))  # state = 99
    assert unpack.command(message).state is CommandState.UNSPECIFIED
    assert not unpack.command(message).final
    value = state_pb2.Value()
    value.MergeFromString(bytes([3 << 3, 99]))  # quality = 99
    assert unpack.value(value).quality is Quality.UNSPECIFIED


def test_arguments_that_fit_no_request_are_named() -> None:
    with pytest.raises(InvalidRequestError, match="GetTag cannot be asked with these arguments"):
        calls.get_tag(1.5)  # type: ignore[arg-type]
    high: Any = "high"
    with pytest.raises(InvalidRequestError, match="SubmitCommand"):
        calls.submit(
            1, "write", {"a": high}, command_id=UUID(int=7), expires_ms=0, requires_approval=False, traceparent=""
        )


def test_examples_in_docstrings_hold() -> None:
    tried = 0
    for info in pkgutil.walk_packages(millrace_client.__path__, "millrace_client."):
        if info.name.endswith(("_pb2", "__main__")) or ".cli." in info.name:
            continue
        failed, found = doctest.testmod(importlib.import_module(info.name))
        assert not failed, info.name
        tried += found
    assert tried >= 2
