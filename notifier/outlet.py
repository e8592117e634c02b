"""One target: makes messages of what waits for it, sends them one after another, again when that fails, and records what became of them.

Each target has its own: one that is slow, down or wrong holds no other. What is urgent has a lane beside the rest, and so has what failed
again and again. Pauses between attempts grow (tenacity); a target that fails again and again is left alone for a while (circuitbreaker),
but for what is urgent. While it is, what comes is gathered for the next message. A message that was begun stays the message that it is,
with its id, over restarts; what nobody needs any more is left out of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from circuitbreaker import CircuitBreaker
from tenacity import AsyncRetrying, retry_if_exception, wait_exponential_jitter

from base.ids import Clock
from notifier import grouping
from notifier.book import Book
from notifier.channels import PartlyError, RefusedError
from notifier.message import Message, Told
from notifier.routes import Email, Target, WebPush
from schemas.notifications import AlarmNotification, NotificationState

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_FAILURES, _ALONE_S = 3, 15
"""Failures in a row after which a target is left alone, and for how long."""
_UNDER_WAY = 3
"""Messages of what is not urgent that may be begun and not sent: one that a target chokes on does not hold the next ones."""
_ASIDE = 20
"""Messages that failed again and again, and hold none of those places; while a target is down no more are begun than these and those."""
_NOT_NEEDED = "not needed any more"
_DETAIL = 500
"""Characters of what was said that are kept."""
_AFTER_START_S = 1.0
"""What an earlier run may have sent is not sent again before this."""

Send = Callable[[Target, Message], Awaitable[str]]
Record = Callable[[Sequence[AlarmNotification]], Awaitable[None]]
"""Makes notifications durable, as they stand now, and tells the book."""


class NotNeededError(Exception):
    """Nobody needs the message any more."""


class LeftAloneError(Exception):
    """The target is not tried at the moment."""


class Outlet:
    """Make it, `run` it, `wake` it when something waits, `stop` it. For one event loop."""

    def __init__(self, target: Target, book: Book, record: Record, send: Send, *, clock: Clock, page: str = "") -> None:
        self._target, self._book, self._record, self._send = target, book, record, send
        self._clock, self._page = clock, page
        self._woken = asyncio.Event()
        # By whether it is urgent, and whether it was put aside.
        self._lanes = {(urgent, aside): asyncio.Lock() for urgent in (True, False) for aside in (True, False)}
        self._aside: set[asyncio.Task[None]] = set()
        self._calm: set[asyncio.Task[None]] = set()
        self._all: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._breaker = CircuitBreaker(
            failure_threshold=_FAILURES,
            recovery_timeout=_ALONE_S,
            # A refused message or address is an answer.
            expected_exception=lambda kind, _: (
                issubclass(kind, Exception) and not issubclass(kind, (RefusedError, PartlyError))
            ),
            name=target.name,
        )

    @property
    def left_alone(self) -> bool:
        """Whether it has failed so often that it is not tried at the moment."""
        return bool(self._breaker.opened)

    def wake(self) -> None:
        """Something may have come, or be needed no more."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        for notifications in self._begun_before():
            self._start(notifications, begun_before=True)
        while True:
            self._woken.clear()
            again_us = await self._begin()
            pause_s = None if again_us is None else max(0.0, (again_us - self._clock()) / 1e6)
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def stop(self) -> None:
        """Let what is on its way arrive, and be recorded; what waits for another attempt is left to the next run."""
        for task in self._all - self._sending:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=self._target.timeout_s)
        for task in self._all:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    def _begun_before(self) -> list[list[AlarmNotification]]:
        found: dict[UUID, list[AlarmNotification]] = {}
        for one in self._book.open_of(self._target.name):
            if one.message_id is not None:
                found.setdefault(one.message_id, []).append(one)
        return list(found.values())

    async def _begin(self) -> int | None:
        """Begin every message that can be; when to look again."""
        if gone := self._book.unwanted(self._target.name):
            await self._settle(gone, NotificationState.CANCELLED, _NOT_NEEDED)
        waiting = [one for one in self._book.open_of(self._target.name) if one.state is NotificationState.DUE]
        for one in sorted(filter(grouping.urgent, waiting), key=lambda each: each.created_us):
            await self._begin_message([one])
        calm = [one for one in waiting if not grouping.urgent(one)]
        while len(self._calm) < _UNDER_WAY:
            now_us = self._clock()
            sent_us = self._book.begun_us(self._target.name, now_us - grouping.MINUTE_US)
            chosen, again_us = grouping.choose(self._target, calm, self._cause, sent_us, now_us)
            if not chosen:
                return again_us
            await self._begin_message(chosen)
            calm = [one for one in calm if one not in chosen]
        return None

    async def _begin_message(self, notifications: Sequence[AlarmNotification]) -> None:
        """Durable before the first attempt: after a crash it is the same message."""
        number, now_us = grouping.message_id(notifications), self._clock()
        begun = [
            dataclasses.replace(one, state=NotificationState.SENDING, message_id=number, updated_us=now_us)
            for one in notifications
        ]
        await self._record(begun)
        self._start(begun)

    def _start(self, notifications: Sequence[AlarmNotification], *, begun_before: bool = False) -> None:
        task = asyncio.create_task(self._deliver(notifications, begun_before))
        self._all.add(task)
        if not all(map(grouping.urgent, notifications)):
            self._calm.add(task)
            if len(self._calm) > _UNDER_WAY:
                # Of an earlier run, which put them aside.
                self._put_aside(task, urgent=False)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._all.discard(task)
        self._calm.discard(task)
        self._aside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message was put aside until the next start", exc_info=error)
        self.wake()

    async def _deliver(self, notifications: Sequence[AlarmNotification], begun_before: bool) -> None:
        if begun_before:
            await asyncio.sleep(_AFTER_START_S)
        left, attempts, task, urgent = (
            list(notifications),
            0,
            asyncio.current_task(),
            all(map(grouping.urgent, notifications)),
        )
        target = self._target
        until_us = max(one.created_us for one in notifications) + self._target.give_up_us
        assert task is not None

        async def attempt() -> str:
            nonlocal attempts, left, target
            async with self._lanes[urgent, task in self._aside]:
                if gone := [one for one in left if not self._book.needed(one)]:
                    await self._settle(gone, NotificationState.CANCELLED, _NOT_NEEDED, attempts, begun_before)
                    left = [one for one in left if one not in gone]
                if not left:
                    raise NotNeededError
                if not urgent and self.left_alone:
                    msg = f"it is left alone for a while, after {_text(self._breaker.last_failure)}"
                    raise LeftAloneError(msg)
                attempts += 1
                self._sending.add(task)
                try:
                    return await self._once(target, left, guarded=not urgent and task not in self._aside)
                except BaseException as error:
                    if isinstance(error, PartlyError):
                        target = _left(target, error)
                    self._sending.discard(task)
                    if attempts >= _FAILURES:
                        self._put_aside(task, urgent)
                    raise

        again = AsyncRetrying(
            wait=wait_exponential_jitter(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S, jitter=_FIRST_PAUSE_S),
            stop=lambda _: self._clock() >= until_us,
            retry=retry_if_exception(_may_pass),
            before_sleep=lambda state: log.warning(
                "a message was not taken; it is sent again",
                extra={"target": self._target.name, "attempts": attempts, "cause": _cause(state.outcome)},
            ),
            reraise=True,
        )
        try:
            said: str = await again(attempt)
        except NotNeededError:
            return
        except Exception as error:  # noqa: BLE001  # whatever a receiver or its library does ends this message alone
            log.error("a message was given up", extra={"target": self._target.name, "cause": _text(error)})
            await self._settle(left, NotificationState.FAILED, _text(error), attempts, begun_before)
        else:
            # On its way, for `stop`, until it is recorded. What fails here is no reason to send it again.
            try:
                await self._settle(left, NotificationState.SENT, said, attempts)
            finally:
                self._sending.discard(task)

    async def _once(self, target: Target, notifications: Sequence[AlarmNotification], *, guarded: bool) -> str:
        """One attempt; `guarded`: whether it says something of the target when it fails."""
        message = self._message(notifications)
        if not guarded:
            return await self._send(target, message)
        said: str = await self._breaker.call_async(self._send, target, message)
        return said

    def _put_aside(self, task: asyncio.Task[None], urgent: bool) -> None:
        """It failed again and again: it may be the message, so it has a lane beside the others and gives its place back."""
        if urgent or len(self._aside) < _ASIDE:
            self._aside.add(task)
            self._calm.discard(task)
            self.wake()

    async def _settle(
        self,
        notifications: Sequence[AlarmNotification],
        state: NotificationState,
        detail: str,
        attempts: int = 0,
        begun_before: bool = False,
    ) -> None:
        """Record what became of them. What was never tried is in no message any more: nobody can have it."""
        now_us, tried = self._clock(), attempts > 0 or begun_before
        await self._record(
            [
                dataclasses.replace(
                    one,
                    state=state,
                    detail=_clean(detail),
                    attempts=attempts,
                    message_id=one.message_id if tried else None,
                    updated_us=now_us,
                )
                for one in notifications
            ]
        )

    def _message(self, notifications: Sequence[AlarmNotification]) -> Message:
        told = [
            Told(notification=one, alarm=alarm)
            for one in notifications
            if (alarm := self._book.alarm(one.alarm_id)) is not None
        ]
        number = notifications[0].message_id
        assert number is not None
        return Message(message_id=number, target=self._target.name, told=tuple(told), page=self._page)

    def _cause(self, one: AlarmNotification) -> UUID:
        alarm = self._book.alarm(one.alarm_id)
        return (alarm.cause_alarm_id if alarm else None) or one.alarm_id


def _left(target: Target, error: PartlyError) -> Target:
    """Those that may take it later: who has it does not get it again."""
    match target.channel:
        case Email():
            return dataclasses.replace(target, channel=dataclasses.replace(target.channel, to=error.left))
        case WebPush():
            channel = dataclasses.replace(target.channel, to=error.left, taken=error.taken)
            return dataclasses.replace(target, channel=channel)
        case _:
            return target


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, (RefusedError, NotNeededError))


def _cause(outcome: object) -> str:
    error = outcome.exception() if hasattr(outcome, "exception") else None
    return _text(error) if error else ""


def _text(error: BaseException | None) -> str:
    return _clean(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _clean(text: str) -> str:
    """What a receiver or a library said, so that it can be written: no bytes that are no text, and an end."""
    return text.encode(errors="replace").decode()[:_DETAIL]
