"""A condition of a machine's server as an alarm, whatever the machine, people, gateway and job do: always the state that the model says.

The server makes a branch of what is over unacknowledged, as some do, or does not. Every event comes twice; the gateway may start anew and
tell all that is retained once more; what was told may be sent again, long after; the logic may be restored from its bytes before anything.
"""

from __future__ import annotations

import dataclasses
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from base.errors import ConfigError
from schemas import codec
from schemas.alarm_rules import AlarmRule
from schemas.alarms import MAX_NAME, Alarm, AlarmAction, AlarmEvent, AlarmEventKind, alarm_id, at_machine, source_id
from schemas.command_rules import RuleError, acknowledgement
from schemas.definitions import encode_tag, encode_version
from schemas.events import CONDITIONS_SINCE, DeviceEvent, EventKind
from schemas.priorities import Priority
from serving.machine_acks import EXPIRES_US, request_of
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.step import Step
from tests.golden.support import GATEWAY, SITE, tag, us

FIELDS = {
    "name": "machine",
    "kind": "CONDITION",
    "device_class": "press",
    "condition_type": "*",
    "severity": "MODERATE",
    "response": "PROMPT",
    "by_severity": {"800": "MAJOR PROMPT"},
}
RULE = AlarmRule.from_record(FIELDS)
NODE = "ns=2;s=High@#1"
SOURCE = source_id(SITE, f"machine/plc:{NODE}@1")


class Model:
    """What a person should see, by what was heard of the server and done here."""

    def __init__(self) -> None:
        self.active = self.standing = self.acknowledged = False
        self.acked_there = True
        self.outdated = False
        """What was acknowledged there was less urgent."""
        self.asked = False
        """What was acknowledged here the machine is to hear of."""
        self.branches: set[int] = set()
        self.started = 0

    @property
    def seen(self) -> str:
        if not self.standing:
            return "NORMAL"
        if self.acknowledged:
            return "ACKNOWLEDGED"
        return "UNACKNOWLEDGED" if self.active else "RETURNED_UNACKNOWLEDGED"

    @property
    def waits_there(self) -> bool:
        return not self.acked_there or bool(self.branches)

    def heard(self, active: bool, acked: bool, now: int, *, more_urgent: bool) -> None:
        asks_again = self.acked_there and not acked
        if active and (not self.active or asks_again or more_urgent):
            if not self.standing:
                self.started = now
            self.standing, self.acknowledged, self.asked = True, False, False
            self.outdated = self.active and acked and not self.waits_there
        elif self.active and not active and self.acknowledged and not self.asked:
            self.standing = False
        self.active, self.acked_there = active, acked
        self.look_there()

    def look_there(self) -> None:
        """What is acknowledged there, with all that it was before, is acknowledged here."""
        if self.waits_there:
            self.outdated = False
            return
        self.asked = False
        if not self.outdated and not self.acknowledged:
            self.acknowledge()
        self.wait_no_more()

    def wait_no_more(self) -> None:
        """What is over and acknowledged stands for its machine alone."""
        if self.standing and self.acknowledged and not self.active:
            self.standing = False

    def acknowledge(self) -> bool:
        if not self.standing or (self.acknowledged and not self.waits_there):
            return False
        self.acknowledged, self.asked = True, self.waits_there
        self.standing = self.active or self.asked
        return True


class Conditions(RuleBasedStateMachine):
    """One condition, driven by its machine, people, its gateway and restarts."""

    @initialize(branches=st.booleans())
    def begin(self, branches: bool) -> None:
        self.makes_branches = branches
        self.model = Model()
        self.active, self.acked, self.severity, self.raised = False, True, 500, 0
        self.sent: list[dict[str, object]] = []
        self.commands: set[UUID] = set()
        self.waiting: set[int] = set()
        self.now = self.count = 0
        self.parts: dict[str, bytes] = {}
        self.alarms: dict[UUID, Alarm] = {}
        self.logic = self.fresh()
        self.tell()

    def fresh(self) -> AlarmLogic:
        logic = AlarmLogic(AlarmConfig(), us(-1000))
        logic.apply_registry(encode_tag(tag(1, name="temp"))[1])
        logic.apply_registry(encode_version(1, tags=1, time_us=us(0))[1])
        logic.apply_rule(RULE)
        return logic

    def took(self, step: Step) -> Step:
        for alarm in step.alarms:
            before = self.alarms.get(alarm.alarm_id)
            assert alarm.version == (before.version if before else 0) + 1
            self.alarms[alarm.alarm_id] = alarm
        for name, data in self.logic.drain_changes(SITE).items():
            if data is None:
                self.parts.pop(name)
            else:
                self.parts[name] = data
        return step

    def say(self, attributes: dict[str, str]) -> None:
        """One event, sent twice."""
        self.now, self.count = self.now + 60, self.count + 1
        event = DeviceEvent(
            event_id=UUID(int=self.count),
            kind=EventKind.STATE,
            gateway_id=GATEWAY,
            device_id=1,
            time_us=us(self.now),
            attributes={"connector": "plc", **attributes},
        )
        record = codec.decode(event.encode(), "DeviceEvent")[1]
        self.took(self.logic.on_record(SITE, "DeviceEvent", record, us(self.now)))
        self.sent.append(record)
        again = self.took(self.logic.on_record(SITE, "DeviceEvent", record, us(self.now)))
        assert (again.alarms, again.events) == ([], [])

    def condition(self, active: bool, acked: bool, branch: int = 0) -> None:
        said = {
            "condition": "High",
            "condition_id": NODE,
            "severity": str(self.severity),
            "by": "alice",
            "active": str(active).lower(),
            "acked": str(acked).lower(),
            "retain": str(active or not acked).lower(),
        }
        self.say(said | ({"branch": f"b{branch}"} if branch else {}))

    def tell(self, *, more_urgent: bool = False) -> None:
        """The condition as it is."""
        self.condition(self.active, self.acked)
        if (self.active and not self.model.active) or (self.model.acked_there and not self.acked):
            self.raised = self.now  # as the gateway counts it
        self.model.heard(self.active, self.acked, self.now, more_urgent=more_urgent)

    def tell_branch(self, branch: int) -> None:
        waits = branch in self.waiting
        self.condition(True, not waits, branch)
        (self.model.branches.add if waits else self.model.branches.discard)(branch)
        self.model.look_there()

    @precondition(lambda self: not self.active)
    @rule()
    def rise(self) -> None:
        self.active, self.acked = True, False
        self.tell()

    @precondition(lambda self: self.active and self.acked)
    @rule()
    def ask_again(self) -> None:
        self.acked = False
        self.tell()

    @precondition(lambda self: self.active)
    @rule()
    def fall(self) -> None:
        if self.makes_branches and not self.acked and len(self.waiting) < 4:
            self.count += 1
            self.waiting.add(self.count)
            self.tell_branch(self.count)
            self.acked = True
        self.active = False
        self.tell()

    @rule()
    def say_it_again(self) -> None:
        self.tell()

    @precondition(lambda self: self.active)
    @rule()
    def change_severity(self) -> None:
        more_urgent = self.severity == 500
        self.severity = 900 if more_urgent else 500
        self.tell(more_urgent=more_urgent)

    @rule()
    def send_all_again(self) -> None:
        for record in self.sent[-40:]:
            again = self.took(self.logic.on_record(SITE, "DeviceEvent", record, us(self.now)))
            assert (again.alarms, again.events) == ([], [])

    @precondition(lambda self: not self.acked)
    @rule()
    def acknowledge_there(self) -> None:
        self.acked = True
        self.tell()

    @precondition(lambda self: self.waiting)
    @rule()
    def acknowledge_a_branch_there(self) -> None:
        branch = min(self.waiting)
        self.waiting.discard(branch)
        self.tell_branch(branch)

    @precondition(lambda self: self.model.started)
    @rule()
    def acknowledge_here(self) -> None:
        event = self.act("ACKNOWLEDGE")
        there = not self.model.waits_there
        done = self.model.acknowledge()
        assert (event.kind is AlarmEventKind.ACKNOWLEDGED) == done
        if done:
            # The machine hears of it, unless nothing waits there: once for each acknowledgement, of all that it raised before.
            request = request_of(self.alarms[event.alarm_id])
            assert (request is None) == there
            if request is not None:
                wanted = acknowledgement(request.parameters, request.reason)
                assert (wanted.condition, wanted.comment, request.device_id) == (f"plc:{NODE}", "so", 1)
                assert us(self.raised) <= wanted.seen_us <= us(self.now)
                assert request.command_id not in self.commands
                self.commands.add(request.command_id)

    def act(self, kind: str) -> AlarmEvent:
        """What a person does, and the answer."""
        record = codec.decode(self.action(kind).encode(), "AlarmAction")[1]
        (event,) = self.took(self.logic.on_record(SITE, "AlarmAction", record, us(self.now))).events
        return event

    def action(self, kind: str) -> AlarmAction:
        self.now, self.count = self.now + 1, self.count + 1
        return AlarmAction.from_record(
            {
                "action_id": UUID(int=self.count),
                "kind": kind,
                "site": SITE,
                "rule": "machine",
                "device_id": 1,
                "condition": f"plc:{NODE}",
                "alarm_id": alarm_id(SOURCE, us(self.model.started)),
                "by": "alice",
                "time_us": us(self.now),
                "reason": "so",
            }
        )

    @precondition(lambda self: self.model.started)
    @rule()
    def reset(self) -> None:
        """Whoever does not want to wait for the machine lets it go."""
        waits = self.model.standing and self.model.acknowledged and not self.model.active
        assert (self.act("RESET").kind is AlarmEventKind.RESET) == waits
        self.model.wait_no_more()

    @rule()
    def let_time_pass(self) -> None:
        """More of it than an alarm waits for its machine."""
        self.now += 7200
        self.took(self.logic.on_timer(SITE, us(self.now)))
        self.model.wait_no_more()

    @rule()
    def start_the_gateway(self) -> None:
        """All that is retained is told, and that it is all."""
        since = self.now + 1
        for branch in sorted(self.waiting):
            self.tell_branch(branch)
        if self.active or not self.acked:
            self.tell()
        self.say({CONDITIONS_SINCE: str(us(since))})

    @rule()
    def restart(self) -> None:
        self.logic = self.fresh()
        self.took(self.logic.restore(SITE, self.parts, us(self.now)))

    @invariant()
    def looks_as_the_model_says(self) -> None:
        if self.model.started:
            assert self.alarms[alarm_id(SOURCE, us(self.model.started))].state == self.model.seen
        assert sum(alarm.state != "NORMAL" for alarm in self.alarms.values()) == self.model.standing
        for alarm in self.alarms.values():
            request = request_of(alarm)
            assert alarm.acknowledged_by in ("", "alice", "machine: alice")
            assert request is None or request.submitted_by == "alice"


TestConditions = Conditions.TestCase
TestConditions.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"condition_type": ""}, "needs a condition_type"),
        ({"by_severity": {"0": "MAJOR PROMPT"}}, "are no severity of a server"),
        ({"by_severity": {"700": "MAJOR"}}, "are no severity of a server"),
        ({"min_severity": 1001}, "min_severity is not between"),
        ({"latch": True}, "does not latch"),
        ({"parent": "hot", "by_severity": {"900": "SEVERE IMMEDIATE"}}, "may not be suppressed"),
        (
            {"kind": "STATE", "tag": "t", "values": [1], "condition_type": "", "min_severity": 5},
            "has no condition_type",
        ),
    ],
)
def test_what_cannot_be_a_rule_about_conditions_is_refused(changes: dict[str, object], cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        AlarmRule.from_record(FIELDS | changes)


def test_a_rule_about_conditions_comes_back_as_it_went_and_gives_a_priority_by_severity() -> None:
    rule_of_it = AlarmRule.from_record(
        FIELDS | {"by_severity": {700: "MAJOR PROMPT", 900: "SEVERE IMMEDIATE"}, "min_severity": 10.0}
    )
    assert AlarmRule.from_record(codec.decode(rule_of_it.encode(), "AlarmRule")[1]) == rule_of_it
    found = [rule_of_it.priority_at(severity) for severity in (10, 699, 700, 899, 900, 1000)]
    assert found == [
        Priority.MEDIUM,
        Priority.MEDIUM,
        Priority.HIGH,
        Priority.HIGH,
        Priority.CRITICAL,
        Priority.CRITICAL,
    ]


def few(most: int) -> Conditions:
    """A machine of which so many conditions are kept."""
    machine = Conditions()
    machine.begin(branches=False)
    machine.logic = AlarmLogic(AlarmConfig(most_conditions=most), us(-1000))
    machine.logic.apply_registry(encode_tag(tag(1, name="temp"))[1])
    machine.logic.apply_registry(encode_version(1, tags=1, time_us=us(0))[1])
    machine.logic.apply_rule(RULE)
    return machine


def test_many_conditions_that_rest_are_forgotten_and_those_that_stand_are_not() -> None:
    machine = few(10)
    for number in range(50):
        said = {"condition": "High", "condition_id": f"c{number}", "severity": "1", "acked": "true"}
        machine.say(said | {"active": str(number == 3).lower(), "retain": str(number == 3).lower()})
    kept = machine.parts["sources/1"].decode(errors="replace")
    assert (kept.count('"condition":'), "plc:c3@1" in kept) == (10, True)


def test_an_action_waits_for_the_alarm_of_a_condition_that_is_forgotten_meanwhile() -> None:
    """Of many that rest the oldest are forgotten: not those that somebody did something to."""
    machine = few(1)
    machine.tell()
    machine.model.started = machine.now  # an alarm that was raised behind the last checkpoint
    record = dataclasses.asdict(machine.action("ACKNOWLEDGE"))
    assert not machine.took(machine.logic.on_record(SITE, "AlarmAction", record, us(machine.now))).events
    said = {"condition": "High", "severity": "1", "acked": "true", "active": "false", "retain": "false"}
    for number in range(3):
        machine.say(said | {"condition_id": f"c{number}"})
    (refused,) = machine.took(machine.logic.on_timer(SITE, us(machine.now + 61))).events
    assert (refused.kind, refused.detail) == (AlarmEventKind.REFUSED, "there is no such alarm")


def test_the_command_for_a_machine_follows_from_the_alarm_alone() -> None:
    machine = Conditions()
    machine.begin(branches=False)
    machine.rise()
    machine.acknowledge_here()
    (alarm,) = machine.alarms.values()
    first, again = request_of(alarm), request_of(alarm)
    assert first == again
    assert first is not None
    assert first.expires_us == (alarm.acknowledged_us or 0) + EXPIRES_US
    other = request_of(dataclasses.replace(alarm, activations=2))
    assert other is not None
    assert other.command_id != first.command_id
    assert request_of(dataclasses.replace(alarm, acknowledged_at_machine=True)) is None
    for parameters in ({}, {"a": 1.0, "b": 2.0}, {"a": float("inf")}):
        with pytest.raises(RuleError, match="has one parameter"):
            acknowledgement(parameters, "")


@pytest.mark.parametrize(
    ("said", "known"), [("²", 1), ("-5", 1), ("9" * 5_000, 1), ("99999", 1000), ("0", 1), ("800", 800), ("", 1)]
)
def test_a_severity_is_from_1_to_1000_whatever_a_server_says(said: str, known: int) -> None:
    machine = Conditions()
    machine.begin(branches=False)
    machine.severity = said  # type: ignore[assignment]
    machine.active = True
    machine.tell()
    assert f'"severity":{known},' in machine.parts["sources/1"].decode(errors="replace")
    machine.say({CONDITIONS_SINCE: said})


def test_who_acknowledged_at_the_machine_is_nobody_here() -> None:
    machine = Conditions()
    machine.begin(branches=False)
    machine.rise()
    machine.acknowledge_there()
    (alarm,) = machine.alarms.values()
    assert (alarm.acknowledged_by, alarm.seen_us) == ("machine: alice", 0)
    assert len(at_machine("n" * 1_000)) == MAX_NAME
    said = dataclasses.replace(alarm, acknowledged_at_machine=False)
    assert request_of(said) is None
    assert request_of(dataclasses.replace(said, seen_us=us(1))) is None


def test_what_came_again_within_the_off_delay_is_seen_by_who_acknowledges() -> None:
    machine = Conditions()
    machine.begin(branches=False)
    machine.logic.apply_rule(dataclasses.replace(RULE, version=2, off_delay_s=300.0))
    machine.rise()
    machine.fall()
    machine.rise()
    machine.acknowledge_here()
    (alarm,) = machine.alarms.values()
    request = request_of(alarm)
    assert request is not None
    assert (alarm.activations, alarm.seen_us) == (1, us(machine.raised))
    assert request.parameters == {f"plc:{NODE}": us(machine.raised)}


def test_state_of_before_with_whole_ids_of_events_is_read() -> None:
    machine = Conditions()
    machine.begin(branches=False)
    machine.rise()
    (source,) = machine.logic._sites[SITE].state.sources.values()
    assert source.condition is not None
    source.condition.events = [str(record["event_id"]) for record in machine.sent]
    machine.logic._sites[SITE].state.touch(f"machine/plc:{NODE}@1")
    machine.took(machine.logic.on_timer(SITE, us(machine.now)))
    machine.restart()
    machine.send_all_again()
