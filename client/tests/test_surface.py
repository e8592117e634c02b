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

import millrace_client
from millrace_client import (
    AsyncClient,
    Client,
    Command,
    CommandState,
    InvalidRequestError,
    Quality,
    Value,
    calls,
    unpack,
)
from millrace_client._proto.millrace.v1 import alarms_pb2, commands_pb2, history_pb2, line_pb2, state_pb2, work_pb2


def surface(kind: type) -> dict[str, list[inspect.Parameter]]:
    """Public methods and their parameters."""
    return {
        name: list(inspect.signature(member).parameters.values())
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    assert surface(Client) == surface(AsyncClient)
    sync, asynchronous = (list(inspect.signature(kind).parameters) for kind in (Client, AsyncClient))
    assert sync == asynchronous


def test_every_method_of_the_services_can_be_called() -> None:
    files = [module.DESCRIPTOR for module in (state_pb2, commands_pb2, history_pb2, line_pb2, work_pb2, alarms_pb2)]
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
    assert calls.state.GET_TAG.path == "/millrace.v1.StateService/GetTag"
    assert [one.name for one in calls.METHODS if not one.idempotent] == ["ApproveCommand"]


OTHER_NAMES = {"Connection": "GatewayConnection", "BatchGetTagsResponse": "FoundTags", "ReadControlChartResponse": "ControlChart"} | {
    "ReadSamplesResponse": "SampleSeries", "ReadAggregatesResponse": "AggregateSeries"}  # fmt: skip
WRAPPERS = ("Request", "Response", "Selection", "Filter", "Entry")


@pytest.mark.parametrize(
    "message",
    [
        message
        for module in (state_pb2, commands_pb2, history_pb2, line_pb2, work_pb2, alarms_pb2)
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
        if name in OTHER_NAMES or not name.endswith(WRAPPERS)
    ],
    ids=lambda message: message.name,
)
def test_results_have_the_fields_of_the_messages(message: Any) -> None:
    result = getattr(millrace_client, OTHER_NAMES.get(message.name, message.name))
    fields = {field.name for field in message.fields} - {"tag_complete"}  # chunks of a tag are put together
    assert {field.name for field in dataclasses.fields(result)} == fields


def test_enums_have_the_members_of_the_messages() -> None:
    enums = [
        enum
        for module in (state_pb2, commands_pb2, history_pb2, line_pb2, work_pb2, alarms_pb2)
        for enum in module.DESCRIPTOR.enum_types_by_name.values()
    ]
    assert {kind.__name__ for kind in unpack.ENUMS} == {enum.name for enum in enums}
    for kind, (numbers, prefix) in unpack.ENUMS.items():
        assert [f"{prefix}{member}" for member in kind] == numbers.keys()


def test_results_are_values() -> None:
    message = commands_pb2.Command(
        command_id=str(UUID(int=7)), state=commands_pb2.COMMAND_STATE_SUCCEEDED, parameters={"a": 1.0}
    )
    command = unpack.result(Command, message)
    assert (command, hash(command)) == (unpack.result(Command, message), hash(unpack.result(Command, message)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.version = 3  # type: ignore[misc]


def test_a_newer_servers_states_have_no_name_here() -> None:
    message = commands_pb2.Command(command_id=str(UUID(int=7)))
    message.MergeFromString(bytes([2 << 3, 99]))  # state = 99
    assert unpack.result(Command, message).state is CommandState.UNSPECIFIED
    assert not unpack.result(Command, message).final
    value = state_pb2.Value()
    value.MergeFromString(bytes([3 << 3, 99]))  # quality = 99
    assert unpack.result(Value, value).quality is Quality.UNSPECIFIED


def test_arguments_that_fit_no_request_are_named() -> None:
    with pytest.raises(InvalidRequestError, match="GetTag cannot be asked with these arguments"):
        calls.state.get_tag(1.5)  # type: ignore[arg-type]
    high: Any = "high"
    with pytest.raises(InvalidRequestError, match="SubmitCommand"):
        calls.commands.submit(
            1,
            "write",
            {"a": high},
            command_id=UUID(int=7),
            expires_ms=0,
            requires_approval=False,
            reason="",
            traceparent="",
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
