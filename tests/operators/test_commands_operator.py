"""The commands operator: records to steps, state in bytes, timers, resending to the site's topic, what cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from jobs.flink.commands import UNREADABLE, CommandsOperator, command_of
from jobs.signing_keys import KeyTable
from schemas import codec, topics
from schemas.command_signatures import signed
from schemas.commands import CommandAck, CommandControl, CommandRequest, CommandState, CommandStateRecord, ControlAction
from stages.commands.config import CommandConfig
from tests.operators.fakes import Harness
from tests.operators.rows import START_US, row
from tests.unit.signing import Trust

ID = UUID("01900000-0000-7000-8000-000000000001")


def request(**fields: Any) -> CommandRequest:
    given: dict[str, Any] = {
        "command_id": ID,
        "device_id": 7,
        "gateway_id": "gw-1",
        "site": "north",
        "name": "start",
        "parameters": {},
        "submitted_by": "alice",
        "submitted_us": START_US,
        "expires_us": START_US + 60_000_000,
    }
    return CommandRequest(**(given | fields))


def ack(state: CommandState) -> CommandAck:
    return CommandAck(command_id=ID, attempt=1, device_id=7, gateway_id="gw-1", state=state, time_us=START_US)


def request_row(record: CommandRequest | CommandControl) -> Any:
    return row("command.requests.north", b"7", record.encode())


def ack_row(record: CommandAck) -> Any:
    return row("command.acks.north", str(ID).encode(), record.encode())


def harness() -> Harness:
    return Harness(lambda bench: CommandsOperator(CommandConfig(), clock=bench.clock), command_of, now_us=START_US)


def states(outputs: list[tuple[str, bytes, bytes]]) -> list[CommandStateRecord]:
    found = [
        (key, CommandStateRecord.from_record(codec.decode(value, "CommandState")[1]))
        for topic, key, value in outputs
        if topic == topics.STATES.name
    ]
    assert all(key == str(ID).encode() for key, _ in found)
    return [record for _, record in found]


def test_a_command_through_a_restore_between_all_its_records() -> None:
    bench = harness()
    seen = states(bench.element(request_row(request())))
    for state in (CommandState.DELIVERED, CommandState.EXECUTING, CommandState.SUCCEEDED):
        bench = bench.restored()
        seen += states(bench.element(ack_row(ack(state))))
    assert [record.state for record in seen] == ["ACCEPTED", "DELIVERED", "EXECUTING", "SUCCEEDED"]
    assert [record.version for record in seen] == [1, 2, 3, 3_000_004]


def test_controls_are_correlated() -> None:
    bench = harness()
    bench.element(request_row(request(requires_approval=True)))
    approve = CommandControl(command_id=ID, device_id=7, action=ControlAction.APPROVE, by="bob", time_us=START_US)
    (record,) = states(bench.element(request_row(approve)))
    assert record.state is CommandState.ACCEPTED


def test_an_undelivered_request_goes_to_its_sites_topic_again() -> None:
    bench = harness()
    bench.element(request_row(request()))
    other = bench.restored()
    outputs = other.advance(15_000)
    assert other.count("sent_again") == 1
    ((topic, key, value),) = [output for output in outputs if output[0] != topics.STATES.name]
    assert (topic, key) == ("command.requests.north", b"7")
    assert CommandRequest.from_record(codec.decode(value, "CommandRequest")[1]) == request(attempt=2)


def test_silence_ends_in_expiry_and_the_state_is_dropped_in_the_end() -> None:
    bench = harness()
    bench.element(request_row(request()))
    assert states(bench.advance(70_000))[-1].state is CommandState.EXPIRED
    bench.advance(CommandConfig().retention_ms)
    assert bench.backend.cells == {}
    assert bench.timers == set()


def test_after_a_start_acks_that_were_not_read_yet_come_before_conclusions() -> None:
    bench = harness()
    bench.element(request_row(request(expires_us=START_US + 1_000_000)))
    bench.now_us += 60_000_000  # the job is away
    other = bench.restored()
    assert other.advance(9_000) == []
    (record,) = states(other.element(ack_row(ack(CommandState.SUCCEEDED))))
    assert (record.state, record.late_acks) == (CommandState.SUCCEEDED, 0)
    assert other.advance(60_000) == []


def test_an_orphan_is_counted_by_name() -> None:
    bench = harness()
    bench.element(ack_row(ack(CommandState.SUCCEEDED)))
    (record,) = states(bench.advance(10_000))
    assert (record.state, record.name, record.site) == (CommandState.SUCCEEDED, "", "north")
    assert bench.count("orphan_ack") == 1


def test_what_cannot_be_read_is_rejected_with_its_bytes_and_leaves_no_state() -> None:
    bench = harness()
    unknown = codec.MARKER + b"\x00" * 8 + b"x"
    for message, reason in ((b"garbage", "UNDECODABLE"), (unknown, "UNKNOWN_SCHEMA"), (None, "UNDECODABLE")):
        bad = row("command.acks.north", b"k", message)
        assert command_of(bad) == UNREADABLE
        ((topic, key, value),) = bench.element(bad)
        _, record = codec.decode(value, "Rejected")
        assert (topic, key, record["reason"], record["original"]) == (topics.REJECTED.name, b"k", reason, message)
    assert bench.count("refused_records") == 3
    assert bench.backend.cells == {}


def test_state_that_cannot_be_read_does_not_stop_the_job() -> None:
    bench = harness()
    bench.backend.key = str(ID)
    bench.backend.store("command", b"\x09{}")
    ((topic, _, value),) = bench.element(request_row(request()))
    assert topic == topics.REJECTED.name
    assert codec.decode(value, "Rejected")[1]["reason"] == "PROCESSING_FAILED"


def signed_harness(trust: Trust, unsigned_until_us: int = 0) -> Harness:
    return Harness(
        lambda bench: CommandsOperator(
            CommandConfig(),
            clock=bench.clock,
            keys=lambda: KeyTable(trust.book(), trust.messages),
            unsigned_until_us=unsigned_until_us,
        ),
        command_of,
        now_us=START_US,
    )


def assert_refused(bench: Harness, refused: Any, message: bytes) -> None:
    ((topic, _, value),) = bench.element(refused)
    record = codec.decode(value, "Rejected")[1]
    assert (topic, record["reason"], record["original"]) == (topics.REJECTED.name, "BAD_SIGNATURE", message)


@pytest.mark.security("T-KAFKA-FORGE", "T-EDGE-DENY")
def test_an_acknowledgement_that_its_gateway_has_not_signed_changes_nothing(tmp_path: Path) -> None:
    trust = Trust(tmp_path, at_us=START_US)
    own, other, serving = trust.signer("gateway-gw-1"), trust.signer("gateway-gw-2"), trust.signer("serving")
    bench = signed_harness(trust)
    bench.element(request_row(signed(request(), serving)))
    done = ack(CommandState.SUCCEEDED)
    true = signed(done, own)
    wrong = (done, signed(done, other), replace(true, detail="x"), replace(true, state=CommandState.FAILED))
    for one in wrong:
        assert_refused(bench, ack_row(one), one.encode())
    assert bench.count("bad_signatures") == len(wrong)
    assert bench.count("gateway.gw-1.unsigned_newest_s") == START_US // 1_000_000, "`status` names who does not sign"
    assert [one.state for one in states(bench.element(ack_row(true)))] == [CommandState.SUCCEEDED]
    bench.operator.close()

    # For a time that is said, what has no signature is taken.
    bench = signed_harness(trust, START_US + 1)
    bench.element(request_row(request()))
    assert bench.count("gateway.gw-1.unsigned_newest_s") == 0
    assert [one.state for one in states(bench.element(ack_row(done)))] == [CommandState.SUCCEEDED]
    assert bench.count("gateway.gw-1.unsigned_newest_s") == START_US // 1_000_000
    bench.operator.close()


@pytest.mark.security("T-KAFKA-FORGE")
def test_a_request_or_control_that_serving_has_not_signed_changes_nothing(tmp_path: Path) -> None:
    trust = Trust(tmp_path, at_us=START_US)
    gateway, serving = trust.signer("gateway-gw-1"), trust.signer("serving")
    bench = signed_harness(trust)
    asked = signed(request(requires_approval=True), serving)
    forged_requests = (request(), signed(request(), gateway), replace(asked, requires_approval=False))
    for one in forged_requests:
        assert_refused(bench, request_row(one), one.encode())
    assert [one.state for one in states(bench.element(request_row(asked)))] == [CommandState.PENDING_APPROVAL]
    approve = CommandControl(command_id=ID, device_id=7, action=ControlAction.APPROVE, by="bob", time_us=START_US)
    cancel, true = replace(approve, action=ControlAction.CANCEL), signed(approve, serving)
    for control in (approve, cancel, signed(cancel, gateway), replace(true, action=ControlAction.CANCEL)):
        assert_refused(bench, request_row(control), control.encode())
    assert [one.state for one in states(bench.element(request_row(true)))] == [CommandState.ACCEPTED]
    # What the job sends again has serving's signature.
    again = [value for topic, _, value in bench.advance(15_000) if topic != topics.STATES.name]
    assert len(again) == 2
    for value in again:
        bench.element(row("command.requests.north", b"7", value))
    assert bench.count("bad_signatures") == 7
    bench.operator.close()


def test_an_attempt_that_somebody_made_up_does_not_end_the_sending() -> None:
    bench = harness()
    bench.element(request_row(request()))
    bench.element(request_row(request(attempt=1_000)))
    again = [value for topic, _, value in bench.advance(15_000) if topic != topics.STATES.name]
    assert [codec.decode(value)[1]["attempt"] for value in again] == [2]
