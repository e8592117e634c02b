"""One target: what fails is sent again and holds no other, what nobody needs is called back, a normal end repeats nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from base.ids import now_us
from notifier import outlet as module
from notifier import routes_file
from notifier.book import Book
from notifier.channels import RefusedError
from notifier.message import Message
from notifier.outlet import Outlet
from notifier.routes import Target
from schemas.alarms import Alarm, AlarmState
from schemas.notifications import AlarmNotification, NotificationState
from schemas.priorities import Priority
from tests.integration.gateway_support import until
from tests.unit.notifying import alarm, first_told

ROUTES = routes_file.parse("""
targets:
  hook: {webhook: {url: "https://t.example/x"}, gather_s: 0, per_minute: 100}
routes: [{name: all, steps: [{tell: [hook]}]}]
""")


class Receiver:
    """What the target took; `answer` decides about each attempt."""

    def __init__(self, answer: Callable[[Message], object] = lambda _: None) -> None:
        self.answer = answer
        self.attempts: list[str] = []
        self.taken: list[str] = []
        self.said = "taken"
        self.on_its_way = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def send(self, _target: Target, message: Message) -> str:
        """As `channels.send`."""
        self.attempts += [str(message.message_id)]
        self.on_its_way.set()
        await self.go_on.wait()
        self.answer(message)
        self.taken += message.notification_ids
        return self.said


def _down(_message: Message) -> None:
    raise OSError("down")


class Place:
    """A book, an outlet and what was recorded."""

    def __init__(self, receiver: Receiver) -> None:
        self.book, self.receiver = Book(ROUTES), receiver
        self.states: list[tuple[str, NotificationState]] = []
        self.outlet = Outlet(ROUTES.targets["hook"], self.book, self._record, receiver.send, clock=now_us)

    def add(self, about: Alarm) -> str:
        """An alarm that the target is to be told of; the id of that."""
        self.book.take_alarm(about, now_us())
        (due,) = first_told(ROUTES, about)
        self.book.take(dataclasses.replace(due, created_us=now_us()))
        self.outlet.wake()
        return str(due.notification_id)

    def state(self, number: str) -> NotificationState:
        return next((state for one, state in reversed(self.states) if one == number), NotificationState.DUE)

    async def settled(self, number: str, state: NotificationState) -> None:
        await until(lambda: self.state(number) is state, what=f"{number} {state}")

    async def _record(self, notifications: Sequence[AlarmNotification]) -> None:
        for one in notifications:
            one.encode()
            self.book.take(one)
            self.states.append((str(one.notification_id), one.state))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(module, "_AFTER_START_S", 0.01)
    monkeypatch.setattr(module, "_ALONE_S", 0.05)


@contextlib.asynccontextmanager
async def running(place: Place) -> AsyncIterator[None]:
    task = asyncio.create_task(place.outlet.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await place.outlet.stop()


async def test_what_fails_is_sent_again_as_the_same_message() -> None:
    left = 6

    def answer(_message: Message) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OSError("no route")

    place = Place(Receiver(answer))
    async with running(place):
        number = place.add(alarm())
        await place.settled(number, NotificationState.SENT)
    assert place.receiver.taken == [number]
    assert set(place.receiver.attempts) == {number}
    # More than three failures in a row: it was left alone in between, and came back.
    assert len(place.receiver.attempts) == 7


async def test_one_message_that_is_never_taken_does_not_hold_the_others() -> None:
    poison = alarm(1)

    def answer(message: Message) -> None:
        if message.told[0].alarm.alarm_id == poison.alarm_id:
            raise ValueError("500")

    place = Place(Receiver(answer))
    async with running(place):
        first = place.add(poison)
        await asyncio.wait_for(place.receiver.on_its_way.wait(), 10)
        for about in (alarm(2), alarm(3), alarm(4, priority=Priority.CRITICAL)):
            await place.settled(place.add(about), NotificationState.SENT)
        assert place.state(first) is NotificationState.SENDING


async def test_many_messages_that_are_never_taken_do_not_hold_the_others() -> None:
    poison = {alarm(number).alarm_id for number in range(1, 7)}

    def answer(message: Message) -> None:
        if message.told[0].alarm.alarm_id in poison:
            raise ValueError("500")

    place = Place(Receiver(answer))
    async with running(place):
        held = [place.add(alarm(number)) for number in range(1, 7)]
        await until(lambda: all(place.state(one) is NotificationState.SENDING for one in held))
        for about in (alarm(7), alarm(8, priority=Priority.MEDIUM)):
            await place.settled(place.add(about), NotificationState.SENT)
        assert {place.state(one) for one in held} == {NotificationState.SENDING}


async def test_a_target_that_is_down_is_left_alone_but_for_what_is_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALONE_S", 3600)

    def answer(message: Message) -> None:
        if message.told[0].alarm.priority is not Priority.CRITICAL:
            raise OSError("down")

    place = Place(Receiver(answer))
    async with running(place):
        for number in range(1, 40):
            place.add(alarm(number))
        await until(lambda: place.outlet.left_alone)
        # Longest pause and more: whoever would be tried again has been.
        await asyncio.sleep(0.2)
        assert len(place.receiver.attempts) == 3
        await place.settled(place.add(alarm(40, priority=Priority.CRITICAL)), NotificationState.SENT)
        # No more are begun: what comes is gathered.
        assert sum(one is NotificationState.SENDING for _, one in place.states) == 3 + 1


async def test_what_nobody_took_is_given_up_by_when_it_was_due() -> None:
    place = Place(Receiver(_down))
    about = alarm()
    place.book.take_alarm(about, now_us())
    (due,) = first_told(ROUTES, about)
    given_up_us = ROUTES.targets["hook"].give_up_us
    # An earlier run has tried for all the time but a moment.
    begun = dataclasses.replace(
        due, state=NotificationState.SENDING, message_id=due.notification_id, created_us=now_us() - given_up_us
    )
    place.book.take(begun)
    async with running(place):
        await place.settled(str(due.notification_id), NotificationState.FAILED)


async def test_what_was_answered_is_left_out_of_a_message_that_is_sent_again() -> None:
    cause = alarm(9).alarm_id
    first, second = alarm(1, cause_alarm_id=cause), alarm(2, cause_alarm_id=cause)

    def answer(message: Message) -> None:
        if len(message.told) == 2:
            place.book.take_alarm(dataclasses.replace(first, version=2, state=AlarmState.ACKNOWLEDGED), now_us())
            raise OSError("busy")

    place = Place(Receiver(answer))
    numbers = [place.add(first), place.add(second)]
    async with running(place):
        await place.settled(numbers[1], NotificationState.SENT)
    assert place.state(numbers[0]) is NotificationState.CANCELLED
    assert place.receiver.taken == [numbers[1]]
    assert len(set(place.receiver.attempts)) == 1


async def test_what_is_refused_is_over_and_says_why() -> None:
    def answer(_message: Message) -> None:
        raise RefusedError("550 no such address")

    place = Place(Receiver(answer))
    async with running(place):
        await place.settled(place.add(alarm()), NotificationState.FAILED)
    assert len(place.receiver.attempts) == 1


async def test_an_answer_that_is_no_text_is_recorded_and_nothing_is_sent_again() -> None:
    place = Place(Receiver())
    # As a mail server's Latin-1 comes out of the library.
    place.receiver.said = b"250 angenommen f\xfcr sp\xe4ter".decode(errors="surrogateescape") + "x" * 100_000
    async with running(place):
        number = place.add(alarm())
        await place.settled(number, NotificationState.SENT)
    assert place.receiver.taken == [number]
    (found,) = place.book._of_alarm[alarm().alarm_id].values()
    assert found.detail.startswith("250 angenommen f?r sp?ter")
    assert len(found.detail) <= 500


async def test_what_was_acknowledged_while_the_target_was_down_is_called_back() -> None:
    def answer(_message: Message) -> None:
        raise OSError("down")

    place, about = Place(Receiver(answer)), alarm()
    async with running(place):
        number = place.add(about)
        await asyncio.wait_for(place.receiver.on_its_way.wait(), 10)
        place.book.take_alarm(dataclasses.replace(about, version=2, state=AlarmState.ACKNOWLEDGED), now_us())
        await place.settled(number, NotificationState.CANCELLED)
    assert place.receiver.taken == []


async def test_what_is_urgent_goes_out_beside_what_is_slow() -> None:
    place = Place(Receiver())
    place.receiver.go_on.clear()
    async with running(place):
        slow = place.add(alarm(1))
        await asyncio.wait_for(place.receiver.on_its_way.wait(), 10)
        place.receiver.on_its_way.clear()
        urgent = place.add(alarm(2, priority=Priority.CRITICAL))
        await asyncio.wait_for(place.receiver.on_its_way.wait(), 10)
        assert place.receiver.attempts == [slow, urgent]
        place.receiver.go_on.set()
        await place.settled(slow, NotificationState.SENT)


async def test_a_normal_end_lets_arrive_what_is_on_its_way_and_leaves_the_rest() -> None:
    place = Place(Receiver())
    place.receiver.go_on.clear()
    task = asyncio.create_task(place.outlet.run())
    first = place.add(alarm(1))
    await asyncio.wait_for(place.receiver.on_its_way.wait(), 10)
    second = place.add(alarm(2))
    await place.settled(second, NotificationState.SENDING)
    task.cancel()
    stopping = asyncio.create_task(place.outlet.stop())
    await asyncio.sleep(0)
    place.receiver.go_on.set()
    await stopping
    assert (place.state(first), place.state(second)) == (NotificationState.SENT, NotificationState.SENDING)
    assert place.receiver.taken == [first]

    # The next run has the outbox alone: the message that was begun goes out as it was.
    again = Place(Receiver())
    again.book = place.book
    again.outlet = Outlet(ROUTES.targets["hook"], place.book, again._record, again.receiver.send, clock=now_us)
    async with running(again):
        await again.settled(second, NotificationState.SENT)
    assert again.receiver.taken == [second]
    assert again.receiver.attempts == [second]
