"""Whoever asks, however often, after whatever restart: the same is told, in order, once, and nothing when it is not needed.

The cases by hand are in tests/golden/notifications.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifier import routes_file
from notifier.book import Book
from notifier.due import wanted
from schemas.alarms import AlarmState
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState
from tests.unit.notifying import MINUTE_US, T0_US, alarm, first_told

ROUTES = routes_file.parse("""
targets:
  a: {email: {host: m, from: a@b.c, to: [a@b.c]}}
  b: {webhook: {url: "https://t.example/x"}}
  c: {mqtt: {endpoint: "mqtts://t.example", topic: t}}
calendars:
  half: {zone: UTC, times: [{from: "00:00", to: "12:00"}]}
roles:
  sometimes: [{tell: [c], during: half}]
routes:
  - name: one
    steps: [{tell: [a]}, {after_min: 7, tell: [sometimes]}, {after_min: 5, tell: [a, b]}]
  - name: two
    scope: acme/north
    steps: [{after_min: 3, tell: [b]}, {after_min: 4, tell: [a]}]
""")
_MOVES = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 400)),
    st.tuples(st.just("state"), st.sampled_from(list(AlarmState))),
    st.tuples(st.just("again"), st.none()),
    st.tuples(st.just("send"), st.sampled_from([NotificationState.SENT, NotificationState.FAILED])),
)


class World:
    """One alarm, its outbox, and a book of it that may be made anew at any time."""

    def __init__(self, *, restarts: bool) -> None:
        self.restarts = restarts
        self.now_us = T0_US
        self.alarm = alarm()
        self.log: dict[UUID, AlarmNotification] = {}
        self.told: list[tuple[int, UUID]] = []
        self.called_back: set[tuple[str, int, int]] = set()  # (route, activation, step): due again when needed again
        self.book = Book(ROUTES)
        self.book.take_alarm(self.alarm, T0_US)

    def move(self, what: str, argument: Any) -> None:
        """One thing happens."""
        if what == "wait":
            for _ in range(argument):
                self.now_us += MINUTE_US
                self.look()
            return
        if what == "state":
            self._alarm(state=argument)
        elif what == "again":
            self._alarm(
                state=AlarmState.UNACKNOWLEDGED, activations=self.alarm.activations + 1, activated_us=self.now_us
            )
        else:
            for one in [one for one in self.log.values() if one.state.open]:
                needed = wanted(ROUTES, self.alarm, one)
                self._settle(one, argument if needed else NotificationState.CANCELLED)
        self.look()

    def look(self) -> None:
        """All that is due; what is due twice, or of what nobody needs, fails."""
        if self.restarts:
            self.book = Book(ROUTES)
            for one in self.log.values():
                self.book.take(AlarmNotification.decode(one.encode()))
            self.book.take_alarm(self.alarm, T0_US + 10**12)
        for one in self.book.due(self.alarm.alarm_id, self.now_us).notifications:
            before = self.log.get(one.notification_id)
            assert before is None or before.state is NotificationState.CANCELLED
            assert wanted(ROUTES, self.alarm, one)
            self.log[one.notification_id] = one
            self.told.append((self.now_us, one.notification_id))
            self.book.take(one)

    def _alarm(self, **changes: Any) -> None:
        self.alarm = dataclasses.replace(self.alarm, version=self.alarm.version + 1, **changes)
        self.book.take_alarm(self.alarm, self.now_us)

    def _settle(self, one: AlarmNotification, state: NotificationState) -> None:
        if state is NotificationState.CANCELLED:
            self.called_back.add((one.route, one.activation, one.step))
        self.log[one.notification_id] = dataclasses.replace(one, state=state, updated_us=self.now_us)
        self.book.take(self.log[one.notification_id])


@settings(max_examples=60, deadline=None)
@given(st.lists(_MOVES, max_size=12))
def test_a_restart_before_every_look_tells_the_same(moves: list[tuple[str, Any]]) -> None:
    straight, restarted = World(restarts=False), World(restarts=True)
    for move in moves:
        straight.move(*move)
        restarted.move(*move)
    assert straight.told == restarted.told


@settings(max_examples=60, deadline=None)
@given(st.lists(_MOVES, max_size=12))
@example(
    [("wait", 7), ("state", AlarmState.NORMAL), ("send", NotificationState.SENT), ("state", AlarmState.UNACKNOWLEDGED)]
)
def test_steps_come_in_order_and_an_end_only_to_who_was_told(moves: list[tuple[str, Any]]) -> None:
    world = World(restarts=False)
    for move in moves:
        world.move(*move)
        told = {(one.target, one.activation) for one in world.log.values() if one.kind is NotificationKind.RAISED}
        assert all(
            (one.target, one.activation) in told for one in world.log.values() if one.kind is NotificationKind.ENDED
        )
    raised = [world.log[number] for _, number in world.told if world.log[number].kind is NotificationKind.RAISED]
    for route in ROUTES.routes:
        for activation in {one.activation for one in raised}:
            steps = [
                one.step
                for one in raised
                if (one.route, one.activation) == (route.name, activation)
                and (one.route, one.activation, one.step) not in world.called_back
            ]
            assert steps == sorted(steps)


def test_a_version_that_is_not_newer_changes_nothing() -> None:
    book = Book(ROUTES)
    about = alarm(version=3)
    assert book.take_alarm(about, T0_US)
    assert not book.take_alarm(dataclasses.replace(about, version=2, state=AlarmState.NORMAL), T0_US)
    assert not book.take_alarm(dataclasses.replace(about, version=4, state=AlarmState.NORMAL), T0_US)
    # The job repeats its output after a restart.
    assert not book.take_alarm(about, T0_US)
    assert len(book) == 0


def test_the_record_of_a_source_is_no_alarm() -> None:
    about = alarm()
    assert not Book(ROUTES).take_alarm(dataclasses.replace(about, alarm_id=about.source_id), T0_US)


def test_what_was_settled_a_week_ago_is_forgotten_unless_the_alarm_stands() -> None:
    book, about = Book(ROUTES), alarm()
    book.take_alarm(about, T0_US)
    (told,) = (one for one in first_told(ROUTES, about) if one.target == "a")
    book.take(dataclasses.replace(told, state=NotificationState.SENT))
    later_us = T0_US + 8 * 24 * 60 * MINUTE_US
    assert book.outdated(later_us) == []
    book.take_alarm(dataclasses.replace(about, version=2, state=AlarmState.NORMAL), later_us)
    book.due(about.alarm_id, later_us)
    (outdated,) = book.outdated(later_us)
    book.drop(outdated)
    assert book.outdated(later_us) == []


def test_of_an_alarm_that_comes_and_goes_what_each_target_knows_is_kept() -> None:
    book, week_us = Book(ROUTES), 7 * 24 * 60 * MINUTE_US
    for number in range(1, 1000):
        about = alarm(version=number, activations=number, activated_us=T0_US + number)
        book.take_alarm(about, T0_US + number)
        (told,) = (one for one in first_told(ROUTES, about, T0_US + number) if one.target == "a")
        book.take(dataclasses.replace(told, state=NotificationState.SENT))
        if number == 5:
            (other,) = (one for one in first_told(ROUTES, about, T0_US + 3 * MINUTE_US + number) if one.target == "b")
            book.take(dataclasses.replace(other, state=NotificationState.SENT))
    assert book.outdated(T0_US + MINUTE_US) == []
    for one in book.outdated(T0_US + week_us + 10 * MINUTE_US):
        book.drop(one)
    kept = {(one.target, one.activation) for one in book._of_alarm[alarm().alarm_id].values()}
    assert kept == {("a", 999), ("b", 5)}


def test_what_goes_to_a_target_that_is_gone_is_found() -> None:
    book = Book(ROUTES)
    (told,) = (one for one in first_told(ROUTES, alarm()) if one.target == "a")
    book.take(dataclasses.replace(told, target="gone"))
    assert [one.target for one in book.orphans()] == ["gone"]
