"""Commands: their course, lists of them, and the outcome of each parameter."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from client_conformance.plant import LINE, PRESSES, Plant, rest
from millrace_client import (
    CommandState,
    ConflictError,
    DeadlineExceededError,
    Effect,
    InvalidRequestError,
    NotFoundError,
    ParameterOutcome,
    PermissionDeniedError,
    PreconditionError,
    uuid7,
)


class CommandCases:
    """Submitting, watching and steering commands; the case moves them on."""

    async def test_a_command_is_provisional_until_the_record_has_it(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(PRESSES[1], "write", {"speed_setpoint": 12.5})
        assert (command.state, command.provisional, command.version) == (CommandState.ACCEPTED, True, 0)
        assert (command.device_id, command.device_path, command.name) == (11, PRESSES[1], "write")
        assert command.parameters == {"speed_setpoint": 12.5}
        assert command.expires_us - command.submitted_us == 30_000_000
        assert command.submitted_by == "local"
        assert command.command_id.version == 7
        assert plant.submitted == [command.command_id]
        assert await client.command(command) == await client.command(str(command.command_id)) == command

    async def test_a_watched_command_ends_with_its_outcome(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start", expires_ms=5_000)
        done: dict[str, Any] = {"detail": "done", "readback": {"packml_command": 2.0}}
        async with client.watch_command(command) as states:
            seen = [await anext(states)]
            plant.advance(command.command_id, CommandState.EXECUTING)
            seen.append(await anext(states))
            plant.advance(command.command_id, CommandState.SUCCEEDED, **done)
            seen += await rest(states)
        assert seen[0] == command
        assert [state.state for state in seen] == ["ACCEPTED", "EXECUTING", "SUCCEEDED"]
        assert [state.final for state in seen] == [False, False, True]
        assert {"detail": seen[-1].detail, "readback": seen[-1].readback} == done
        assert await client.outcome(command) == seen[-1] == await client.command(command.command_id)
        assert seen[-1].succeeded

    async def test_what_the_gateway_says_is_provisional(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start")
        plant.advance(command.command_id, CommandState.SUCCEEDED, provisional=True)
        waiting = asyncio.create_task(client.outcome(command))
        async with client.watch_command(command) as states:
            first = await anext(states)
            assert (first.state, first.provisional, first.final) == (CommandState.SUCCEEDED, True, False)
            assert not waiting.done()
            plant.advance(command.command_id, CommandState.FAILED, detail="the record knows better")
            last = await anext(states)
            assert (last.state, last.final, last.succeeded) == (CommandState.FAILED, True, False)
        assert await waiting == last

    async def test_an_outcome_that_does_not_come_is_a_deadline(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start")
        with pytest.raises(DeadlineExceededError):
            await client.outcome(command, deadline_s=0.2)

    async def test_the_same_id_is_the_same_command_and_never_another(self, plant: Plant) -> None:
        client, command_id = plant.client(), uuid7()
        first = await client.submit(11, "write", {"speed_setpoint": 1.0}, command_id=command_id)
        again = await client.submit(PRESSES[1], "write", {"speed_setpoint": 1.0}, command_id=command_id)
        assert first == again
        assert plant.submitted == [command_id]
        with pytest.raises(ConflictError, match="other parameters"):
            await client.submit(11, "write", {"speed_setpoint": 2.0}, command_id=command_id)
        with pytest.raises(ConflictError, match="other device"):
            await client.submit(12, "write", {"speed_setpoint": 1.0}, command_id=command_id)
        with pytest.raises(ConflictError, match="other submitter"):
            await plant.client("ann").submit(11, "write", {"speed_setpoint": 1.0}, command_id=command_id)

    @pytest.mark.parametrize(
        ("name", "parameters", "complaint"),
        [
            ("write", {}, "writable there: packml_command, running, speed_setpoint"),
            ("write", {"pressure": 1.0}, "has no tag 'pressure'; writable there"),
            ("write", {"temperature": 1.0}, "temperature is not writable"),
            ("write", {"speed_setpoint": float("nan")}, "speed_setpoint is nan, not a finite number"),
            ("write", {"speed_setpoint": 1e6}, "outside its range 0 to 150"),
            ("write", {"packml_command": 1.5}, "not an integer"),
            ("write", {"running": 2.0}, "a boolean is 0 or 1"),
            ("start", {"speed_setpoint": 1.0}, "start takes no parameters"),
            ("explode", {}, "no command 'explode'; there are write, reset, start"),
        ],
    )
    async def test_a_command_that_cannot_be_right_is_refused(
        self, plant: Plant, name: str, parameters: dict[str, float], complaint: str
    ) -> None:
        with pytest.raises(InvalidRequestError, match=complaint):
            await plant.client().submit(11, name, parameters)
        assert plant.submitted == []

    async def test_expiry_has_bounds_and_what_is_named_must_exist(self, plant: Plant) -> None:
        client = plant.client()
        for expires_ms in (-1, 10**9):
            with pytest.raises(InvalidRequestError, match="expires_after_ms"):
                await client.submit(11, "start", expires_ms=expires_ms)
        with pytest.raises(InvalidRequestError):
            await client.submit(11, "start", expires_ms=2**40)
        with pytest.raises(NotFoundError):
            await client.submit(77, "start")
        with pytest.raises(NotFoundError, match="no command"):
            await client.command(uuid7())
        with pytest.raises(NotFoundError, match="no command"):
            await anext(client.watch_command(uuid7()))

    async def test_approval_is_somebody_elses(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        command = await ann.submit(11, "start", requires_approval=True)
        assert (command.state, command.submitted_by) == (CommandState.PENDING_APPROVAL, "local:ann")
        with pytest.raises(PermissionDeniedError, match="somebody else has to approve"):
            await ann.approve(command)
        await bob.approve(command, "looks right")
        assert plant.controls == [("APPROVE", command.command_id, "local:bob", "looks right")]
        plant.advance(command.command_id, CommandState.ACCEPTED)
        with pytest.raises(PreconditionError, match="does not wait for approval"):
            await bob.approve(command)

    async def test_only_what_was_not_carried_out_can_be_cancelled(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "start")
        await client.cancel(command, "changed my mind")
        assert plant.controls == [("CANCEL", command.command_id, "local", "changed my mind")]
        plant.advance(command.command_id, CommandState.CANCELLED)
        assert (await client.cancel(command)).state is CommandState.CANCELLED
        assert len(plant.controls) == 1
        other = await client.submit(11, "stop")
        plant.advance(other.command_id, CommandState.SUCCEEDED)
        with pytest.raises(PreconditionError, match="is SUCCEEDED"):
            await client.cancel(other)


class CommandListCases:
    """Lists and watches of commands, waiting for outcomes, and what becomes of each parameter."""

    async def test_commands_are_listed_newest_first_in_pages_and_by_filter(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        first = await ann.submit(10, "start")
        second = await bob.submit(11, "stop")
        third = await ann.submit(11, "write", {"speed_setpoint": 1.0})
        plant.advance(second.command_id, CommandState.SUCCEEDED)

        async def ids(**more: Any) -> list[UUID]:
            return [command.command_id async for command in ann.commands(**more)]

        one, two, three = (command.command_id for command in (first, second, third))
        assert await ids() == [three, two, one]
        assert await ids(prefix=PRESSES[1]) == [three, two]
        assert await ids(submitted_by="local:ann") == [three, one]
        assert await ids(states=CommandState.SUCCEEDED) == [two]
        assert await ids(states=[CommandState.ACCEPTED], prefix=LINE) == [three, one]
        assert await ids(since=third.submitted_us) == [three]
        assert await ids(until=second.submitted) == [one]
        assert await ids(since=timedelta(minutes=1)) == [three, two, one]
        page = await ann.commands_page(page_size=2)
        rest = await ann.commands_page("", page.next_page_token, page_size=2)
        assert [command.command_id for command in (*page.items, *rest.items)] == [three, two, one]
        assert rest.next_page_token == ""
        assert rest.items[0].site == "north"
        for wrong in ({"since": 5, "until": 5}, {"since": datetime(2026, 1, 1)}):  # noqa: DTZ001 - it has to be refused
            with pytest.raises(InvalidRequestError):
                await ids(**wrong)

    async def test_a_watch_of_commands_begins_with_those_under_way(self, plant: Plant) -> None:
        client = plant.client()
        ended = await client.submit(11, "start")
        plant.advance(ended.command_id, CommandState.SUCCEEDED)
        known = await client.submit(11, "stop")
        async with client.watch_commands(PRESSES[1]) as commands:
            assert (await anext(commands)).command_id == known.command_id
            await client.submit(12, "start")
            new = await client.submit(11, "hold")
            assert (await anext(commands)).command_id == new.command_id
            plant.advance(new.command_id, CommandState.FAILED, detail="it would not move")
            last = await anext(commands)
            assert (last.command_id, last.state, last.detail) == (
                new.command_id,
                CommandState.FAILED,
                "it would not move",
            )
        with pytest.raises(NotFoundError):
            await anext(client.watch_commands("no/where"))

    async def test_submit_and_wait_returns_with_the_outcome(self, plant: Plant) -> None:
        client, command_id = plant.client(), uuid7()
        waiting = asyncio.create_task(client.submit_and_wait(11, "start", command_id=command_id))
        while command_id not in plant.submitted:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.005)
        plant.advance(command_id, CommandState.SUCCEEDED, provisional=True)
        plant.advance(command_id, CommandState.SUCCEEDED, detail="done")
        command = await waiting
        assert (command.command_id, command.succeeded, command.detail) == (command_id, True, "done")
        assert await client.submit_and_wait(11, "start", command_id=command_id) == command

    async def test_submit_and_wait_returns_at_its_deadline_with_the_command_as_it_stands(self, plant: Plant) -> None:
        command = await plant.client().submit_and_wait(11, "start", deadline_s=0.5)
        assert (command.state, command.final) == (CommandState.ACCEPTED, False)

    async def test_cancel_and_approve_answer_with_the_state_after(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        command = await ann.submit(11, "start", requires_approval=True)
        found = await bob.approve(command, "looks right")
        assert (found.state, found.provisional, found.approved_by) == (CommandState.ACCEPTED, True, "local:bob")
        assert found.detail == "approved by local:bob: looks right"
        other = await ann.submit(11, "stop")
        found = await ann.cancel(other, "no need")
        assert (found.state, found.provisional) == (CommandState.ACCEPTED, True)
        assert found.detail == "cancellation requested by local:ann: no need"

    async def test_a_reason_has_a_length(self, plant: Plant) -> None:
        client = plant.client()
        with pytest.raises(InvalidRequestError, match="reason"):
            await client.submit(11, "start", reason="x" * 501)
        command = await client.submit(11, "start", reason="x" * 500)
        with pytest.raises(InvalidRequestError, match="reason"):
            await client.cancel(command, "x" * 501)


class OutcomeCases:
    """What became of each parameter of a command."""

    async def test_a_failure_says_which_parameters_took_effect(self, plant: Plant) -> None:
        client = plant.client()
        command = await client.submit(11, "write", {"speed_setpoint": 12.5, "running": 1.0}, reason="a try")
        outcomes = (
            ParameterOutcome(name="running", effect=Effect.REFUSED, detail="BadUserAccessDenied"),
            ParameterOutcome(name="speed_setpoint", effect=Effect.APPLIED, readback=12.5),
        )
        plant.advance(command.command_id, CommandState.FAILED, detail="running was refused", outcomes=outcomes)
        found = await client.outcome(command)
        assert (found.state, found.reason) == (CommandState.FAILED, "a try")
        assert tuple(sorted(found.outcomes, key=lambda one: one.name)) == outcomes
