"""The life cycle of an alarm against a model of it that was written apart: states by a table, no events, no bytes.

The model knows one source with delays of none, and of a person's view only what ISA-18.2 says: conditions come and go, people acknowledge,
reset, shelve, switch off; design suppresses. The logic is restored from its bytes whenever the machine pleases.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.alarm_rules import AlarmRule
from schemas.alarms import AlarmEventKind, alarm_id, source_id
from schemas.definitions import encode_tag, encode_version
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.step import Step
from tests.golden.support import GATEWAY, SITE, tag, us

LIMIT, MUTED = 80.0, 2.0
VALUE, STATE = 1, 2
PARTS_AT_MOST = 6_000


class Model:
    """What a person should see. `standing` is the alarm there is: None, or who has it acknowledged."""

    def __init__(self, *, latches: bool) -> None:
        self.latches = latches
        self.holds = self.muted = self.shelved = self.off = False
        self.standing = self.acknowledged = self.latched = False
        self.shelved_until = 0
        self.started = self.activations = 0

    @property
    def hidden(self) -> bool:
        return self.muted or self.shelved or self.off

    @property
    def seen(self) -> str:
        if not self.standing:
            return "NORMAL"
        if self.off:
            return "OUT_OF_SERVICE"
        if self.muted:
            return "SUPPRESSED"
        if self.shelved:
            return "SHELVED"
        if self.holds or self.latched:
            return "ACKNOWLEDGED" if self.acknowledged else "UNACKNOWLEDGED"
        return "RETURNED_UNACKNOWLEDGED"

    def condition(self, holds: bool, now: int) -> None:
        if holds == self.holds:
            return
        self.holds = holds
        if holds:
            if not self.standing:
                self.started, self.activations = now, 0
            self.activations += 1
            self.standing, self.acknowledged, self.latched = True, False, False
        elif self.latches:
            self.latched = True
        elif self.acknowledged or self.hidden:
            self.standing = False

    def acknowledge(self, seen: int = 0) -> bool:
        if not self.standing or self.acknowledged or 0 < seen < self.activations:
            return False
        self.acknowledged = True
        if not self.holds and not self.latched:
            self.standing = False
        return True

    def reset(self) -> bool:
        if not self.standing or not self.latched or not self.acknowledged or self.holds:
            return False
        self.standing = self.latched = False
        return True

    def shelve(self, until: int) -> None:
        self.shelved, self.shelved_until = True, until

    def time(self, now: int) -> None:
        if self.shelved and now >= self.shelved_until:
            self.shelved = False


class LifeCycle(RuleBasedStateMachine):
    """One source, driven by samples, people, time and restarts."""

    @initialize(latches=st.booleans())
    def begin(self, latches: bool) -> None:
        self.model = Model(latches=latches)
        self.rule_of_it = AlarmRule(
            name="hot",
            kind="LIMIT",  # type: ignore[arg-type]
            level="HI",  # type: ignore[arg-type]
            tag="temp",
            limit=LIMIT,
            latch=latches,
            device_class="press",
            severity="MAJOR",  # type: ignore[arg-type]
            response="PROMPT",  # type: ignore[arg-type]
            suppress_tag="state",
            suppress_values=(MUTED,),
        )
        self.rule_of_it = AlarmRule.from_record({name: getattr(self.rule_of_it, name) for name in AlarmRule.__slots__})
        self.now = 0
        self.actions = 0
        self.parts: dict[str, bytes] = {}
        self.states: dict[UUID, tuple[int, str]] = {}
        self.logic = self.fresh()
        self.source = source_id(SITE, "hot@1")

    def fresh(self) -> AlarmLogic:
        logic = AlarmLogic(AlarmConfig(), us(-1000))
        for each in (tag(VALUE, name="temp"), tag(STATE, name="state")):
            logic.apply_registry(encode_tag(each)[1])
        logic.apply_registry(encode_version(1, tags=2, time_us=us(0))[1])
        logic.apply_rule(self.rule_of_it)
        return logic

    def took(self, step: Step) -> Step:
        for alarm in step.alarms:
            version, _ = self.states.get(alarm.alarm_id, (0, ""))
            assert alarm.version == version + 1
            self.states[alarm.alarm_id] = alarm.version, alarm.state
        for name, data in self.logic.drain_changes(SITE).items():
            if data is None:
                self.parts.pop(name)
            else:
                self.parts[name] = data
        return step

    def send(self, tag_id: int, value: float) -> None:
        self.now += 1
        self.model.time(self.now)
        self.took(self.logic.on_timer(SITE, us(self.now)))
        record = {
            "gateway_id": GATEWAY,
            "lane": 0,
            "closed_time_us": us(self.now),
            "tag_id": np.array([tag_id], dtype=np.int32),
            "time_us": np.array([us(self.now)]),
            "value": np.array([value]),
            "quality": np.zeros(1, dtype=np.uint16),
        }
        self.took(self.logic.on_record(SITE, "LatestBatch", record, us(self.now)))

    def act(self, kind: str, *, on_alarm: bool = False, until: int | None = None, seen: int = 0) -> bool:
        """Whether it was carried out; sent twice, since once counts."""
        self.actions += 1
        record = {
            "action_id": UUID(int=self.actions),
            "kind": kind,
            "site": SITE,
            "rule": "hot",
            "device_id": 1,
            "gateway_id": "",
            "alarm_id": alarm_id(self.source, us(self.model.started)) if on_alarm else None,
            "by": "alice",
            "time_us": us(self.now),
            "reason": "so",
            "until_us": None if until is None else us(until),
            "activations": seen,
        }
        step = self.took(self.logic.on_record(SITE, "AlarmAction", record, us(self.now)))
        again = self.took(self.logic.on_record(SITE, "AlarmAction", record, us(self.now)))
        assert not again.events
        assert len(step.events) == 1
        return step.events[0].kind is not AlarmEventKind.REFUSED

    @precondition(lambda self: not self.model.holds)
    @rule(value=st.sampled_from([80.1, 120.0]))
    def rise(self, value: float) -> None:
        self.send(VALUE, value)
        self.model.condition(True, self.now)

    @precondition(lambda self: self.model.holds)
    @rule(value=st.sampled_from([20.0, 80.0]))
    def fall(self, value: float) -> None:
        self.send(VALUE, value)
        self.model.condition(False, self.now)

    @rule()
    def stay(self) -> None:
        self.send(VALUE, 81.0 if self.model.holds else 79.0)

    @rule(muted=st.booleans())
    def design(self, muted: bool) -> None:
        self.send(STATE, MUTED if muted else 6.0)
        self.model.muted = muted

    @precondition(lambda self: self.model.started)
    @rule(seen=st.integers(min_value=0, max_value=3))
    def acknowledge(self, seen: int) -> None:
        assert self.act("ACKNOWLEDGE", on_alarm=True, seen=seen) == self.model.acknowledge(seen)

    @precondition(lambda self: self.model.started and self.model.latches)
    @rule()
    def reset(self) -> None:
        assert self.act("RESET", on_alarm=True) == self.model.reset()

    @rule(seconds=st.integers(min_value=1, max_value=10))
    def shelve(self, seconds: int) -> None:
        assert self.act("SHELVE", until=self.now + seconds)
        self.model.shelve(self.now + seconds)

    @rule()
    def unshelve(self) -> None:
        assert self.act("UNSHELVE") == self.model.shelved
        self.model.shelved = False

    @rule()
    def switch_off(self) -> None:
        assert self.act("OUT_OF_SERVICE")
        self.model.off = True

    @rule()
    def switch_on(self) -> None:
        assert self.act("IN_SERVICE") == self.model.off
        self.model.off = False

    @rule(seconds=st.integers(min_value=1, max_value=15))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.model.time(self.now)
        self.took(self.logic.on_timer(SITE, us(self.now)))

    @rule()
    def restart(self) -> None:
        self.logic = self.fresh()
        self.took(self.logic.restore(SITE, self.parts, us(self.now)))

    @invariant()
    def looks_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        alarm = alarm_id(self.source, us(self.model.started))
        _, seen = self.states.get(alarm, (0, "NORMAL"))
        assert seen == self.model.seen
        others = {state for known, (_, state) in self.states.items() if known not in (alarm, self.source)}
        assert others <= {"NORMAL"}, "an older alarm was left standing"
        _, source = self.states.get(self.source, (0, "NORMAL"))
        assert source == ("OUT_OF_SERVICE" if self.model.off else "SHELVED" if self.model.shelved else "NORMAL")
        assert sum(map(len, self.parts.values())) < PARTS_AT_MOST


LifeCycle.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestLifeCycle = LifeCycle.TestCase
