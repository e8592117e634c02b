"""What keeps the caches current: one follower per topic, from its beginning.

Enters: Kafka. Leaves: calls of the caches' `apply` in the event loop, per partition in order. A record that cannot be
decoded is logged with its place and passed over: one bad record must not blind the server. A follower that cannot go on
ends the process, which is then restarted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Message

from base.errors import SchemaError
from base.settings import KafkaSettings
from connectors.kafka.consume import Start, from_beginning, from_now, from_tail
from connectors.kafka.follow import Follower
from schemas import codec, events, topics
from schemas.alarms import Alarm, AlarmEvent
from schemas.commands import CommandAck, CommandControl, CommandRequest, CommandStateRecord
from schemas.events import DeviceEvent, EventKind
from schemas.labels import AnomalyLabel
from serving.caches.alarm_answers import AlarmAnswers
from serving.caches.alarms import Alarms
from serving.caches.broadcast import Broadcast
from serving.caches.closed_windows import ClosedWindows
from serving.caches.command_book import CommandBook
from serving.caches.episodes import Episodes
from serving.caches.gateways import Gateways
from serving.caches.labels import AnomalyLabels
from serving.caches.liveness import Liveness
from serving.caches.origins import Origins
from serving.caches.plant import Plant
from serving.caches.progress import Progress
from serving.caches.values import LastValues
from serving.machine_acks import MachineAcks
from serving.sign_outs import SignOuts
from serving.signing import Signing

log = logging.getLogger(__name__)

_EVENTS = 300
"""Last events of each partition that are read at the start: more than a site has gateways."""
_SLICE_S = 0.005
"""How long a feed keeps the loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """A topic and what is done with its messages.

    `apply` of a topic per site takes the message and the topic's site, others the message. `needed_by`: services that are not ready
    before it has been read; `start`: from where; `forget`: takes the key of a tombstone; `behind`: the topic that is read first.
    """

    topic: topics.Topic
    apply: Callable[..., None]
    needed_by: tuple[str, ...]
    start: Start = from_beginning
    forget: Callable[[bytes], None] | None = None
    behind: topics.Topic | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What is passed on as it comes, and what it tells of the line."""

    gateways: Gateways
    progress: Progress
    origins: Origins
    events: Broadcast[DeviceEvent] = field(default_factory=lambda: Broadcast("events"))
    windows: Broadcast[ClosedWindows] = field(default_factory=lambda: Broadcast("batches of windows"))


def feeds(
    *,
    plant: Plant,
    values: LastValues,
    liveness: Liveness,
    episodes: Episodes,
    labels: AnomalyLabels,
    book: CommandBook,
    alarms: Alarms,
    answers: AlarmAnswers,
    machine_acks: MachineAcks,
    news: News,
    sign_outs: SignOuts,
    signing: Signing,
    state: str,
    commands: str,
    alarm: str,
) -> tuple[Feed, ...]:
    """The table of feeds; `state`, `commands` and `alarm` are the names of the services."""

    def request(message: bytes, _site: str) -> None:
        name, record = codec.decode(message, "CommandRequest", "CommandControl")
        if name == "CommandRequest":
            request = CommandRequest.from_record(record)
            news.progress.requested(request.command_id, request.submitted_us)
            book.apply_request(request)
        else:
            book.apply_control(CommandControl.from_record(record))

    def latest(message: bytes) -> None:
        batch = codec.decode(message, "LatestBatch")[1]
        news.progress.published(batch["closed_time_us"])
        values.apply(batch)

    def event(message: bytes, site: str) -> None:
        decoded = events.decode(message)
        news.origins.check_event(site, decoded)
        liveness.fold(decoded)
        if decoded.kind is EventKind.GATEWAY_HEALTH:
            news.gateways.apply(decoded)
        else:
            news.events.send(decoded)

    def closed(message: bytes) -> None:
        if len(news.windows):
            news.windows.send(ClosedWindows.of(codec.decode(message, "AggregateBatch")[1]))

    def anomaly(message: bytes) -> None:
        episodes.apply(codec.decode(message, "Anomaly")[1])

    def label(message: bytes) -> None:
        labels.apply(AnomalyLabel.from_record(codec.decode(message, "AnomalyLabel")[1]))

    def ack(message: bytes, site: str) -> None:
        decoded = CommandAck.from_record(codec.decode(message, "CommandAck")[1])
        news.origins.check_ack(site, decoded)
        signing.check_ack(decoded)
        book.apply_ack(decoded)
        machine_acks.moved(decoded.command_id)

    def record(message: bytes) -> None:
        state = CommandStateRecord.from_record(codec.decode(message, "CommandState")[1])
        news.progress.recorded(state.command_id, state.updated_us)
        book.apply_state(state)
        machine_acks.moved(state.command_id)

    def alarm_record(message: bytes) -> None:
        alarm = Alarm.from_record(codec.decode(message, "Alarm")[1])
        alarms.apply(alarm)
        machine_acks.look(alarm)

    def alarm_event(message: bytes) -> None:
        answers.apply(AlarmEvent.from_record(codec.decode(message, "AlarmEvent")[1]))

    keys = (Feed(topic=topics.SIGNING_KEYS, apply=signing.apply_key, needed_by=()),) if signing.follows_keys else ()
    return (
        *keys,
        # Before anybody is let in.
        Feed(topic=topics.SIGN_OUTS, apply=sign_outs.apply, needed_by=(state, commands, alarm)),
        Feed(topic=topics.TAGS, apply=plant.apply, needed_by=(state, commands, alarm)),
        Feed(topic=topics.LATEST, apply=latest, needed_by=(state,)),
        # Health comes every second and names all dead devices: the last events are enough.
        Feed(topic=topics.EVENTS, apply=event, needed_by=(state,), start=from_tail(_EVENTS), behind=topics.TAGS),
        # Who watches windows wants those that close from now on.
        Feed(topic=topics.AGGREGATES, apply=closed, needed_by=(), start=from_now),
        Feed(topic=topics.ANOMALIES, apply=anomaly, needed_by=(state,)),
        Feed(topic=topics.ANOMALY_LABELS, apply=label, needed_by=(state,)),
        # Alarms say what became of the commands that carry their acknowledgements: never by what is half read.
        Feed(topic=topics.STATES, apply=record, needed_by=(commands, alarm)),
        Feed(topic=topics.REQUESTS, apply=request, needed_by=(commands, alarm)),
        # Acknowledgements only ever run ahead of the record: nobody has to wait for them.
        Feed(topic=topics.ACKS, apply=ack, needed_by=(), behind=topics.TAGS),
        Feed(topic=topics.ALARMS, apply=alarm_record, needed_by=(alarm,), forget=alarms.forget),
        # Who waits for the answer to an action has just sent it.
        Feed(topic=topics.ALARM_EVENTS, apply=alarm_event, needed_by=(), start=from_now),
    )


def follower(kafka: KafkaSettings, feed: Feed) -> Follower:
    """Follower that applies the messages of a feed."""
    return Follower(kafka, (feed.topic.pattern,), Slices(feed).take, start=feed.start)


class Slices:
    """Messages of a feed, applied slice by slice: between two of them the loop goes round.

    A job that has caught up sends a thousand batches of values at once, a second of work; a command must not wait for it. What is done
    within a slice is done at once, as most is.
    """

    def __init__(self, feed: Feed, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._feed, self._clock_s = feed, clock_s
        self._waiting: deque[Message] = deque()
        self._ends: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Of batches that are not yet applied: how many messages have been when they are, and who is told."""
        self._taken = 0

    def take(self, batch: list[Message]) -> asyncio.Future[None] | None:
        """Apply a batch behind those before it. None when that is done, else what tells of it."""
        waits = bool(self._waiting)
        self._waiting.extend(batch)
        self._taken += len(batch)
        if not waits:
            self._slice()
        if not self._waiting:
            return None
        done = asyncio.get_running_loop().create_future()
        self._ends.append((self._taken, done))
        return done

    def _slice(self) -> None:
        until_s = self._clock_s() + _SLICE_S
        while self._waiting:
            self._apply(self._waiting.popleft())
            if self._clock_s() > until_s:
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        try:
            self._slice()
        except BaseException as error:  # noqa: BLE001 - ends the follower
            self._waiting.clear()
            for _, done in self._ends:
                done.set_exception(error)
            return
        applied = self._taken - len(self._waiting)
        while self._ends and self._ends[0][0] <= applied:
            done = self._ends.popleft()[1]
            if not done.done():
                done.set_result(None)

    def _apply(self, message: Message) -> None:
        value, feed = message.value(), self._feed
        if value is None:
            if feed.forget is not None:
                feed.forget(message.key() or b"")
            return
        try:
            if feed.topic.per_site:
                feed.apply(value, topics.site_of(message.topic() or ""))
            else:
                feed.apply(value)
        except SchemaError as error:
            place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
            log.warning("record passed over", extra=place | {"cause": str(error)})


async def follow(followers: Mapping[str, Follower], feed: Feed) -> None:
    """Follow a topic, behind the one that says what to believe of it."""
    if feed.behind is not None:
        await followers[feed.behind.name].caught_up.wait()
    await followers[feed.topic.name].run()


async def caught_up(followers: dict[str, Follower], table: tuple[Feed, ...], service: str) -> None:
    """Return once everything a service needs has been read."""
    await asyncio.gather(*(followers[feed.topic.name].caught_up.wait() for feed in table if service in feed.needed_by))
