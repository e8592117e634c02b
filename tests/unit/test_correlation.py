"""The command state machine: every path of a command, disorder, duplicates and silence, on a clock of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    CommandStateRecord,
    ControlAction,
    Effect,
    ParameterOutcome,
)
from stages.commands.config import CommandConfig
from stages.commands.correlation import CommandLogic
from stages.commands.step import Note, Step
from stages.commands.tracked import TrackedCommand

S = 1_000_000
START = 1_800_000_000 * S
ID = UUID("01900000-0000-7000-8000-000000000001")
CONFIG = CommandConfig()
Input = CommandRequest | CommandControl | CommandAck


def request(*, attempt: int = 1, expires_s: float = 60, approval: bool = False, name: str = "start") -> CommandRequest:
    return CommandRequest(
        command_id=ID,
        attempt=attempt,
        device_id=7,
        gateway_id="gw-1",
        site="north",
        name=name,
        parameters={"speed": 1.5},
        submitted_by="alice",
        submitted_us=START,
        expires_us=START + int(expires_s * S),
        requires_approval=approval,
    )


def control(action: ControlAction, by: str = "bob") -> CommandControl:
    return CommandControl(command_id=ID, device_id=7, action=action, by=by, time_us=START)


def ack(state: CommandState, *, attempt: int = 1, gateway: str = "gw-1", **fields: Any) -> CommandAck:
    return CommandAck(
        command_id=ID, attempt=attempt, device_id=7, gateway_id=gateway, state=state, time_us=START, **fields
    )


class Bench:
    """One command driven through bytes at every step, as the operator does."""

    def __init__(self, config: CommandConfig = CONFIG) -> None:
        self.logic = CommandLogic(config)
        self.stored: bytes | None = None
        self.now_us = START
        self.records: list[CommandStateRecord] = []
        self.notes: list[Note] = []
        self.resent: list[CommandRequest | CommandControl] = []
        self.timer_us: int | None = None

    def feed(self, *inputs: Input) -> Bench:
        for item in inputs:
            command = self._load()
            if isinstance(item, CommandRequest):
                self._took(self.logic.on_request(command, item, self.now_us))
            elif isinstance(item, CommandControl):
                self._took(self.logic.on_control(command, item, self.now_us))
            else:
                self._took(self.logic.on_ack(command, item, self.now_us, site="north"))
        return self

    def advance(self, seconds: float) -> Bench:
        """Let time pass; timers fire when they are due."""
        end_us = self.now_us + int(seconds * S)
        while self.timer_us is not None and self.timer_us <= end_us:
            self.now_us = max(self.timer_us, self.now_us)
            self._took(self.logic.on_timer(self._load(), self.now_us))
        self.now_us = end_us
        return self

    def state(self) -> CommandState:
        return self.records[-1].state

    @property
    def last(self) -> CommandStateRecord:
        return self.records[-1]

    def states(self) -> list[CommandState]:
        """States in order, repetitions left out."""
        return [state for state, _ in itertools.groupby(record.state for record in self.records)]

    def _load(self) -> TrackedCommand | None:
        return None if self.stored is None else TrackedCommand.from_bytes(self.stored)

    def _took(self, step: Step) -> None:
        self.stored = None if step.command is None else step.command.to_bytes()
        self.records += step.states
        self.notes += step.notes
        self.resent += step.resend
        self.timer_us = step.next_timer_us


DELIVERED, EXECUTING, SUCCEEDED, FAILED = (
    CommandState.DELIVERED,
    CommandState.EXECUTING,
    CommandState.SUCCEEDED,
    CommandState.FAILED,
)


def test_the_state_of_a_command_is_its_fields_in_plain_json() -> None:
    outcome = ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=1.5)
    command = TrackedCommand(
        request=request(),
        outcomes=(outcome,),
        approval=control(ControlAction.APPROVE),
        waiting_acks=[ack(SUCCEEDED, outcomes=(outcome,))],
        waiting_sites=["north"],
        waiting_controls=[control(ControlAction.CANCEL)],
    )
    plain = json.dumps(asdict(command), default=str, separators=(",", ":"))
    assert command.to_bytes() == b"\x01" + plain.encode()
    assert TrackedCommand.from_bytes(command.to_bytes()) == command


def test_a_command_goes_through_every_state_to_its_outcome() -> None:
    bench = Bench().feed(request(), ack(DELIVERED), ack(EXECUTING), ack(SUCCEEDED, readback={"speed": 1.5}))
    assert bench.states() == [CommandState.ACCEPTED, DELIVERED, EXECUTING, SUCCEEDED]
    assert [record.version for record in bench.records] == [1, 2, 3, 3_000_004]
    assert bench.last.readback == {"speed": 1.5}
    assert bench.last.parameters == {"speed": 1.5}
    assert bench.notes == []


def test_outcomes_reason_and_approval_are_in_the_record() -> None:
    outcomes = (
        ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=1.5),
        ParameterOutcome(name="mode", effect=Effect.REFUSED, detail="BadOutOfRange"),
    )
    bench = Bench().feed(
        replace(request(approval=True), reason="shift change"),
        control(ControlAction.APPROVE),
        ack(EXECUTING),
        ack(FAILED, detail="partly carried out: ...", outcomes=outcomes),
    )
    assert bench.last.outcomes == outcomes
    assert (bench.last.reason, bench.last.approved_by) == ("shift change", "bob")
    assert [record.approved_by for record in bench.records][:2] == ["", "bob"]
    bench.feed(ack(FAILED, attempt=2))  # without them: they stay
    assert bench.last.outcomes == outcomes


def test_a_late_outcome_replaces_those_of_the_parameters_too() -> None:
    unknown = (ParameterOutcome(name="speed", effect=Effect.UNKNOWN),)
    known = (ParameterOutcome(name="speed", effect=Effect.APPLIED, readback=1.5),)
    bench = Bench().feed(request(), ack(CommandState.UNKNOWN, outcomes=unknown), ack(SUCCEEDED, outcomes=known))
    assert (bench.last.state, bench.last.outcomes) == (SUCCEEDED, known)


def test_state_of_a_job_that_knew_no_outcomes_is_read() -> None:
    bench = Bench().feed(request(approval=True), control(ControlAction.APPROVE), ack(EXECUTING))
    assert bench.stored is not None
    plain = json.loads(bench.stored[1:])
    del plain["outcomes"]
    del plain["request"]["reason"]
    bench.stored = bench.stored[:1] + json.dumps(plain).encode()
    bench.feed(ack(SUCCEEDED, outcomes=(ParameterOutcome(name="speed", effect=Effect.APPLIED),)))
    assert [one.effect for one in bench.last.outcomes] == [Effect.APPLIED]
    assert (bench.last.reason, bench.last.approved_by) == ("", "bob")


def test_a_reason_without_bound_goes_no_further() -> None:
    record = {field: getattr(request(), field) for field in CommandRequest.__slots__} | {"reason": "r" * 900_000}
    bench = Bench().feed(CommandRequest.from_record(record))
    assert len(bench.last.reason) == 500
    long = {field: getattr(control(ControlAction.CANCEL), field) for field in CommandControl.__slots__}
    bench.feed(CommandControl.from_record(long | {"reason": "r" * 900_000}))
    assert len(bench.last.detail) < 600


def test_acks_before_their_request_wait_for_it() -> None:
    bench = Bench().feed(ack(DELIVERED), ack(SUCCEEDED))
    assert bench.records == []
    bench.feed(request())
    assert bench.states() == [CommandState.ACCEPTED, DELIVERED, SUCCEEDED]
    assert bench.notes == []


def test_an_ack_without_a_request_is_a_named_orphan() -> None:
    bench = Bench().feed(ack(SUCCEEDED, detail="done")).advance(CONFIG.orphan_after_ms / 1000)
    assert bench.notes == [Note.ORPHAN_ACK]
    assert (bench.state(), bench.last.name, bench.last.site) == (SUCCEEDED, "", "north")
    assert bench.last.detail == "orphan: no request was seen; the gateway says done"


def test_a_request_after_its_orphan_goes_on_from_the_orphans_version() -> None:
    bench = Bench().feed(ack(SUCCEEDED)).advance(60)
    bench.feed(request())
    assert [record.version for record in bench.records] == [1, 2]
    assert bench.last.name == "start"


def test_a_control_without_a_request_is_forgotten() -> None:
    bench = Bench().feed(control(ControlAction.CANCEL)).advance(60)
    assert bench.stored is None
    assert bench.records == []


def test_duplicates_change_nothing_and_are_counted() -> None:
    bench = Bench().feed(request(), request(), ack(DELIVERED), ack(DELIVERED), ack(SUCCEEDED), ack(SUCCEEDED))
    assert bench.states() == [CommandState.ACCEPTED, DELIVERED, SUCCEEDED]
    assert bench.last.duplicate_acks == 2
    assert bench.notes == [Note.DUPLICATE_REQUEST, Note.DUPLICATE_ACK, Note.DUPLICATE_ACK]


def test_the_same_id_with_other_content_is_refused() -> None:
    bench = Bench().feed(request(), request(name="stop"))
    assert bench.notes == [Note.CONFLICTING_REQUEST]
    assert bench.last.name == "start"


def test_steps_that_are_behind_do_not_go_back() -> None:
    bench = Bench().feed(request(), ack(EXECUTING), ack(DELIVERED))
    assert bench.state() is EXECUTING
    assert bench.notes == [Note.OUT_OF_ORDER_ACK]


@pytest.mark.parametrize(
    ("bad", "note"),
    [(ack(SUCCEEDED, gateway="gw-2"), Note.FOREIGN_ACK), (ack(CommandState.ACCEPTED), Note.INVALID_ACK)],
)
def test_acks_that_are_not_the_gateways_to_give_are_refused(bad: CommandAck, note: Note) -> None:
    bench = Bench().feed(request(), bad)
    assert bench.state() is CommandState.ACCEPTED
    assert bench.notes == [note]


def test_an_ack_from_another_site_is_not_believed() -> None:
    bench = Bench().feed(request())
    step = bench.logic.on_ack(bench._load(), ack(SUCCEEDED), bench.now_us, site="south")
    assert step.notes == [Note.FOREIGN_ACK]
    assert not step.states


def test_an_ack_from_another_site_that_comes_before_its_request_is_not_believed_later() -> None:
    bench = Bench()
    for site, state in (("south", SUCCEEDED), ("north", DELIVERED)):
        bench._took(bench.logic.on_ack(bench._load(), ack(state), bench.now_us, site=site))
    bench.feed(request())
    assert bench.state() is DELIVERED
    assert bench.notes == [Note.FOREIGN_ACK]


def test_acks_of_other_sites_push_no_waiting_ack_out() -> None:
    bench = Bench()
    bench._took(bench.logic.on_ack(bench._load(), ack(DELIVERED), bench.now_us, site="north"))
    for site in ("south", "east") * 20:
        bench._took(bench.logic.on_ack(bench._load(), ack(SUCCEEDED), bench.now_us, site=site))
    known = bench._load()
    assert known is not None
    assert len(known.waiting_acks) == 1 + 2 * 16, "each site's are bounded"
    bench.feed(request())
    assert bench.state() is DELIVERED
    assert bench.notes == [Note.FOREIGN_ACK] * 32


def test_orphans_are_told_of_the_site_that_each_came_from() -> None:
    bench = Bench()
    for site in ("south", "north"):
        bench._took(bench.logic.on_ack(bench._load(), ack(DELIVERED), bench.now_us, site=site))
    bench.advance(CONFIG.orphan_after_ms / 1000)
    bench._took(bench.logic.on_ack(bench._load(), ack(SUCCEEDED), bench.now_us, site="east"))
    assert [record.site for record in bench.records] == ["south", "north", "east"]


def test_acks_that_wait_in_a_state_without_sites_count() -> None:
    bench = Bench().feed(ack(EXECUTING))
    stored = bench.stored
    assert stored is not None
    plain = json.loads(stored[1:])
    del plain["waiting_sites"]
    bench.stored = stored[:1] + json.dumps(plain).encode()
    bench.feed(ack(SUCCEEDED), request())
    assert bench.states() == [CommandState.ACCEPTED, EXECUTING, SUCCEEDED]


def test_undelivered_is_sent_again_with_higher_attempts_and_then_expires() -> None:
    bench = Bench().feed(request(expires_s=120)).advance(119)
    assert [again.attempt for again in bench.resent if isinstance(again, CommandRequest)] == [2, 3, 4]
    assert {again.command_id for again in bench.resent} == {ID}
    bench.advance(7)
    assert bench.state() is CommandState.EXPIRED
    assert bench.last.attempt == 4


def test_its_own_resent_request_read_back_changes_nothing() -> None:
    bench = Bench().feed(request()).advance(16)
    before = len(bench.records)
    bench.feed(*[again for again in bench.resent if isinstance(again, CommandRequest)])
    assert len(bench.records) == before
    assert bench.notes == [Note.SENT_AGAIN]


def test_delivered_is_never_sent_again() -> None:
    bench = Bench().feed(request(expires_s=3600), ack(DELIVERED)).advance(3500)
    assert bench.resent == []


@pytest.mark.parametrize("progress", [DELIVERED, EXECUTING])
def test_no_outcome_in_time_is_unknown_and_a_late_ack_corrects_it(progress: CommandState) -> None:
    bench = Bench().feed(request(expires_s=10), ack(progress)).advance(41)
    assert bench.state() is CommandState.UNKNOWN
    bench.feed(ack(FAILED, detail="device refused"))
    assert (bench.state(), bench.last.late_acks, bench.last.detail) == (FAILED, 1, "device refused")
    assert bench.notes == [Note.LATE_ACK, Note.CORRECTED]
    assert bench.resent == []


def test_executing_is_waited_for_from_its_own_time_however_long_it_may_take_to_expire() -> None:
    bench = Bench().feed(request(expires_s=3600), ack(DELIVERED)).advance(100).feed(ack(EXECUTING)).advance(29)
    assert bench.state() is EXECUTING
    assert bench.advance(2).state() is CommandState.UNKNOWN


def test_duplicates_do_not_prolong_the_wait() -> None:
    bench = Bench().feed(request(), ack(EXECUTING))
    for _ in range(7):
        bench.advance(5).feed(ack(EXECUTING))
    assert CommandState.UNKNOWN in bench.states()


def test_the_gateways_unknown_is_corrected_too() -> None:
    bench = Bench().feed(request(), ack(DELIVERED), ack(CommandState.UNKNOWN), ack(SUCCEEDED))
    assert (bench.state(), bench.last.late_acks) == (SUCCEEDED, 1)


def test_an_inferred_expiry_yields_to_the_gateway() -> None:
    bench = Bench().feed(request(expires_s=1)).advance(10)
    assert bench.state() is CommandState.EXPIRED
    bench.feed(ack(DELIVERED))
    assert bench.state() is CommandState.EXPIRED
    bench.feed(ack(EXECUTING))
    assert bench.state() is CommandState.UNKNOWN
    bench.feed(ack(SUCCEEDED))
    assert (bench.state(), bench.last.late_acks) == (SUCCEEDED, 3)


def test_an_inferred_expiry_that_the_gateway_confirms_is_final() -> None:
    bench = Bench().feed(request(expires_s=1)).advance(10).feed(ack(CommandState.EXPIRED), ack(SUCCEEDED))
    assert (bench.state(), bench.last.late_acks) == (CommandState.EXPIRED, 2)


def test_an_outcome_of_the_gateway_stands() -> None:
    bench = Bench().feed(request(), ack(SUCCEEDED), ack(FAILED, attempt=2))
    assert (bench.state(), bench.last.late_acks) == (SUCCEEDED, 1)
    assert bench.notes == [Note.LATE_ACK]


def test_approval_by_somebody_else_lets_it_go() -> None:
    approve = ControlAction.APPROVE
    bench = Bench().feed(request(approval=True), control(approve, by="alice"))
    assert bench.state() is CommandState.PENDING_APPROVAL
    assert bench.notes == [Note.REFUSED_APPROVAL]
    bench.feed(control(approve))
    assert (bench.state(), bench.last.detail) == (CommandState.ACCEPTED, "approved by bob")
    bench.feed(control(approve))
    assert bench.notes[-1] is Note.LATE_CONTROL


def test_a_gateway_may_hold_what_still_waits_for_approval() -> None:
    bench = Bench().feed(request(approval=True), ack(DELIVERED))
    assert bench.state() is CommandState.PENDING_APPROVAL
    bench.feed(control(ControlAction.APPROVE))
    assert bench.state() is DELIVERED


def test_never_approved_expires() -> None:
    bench = Bench().feed(request(approval=True), ack(DELIVERED)).advance(100)
    assert (bench.state(), bench.last.detail) == (CommandState.EXPIRED, "never approved")


def test_an_approved_command_is_sent_again_with_its_approval() -> None:
    approve = control(ControlAction.APPROVE)
    bench = Bench().feed(request(approval=True), approve).advance(16)
    assert bench.resent == [request(attempt=2, approval=True), approve]


def test_cancel_is_the_gateways_to_carry_out() -> None:
    bench = Bench().feed(request(), control(ControlAction.CANCEL))
    assert (bench.state(), bench.last.detail) == (CommandState.ACCEPTED, "cancellation requested by bob")
    assert bench.feed(ack(CommandState.CANCELLED)).state() is CommandState.CANCELLED


def test_cancelled_and_never_delivered_ends_cancelled_and_is_not_sent_again() -> None:
    bench = Bench().feed(request(), control(ControlAction.CANCEL)).advance(70)
    assert bench.state() is CommandState.CANCELLED
    assert bench.resent == []


def test_a_control_after_the_outcome_is_named() -> None:
    bench = Bench().feed(request(), ack(SUCCEEDED), control(ControlAction.CANCEL))
    assert bench.state() is SUCCEEDED
    assert bench.notes == [Note.LATE_CONTROL]


def test_an_ended_command_is_forgotten_after_the_retention() -> None:
    bench = Bench().feed(request(), ack(SUCCEEDED)).advance(CONFIG.retention_ms / 1000 - 1)
    assert bench.stored is not None
    forgotten = bench.advance(1)
    assert (forgotten.stored, forgotten.timer_us) == (None, None)


def test_a_timer_that_is_not_due_does_nothing() -> None:
    logic = CommandLogic(CONFIG)
    command = logic.on_request(None, request(), START).command
    step = logic.on_timer(command, START + 1)
    assert (step.states, step.resend, step.next_timer_us) == ([], [], START + CONFIG.resend_after_ms * 1000)
    assert logic.on_timer(None, START).command is None


def test_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 9"):
        TrackedCommand.from_bytes(b"\x09{}")


# --- two lives: a job goes on from a checkpoint, and reads its topics in another order -----------------------------------


def last_of(records: Sequence[CommandStateRecord]) -> CommandStateRecord:
    """What a reader has in the end: the highest version, the first of equal ones."""
    newest = records[0]
    for record in records[1:]:
        if record.version > newest.version:
            newest = record
    return newest


def test_an_outcome_is_above_whatever_a_life_before_it_recorded() -> None:
    asked, words = (request(), control(ControlAction.CANCEL)), (ack(DELIVERED), ack(EXECUTING), ack(SUCCEEDED))
    before = Bench().feed(*asked, *words[:2])
    after = Bench().feed(asked[0], *words, asked[1])
    assert last_of([*before.records, *after.records]).state is SUCCEEDED


OUTCOME_WORDS = [SUCCEEDED, FAILED, CommandState.CANCELLED, CommandState.EXPIRED, CommandState.UNKNOWN]


def test_a_word_of_the_gateway_is_above_its_own_unknown() -> None:
    unknown, cancel = ack(CommandState.UNKNOWN), control(ControlAction.CANCEL)
    before = Bench().feed(request(), cancel, ack(DELIVERED), ack(EXECUTING), unknown)
    after = Bench().feed(request(), ack(DELIVERED), ack(EXECUTING), unknown, ack(SUCCEEDED), cancel)
    assert last_of([*before.records, *after.records]).state is SUCCEEDED


@settings(max_examples=300)
@given(st.data())
def test_readers_have_what_a_restored_job_has_whatever_the_order_of_its_topics(data: st.DataObject) -> None:
    requests: list[Input] = [request()]
    if data.draw(st.booleans()):
        requests.append(control(ControlAction.CANCEL))
    ends = data.draw(st.lists(st.sampled_from(OUTCOME_WORDS), min_size=0, max_size=2))
    acks = [ack(state) for state in [DELIVERED, EXECUTING, *ends][: data.draw(st.integers(0, 4))]]
    acks = [word for word in acks for _ in range(data.draw(st.integers(1, 2)))]

    def live(bench: Bench, at: tuple[int, int], *, whole: bool) -> tuple[int, int]:
        """Read on from positions in the two topics, in an order of its own, with time between the records."""
        left = (list(requests[at[0] :]), list(acks[at[1] :]))
        for _ in range(data.draw(st.integers(0, 9))):
            from_acks = data.draw(st.booleans())
            if left[from_acks]:
                bench.feed(left[from_acks].pop(0))
            bench.advance(data.draw(st.sampled_from([0.0, 0.0, 5.0, 90.0])))
        if whole:
            bench.feed(*left[0], *left[1])
        return len(requests) - len(left[0]), len(acks) - len(left[1])

    job = Bench()
    checkpoint = live(job, (0, 0), whole=False)
    kept = job.stored, job.timer_us
    live(job, checkpoint, whole=False)
    job.stored, job.timer_us = kept
    live(job, checkpoint, whole=True)
    job.advance(300)
    named = [record for record in job.records if record.name]
    if named and job.state() in OUTCOMES:
        shown = last_of(named)
        assert shown.state in OUTCOMES
        # Two conclusions from silence may differ, as long as no gateway says how it ended: then readers have the careful one, or one of two
        # that mean the same for the machine.
        told = any(word.state in OUTCOMES - {CommandState.UNKNOWN} for word in acks)
        concluded = {shown.state, job.state()}
        alike = concluded <= {CommandState.EXPIRED, CommandState.CANCELLED} or shown.state is CommandState.UNKNOWN
        assert len(concluded) == 1 or (alike and not told)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="max_attempts is 0"):
        CommandConfig(max_attempts=0)


ANYTHING = st.one_of(
    st.builds(request, attempt=st.integers(1, 3), approval=st.just(False), name=st.sampled_from(["start", "stop"])),
    st.builds(control, st.sampled_from(ControlAction), st.sampled_from(["alice", "bob"])),
    st.builds(ack, st.sampled_from(CommandState), attempt=st.integers(1, 3), gateway=st.sampled_from(["gw-1", "gw-2"])),
    st.floats(0, 200),
)


@given(st.lists(ANYTHING, max_size=30))
def test_whatever_comes_versions_grow_and_gateway_outcomes_stand(script: list[Input | float]) -> None:
    bench = Bench()
    for item in script:
        bench.advance(item) if isinstance(item, float) else bench.feed(item)
        if bench.stored is not None:
            assert bench.timer_us is not None, "a remembered command is waited for or forgotten some day"
    assert all(before.version < after.version for before, after in itertools.pairwise(bench.records))
    requests = [record for record in bench.records if record.name]
    for before, after in itertools.pairwise(requests):
        if before.state in OUTCOMES - {CommandState.UNKNOWN} and after.state is not before.state:
            assert after.late_acks > before.late_acks, "only a late ack changes an outcome"
    assert all(again.attempt <= CONFIG.max_attempts for again in bench.resent if isinstance(again, CommandRequest))
