"""What the notifier follows beside alarms, where its routes need it: shifts of the plant, and browsers that take notifications.

Enters: records of `work.shifts`, `alarm.subscriptions` and `sign.outs`. Leaves: who has a shift, and where a message for people's browsers
goes. Each is read to its end before anybody is told, but nobody waits for it longer than `_PATIENCE_S`: without shifts everybody counts as
on duty, and what is for browsers waits for its topics.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from uuid import UUID

from confluent_kafka import Message as Record

from base.errors import SchemaError
from base.ids import Clock
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from notifier.channels import FailedError
from notifier.push import Subscriptions
from notifier.routes import Routes, WebPush
from notifier.shifts import NOTHING_KNOWN, Shifts
from notifier.side import Side
from schemas import topics
from schemas.push import PushSubscription
from schemas.shifts import ShiftCalendar
from schemas.sign_outs import SignOut

Undecodable = Callable[[str, Record, Exception], None]

log = logging.getLogger(__name__)

_PATIENCE_S = 10.0


class Beside:
    """For one routes file. `on_shifts` is told when they have changed, `undecodable` of a record that cannot be read."""

    def __init__(
        self,
        settings: KafkaSettings,
        routes: Routes,
        on_shifts: Callable[[Shifts], None],
        undecodable: Undecodable,
        clock: Clock,
    ) -> None:
        self.subscriptions = Subscriptions(clock)
        self._kafka, self._routes = settings, routes
        self._on_shifts, self._undecodable = on_shifts, undecodable
        self._shifts = NOTHING_KNOWN
        self._sides: list[Side] = []

    @property
    def shifts(self) -> Shifts:
        """As they are known."""
        return self._shifts

    @property
    def problem(self) -> str:
        """Why some of it is not read; empty when all is."""
        return next((one.problem for one in self._sides if one.problem), "")

    def read(self) -> None:
        """What the routes need as it stands now, in place of following it. Raises UnavailableError without a broker."""
        for topic, take in self._needed():
            take(list(kafka.read_to_end(self._kafka, topic.name)))

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncGenerator[None, None]:
        """Inside, it is followed, and known where it could be read within `_PATIENCE_S`: others are told whatever becomes of it."""
        self._sides = [Side(self._kafka, topic, take) for topic, take in self._needed()]
        running = [asyncio.create_task(one.run()) for one in self._sides]
        try:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    for one in self._sides:
                        await one.known.wait()
            except TimeoutError:
                log.error("some topics are not read; others are told without them", extra={"cause": self.problem})
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def browsers(self, channel: WebPush) -> list[PushSubscription]:
        """Where a message goes. Raises FailedError while it is not known who has turned it on, and who has signed out since."""
        of_browsers = [one for one in self._sides if one.topic is not topics.WORK_SHIFTS]
        if unknown := [one.topic.name for one in of_browsers if not one.known.is_set()]:
            msg = f"no browser is known: {', '.join(unknown)} is not read"
            raise FailedError(msg)
        return self.subscriptions.of(channel)

    def _needed(self) -> list[tuple[topics.Topic, Callable[[list[Record]], None]]]:
        needed: list[tuple[topics.Topic, Callable[[list[Record]], None]]] = []
        if self._routes.by_shifts:
            needed.append((topics.WORK_SHIFTS, self.take_shifts))
        if self._routes.to_browsers:
            needed.append((topics.SIGN_OUTS, self.take_sign_outs))
            needed.append((topics.ALARM_SUBSCRIPTIONS, self.take_subscriptions))
        return needed

    def take_shifts(self, records: list[Record]) -> None:
        """Calendars of scopes."""
        known = dict(self._shifts.calendars)
        for record in records:
            scope, value = (record.key() or b"").decode(errors="replace"), record.value()
            # Also of one that cannot be read: what was said before is not what holds now, and what is not known counts as on duty.
            known.pop(scope, None)
            try:
                if value is not None:
                    known[scope] = ShiftCalendar.decode(value)
            except (SchemaError, ValueError) as error:
                self._undecodable(topics.WORK_SHIFTS.name, record, error)
        self._shifts = Shifts(calendars=known)
        self._on_shifts(self._shifts)

    def take_subscriptions(self, records: list[Record]) -> None:
        """Browsers."""
        for record in records:
            key, value = record.key() or b"", record.value()
            try:
                if value is None:
                    self.subscriptions.drop(UUID(key.decode()))
                else:
                    self.subscriptions.take(PushSubscription.decode(value))
            except (SchemaError, ValueError) as error:
                self._undecodable(topics.ALARM_SUBSCRIPTIONS.name, record, error)

    def take_sign_outs(self, records: list[Record]) -> None:
        """People who have signed out everywhere."""
        for record in records:
            value = record.value()
            try:
                if value is not None:
                    made = SignOut.decode(value)
                    self.subscriptions.sign_out(made.subject, made.before_us)
            except (SchemaError, ValueError) as error:
                self._undecodable(topics.SIGN_OUTS.name, record, error)


async def any_ends(*works: Awaitable[Any]) -> None:
    """Until one of these ends; what it raises is raised, and the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
