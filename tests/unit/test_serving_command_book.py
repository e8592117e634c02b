"""The book of commands: the record decides, requests and acknowledgements run ahead of it and say so."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

import pytest

from schemas.commands import CommandAck, CommandRequest, CommandState, CommandStateRecord
from serving.caches.command_book import CommandBook
from serving.caches.command_view import CommandView
from serving.caches.wakeup import Wakeup
from tests.contract import examples

NOW_US = examples.T0_US + 1_000_000
ID = examples.COMMAND


def book() -> CommandBook:
    return CommandBook(remember_s=3600, clock=lambda: NOW_US)


def request(**fields: Any) -> CommandRequest:
    return dataclasses.replace(CommandRequest.from_record(examples.records()["CommandRequest"]), **fields)


def ack(state: CommandState, **fields: Any) -> CommandAck:
    return dataclasses.replace(CommandAck.from_record(examples.records()["CommandAck"]), state=state, **fields)


def record(state: CommandState, version: int, **fields: Any) -> CommandStateRecord:
    base = CommandStateRecord.from_record(examples.records()["CommandState"])
    return dataclasses.replace(base, state=state, version=version, **fields)


def seen(known: CommandBook) -> tuple[CommandState, int, bool, bool]:
    view = known.get(ID)
    assert view is not None
    return view.state, view.version, view.provisional, view.final


def test_a_request_alone_is_provisional() -> None:
    known = book()
    known.apply_request(request())
    assert seen(known) == (CommandState.ACCEPTED, 0, True, False)
    known = book()
    known.apply_request(request(requires_approval=True))
    assert seen(known) == (CommandState.PENDING_APPROVAL, 0, True, False)


def test_an_outcome_is_final_only_from_the_record() -> None:
    known = book()
    known.apply_request(request())
    known.apply_ack(ack(CommandState.SUCCEEDED, readback={"speed_setpoint": 12.5}))
    assert seen(known) == (CommandState.SUCCEEDED, 0, True, False)
    known.apply_state(record(CommandState.ACCEPTED, 1))
    assert seen(known) == (CommandState.SUCCEEDED, 1, True, False)
    known.apply_state(record(CommandState.SUCCEEDED, 2))
    assert seen(known) == (CommandState.SUCCEEDED, 2, False, True)


def test_the_record_wins_over_what_was_pushed_ahead() -> None:
    known = book()
    known.apply_ack(ack(CommandState.SUCCEEDED))
    known.apply_state(record(CommandState.UNKNOWN, 3))
    assert seen(known) == (CommandState.UNKNOWN, 3, False, True)
    known.apply_state(record(CommandState.SUCCEEDED, 4))
    assert seen(known) == (CommandState.SUCCEEDED, 4, False, True)


def test_an_older_version_is_ignored() -> None:
    known = book()
    known.apply_state(record(CommandState.SUCCEEDED, 4))
    known.apply_state(record(CommandState.EXECUTING, 3))
    assert seen(known)[:2] == (CommandState.SUCCEEDED, 4)


def test_acks_out_of_order_do_not_go_back() -> None:
    known = book()
    known.apply_request(request())
    known.apply_ack(ack(CommandState.EXECUTING))
    known.apply_ack(ack(CommandState.DELIVERED))
    assert seen(known)[0] is CommandState.EXECUTING


@pytest.mark.security("V2.3.1")
def test_a_command_at_the_gateway_still_waits_for_its_approval() -> None:
    known = book()
    known.apply_request(request(requires_approval=True))
    known.apply_ack(ack(CommandState.DELIVERED))
    assert seen(known)[0] is CommandState.PENDING_APPROVAL
    known.apply_state(record(CommandState.PENDING_APPROVAL, 1))
    assert seen(known)[:3] == (CommandState.PENDING_APPROVAL, 1, False)
    known.apply_state(record(CommandState.ACCEPTED, 2))
    assert seen(known)[:3] == (CommandState.DELIVERED, 2, True)
    known.apply_ack(ack(CommandState.EXECUTING))
    assert seen(known)[0] is CommandState.EXECUTING


def test_an_orphaned_ack_is_no_command() -> None:
    known = book()
    known.apply_ack(ack(CommandState.SUCCEEDED))
    assert known.get(ID) is None
    assert len(known) == 0


def test_what_ended_long_ago_is_forgotten() -> None:
    known = book()
    old_us = NOW_US - 3601 * 1_000_000
    for i in range(200):
        known.apply_state(record(CommandState.SUCCEEDED, 1, command_id=UUID(int=i), updated_us=old_us))
    known.apply_state(record(CommandState.SUCCEEDED, 1, updated_us=NOW_US))
    assert len(known) == 1
    assert known.get(ID) is not None


async def test_a_reader_sees_every_transition_and_ends_with_the_outcome() -> None:
    known = book()
    known.apply_request(request())
    reader = known.open(Wakeup(), ID)
    known.apply_ack(ack(CommandState.EXECUTING))
    known.apply_state(record(CommandState.ACCEPTED, 1))
    known.apply_state(record(CommandState.EXECUTING, 2))
    known.apply_state(record(CommandState.FAILED, 3))
    views: list[CommandView] = [view async for view in reader.views()]
    assert [(view.state.value, view.version, view.provisional) for view in views] == [
        ("ACCEPTED", 0, True),
        ("EXECUTING", 0, True),
        ("EXECUTING", 1, True),
        ("EXECUTING", 2, False),
        ("FAILED", 3, False),
    ]
