"""Lists and watches of commands, waiting for outcomes, and what cancel and approve answer: a real server, its caches fed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import grpc
import pytest

from base.errors import OverloadedError
from base.ids import now_us
from schemas.commands import CommandAck, CommandRequest, CommandState, Effect, ParameterOutcome
from schemas.proto.millrace.v1 import commands_pb2
from serving.caches.command_readers import CommandsReader
from serving.caches.command_view import view_of
from serving.caches.wakeup import Wakeup
from serving.handlers.command_filter import CommandFilter
from serving.principals import EVERYTHING, Principal, current
from serving.rpc.command_service import wait_within
from tests.contract import examples
from tests.unit.served import LINE, Served, command_stub, eventually, served

Command = commands_pb2.Command
States = commands_pb2.CommandState


@asynccontextmanager
async def stub_of(running: Served, name: str = "") -> AsyncIterator[Any]:
    """The plain stub of a caller."""
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub = command_stub(channel)
        stub.metadata = (("millrace-principal", name),) if name else ()
        yield stub


def submission(device: int = 11, **fields: Any) -> commands_pb2.SubmitCommandRequest:
    return commands_pb2.SubmitCommandRequest(device_id=device, name="start", **fields)


def ack_of(request: CommandRequest, state: CommandState) -> CommandAck:
    return CommandAck(
        command_id=request.command_id,
        attempt=1,
        device_id=request.device_id,
        gateway_id=request.gateway_id,
        state=state,
        time_us=now_us(),
    )


def known(running: Served, count: int, *, first_us: int = 1_000_000) -> list[UUID]:
    """Ended commands in the book, a second apart, in turn on the three presses and of two principals; oldest first."""
    ids = [UUID(int=(number + 1) << 64) for number in range(count)]
    for number, command_id in enumerate(ids):
        request = CommandRequest(
            command_id=command_id,
            device_id=10 + number % 3,
            gateway_id="gw-north-1",
            site="north",
            name="start",
            parameters={},
            submitted_by=("local:ann", "local:bob")[number % 2],
            submitted_us=first_us + number * 1_000_000,
            expires_us=first_us + number * 1_000_000 + 30_000_000,
        )
        state = CommandState.SUCCEEDED if number % 4 else CommandState.FAILED
        running.record(request, state, 3)
    return ids


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_commands_come_newest_first_in_pages() -> None:
    async with served() as running, stub_of(running) as stub:
        ids = [str(one) for one in known(running, 25)]
        found, token = [], ""
        while True:
            page = await stub.ListCommands(commands_pb2.ListCommandsRequest(page_size=10, page_token=token))
            found.append([command.command_id for command in page.commands])
            if not (token := page.next_page_token):
                break
        assert [len(one) for one in found] == [10, 10, 5]
        assert [one for page_ids in found for one in page_ids] == ids[::-1]
        assert page.commands[0].site == "north"


async def test_pages_survive_commands_that_come_between_them() -> None:
    async with served() as running, stub_of(running) as stub:
        known(running, 4)
        page = await stub.ListCommands(commands_pb2.ListCommandsRequest(page_size=2))
        await stub.SubmitCommand(submission())
        rest = await stub.ListCommands(commands_pb2.ListCommandsRequest(page_token=page.next_page_token))
        assert [one.submitted_us for one in (*page.commands, *rest.commands)] == [
            4_000_000,
            3_000_000,
            2_000_000,
            1_000_000,
        ]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"prefix": f"{LINE}/press01"}, [10, 7, 4, 1]),
        ({"prefix": f"{LINE}/press01/"}, [10, 7, 4, 1]),
        ({"prefix": f"{LINE}/press*", "submitted_by": "local:bob"}, [11, 9, 7, 5, 3, 1]),
        ({"states": ["COMMAND_STATE_FAILED"]}, [8, 4, 0]),
        ({"states": ["COMMAND_STATE_FAILED", "COMMAND_STATE_EXPIRED"], "submitted_by": "local:bob"}, []),
        ({"since_us": 3_000_000, "until_us": 6_000_000}, [4, 3, 2]),
        ({"until_us": 3_000_000}, [1, 0]),
        ({"since_us": 12_000_000}, [11]),
        ({"prefix": "acme/south"}, []),
    ],
)
async def test_filters_pick(wanted: dict[str, Any], numbers: list[int]) -> None:
    async with served() as running, stub_of(running) as stub:
        ids = [str(one) for one in known(running, 12)]
        request = commands_pb2.ListCommandsRequest(filter=commands_pb2.CommandFilter(**wanted))
        page = await stub.ListCommands(request)
        assert [ids.index(one.command_id) for one in page.commands] == numbers


@pytest.mark.security("V15.2.2")
async def test_a_list_of_many_commands_lets_other_calls_through(monkeypatch: pytest.MonkeyPatch) -> None:
    current.set(Principal("local", EVERYTHING))
    async with served() as running:
        known(running, 2_500)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        page = await running.server.commands.list_commands(CommandFilter(submitted_by="nobody"))
        beside.cancel()
        assert page.items == []
        assert turns >= 2


@pytest.mark.security("V2.2.3")
@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"page_size": 1001}, "page_size is 1001, not between 0 and 1000"),
        ({"page_token": "???"}, "page_token is not one that this server gave"),
        ({"filter": {"states": [77]}}, "states[0] is 77, which CommandState does not have"),
        ({"filter": {"states": [0]}}, "states has 0, which is not one of"),
        ({"filter": {"since_us": 5, "until_us": 5}}, "no command can fit"),
        ({"filter": {"since_us": -5}}, "0 or above"),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(request_: dict[str, Any], complaint: str) -> None:
    async with served() as running, stub_of(running) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListCommands(commands_pb2.ListCommandsRequest(**request_))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert complaint in (caught.value.details() or "")


async def test_a_command_that_was_forgotten_and_is_heard_of_again_is_listed_once() -> None:
    current.set(Principal("local", EVERYTHING))
    async with served(remember_s=3600.0) as running:
        request = examples_request()
        running.record(request, CommandState.SUCCEEDED, 3, updated_us=1)
        assert running.server.book.get(request.command_id) is None
        running.record(request, CommandState.SUCCEEDED, 4)
        page = await running.server.commands.list_commands(CommandFilter())
        assert [one.command_id for one in page.items] == [request.command_id]


def examples_request() -> CommandRequest:
    return CommandRequest.from_record(examples.records()["CommandRequest"])


# --- watches ---------------------------------------------------------------------------------------------------------


async def test_a_watch_begins_with_what_is_under_way_and_goes_on_with_what_fits() -> None:
    async with served() as running, stub_of(running) as stub:
        await stub.SubmitCommand(submission(11))
        first = running.request()
        known(running, 3)  # ended: not part of the beginning
        watch = stub.WatchCommands(
            commands_pb2.WatchCommandsRequest(filter=commands_pb2.CommandFilter(prefix=f"{LINE}/press01"))
        )
        seen = [await watch.read()]
        await stub.SubmitCommand(submission(12))  # another device
        running.record(first, CommandState.SUCCEEDED, 3)
        await stub.SubmitCommand(submission(11))
        seen += [await watch.read(), await watch.read()]
        watch.cancel()
        assert [(one.device_id, one.state) for one in seen] == [
            (11, States.COMMAND_STATE_ACCEPTED),
            (11, States.COMMAND_STATE_SUCCEEDED),
            (11, States.COMMAND_STATE_ACCEPTED),
        ]


async def test_a_watch_of_states_tells_when_a_command_leaves_them() -> None:
    async with served() as running, stub_of(running) as stub:
        wanted = commands_pb2.CommandFilter(states=[States.COMMAND_STATE_PENDING_APPROVAL])
        watch = stub.WatchCommands(commands_pb2.WatchCommandsRequest(filter=wanted))
        await eventually(lambda: running.server.book._readers)
        await stub.SubmitCommand(submission(11))
        await stub.SubmitCommand(submission(12, requires_approval=True))
        request = running.request()
        running.record(request, CommandState.ACCEPTED, 2)
        running.record(request, CommandState.SUCCEEDED, 3)
        await stub.SubmitCommand(submission(10, requires_approval=True))
        seen = [await watch.read() for _ in range(3)]
        watch.cancel()
        assert [(one.device_id, one.state) for one in seen] == [
            (12, States.COMMAND_STATE_PENDING_APPROVAL),
            (12, States.COMMAND_STATE_ACCEPTED),
            (10, States.COMMAND_STATE_PENDING_APPROVAL),
        ]


async def test_a_watch_of_a_path_that_does_not_exist_says_so() -> None:
    async with served() as running, stub_of(running) as stub:
        wanted = commands_pb2.CommandFilter(prefix="acme/south")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.WatchCommands(commands_pb2.WatchCommandsRequest(filter=wanted))))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.security("V1.4.3")
async def test_a_closed_watch_leaves_nothing_behind() -> None:
    async with served() as running, stub_of(running) as stub:
        watch = stub.WatchCommands(commands_pb2.WatchCommandsRequest())
        await eventually(lambda: running.server.book._readers)
        watch.cancel()
        await eventually(lambda: not running.server.book._readers)


async def test_a_slow_reader_gets_the_newest_of_each_and_a_hopeless_one_is_ended() -> None:
    request = examples_request()

    def view(number: int, at_us: int) -> Any:
        made = CommandRequest(
            **{name: getattr(request, name) for name in request.__slots__}
            | {"command_id": UUID(int=number), "submitted_us": at_us}
        )
        return view_of(None, made)

    reader = CommandsReader(Wakeup(), (), lambda _: True)
    for at_us in range(5_001):
        reader.offer(view(at_us % 5, at_us))
    views = reader.views()
    newest = [await anext(views) for _ in range(5)]
    # One message a command, however many changes.
    assert sorted(one.submitted_us for one in newest) == list(range(4_996, 5_001))
    assert not reader._pending

    wakeup = Wakeup()
    reader = CommandsReader(wakeup, (), lambda _: True)
    for number in range(3_000):
        reader.offer(view(number, number))
    with pytest.raises(OverloadedError, match="commands behind; read faster"):
        async for _ in reader.views():
            pass


# --- submit and wait -------------------------------------------------------------------------------------------------


async def test_submit_and_wait_answers_with_the_outcome_of_the_record() -> None:
    async with served() as running, stub_of(running) as stub:
        call = stub.SubmitAndWait(submission(), timeout=5)
        await eventually(lambda: running.requests.records)
        request = running.request()
        running.server.book.apply_ack(ack_of(request, CommandState.SUCCEEDED))  # provisional: not enough
        await asyncio.sleep(0)
        assert not call.done()
        running.record(request, CommandState.SUCCEEDED, 4)
        command = await call
        assert (command.state, command.provisional, command.version) == (States.COMMAND_STATE_SUCCEEDED, False, 4)


async def test_submit_and_wait_answers_before_the_deadline_with_what_is_known() -> None:
    async with served() as running, stub_of(running) as stub:
        call = stub.SubmitAndWait(submission(), timeout=0.5)
        await eventually(lambda: running.requests.records)
        running.record(running.request(), CommandState.EXECUTING, 3)
        assert (await call).state == States.COMMAND_STATE_EXECUTING
        assert running.server.commands._waiting == 0


async def test_submit_and_wait_does_not_fail_when_the_server_stops_after_the_command_is_durable() -> None:
    async with served() as running, stub_of(running) as stub:
        call = stub.SubmitAndWait(submission(), timeout=10)
        await eventually(lambda: running.server.commands._waiting)
        stopping = asyncio.create_task(running.server.stop())
        assert (await call).state == States.COMMAND_STATE_ACCEPTED
        await stopping


async def test_the_same_command_again_waits_for_the_same_outcome() -> None:
    async with served() as running, stub_of(running) as stub:
        request = submission(command_id=str(examples.COMMAND))
        calls = [stub.SubmitAndWait(request, timeout=5) for _ in range(2)]
        await eventually(lambda: running.server.commands._waiting == 2)
        running.record(running.request(), CommandState.FAILED, 4, detail="it would not move")
        assert {(await call).detail for call in calls} == {"it would not move"}
        assert len(running.requests.records) == 1


async def test_more_callers_than_may_wait_are_answered_at_once() -> None:
    async with served() as running, stub_of(running) as stub:
        running.server.commands.max_waiting = 0
        assert (await stub.SubmitAndWait(submission(), timeout=5)).state == States.COMMAND_STATE_ACCEPTED


def test_time_is_kept_for_the_answer() -> None:
    assert wait_within(None) == 600
    assert wait_within(0.05) == 0
    assert wait_within(1.0) == pytest.approx(0.9)
    assert wait_within(20.0) == pytest.approx(19.0)


# --- outcomes of parameters -------------------------------------------------------------------------------------------


async def test_a_command_shows_what_became_of_each_parameter_why_and_who_approved() -> None:
    async with served() as running, stub_of(running) as stub:
        await stub.SubmitCommand(submission(reason="shift change"))
        request = running.request()
        assert request.reason == "shift change"
        outcomes = (
            ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=0.0, detail="written and read back"),
            ParameterOutcome(name="mode", effect=Effect.REFUSED, detail="BadOutOfRange"),
        )
        running.server.book.apply_ack(replace(ack_of(request, CommandState.FAILED), outcomes=outcomes))
        asked = commands_pb2.GetCommandRequest(command_id=str(request.command_id))
        provisional = await stub.GetCommand(asked)
        running.record(request, CommandState.FAILED, 4, outcomes=outcomes, approved_by="local:bob")
        recorded = await stub.GetCommand(asked)
        for found in (provisional, recorded):
            assert found.reason == "shift change"
            assert [(one.name, one.effect, one.detail) for one in found.outcomes] == [
                ("speed", commands_pb2.EFFECT_APPLIED, "written and read back"),
                ("mode", commands_pb2.EFFECT_REFUSED, "BadOutOfRange"),
            ]
            assert [one.HasField("readback") for one in found.outcomes] == [True, False]
        assert (provisional.provisional, recorded.provisional) == (True, False)
        assert recorded.approved_by == "local:bob"


async def test_another_reason_is_another_command() -> None:
    async with served() as running, stub_of(running) as stub:
        await stub.SubmitCommand(submission(command_id=str(examples.COMMAND), reason="one"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SubmitCommand(submission(command_id=str(examples.COMMAND), reason="another"))
        assert "other reason" in (caught.value.details() or "")


# --- cancel and approve ----------------------------------------------------------------------------------------------


async def test_approve_answers_with_the_state_after() -> None:
    async with served(name="ann") as running, stub_of(running) as stub:
        await running.client.submit(11, "start", requires_approval=True)
        request = running.request()
        control = commands_pb2.ControlCommandRequest(command_id=str(request.command_id), reason="looks right")
        bob = (("millrace-principal", "bob"),)
        found = await stub.ApproveCommand(control, metadata=bob)
        assert (found.state, found.provisional) == (States.COMMAND_STATE_ACCEPTED, True)
        assert (found.detail, found.approved_by) == ("approved by local:bob: looks right", "local:bob")


async def test_cancel_answers_with_what_the_gateway_decided_when_it_says_so_soon() -> None:
    async with served() as running, stub_of(running) as stub:
        await stub.SubmitCommand(submission())
        request = running.request()
        running.server.commands.control_wait_s = 5.0
        control = commands_pb2.ControlCommandRequest(command_id=str(request.command_id), reason="no")
        call = stub.CancelCommand(control)
        await eventually(lambda: len(running.requests.records) == 2)
        running.server.book.apply_ack(ack_of(request, CommandState.CANCELLED))
        assert (await call).state == States.COMMAND_STATE_CANCELLED


async def test_cancel_answers_with_the_wish_noted_when_the_gateway_is_silent() -> None:
    async with served() as running, stub_of(running) as stub:
        await stub.SubmitCommand(submission())
        control = commands_pb2.ControlCommandRequest(command_id=str(running.request().command_id), reason="no")
        found = await stub.CancelCommand(control)
        assert (found.state, found.provisional) == (States.COMMAND_STATE_ACCEPTED, True)
        assert found.detail == "cancellation requested by local: no"
        running.record(running.request(0), CommandState.ACCEPTED, 2, detail=found.detail)
        known_now = await stub.GetCommand(commands_pb2.GetCommandRequest(command_id=found.command_id))
        assert (known_now.provisional, known_now.detail) == (False, found.detail)


async def test_reasons_are_bounded() -> None:
    async with served() as running, stub_of(running) as stub:
        await stub.SubmitCommand(submission(reason="r" * 500))
        control = commands_pb2.ControlCommandRequest(command_id=str(running.request().command_id), reason="r" * 501)
        for call in (stub.SubmitCommand(submission(reason="r" * 501)), stub.CancelCommand(control)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert caught.value.details() == "reason has 501 characters, more than 500"
        assert len(running.requests.records) == 1
