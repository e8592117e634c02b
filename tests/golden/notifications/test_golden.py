"""Golden cases of `notifier.due`, through the book as the service keeps it: straight, and with a restart from the outbox at every turn."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from notifier import routes_file
from notifier.book import Book
from notifier.routes import Routes
from schemas.alarms import Alarm, AlarmState, alarm_id, source_id
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState
from schemas.priorities import Priority

_DOCUMENT = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text())
_MINUTE_US = 60_000_000
_BEHIND_MIN = 60
_SOURCE = source_id("north", "oil-hot@1")


class Play:
    """One alarm through its life, in minutes."""

    def __init__(self, case: dict[str, Any], *, restarts: bool) -> None:
        self.case, self.restarts = case, restarts
        self.start_us = round(datetime.fromisoformat(str(case["start"])).replace(tzinfo=UTC).timestamp() * 1e6)
        self.routes = routes_of(case)
        self.book = Book(self.routes)
        self.log: dict[Any, AlarmNotification] = {}
        self.told: list[str] = []
        self.alarm: Alarm | None = None

    def run(self) -> list[str]:
        """What was told."""
        case = self.case
        events = {one.get("first_seen", one["at"]): one for one in case["events"]}
        until = case.get("until", max(events) + _BEHIND_MIN)
        changes = {one["at"]: one["replace"] for one in case.get("routes_change", ())}
        turns, again = sorted({*events, *case.get("restarts", ()), *changes}), None
        now = 0.0
        while turns or again is not None:
            now = min([*turns[:1], *([again] if again is not None else [])])
            if now > until:
                break
            turns = [one for one in turns if one > now]
            if now in events:
                self.change(number=list(events).index(now), event=events[now], now=now)
            if now in changes:
                self.routes = routes_of(case, *changes[now])
            if self.restarts or now in case.get("restarts", ()) or now in changes:
                self.restart(now)
            again = self.look(now)
        return self.told

    def change(self, *, number: int, event: dict[str, Any], now: float) -> None:
        begun_us = self.start_us + (event["at"] + event.get("ahead", 0)) * _MINUTE_US
        activations = event.get("activations", 1)
        if self.alarm is not None and self.alarm.activations == activations:
            begun_us = self.alarm.activated_us or begun_us
        self.alarm = Alarm(
            alarm_id=alarm_id(_SOURCE, self.start_us),
            source_id=_SOURCE,
            version=number + 1,
            site="north",
            rule="oil-hot",
            rule_version=1,
            device_id=1,
            gateway_id="gw-north-1",
            path=self.case.get("path", "acme/north/forming/line-1/press-01/oil_temperature"),
            priority=Priority(self.case.get("priority", "HIGH")),
            state=AlarmState(event["state"]),
            activations=activations,
            activated_us=begun_us,
        )
        self.recorded_us = self.start_us + event["at"] * _MINUTE_US
        self.book.take_alarm(self.alarm, self.recorded_us)

    def restart(self, now: float) -> None:
        """What another process reads: its outbox, then alarms, as they are on the topics."""
        self.book = Book(self.routes)
        for one in self.log.values():
            self.book.take(AlarmNotification.decode(one.encode()))
        if self.alarm is not None:
            self.book.take_alarm(self.alarm, self.recorded_us)

    def look(self, now: float) -> float | None:
        """All that is due now; when to look again."""
        now_us = self.start_us + round(now * _MINUTE_US)
        while True:
            # As outlets do.
            for one in [one for one in self.log.values() if one.state.open and not self.book.needed(one)]:
                self.log[one.notification_id] = dataclasses.replace(one, state=NotificationState.CANCELLED)
                self.book.take(self.log[one.notification_id])
            assert self.alarm is not None
            found = self.book.due(self.alarm.alarm_id, now_us)
            for one in found.notifications:
                what = "over" if one.kind is NotificationKind.ENDED else str(one.step + 1)
                self.told.append(f"{now:g} {one.target} {what}")
                self.settle(one, now_us)
            if not found.notifications:
                return None if found.again_us is None else (found.again_us - self.start_us) / _MINUTE_US

    def settle(self, one: AlarmNotification, now_us: int) -> None:
        before = self.log.get(one.notification_id)
        assert before is None or before.state is NotificationState.CANCELLED
        state = NotificationState.SENT
        if one.target in self.case.get("refuse", ()):
            state = NotificationState.FAILED
        elif one.target in self.case.get("hold" if one.kind is NotificationKind.RAISED else "hold_over", ()):
            state = NotificationState.DUE
        lost = one.target in self.case.get("lose", ()) and one.kind is NotificationKind.RAISED
        if lost:
            state = NotificationState.SENDING
        message_id = one.notification_id if lost else None
        settled = dataclasses.replace(one, state=state, message_id=message_id, updated_us=now_us)
        self.log[one.notification_id] = settled
        self.book.take(settled)


def routes_of(case: dict[str, Any], *later: str) -> Routes:
    text = _DOCUMENT["routes"]
    for before, after in [*(case[name] for name in ("replace", "with") if name in case), *([later] if later else [])]:
        assert before in text, before
        text = text.replace(before, after, 1)
    return routes_file.parse(text)


@pytest.mark.parametrize("restarts", [False, True], ids=["straight", "restarted"])
@pytest.mark.parametrize("case", _DOCUMENT["cases"], ids=lambda case: case["name"].replace(" ", "-"))
def test_who_is_told(case: dict[str, Any], restarts: bool) -> None:
    assert Play(case, restarts=restarts).run() == case["told"]
