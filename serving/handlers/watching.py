"""Streams of last values: batches with snapshot marker, heartbeat, sequence and resume position; and single updates on the same machinery.

Enters: paths, an interval, a position. Leaves: `Batch`es of the newest value of each tag that changed, one at a time: the next is made when
the face has written the one before, so nothing waits in the server but one bit of knowledge per tag. Each message asks for its turn
(`serving.load`): commands go before. A position names this server, its registry version and what is selected: with any other it gives the
whole snapshot, which is always right.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from base.errors import InvalidRequestError
from base.ids import Clock, now_us
from serving.caches.plant import Lookups, Plant
from serving.caches.values import LastValue, LastValues
from serving.caches.wakeup import Streams, Wakeup
from serving.caches.watch import Part, Watch
from serving.handlers.budget import Budget, Share
from serving.handlers.pace import Pace, SlowReaderError
from serving.load import Load, Turn
from serving.seen import seen

MAX_RATE_HZ = 100.0
DEFAULT_RATE_HZ = 4.0
DEFAULT_INTERVAL_MS, MIN_INTERVAL_MS, MAX_INTERVAL_MS = 250, 10, 60_000
DEFAULT_HEARTBEAT_MS, MIN_HEARTBEAT_MS, MAX_HEARTBEAT_MS = 10_000, 1_000, 300_000
MAX_UPDATES = 250
"""Updates in a message: what is built between two steps of a command."""
_TELL_AGAIN_S = 10.0
_SINGLES = 20
"""Updates that are taken at once when each is a message of its own."""
_SIZE, _SIZE_OF_PATH = 40, 60
"""About so many bytes has an update."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Columns of one message: values in the unit of each tag, source times in microseconds UTC, qualities as in frames, numbers of changes.

    A tag with the same number of its change has the same value, time and quality.
    """

    tag_ids: list[int]
    values: list[float]
    times_us: list[int]
    qualities: list[int]
    changes: list[int]
    with_paths: bool
    snapshot_complete: bool
    sequence: int
    position: str
    sent_us: int
    interval_ms: int
    notice: str


@dataclass(kw_only=True, slots=True)
class WatchHandlers:
    """Opens streams. `select`: ids of the tags under paths, also when the registry has grown; `require_ready` raises while it is read."""

    plant: Plant
    values: LastValues
    streams: Streams
    load: Load
    budget: Budget
    select: Callable[[Lookups, Sequence[str], bool], set[int]]
    require_ready: Callable[[], None]
    clock: Clock = now_us
    instance: str = field(default_factory=lambda: secrets.token_hex(4))

    async def updates(self, prefixes: Sequence[str], max_rate_hz: float) -> AsyncGenerator[tuple[int, LastValue], None]:
        """Last values of the tags under the paths, then their changes, one by one."""
        interval_s = 1 / _rate(max_rate_hz)
        with self._opened(prefixes, Pace(interval_s), resume="") as stream:
            stream.limit = _SINGLES
            async with aclosing(stream.batches()) as batches:
                async for batch in batches:
                    stream.waited_s = 0.0
                    columns = zip(batch.tag_ids, batch.values, batch.times_us, batch.qualities, strict=True)
                    for tag_id, value, time_us, code in columns:
                        began_s = time.monotonic()
                        yield tag_id, LastValue(value, time_us, code)
                        stream.waited_s = max(stream.waited_s, time.monotonic() - began_s)
                        await stream.turn.take()

    async def batches(
        self,
        prefixes: Sequence[str],
        *,
        interval_ms: int = 0,
        heartbeat_ms: int = 0,
        resume: str = "",
        omit_paths: bool = False,
    ) -> AsyncGenerator[Batch, None]:
        """Last values of the tags under the paths in batches; tags that the registry gains later join in.

        `interval_ms` and `heartbeat_ms`: 0 for the defaults; `resume`: position of the last batch that was taken. Raises
        InvalidRequestError and NotFoundError before the first batch, SlowReaderError when the reader does not keep up.
        """
        asked_ms = _within("min_interval_ms", interval_ms, DEFAULT_INTERVAL_MS, MIN_INTERVAL_MS, MAX_INTERVAL_MS)
        beat_ms = _within("heartbeat_ms", heartbeat_ms, DEFAULT_HEARTBEAT_MS, MIN_HEARTBEAT_MS, MAX_HEARTBEAT_MS)
        with self._opened(prefixes, Pace(asked_ms / 1000), resume=resume) as stream:
            stream.beat_s, stream.omit_paths = beat_ms / 1000, omit_paths
            async with aclosing(stream.batches()) as batches:
                async for batch in batches:
                    yield batch

    def scope(self, digest: str) -> str:
        """What a position is good for: this server's count of changes, of what the paths of `digest` select in this registry version."""
        return f"{self.instance}.{self.plant.version}.{digest}"

    @contextmanager
    def _opened(self, prefixes: Sequence[str], pace: Pace, *, resume: str) -> Iterator[_Stream]:
        self.require_ready()
        plant = seen(self.plant)
        selected = self.select(plant, prefixes, False)
        # What the caller may see is part of what a position is good for.
        digest = hashlib.sha256("\n".join([*sorted(prefixes), "", *plant.scopes]).encode()).hexdigest()[:12]
        since, notice = self._since(resume, self.scope(digest))
        with self.streams.opened() as wakeup, self.budget.opened() as share, Turn(self.load) as turn:
            watch = Watch(self.values, wakeup, selected, since=since)
            stop = self.plant.on_version(lambda: watch.select(self.select(plant, prefixes, True)))
            try:
                yield _Stream(self, digest, watch, wakeup, pace, share, turn, notice)
            finally:
                stop()
                watch.close()

    def _since(self, resume: str, scope: str) -> tuple[int, str]:
        """Change to go on from, and what to tell the reader."""
        if not resume:
            return 0, ""
        known, _, change = resume.rpartition(".")
        if known == scope and change.isascii() and change.isdigit() and int(change) <= self.values.changes:
            return int(change), "resumed"
        return 0, "the position is not known here: this is the whole snapshot"


class _Stream:
    """One open stream: what was sent, and when the next message is due."""

    def __init__(
        self,
        handlers: WatchHandlers,
        digest: str,
        watch: Watch,
        wakeup: Wakeup,
        pace: Pace,
        share: Share,
        turn: Turn,
        notice: str,
    ) -> None:
        self._handlers, self._digest, self._watch, self._wakeup, self._pace = handlers, digest, watch, wakeup, pace
        self._share, self.turn, self._notice = share, turn, notice
        self._told_s = -math.inf
        self._sequence = 0
        self._complete = False
        self.beat_s: float | None = None
        self.omit_paths = False
        self.limit = MAX_UPDATES
        self.waited_s: float | None = None
        """How long the reader made the last message wait, when the face knows better than this."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Batches, for ever."""
        load, pace = self._handlers.load, self._pace
        began = self._handlers.values.changes
        sent_s = -math.inf
        while True:
            await self.turn.take()
            part = self._watch.take(self.limit)
            beat = self.beat_s is not None and time.monotonic() - sent_s >= self.beat_s
            if part.rows.size or beat or not self._complete:
                snapshot = not self._complete
                self._complete = self._complete or not part.left or part.position >= began
                sent_s = time.monotonic()
                yield self._batch(part, snapshot=snapshot)
                took_s = time.monotonic() - sent_s if self.waited_s is None else self.waited_s
                self.turn.end()
                if not snapshot:
                    self._wrote(took_s - load.lag_s, len(part.rows))
                await self._pay(len(part.rows), snapshot=snapshot)
            else:
                self.turn.end()
            due_s = -math.inf
            if not part.left or pace.pause_s:
                due_s = max(sent_s + pace.interval_s(load.stretch), time.monotonic() + pace.pause_s)
                pace.pause_s = 0.0
            if not part.left:  # the interval is over, most often, when something changes again
                self._watch.sleep()
                await self._wakeup.wait(
                    None if self.beat_s is None else max(0.0, sent_s + self.beat_s - time.monotonic())
                )
            await self._until(due_s)

    async def _pay(self, updates: int, *, snapshot: bool) -> None:
        """Wait as long as the budget asks for; the reader is told why its values come less often, not why a snapshot takes its time."""
        self._share.spend(updates)
        if (wait_s := self._share.wait_s) == 0:
            return
        now_s = time.monotonic()
        if not snapshot and now_s - self._told_s > _TELL_AGAIN_S:
            self._told_s = now_s
            level = self._handlers.budget.level
            self._notice = self._notice or (
                f"more than {level:.0f} updates a second, the limit of a stream now: values come less often; watch fewer tags"
            )
        await self._until(now_s + wait_s)

    async def _until(self, due_s: float) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            await self._wakeup.wait(left_s)

    def _wrote(self, took_s: float, updates: int) -> None:
        size = updates * (_SIZE if self.omit_paths else _SIZE + _SIZE_OF_PATH) + _SIZE
        if not self._pace.wrote(took_s, size):
            return
        if self._pace.lost:
            msg = f"this reader is behind: {self._pace.strikes} messages waited for it; resume with fewer tags or a longer interval"
            raise SlowReaderError(msg)
        self._notice = (
            f"this reader is behind: a message waited {took_s:.1f} s; after a pause of {self._pace.pause_s:.1f} s "
            f"messages come every {self._interval_ms()} ms"
        )

    def _interval_ms(self) -> int:
        return round(self._pace.interval_s(self._handlers.load.stretch) * 1000)

    def _batch(self, part: Part, *, snapshot: bool) -> Batch:
        self._sequence += 1
        notice, self._notice = self._notice, ""
        tag_ids, values, times_us, qualities, changes = self._handlers.values.columns(part.rows)
        return Batch(
            tag_ids=tag_ids,
            values=values,
            times_us=times_us,
            qualities=qualities,
            changes=changes,
            with_paths=snapshot or not self.omit_paths,
            snapshot_complete=snapshot and self._complete,
            sequence=self._sequence,
            position=f"{self._handlers.scope(self._digest)}.{part.position}",
            sent_us=self._handlers.clock(),
            interval_ms=self._interval_ms(),
            notice=notice or ("" if tag_ids or snapshot else "heartbeat"),
        )


def _rate(max_rate_hz: float) -> float:
    if not math.isfinite(max_rate_hz) or max_rate_hz < 0:
        msg = f"max_rate_hz is {max_rate_hz}, not a number above 0"
        raise InvalidRequestError(msg, field="max_rate_hz")
    return max(min(max_rate_hz, MAX_RATE_HZ), 0.01) if max_rate_hz else DEFAULT_RATE_HZ


def _within(name: str, asked: int, default: int, least: int, most: int) -> int:
    if asked and not least <= asked <= most:
        msg = f"{name} is {asked}, not between {least} and {most}, or 0 for {default}"
        raise InvalidRequestError(msg, field=name)
    return asked or default
