"""The notifier at work: follows `alarms`, records what is due on `alarm.notifications`, and has an outlet for each target.

Enters: settings, routes. Leaves: notifications. What routes need beside alarms has `notifier.beside`. One process an installation. It
begins with its outbox, then reads `alarms` to the end, and only then says anything: what was over meanwhile is told to nobody. A broker
that is away is waited for; nothing is sent that could not be recorded before. A routes file that changes is taken over when it is right.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from confluent_kafka import Message as Record
from prometheus_client import CollectorRegistry, Counter, Gauge
from tenacity import retry, retry_if_exception_type, wait_fixed

from base import ids
from base.errors import ConfigError, OverloadedError, SchemaError, UnavailableError
from base.heartbeat import Heartbeat
from connectors.kafka.client import AsyncProducer, DeliveryError
from connectors.kafka.follow import Follower
from notifier import channels, push, routes_file
from notifier.beside import Beside, any_ends
from notifier.book import Book
from notifier.message import Message
from notifier.outlet import Outlet, Send
from notifier.routes import Routes, Target, WebPush
from notifier.settings import NotifierSettings
from notifier.shifts import Shifts
from schemas import codec, topics
from schemas.alarms import Alarm
from schemas.notifications import AlarmNotification, NotificationState
from schemas.push import PushSubscription

log = logging.getLogger(__name__)

_TICK_S = 1.0
_SWEEP_S = 3_600.0


class Metrics:
    """What Prometheus sees."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.settled = Counter(
            "millrace_notifier_notifications", "Notifications by outcome.", ["target", "outcome"], registry=registry
        )
        self.waiting = Gauge(
            "millrace_notifier_waiting", "Notifications that are to be sent.", ["target"], registry=registry
        )
        self.alone = Gauge(
            "millrace_notifier_target_left_alone", "1 while a target is not tried.", ["target"], registry=registry
        )
        self.routes = Gauge("millrace_notifier_routes", "Routes that hold; 0: nobody is told.", registry=registry)
        self.refused = Gauge(
            "millrace_notifier_file_refused", "1 while the routes file is not the one that holds.", registry=registry
        )
        self.held = Gauge("millrace_notifier_held", "1 while topics are not read or written.", registry=registry)
        self.calendars = Gauge(
            "millrace_notifier_calendars",
            "Calendars of shifts that are known; 0 where no route goes by shifts.",
            registry=registry,
        )
        self.undecodable = Counter(
            "millrace_notifier_undecodable", "Records that cannot be read.", ["topic"], registry=registry
        )


class Notifier:
    """The notifier with one routes file. `run` it once."""

    def __init__(
        self,
        settings: NotifierSettings,
        routes: Routes,
        producer: AsyncProducer,
        metrics: Metrics,
        *,
        send: Send = channels.send,
        clock: ids.Clock = ids.now_us,
    ) -> None:
        self._settings, self._producer, self._metrics, self._clock = settings, producer, metrics, clock
        self._book, self._plain_send = Book(routes), send
        self._outlets = {
            name: Outlet(target, self._book, self._settled, self._send, clock=clock, page=settings.page)
            for name, target in routes.targets.items()
        }
        self._news: set[UUID] = set()
        self._changed = asyncio.Event()
        self._again: list[tuple[int, UUID]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading: Follower | None = None
        self._unwritten: set[bytes] = set()
        self._beside = Beside(settings.kafka, routes, self._on_shifts, self._undecodable, clock)

    @property
    def trouble(self) -> str:
        """Why nobody, or who goes by other topics, is not told as they should be; empty when all is well."""
        return self.held or self._beside.problem

    @property
    def held(self) -> str:
        """Why nobody is told at the moment; empty when somebody is."""
        if self._unwritten:
            return f"{topics.ALARM_NOTIFICATIONS.name} is not written"
        return self._reading.problem if self._reading is not None else ""

    async def run(self) -> None:
        """Until cancelled; then what is on its way arrives first. Raises DeliveryError for what does not pass."""
        outbox = self._follower(topics.ALARM_NOTIFICATIONS, self._on_outbox)
        await any_ends(outbox.caught_up.wait(), outbox.run())
        await self._ready()
        async with self._beside.followed():
            await self._tell()

    async def _tell(self) -> None:
        alarms = self._follower(topics.ALARMS, self._on_alarms)
        following = asyncio.create_task(alarms.run())
        try:
            await any_ends(alarms.caught_up.wait(), asyncio.shield(following), asyncio.shield(self._failure))
            log.info("telling", extra={"targets": len(self._outlets), "alarms": len(self._book)})
            self._news.update(self._book.alarms())
            await any_ends(
                following,
                self._look(),
                self._sweep(),
                asyncio.shield(self._failure),
                *(one.run() for one in self._outlets.values()),
            )
        finally:
            following.cancel()
            await asyncio.gather(
                following, *(outlet.stop() for outlet in self._outlets.values()), return_exceptions=True
            )

    async def _ready(self) -> None:
        await any_ends(self._call_back_orphans(), asyncio.shield(self._failure))

    async def _call_back_orphans(self) -> None:
        if orphans := self._book.orphans():
            log.warning("some notifications are to targets that are gone", extra={"number": len(orphans)})
            over, now_us = NotificationState.CANCELLED, self._clock()
            await self._settled(
                [
                    dataclasses.replace(one, state=over, detail="the target is gone", updated_us=now_us)
                    for one in orphans
                ]
            )

    def show(self) -> None:
        """Tell the metrics how things stand."""
        self._metrics.held.set(bool(self.trouble))
        self._metrics.calendars.set(len(self._book.shifts.calendars))
        for name, outlet in self._outlets.items():
            self._metrics.waiting.labels(name).set(len(self._book.open_of(name)))
            self._metrics.alone.labels(name).set(outlet.left_alone)

    async def _look(self) -> None:
        """Record what is due, whenever an alarm changes or its time has come."""
        while True:
            self._changed.clear()
            now_us = self._clock()
            while self._again and self._again[0][0] <= now_us:
                self._news.add(heapq.heappop(self._again)[1])
            looked_at, self._news = self._news, set()
            made: list[AlarmNotification] = []
            for alarm_id in looked_at:
                found = self._book.due(alarm_id, now_us)
                made += found.notifications
                if found.again_us is not None:
                    heapq.heappush(self._again, (found.again_us, alarm_id))
            await self._durable(made)
            for one in made:
                self._book.take(one)
            # A notification that is settled, or an alarm that is answered, may leave others without need.
            if looked_at:
                for outlet in self._outlets.values():
                    outlet.wake()
            pause_s = max(0.0, (self._again[0][0] - self._clock()) / 1e6) if self._again else None
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _settled(self, notifications: Sequence[AlarmNotification]) -> None:
        """What an outlet has begun or brought to an end."""
        if any(one.state.open for one in notifications):
            await self._durable(notifications)
            for one in notifications:
                self._book.take(one)
            return
        for one in notifications:
            self._book.take(one)
            self._metrics.settled.labels(one.target, one.state.value).inc()
        await self._durable(notifications)
        self._look_at({one.alarm_id for one in notifications})

    async def _send(self, target: Target, message: Message) -> str:
        if isinstance(target.channel, WebPush):
            to = self._beside.browsers(target.channel)
            return await push.send(target, message, to, self._settings.push, self._end_subscription)
        return await self._plain_send(target, message)

    async def _end_subscription(self, one: PushSubscription) -> None:
        log.info("a browser takes no notifications any more", extra={"principal": one.principal})
        self._beside.subscriptions.drop(one.subscription_id)
        await self._write(one.key, None, topics.ALARM_SUBSCRIPTIONS)

    async def _durable(self, notifications: Sequence[AlarmNotification]) -> None:
        await asyncio.gather(*(self._write(one.key, one.encode()) for one in notifications))

    async def _drop(self, notifications: Sequence[AlarmNotification]) -> None:
        await asyncio.gather(*(self._write(one.key, None) for one in notifications))
        for one in notifications:
            self._book.drop(one)

    @retry(retry=retry_if_exception_type((UnavailableError, OverloadedError)), wait=wait_fixed(1.0))
    async def _write(self, key: bytes, value: bytes | None, topic: topics.Topic = topics.ALARM_NOTIFICATIONS) -> None:
        """Durable when it returns; a producer that has failed for good ends the notifier, and whoever waits here with it."""
        try:
            await self._producer.send(topic.name, key, value)
        except (UnavailableError, OverloadedError) as error:
            self._unwritten.add(key)
            log.warning("the outbox was not written; it is tried again", extra={"cause": str(error)})
            if isinstance(error, DeliveryError) and error.error.fatal() and not self._failure.done():
                self._failure.set_exception(error)
            raise
        self._unwritten.discard(key)

    async def _sweep(self) -> None:
        """Forget what was settled long ago."""
        while True:
            await self._drop(self._book.outdated(self._clock()))
            await asyncio.sleep(_SWEEP_S)

    def _look_at(self, alarm_ids: set[UUID]) -> None:
        self._news |= alarm_ids
        self._changed.set()

    def _on_outbox(self, records: list[Record]) -> None:
        for record in records:
            value = record.value()
            try:
                if value is not None:
                    self._book.take(AlarmNotification.decode(value))
            except SchemaError as error:
                self._undecodable(topics.ALARM_NOTIFICATIONS.name, record, error)

    def _on_shifts(self, shifts: Shifts) -> None:
        self._book.shifts = shifts
        self._look_at(set(self._book.alarms()))

    def _on_alarms(self, records: list[Record]) -> None:
        news: set[UUID] = set()
        for record in records:
            key, value = record.key() or b"", record.value()
            try:
                if value is None:
                    self._book.forget_alarm(UUID(key.decode()))
                    continue
                alarm = Alarm.from_record(codec.decode(value, "Alarm")[1])
                kind, recorded_ms = record.timestamp()
                if self._book.take_alarm(alarm, recorded_ms * 1000 if kind else self._clock()):
                    news.add(alarm.alarm_id)
            except (SchemaError, ValueError) as error:
                self._undecodable(topics.ALARMS.name, record, error)
        if news:
            self._look_at(news)

    def _undecodable(self, topic: str, record: Record, error: Exception) -> None:
        self._metrics.undecodable.labels(topic).inc()
        log.error("a record cannot be read", extra={"topic": topic, "offset": record.offset(), "cause": str(error)})

    def _follower(self, topic: topics.Topic, on_records: Callable[[list[Record]], None]) -> Follower:
        self._reading = Follower(self._settings.kafka, [re.escape(topic.name)], on_records)
        return self._reading


async def serve(settings: NotifierSettings, metrics: Metrics, beat: Heartbeat, stop: asyncio.Event) -> None:
    """Until `stop`. Without a routes file nobody is told anything, until there is one. One that is wrong at first raises ConfigError."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await _wait_for(settings.routes, beat, stop)
        seen = _modified(settings.routes)
        routes = None if stop.is_set() else routes_file.read(settings.routes)
        while routes is not None and not stop.is_set():
            metrics.routes.set(len(routes.routes))
            # A small record that a message waits for: no linger; and what is not confirmed is sent again from here.
            producer = AsyncProducer(settings.kafka, linger_ms=0, delivery_timeout_ms=10_000)
            try:
                notifier = Notifier(settings, routes, producer, metrics)
                working = asyncio.create_task(notifier.run())
                watching = asyncio.create_task(_changed(settings.routes, seen, notifier, metrics, beat))
                done, _ = await asyncio.wait({working, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
                for task in (working, watching):
                    task.cancel()
                await asyncio.gather(working, watching, return_exceptions=True)
                if working in done:
                    working.result()
                routes, seen = watching.result() if watching in done else (None, seen)
            finally:
                await producer.close()
    finally:
        stopping.cancel()


async def _wait_for(path: Path, beat: Heartbeat, stop: asyncio.Event) -> None:
    if _modified(path) is None:
        log.warning("there is no routes file: nobody is told of alarms", extra={"file": str(path)})
    while _modified(path) is None and not stop.is_set():
        beat.tick()
        await asyncio.sleep(_TICK_S)


async def _changed(
    path: Path, seen: float | None, notifier: Notifier, metrics: Metrics, beat: Heartbeat
) -> tuple[Routes, float | None]:
    """The next routes that can be taken over."""
    while True:
        # Who cannot tell anybody for longer than the heartbeat's patience does not look healthy, and may be started again.
        if not notifier.held:
            beat.tick()
        notifier.show()
        await asyncio.sleep(_TICK_S)
        before, seen = seen, _modified(path)
        if seen == before:
            continue
        try:
            routes = await asyncio.to_thread(routes_file.read, path)
        except ConfigError as error:
            metrics.refused.set(1)
            log.error("the routes file is not taken over, the old one holds", extra={"cause": str(error)})
            continue
        metrics.refused.set(0)
        log.info("the routes file has changed", extra={"file": str(path)})
        return routes, seen


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
