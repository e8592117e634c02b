"""Policy and journal: what may be done, and that it is done at most once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from connectors.readings import Write, WriteResult, WriteStatus
from edge import policy
from edge.command_journal import CommandJournal
from edge.commands import Commands, CommandSettings
from edge.policy import Refusal
from schemas import command_rules
from schemas.command_rules import Acknowledgement
from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    ControlAction,
    Effect,
    ParameterOutcome,
)
from schemas.definitions import DataType, TagDefinition
from schemas.frame import ClockStatus
from tests.integration.gateway_support import tag

pytestmark = pytest.mark.unit

SPEED = tag(1, "x:1", name="speed", writable=True, limit_low=0.0, limit_high=10.0, eu_low=1.0, eu_high=9.0, unit="m/s")
COUNT = tag(2, "x:2", name="count", writable=True, data_type=DataType.INTEGER)
VALVE = tag(3, "x:3", name="valve", writable=True, data_type=DataType.BOOLEAN)
FIXED = tag(4, "x:4", name="fixed")
PACKML = tag(5, "x:5", name="packml_command", writable=True, data_type=DataType.INTEGER)
TAGS = [SPEED, COUNT, VALVE, FIXED, PACKML]
ID = UUID("01890000-0000-7000-8000-00000000000a")


def request(**changes: Any) -> CommandRequest:
    values: dict[str, Any] = {
        "command_id": ID, "device_id": 1, "gateway_id": "gw1", "site": "north", "name": "write",
        "parameters": {"speed": 5.0}, "submitted_by": "ann", "submitted_us": 2_000, "expires_us": 10_000,
    }  # fmt: skip
    return CommandRequest(**(values | changes))


def control(action: ControlAction, by: str = "bob") -> CommandControl:
    return CommandControl(command_id=ID, device_id=1, action=action, by=by, time_us=5)


def test_plans() -> None:
    assert policy.plan(request(), TAGS) == [Write(SPEED, 5.0)]
    many = policy.plan(request(parameters={"count": -3.0, "valve": 1.0}), TAGS)
    assert many == [Write(COUNT, -3.0), Write(VALVE, 1.0)]
    verbs = [policy.plan(request(name=name, parameters={}), TAGS) for name in command_rules.PACKML_VERBS]
    assert verbs == [[Write(PACKML, float(n))] for n in range(1, 10)]


@pytest.mark.security("T-PLANT-MOVE")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parameters": {}}, "needs parameters"),
        ({"parameters": {"speed": 10.5}}, "outside its limits 0 to 10"),
        ({"parameters": {"speed": 9.5}}, "outside its range 1 to 9"),
        ({"parameters": {"speed": float("nan")}}, "not a finite number"),
        ({"parameters": {"count": 1.5}}, "not an integer"),
        ({"parameters": {"valve": 2.0}}, "a boolean is 0 or 1"),
        ({"parameters": {"fixed": 1.0}}, "not writable"),
        ({"parameters": {"speed": 5.0, "none": 1.0}}, "no tag 'none'"),
        ({"name": "explode", "parameters": {}}, "no command 'explode'"),
        ({"name": "start"}, "takes no parameters"),
        (
            {"parameters": {"speed": 5.0, "packml_command": 77.0}},
            "packml_command is 77, which is no verb of PackML: 1 (reset)",
        ),
        ({"parameters": {"packml_command": 0.0}}, "no verb of PackML"),
    ],
)
def test_refusals(changes: dict[str, Any], reason: str) -> None:
    refused = policy.plan(request(**changes), TAGS)
    assert isinstance(refused, Refusal)
    assert reason in refused.reason


def test_refusals_of_devices() -> None:
    assert "not one of this gateway's" in str(policy.plan(request(), []))
    assert "no tag 'packml_command'" in str(policy.plan(request(name="stop", parameters={}), [SPEED]))


@pytest.mark.security("SR 2.11")
def test_a_clock_that_is_behind_is_no_judge_of_expiry() -> None:
    assert policy.skew_problem(request(submitted_us=3_000_000), 1_500_000, max_skew_us=2_000_000) == ""
    assert "3.0 s behind" in policy.skew_problem(request(submitted_us=4_000_000), 1_000_000, max_skew_us=2_000_000)


class Journal:
    def __init__(self, path: Path) -> None:
        self.path, self.now_us = path, 1_000
        self.open()

    def open(self) -> None:
        self.db = CommandJournal(self.path, clock=lambda: self.now_us)

    def reopen(self) -> None:
        self.db.close()
        self.open()

    def receive(self, *messages: CommandRequest | CommandControl) -> list[tuple[str, bool]]:
        return [(one.entry.state.value, one.ready) for one in self.db.receive(messages, [])]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "j")
    yield made
    made.db.close()


@pytest.mark.security("V2.3.4")
def test_a_request_is_ready_once(journal: Journal) -> None:
    assert journal.receive(request()) == [("DELIVERED", True)]
    assert journal.receive(request(attempt=2)) == [("DELIVERED", False)]
    assert journal.db.intend(ID)
    assert not journal.db.intend(ID)
    assert journal.receive(request()) == [("EXECUTING", False)]
    outcomes = (ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=5.0, detail="written and read back"),)
    journal.db.finish(ID, CommandState.SUCCEEDED, "done", outcomes)
    journal.reopen()
    (again,) = journal.db.receive([request(attempt=3)], [])
    assert (again.entry.state, again.entry.attempt, again.entry.readback) == (CommandState.SUCCEEDED, 3, {"speed": 5.0})
    assert again.entry.outcomes == outcomes


def test_a_journal_of_an_older_gateway_is_read(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made = Journal(path)
    made.receive(request())
    made.db.close()
    with sqlite3.connect(path) as db:  # as 0.1 left it
        db.execute("ALTER TABLE commands DROP COLUMN outcomes")
        db.execute("UPDATE commands SET state = 'SUCCEEDED', readback = '{\"speed\": 5.0}'")
    db.close()
    made.open()
    found = made.db.find(ID)
    made.db.close()
    assert found is not None
    assert (found.state, found.readback, found.outcomes) == (CommandState.SUCCEEDED, {"speed": 5.0}, ())


@pytest.mark.security("T-EDGE-DENY")
def test_an_intention_without_result_is_unknown_after_a_restart(journal: Journal) -> None:
    other = UUID(int=ID.int + 1)
    journal.receive(request(), request(command_id=other))
    journal.db.intend(ID)
    journal.reopen()
    assert [entry.request.command_id for entry in journal.db.recover()] == [other]
    found = journal.db.find(ID)
    assert found is not None
    assert found.state is CommandState.UNKNOWN
    assert not journal.db.intend(ID)


@pytest.mark.security("V2.3.1")
def test_approval_needs_somebody_else(journal: Journal) -> None:
    assert journal.receive(request(requires_approval=True)) == [("PENDING_APPROVAL", False)]
    assert not journal.db.intend(ID)
    assert journal.receive(control(ControlAction.APPROVE, by="ann")) == []
    assert journal.receive(control(ControlAction.APPROVE)) == [("DELIVERED", True)]
    assert journal.receive(control(ControlAction.APPROVE)) == []
    assert journal.db.intend(ID)


def test_cancellation_before_during_and_after(journal: Journal) -> None:
    assert journal.receive(control(ControlAction.CANCEL)) == []
    assert journal.receive(request()) == [("CANCELLED", False)]
    second = UUID(int=ID.int + 1)
    journal.receive(request(command_id=second))
    assert journal.receive(replace(control(ControlAction.CANCEL), command_id=second)) == [("CANCELLED", False)]
    assert not journal.db.intend(second)
    third = UUID(int=ID.int + 2)
    journal.receive(request(command_id=third))
    journal.db.intend(third)
    assert journal.receive(replace(control(ControlAction.CANCEL), command_id=third)) == []


def test_requests_older_than_the_journal_are_unknown(journal: Journal) -> None:
    assert journal.receive(request(submitted_us=999)) == [("UNKNOWN", False)]


def test_waiting_in_vain_positions_and_forgetting(journal: Journal) -> None:
    journal.db.receive([request(requires_approval=True)], [("t", 0, 5), ("t", 1, 7)])
    journal.db.receive([], [("t", 0, 6)])
    journal.reopen()
    assert journal.db.positions() == {("t", 0): 6, ("t", 1): 7}
    assert journal.db.overdue() == []
    journal.now_us = 10_001
    assert [entry.request.command_id for entry in journal.db.overdue()] == [ID]
    assert journal.db.end(ID, CommandState.EXPIRED, "never approved")
    assert not journal.db.end(ID, CommandState.EXPIRED, "never approved")
    assert [entry.state for entry in journal.db.untold()] == [CommandState.EXPIRED]
    journal.db.told([(ID, CommandState.DELIVERED)])
    assert len(journal.db.untold()) == 1
    journal.db.told([(ID, CommandState.EXPIRED)])
    assert journal.db.untold() == []
    assert journal.db.prune(10_001) == 0
    assert journal.db.prune(20_000) == 1


class Machines:
    """A device whose connection is made only after some attempts."""

    def __init__(self, attempts: int) -> None:
        self.left, self.written = attempts, list[float]()
        self.connected, self.acknowledged = True, list[str]()

    def tags_of(self, device_id: int) -> list[TagDefinition]:
        return TAGS if device_id == 1 else []

    def clock_status(self) -> ClockStatus:
        return ClockStatus.SYNCHRONISED

    def refusal(self, request: CommandRequest, writes: Sequence[Write]) -> str:
        return ""

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        if self.left:
            self.left -= 1
            return WriteResult(status=WriteStatus.NOT_SENT, detail="not connected")
        self.written += [write.value for write in writes]
        return WriteResult(status=WriteStatus.DONE)

    async def acknowledge(self, wanted: Acknowledgement, timeout_s: float) -> WriteResult:
        if not self.connected:
            return WriteResult(status=WriteStatus.NOT_SENT, detail="not connected")
        self.acknowledged.append(wanted.condition)
        return WriteResult(status=WriteStatus.DONE)


async def test_what_waited_for_a_gateway_that_was_away_does_not_fail_before_its_connections_are_made(
    tmp_path: Path,
) -> None:
    clock = Clock(1_000)
    before = CommandJournal(tmp_path / "j", clock=clock)
    before.receive([request()], [])
    before.close()
    told: list[CommandState] = []
    ended = asyncio.Event()

    def tell(ack: CommandAck, done: Callable[[], None]) -> None:
        told.append(ack.state)
        if ack.state in OUTCOMES:
            ended.set()
        done()

    machines = Machines(attempts=2)
    commands = Commands(
        CommandJournal(tmp_path / "j", clock=clock), gateway_id="gw1", machines=machines, tell=tell,
        settings=CommandSettings(), clock=clock,
    )  # fmt: skip
    await commands.start()
    await asyncio.wait_for(ended.wait(), 10)
    assert (told[-1], machines.written) == (CommandState.SUCCEEDED, [5.0])
    # Its time does not stand still while the machine is waited for.
    machines.left, clock.now_us = 1_000_000, 9_000
    ended.clear()
    await commands.receive([request(command_id=UUID(int=9))], [])
    clock.now_us = 10_000
    await asyncio.wait_for(ended.wait(), 10)
    assert (told[-1], machines.written) == (CommandState.EXPIRED, [5.0])
    await commands.stop()
    await commands.close()


async def test_an_acknowledgement_waits_for_its_session_until_it_expires_and_holds_up_no_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.commands._PATIENCE_S", 0.0)
    clock, told, changed = Clock(1_000), dict[UUID, CommandAck](), asyncio.Event()

    def tell(ack: CommandAck, done: Callable[[], None]) -> None:
        told[ack.command_id] = ack
        changed.set()
        done()

    async def ended(command_id: UUID) -> CommandAck:
        async with asyncio.timeout(10):
            while command_id not in told or told[command_id].state not in OUTCOMES:
                changed.clear()
                await changed.wait()
        return told[command_id]

    machines = Machines(attempts=0)
    commands = Commands(
        CommandJournal(tmp_path / "j", clock=clock), gateway_id="gw1", machines=machines, tell=tell,
        settings=CommandSettings(), clock=clock,
    )  # fmt: skip
    await commands.start()
    first, second, write = (UUID(int=number) for number in (1, 2, 3))

    def acknowledge(command_id: UUID) -> CommandRequest:
        return request(command_id=command_id, name="acknowledge", parameters={"plc:ns=2;s=c1": 1.0})

    machines.connected = False
    await commands.receive([acknowledge(first)], [])
    await commands.receive([request(command_id=write)], [])
    assert (await ended(write)).state is CommandState.SUCCEEDED
    assert told[first].state is CommandState.EXECUTING
    machines.connected = True
    assert (await ended(first)).state is CommandState.SUCCEEDED
    assert machines.acknowledged == ["plc:ns=2;s=c1"]
    machines.connected = False
    await commands.receive([acknowledge(second)], [])
    await asyncio.sleep(0.3)
    clock.now_us = 10_000
    expired = await ended(second)
    assert expired.state is CommandState.EXPIRED
    assert "not connected" in expired.detail
    await commands.stop()
    await commands.close()


@dataclass
class Clock:
    now_us: int

    def __call__(self) -> int:
        return self.now_us
