"""Listing and watching alarms, and what people do about them: plain async functions over the cache and a log of actions; no gRPC here.

Enters: what callers ask for, and who they are. Leaves: `Alarm`s as they stand, lines of the calm list, streams; AlarmAction records,
durable before a call returns. What an action changes the alarms job decides; its answer is waited for, `settle_s` at most. An action's id
makes it idempotent: the job counts it once. Without a job nothing is answered as if the plant were calm (`serving.caches.alarm_job`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from uuid import UUID

from base.errors import InvalidRequestError, MillraceError, NotFoundError, UnavailableError
from base.ids import Clock, now_us
from schemas import topics
from schemas.alarms import (
    OF_EPISODES,
    Alarm,
    AlarmAction,
    AlarmActionKind,
    AlarmEvent,
    AlarmEventKind,
    OverrideKind,
)
from serving.caches.alarm_answers import AlarmAnswers
from serving.caches.alarm_job import AlarmJob, Evaluation
from serving.caches.alarms import AlarmReader, Alarms
from serving.caches.plant import Plant
from serving.caches.wakeup import Streams, Wakeup
from serving.handlers.alarm_views import AlarmFilter, Counts, View, Views, Within, path_of
from serving.handlers.state import size_of
from serving.load import Load, Turn, spaced
from serving.record_log import RecordLog
from serving.seen import seen
from stages.alarms.calm import Line

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""How long an action waits for what the job makes of it."""
PACE_S = 0.25
"""Least time between two messages of a stream, behind its snapshot."""
MAX_ALARMS = 250
"""Alarms in a message."""
DEFAULT_HEARTBEAT_MS, MIN_HEARTBEAT_MS, MAX_HEARTBEAT_MS = 10_000, 1_000, 300_000
MAX_TEXT = 500


_OVERRIDES = {
    AlarmEventKind.SHELVED: (OverrideKind.SHELVED, True),
    AlarmEventKind.UNSHELVED: (OverrideKind.SHELVED, False),
    AlarmEventKind.OUT_OF_SERVICE: (OverrideKind.OUT_OF_SERVICE, True),
    AlarmEventKind.IN_SERVICE: (OverrideKind.OUT_OF_SERVICE, False),
}
"""What an answer about a source does to its alarm: which override, and whether it is set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmPage:
    """A page of alarms, with what stands behind it."""

    alarms: list[Alarm]
    next_token: str
    counts: Counts
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class CalmList:
    """The lines, with what stands behind them."""

    lines: list[Line]
    counts: Counts
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmBatch:
    """A message of a stream."""

    alarms: list[Alarm]
    snapshot_complete: bool
    sequence: int
    sent_us: int
    counts: Counts
    evaluation: Evaluation
    notice: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What became of an action: its answer, None while there is none, and the alarm as it stands."""

    action: AlarmAction
    event: AlarmEvent | None
    alarm: Alarm | None

    @property
    def refused(self) -> bool:
        """Whether the job says that it changes nothing."""
        return self.event is not None and self.event.kind is AlarmEventKind.REFUSED


@dataclass(kw_only=True, slots=True)
class AlarmHandlers:
    """The cache, the log of actions, and what may be done with them."""

    alarms: Alarms
    answers: AlarmAnswers
    job: AlarmJob
    plant: Plant
    actions: RecordLog
    streams: Streams
    load: Load
    views: Views
    clock: Clock = now_us
    settle_s: float = SETTLE_S
    ready: bool = False

    async def list_alarms(self, wanted: AlarmFilter, page_size: int = 0, page_token: str = "") -> AlarmPage:
        """Alarms by priority, then the newest first."""
        view, size = self._view(wanted.prefix), size_of(page_size)
        found, token = view.page(wanted, size, page_token)
        return AlarmPage(alarms=found, next_token=token, counts=view.counts, evaluation=self._evaluation(view))

    async def lines(self, prefix: str = "") -> CalmList:
        """The calm list."""
        view = self._view(prefix)
        return CalmList(lines=view.lines, counts=view.counts, evaluation=self._evaluation(view))

    async def get(self, alarm_id: UUID) -> Alarm:
        """An alarm as it stands. Raises NotFoundError, also for one that the caller may not see."""
        self.require_ready()
        found = self.alarms.get(alarm_id)
        if found is None or not path_of(seen(self.plant), found):
            msg = f"no alarm {alarm_id}; alarms that are over are in SQL"
            raise NotFoundError(msg)
        return found

    async def watch(
        self, wanted: AlarmFilter, *, counts_only: bool = False, heartbeat_ms: int = 0
    ) -> AsyncGenerator[AlarmBatch, None]:
        """Alarms that fit, then every change of them; counts alone with `counts_only`, a message for each change all the same."""
        self.require_ready()
        beat_s = _heartbeat_s(heartbeat_ms)
        plant = seen(self.plant)
        under = Within(plant, wanted.prefix)
        with ExitStack() as opened:
            wakeup = opened.enter_context(self.streams.opened())
            turn = opened.enter_context(Turn(self.load))
            reader = opened.enter_context(self._reader(wakeup, wanted, under, counts_only=counts_only))
            sequence, complete, sent_s = 0, False, 0.0
            while True:
                await turn.take()
                part = reader.take(len(reader) if counts_only else MAX_ALARMS)
                beat = time.monotonic() - sent_s >= beat_s
                if part or beat or not complete:
                    sequence, sent_s = sequence + 1, time.monotonic()
                    snapshot = not complete
                    complete = complete or not len(reader)
                    view = self.views.of(plant, wanted.prefix)
                    yield AlarmBatch(
                        alarms=[] if counts_only else part,
                        snapshot_complete=snapshot and complete,
                        sequence=sequence,
                        sent_us=self.clock(),
                        counts=view.counts,
                        evaluation=self._evaluation(view),
                        notice="" if part or snapshot else "heartbeat",
                    )
                turn.end()
                if not len(reader):
                    await self._paced(wakeup, sent_s + PACE_S)
                    if not len(reader):
                        await wakeup.wait(max(0.0, sent_s + beat_s - time.monotonic()))

    def action(
        self,
        kind: AlarmActionKind,
        alarm: Alarm,
        *,
        action_id: UUID,
        by: str,
        reason: str,
        until_us: int | None = None,
        activations: int = 0,
    ) -> AlarmAction:
        """An action on an alarm, or on its source. Raises InvalidRequestError for what cannot be one."""
        if kind in OF_EPISODES and alarm.alarm_id == alarm.source_id:
            msg = f"{alarm.alarm_id} is a source that is put aside, no alarm: there is nothing to {kind.lower()}"
            raise InvalidRequestError(msg, field="alarm_id")
        if len(reason) > MAX_TEXT:
            msg = f"reason has {len(reason)} characters, more than {MAX_TEXT}"
            raise InvalidRequestError(msg, field="reason")
        if activations < 0:
            msg = f"activations is {activations}; it says how many were seen, 0 for whatever stands"
            raise InvalidRequestError(msg, field="activations")
        return AlarmAction(
            action_id=action_id,
            kind=kind,
            site=alarm.site,
            rule=alarm.rule,
            device_id=alarm.device_id,
            gateway_id=alarm.gateway_id,
            line_path=alarm.line_path,
            condition=alarm.condition,
            alarm_id=alarm.alarm_id if kind in OF_EPISODES else None,
            by=by,
            time_us=self.clock(),
            reason=reason,
            until_us=until_us,
            activations=activations,
        )

    async def act(self, alarm: Alarm, action: AlarmAction) -> Settled:
        """Write an action, and wait for what the job makes of it."""
        (found,) = await self.act_all([(alarm, action)])
        if isinstance(found, MillraceError):
            raise found
        return found

    async def act_all(self, wanted: Sequence[tuple[Alarm, AlarmAction]]) -> list[Settled | MillraceError]:
        """Write several actions, and wait for what the job makes of them; one that fails does not stop the others."""
        wakeup = Wakeup()
        ids = {alarm.alarm_id for alarm, _ in wanted}
        with self.answers.awaited(wakeup), self.alarms.opened(wakeup, lambda alarm: alarm.alarm_id in ids):
            async with asyncio.TaskGroup() as group:
                sending = [group.create_task(self._send(action)) async for _, action in spaced(wanted)]
            sent = [task.result() for task in sending]
            waiting = [pair for pair, error in zip(wanted, sent, strict=True) if error is None]
            ends_s = time.monotonic() + self.settle_s
            while (left_s := ends_s - time.monotonic()) > 0:
                waiting = [pair for pair in waiting if not self._told(*pair)]
                if not waiting:
                    break
                await wakeup.wait(left_s)
        return [error or self._settled(*pair) for pair, error in zip(wanted, sent, strict=True)]

    def require_ready(self) -> None:
        """Raise PreconditionError where alarms are not switched on, UnavailableError while they are being read."""
        self.job.require_on()
        if not self.ready:
            msg = "alarms are still being read from the log; try again in a moment"
            raise UnavailableError(msg)

    def evaluation(self, prefix: str = "") -> Evaluation:
        """Whether the alarms under a path are evaluated."""
        return self._evaluation(self._view(prefix))

    def counts(self, prefix: str = "") -> Counts:
        """Alarms under a path."""
        return self._view(prefix).counts

    def _evaluation(self, view: View) -> Evaluation:
        return self.job.evaluation_of(view.put_aside)

    def _view(self, prefix: str) -> View:
        self.require_ready()
        return self.views.of(seen(self.plant), prefix)

    def _reader(
        self, wakeup: Wakeup, wanted: AlarmFilter, under: Within, *, counts_only: bool
    ) -> AbstractContextManager[AlarmReader]:
        if counts_only:  # everything that is counted is news
            return self.alarms.opened(wakeup, under)
        return self.alarms.opened(wakeup, lambda alarm: wanted.picks(alarm) and under(alarm))

    async def _paced(self, wakeup: Wakeup, due_s: float) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            await wakeup.wait(left_s)

    async def _send(self, action: AlarmAction) -> MillraceError | None:
        try:
            await self.actions.send(topics.ALARM_ACTIONS.name, action.key, action.encode())
        except MillraceError as error:
            return error
        about = {"action_id": action.action_id, "action": action.kind, "rule": action.rule, "principal": action.by}
        log.info("alarm action", extra=about | {"alarm_id": action.alarm_id, "device_id": action.device_id})
        return None

    def _told(self, alarm: Alarm, action: AlarmAction) -> bool:
        """Whether the job has answered and the alarm says so."""
        event = self.answers.get(action.action_id)
        if event is None or event.kind is AlarmEventKind.REFUSED:
            return event is not None
        now = self.alarms.get(alarm.alarm_id)
        if now is None:
            return True
        if event.alarm_id == now.alarm_id:
            return now.version >= event.version
        place, sets = _OVERRIDES.get(event.kind, (OverrideKind.SHELVED, False))
        return sets == any(one.kind is place for one in now.overrides)

    def _settled(self, alarm: Alarm, action: AlarmAction) -> Settled:
        return Settled(action=action, event=self.answers.get(action.action_id), alarm=self.alarms.get(alarm.alarm_id))


def _heartbeat_s(asked_ms: int) -> float:
    if asked_ms and not MIN_HEARTBEAT_MS <= asked_ms <= MAX_HEARTBEAT_MS:
        msg = f"heartbeat_ms is {asked_ms}, not between {MIN_HEARTBEAT_MS} and {MAX_HEARTBEAT_MS}, or 0 for {DEFAULT_HEARTBEAT_MS}"
        raise InvalidRequestError(msg, field="heartbeat_ms")
    return (asked_ms or DEFAULT_HEARTBEAT_MS) / 1000
