"""What the gateway says of each parameter of a command: a real journal, a machine that answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from base.ids import uuid7
from connectors.readings import TagOutcome, Write, WriteResult, WriteStatus
from edge.command_journal import CommandJournal
from edge.commands import Commands, CommandSettings
from schemas import codec
from schemas.command_rules import Acknowledgement
from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    ControlAction,
    Effect,
)
from schemas.definitions import TagDefinition
from schemas.frame import ClockStatus
from tests.integration.gateway_support import tag
from tests.unit.served import eventually

pytestmark = pytest.mark.unit

SPEED = tag(1, "x:1", name="speed", writable=True)
COUNT = tag(2, "x:2", name="count", writable=True)
NOW_US = 5_000
ID = UUID("01890000-0000-7000-8000-00000000000a")
APPLIED = TagOutcome(effect=Effect.APPLIED, detail="written and read back", readback=5.0)
REFUSED = TagOutcome(effect=Effect.REFUSED, detail="BadOutOfRange", readback=0.0)


@dataclass
class Machine:
    """A device with two tags; `answer` is what becomes of a write."""

    answer: WriteResult = field(default_factory=lambda: WriteResult(status=WriteStatus.DONE))
    objection: str = ""
    written: list[Sequence[Write]] = field(default_factory=list)
    failure: Exception | None = None

    def tags_of(self, device_id: int) -> Sequence[TagDefinition]:
        return [SPEED, COUNT] if device_id == 1 else []

    def clock_status(self) -> ClockStatus:
        return ClockStatus.SYNCHRONISED

    def refusal(self, request: CommandRequest, writes: Sequence[Write]) -> str:
        return self.objection

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        self.written.append(writes)
        if self.failure is not None:
            raise self.failure
        return self.answer

    async def acknowledge(self, wanted: Acknowledgement, timeout_s: float) -> WriteResult:
        raise AssertionError(f"nobody acknowledges {wanted.condition} here")


def request(**changes: Any) -> CommandRequest:
    values: dict[str, Any] = {
        "command_id": ID, "device_id": 1, "gateway_id": "gw1", "site": "north", "name": "write",
        "parameters": {"speed": 5.0, "count": 2.0}, "submitted_by": "ann", "submitted_us": 4_000, "expires_us": 10_000,
    }  # fmt: skip
    return CommandRequest(**(values | changes))


@asynccontextmanager
async def running(path: Path, machine: Machine) -> AsyncIterator[tuple[Commands, list[CommandAck]]]:
    told: list[CommandAck] = []

    def tell(ack: CommandAck, delivered: Callable[[], None]) -> None:
        told.append(CommandAck.from_record(codec.decode(ack.encode(), "CommandAck")[1]))  # as it is in Kafka
        delivered()

    journal = CommandJournal(path / "j", clock=lambda: 1_000)
    settings = CommandSettings(write_timeout_s=1.0)
    made = Commands(journal, gateway_id="gw1", machines=machine, tell=tell, settings=settings, clock=lambda: NOW_US)
    await made.start()
    made._patient_until_s = 0.0  # not waiting for connections
    try:
        yield made, told
    finally:
        await made.stop()
        await made.close()


async def outcome_of(path: Path, machine: Machine, wanted: CommandRequest) -> CommandAck:
    async with running(path, machine) as (commands, told):
        await commands.receive([wanted], [])
        await eventually(lambda: told and told[-1].state in OUTCOMES)
        return told[-1]


def effects(ack: CommandAck) -> list[tuple[str, str]]:
    return [(one.name, one.effect.value) for one in ack.outcomes]


@pytest.mark.security("T-PLANT-MOVE")
async def test_a_command_that_an_interlock_refuses_counts_once_where_it_ends(tmp_path: Path) -> None:
    """It is asked about before its intention and before its write."""
    machine = Machine(objection="interlock guard: the guard is open")
    async with running(tmp_path, machine) as (commands, told):
        await commands.receive([request()], [])
        await eventually(lambda: told and told[-1].state in OUTCOMES)
        assert (told[-1].state, commands.status()["interlocked"]) == (CommandState.REJECTED, 1)
        await commands.receive(
            [request(command_id=uuid7(), parameters={"none": 1.0})], []
        )  # refused by a rule, not by a policy
        await eventually(lambda: len([ack for ack in told if ack.state in OUTCOMES]) == 2)
        assert commands.status()["outcomes"] == {"REJECTED": 2}
        assert commands.status()["interlocked"] == 1


async def test_a_command_that_is_carried_out_in_part_says_so(tmp_path: Path) -> None:
    """Seen: FAILED, and one of two tags had its new value."""
    machine = Machine(WriteResult.of({"speed": APPLIED, "count": REFUSED}))
    ack = await outcome_of(tmp_path, machine, request())
    assert ack.state is CommandState.FAILED
    assert ack.detail == "partly carried out: speed: written and read back; count: BadOutOfRange"
    assert effects(ack) == [("speed", "APPLIED"), ("count", "REFUSED")]
    assert [(one.readback, one.detail) for one in ack.outcomes] == [
        (5.0, "written and read back"),
        (0.0, "BadOutOfRange"),
    ]


@pytest.mark.parametrize(
    ("answer", "state", "expected"),
    [
        (WriteResult(status=WriteStatus.DONE), CommandState.SUCCEEDED, ["APPLIED", "APPLIED"]),
        (
            WriteResult(status=WriteStatus.NOT_SENT, detail="no connection"),
            CommandState.FAILED,
            ["NOT_SENT", "NOT_SENT"],
        ),
        (WriteResult(status=WriteStatus.UNKNOWN, detail="timeout"), CommandState.UNKNOWN, ["UNKNOWN", "UNKNOWN"]),
        (
            WriteResult.of({"speed": APPLIED, "count": TagOutcome(effect=Effect.UNKNOWN)}),
            CommandState.UNKNOWN,
            ["APPLIED", "UNKNOWN"],
        ),
        (
            WriteResult.of({"speed": REFUSED, "count": TagOutcome(effect=Effect.NOT_SENT)}),
            CommandState.FAILED,
            ["REFUSED", "NOT_SENT"],
        ),
    ],
)
async def test_every_parameter_has_an_outcome(
    tmp_path: Path, answer: WriteResult, state: CommandState, expected: list[str]
) -> None:
    ack = await outcome_of(tmp_path, Machine(answer), request())
    assert ack.state is state
    assert [one.effect.value for one in ack.outcomes] == expected
    assert ack.detail.startswith("partly carried out: ") == ("APPLIED" in expected and set(expected) != {"APPLIED"})


async def test_a_connector_that_breaks_leaves_every_parameter_unknown(tmp_path: Path) -> None:
    ack = await outcome_of(tmp_path, Machine(failure=RuntimeError("what")), request())
    assert (ack.state, effects(ack)) == (CommandState.UNKNOWN, [("speed", "UNKNOWN"), ("count", "UNKNOWN")])


async def test_what_cannot_be_right_moves_nothing(tmp_path: Path) -> None:
    machine = Machine()
    ack = await outcome_of(tmp_path, machine, request(parameters={"speed": 5.0, "fixed": 1.0}))
    assert machine.written == []
    assert (ack.state, effects(ack)) == (CommandState.REJECTED, [("speed", "NOT_SENT"), ("fixed", "NOT_SENT")])


async def test_a_verb_has_the_outcome_of_its_tag(tmp_path: Path) -> None:
    ack = await outcome_of(tmp_path, Machine(), request(name="start", parameters={}))
    assert (ack.state, effects(ack)) == (CommandState.REJECTED, [("packml_command", "NOT_SENT")])


async def test_a_restart_in_between_leaves_every_parameter_unknown(tmp_path: Path) -> None:
    journal = CommandJournal(tmp_path / "j", clock=lambda: 1_000)
    journal.receive([request()], [])
    assert journal.intend(ID)
    journal.close()
    machine = Machine()
    async with running(tmp_path, machine) as (_, told):
        await eventually(lambda: told)
        assert (told[0].state, effects(told[0])) == (
            CommandState.UNKNOWN,
            [("speed", "UNKNOWN"), ("count", "UNKNOWN")],
        )
    assert machine.written == []


async def test_texts_are_bounded(tmp_path: Path) -> None:
    long = TagOutcome(effect=Effect.REFUSED, detail="x" * 100_000)
    ack = await outcome_of(tmp_path, Machine(WriteResult.of({"speed": long, "count": long})), request())
    assert len(ack.detail) <= 4_000
    assert all(len(one.detail) <= 300 for one in ack.outcomes)


def test_a_part_cannot_be_claimed_without_saying_which() -> None:
    with pytest.raises(ValueError, match="an outcome of each tag"):
        WriteResult(status=WriteStatus.PARTLY)


@pytest.mark.security("T-EDGE-DENY")
async def test_an_outcome_that_was_not_told_is_told_whole_after_a_restart(tmp_path: Path) -> None:
    machine = Machine(WriteResult.of({"speed": APPLIED, "count": REFUSED}))
    first = await outcome_of(tmp_path, machine, request())
    async with running(tmp_path, machine) as (commands, told):
        await commands.receive([request(attempt=2)], [])
        await asyncio.sleep(0)
        assert [(one.state, one.outcomes, one.attempt) for one in told] == [(first.state, first.outcomes, 2)]
    assert len(machine.written) == 1


# --- one write to disk for what is taken in and begun at once -----------------------------------------------------------


async def test_a_request_for_an_idle_device_is_intended_as_it_is_taken_in(tmp_path: Path) -> None:
    machine = Machine()
    async with running(tmp_path, machine) as (commands, told):
        second = UUID(int=ID.int + 1)
        await commands.receive([request(), request(command_id=second)], [])
        found = [commands._journal.find(one) for one in (ID, second)]
        assert [one.state for one in found if one] == [CommandState.EXECUTING, CommandState.DELIVERED]
        await eventually(lambda: sum(one.state in OUTCOMES for one in told) == 2)
        assert [(one.command_id, one.state.value) for one in told] == [
            (ID, "DELIVERED"),
            (second, "DELIVERED"),
            (ID, "EXECUTING"),
            (ID, "SUCCEEDED"),
            (second, "EXECUTING"),
            (second, "SUCCEEDED"),
        ]


async def test_a_cancellation_that_comes_with_its_request_is_in_time(tmp_path: Path) -> None:
    machine = Machine()
    cancel = CommandControl(command_id=ID, device_id=1, action=ControlAction.CANCEL, by="bob", time_us=NOW_US)
    async with running(tmp_path, machine) as (commands, told):
        await commands.receive([request(), cancel], [])
        await eventually(lambda: told[-1].state in OUTCOMES)
        assert told[-1].state is CommandState.CANCELLED
    assert machine.written == []


@pytest.mark.security("T-PLANT-MOVE")
@pytest.mark.parametrize(
    "changes", [{"expires_us": NOW_US}, {"parameters": {"none": 1.0}}, {"requires_approval": True}]
)
async def test_what_may_not_be_carried_out_now_is_not_intended(tmp_path: Path, changes: dict[str, Any]) -> None:
    machine = Machine()
    async with running(tmp_path, machine) as (commands, told):
        await commands.receive([request(**changes)], [])
        await eventually(lambda: told and (told[-1].state in OUTCOMES or "requires_approval" in changes))
        assert CommandState.EXECUTING not in {one.state for one in told}
    assert machine.written == []


async def test_what_is_intended_is_carried_out_though_the_gateway_stops(tmp_path: Path) -> None:
    machine = Machine()
    async with running(tmp_path, machine) as (commands, told):
        taking = asyncio.create_task(commands.receive([request()], []))
        await asyncio.sleep(0)  # it is under way when the stop comes
        stopping = asyncio.create_task(commands.stop())
        await taking
        await stopping
        await eventually(lambda: told[-1].state in OUTCOMES)
        assert told[-1].state is CommandState.SUCCEEDED
