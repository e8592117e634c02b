"""An operator and the simulator's hand: each excursion is put on, seen, acknowledged, ended, and seen to be normal again.

Enters: excursions with their times, where serving is, whoever puts faults on. Leaves: the times in the excursions. Changes come over
one gRPC watch and, where it is asked for, over the page's own feed (server-sent events). Whoever gets no answer asks again, as a person
does: an acknowledgement with the same id. A machine's next excursion begins when its last one is normal again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from base.errors import UnavailableError
from base.ids import now_us
from benchmarks.alarms.excursions import RULE, Excursion, Target
from millrace_client import Alarm, AlarmOutcome, AlarmState, AsyncClient, Connection, MillraceError

_LINE = 1 << 22
_RETRY_S = 0.5
_DEADLINE_S = 5.0
_OPEN_S = 30.0
_ASK_S = 5.0


class Faults(Protocol):
    """Who takes tags beyond their limits: `excursions.Simulator`."""

    def put(self, target: Target) -> int:
        """Begin; a number to end it by."""

    def take_off(self, number: int) -> None:
        """End it."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Addresses, and how patient everybody is. `told`: whether somebody was told of an alarm."""

    grpc: str
    http: str = ""
    """Of the page's feed; empty: it is not watched."""
    faults: Faults
    hold_s: float = 1.0
    """So long an excursion goes on at least, once its alarm was seen."""
    patience_s: float = 60.0
    told: Callable[[Excursion], bool] = field(default=lambda _: True)


class _Board:
    """What has been seen of the alarm at each path, and who waits for it."""

    def __init__(self) -> None:
        self.of: dict[str, Excursion] = {}
        self._changed = asyncio.Event()

    def saw(self, alarm: Alarm, sent_us: int, seen_us: int) -> None:
        one = self.of.get(alarm.path)
        if one is None or alarm.rule != RULE or alarm.start_us is None or alarm.start_us < one.put_us:
            return
        if alarm.active and not one.seen_us:
            one.seen_us, one.sent_us, one.alarm_id = seen_us, sent_us, alarm.alarm_id
            one.start_us, one.activated_us = alarm.start_us, alarm.activated_us or 0
            one.priority = str(alarm.priority)
        if alarm.alarm_id == one.alarm_id:
            if alarm.acknowledged and not one.acknowledged_seen_us:
                one.acknowledged_seen_us, one.acknowledged_us = seen_us, alarm.acknowledged_us or 0
            if alarm.state is AlarmState.NORMAL and not one.normal_seen_us:
                one.normal_seen_us = seen_us
        elif one.alarm_id is not None:
            one.wrong = one.wrong or f"another alarm came of it: {alarm.alarm_id}"
        self._changed.set()

    def saw_in_page(self, message: dict[str, Any], seen_us: int) -> None:
        for alarm in message.get("alarms", ()):
            one = self.of.get(alarm["path"])
            if (
                one is not None
                and not one.stream_us
                and alarm.get("active")
                and (alarm.get("start_us") or 0) >= one.put_us
            ):
                one.stream_us = seen_us
                self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Whether it came."""
        until_s = time.monotonic() + timeout_s
        while not condition():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return False
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left_s, _RETRY_S))
        return True


async def drive(call: Call, excursions: Sequence[Excursion], *, begin_s: float | None = None) -> None:
    """Carry them all out; `begin_s` is the monotonic moment from which they are due. Raises UnavailableError without the watch."""
    board = _Board()
    async with AsyncClient(Connection(call.grpc, name="bench-alarms"), deadline_s=_DEADLINE_S) as client:
        watches = [asyncio.create_task(_watch(client, board, opened := asyncio.Event()))]
        if call.http:
            watches.append(asyncio.create_task(_watch_page(call.http, board)))
        try:
            async with asyncio.timeout(_OPEN_S):
                await opened.wait()
            begin_s = time.monotonic() if begin_s is None else begin_s
            machines: dict[str, list[Excursion]] = {}
            for one in excursions:
                machines.setdefault(one.target.path, []).append(one)
            async with asyncio.TaskGroup() as group:
                for turns in machines.values():
                    group.create_task(_take_turns(call, client, board, turns, begin_s))
        except TimeoutError as error:
            msg = f"serving at {call.grpc} gave no alarms within {_OPEN_S:g} s"
            raise UnavailableError(msg) from error
        finally:
            for one_watch in watches:
                one_watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)


async def _take_turns(
    call: Call, client: AsyncClient, board: _Board, turns: Sequence[Excursion], begin_s: float
) -> None:
    for one in turns:
        await asyncio.sleep(max(0.0, begin_s + one.due_s - time.monotonic()))
        await _carry_out(call, client, board, one)


async def _carry_out(call: Call, client: AsyncClient, board: _Board, one: Excursion) -> None:
    one.put_us = now_us()
    board.of[one.target.path] = one
    try:
        number = await asyncio.to_thread(call.faults.put, one.target)
    except UnavailableError as error:
        one.wrong = str(error)
        return
    try:
        if not await board.until(lambda: bool(one.seen_us), call.patience_s):
            one.wrong = one.wrong or f"nothing was seen of it within {call.patience_s:g} s"
            return
        await asyncio.sleep(call.hold_s)
        if one.told and not await board.until(lambda: call.told(one), call.patience_s):
            one.wrong = one.wrong or f"nobody was told of it within {call.patience_s:g} s"
        await _acknowledge(call, client, one)
    finally:
        try:
            await asyncio.to_thread(call.faults.take_off, number)
        except UnavailableError as error:
            one.wrong = one.wrong or str(error)
        one.over_us = now_us()
    if not await _until_normal(call, client, board, one):
        one.wrong = one.wrong or f"it was not normal again within {call.patience_s:g} s"


async def _until_normal(call: Call, client: AsyncClient, board: _Board, one: Excursion) -> bool:
    """By the watch; now and then it is asked for, since a watch that was away tells only what still stands."""
    assert one.alarm_id is not None
    until_s = time.monotonic() + call.patience_s
    while not await board.until(lambda: bool(one.normal_seen_us), _ASK_S):
        if time.monotonic() > until_s:
            return False
        with suppress(MillraceError):  # it is away; it is asked again
            now = await client.alarm(one.alarm_id)
            board.saw(now.alarm, now_us(), now_us())
    return True


async def _acknowledge(call: Call, client: AsyncClient, one: Excursion) -> None:
    """Until somebody has taken it."""
    assert one.alarm_id is not None
    one.asked_us, until_s = now_us(), time.monotonic() + call.patience_s
    while time.monotonic() < until_s:
        one.tries += 1
        try:
            answer = await client.acknowledge_alarm(one.alarm_id, "the benchmark has seen it", action_id=one.action_id)
        except MillraceError as error:
            one.answer = f"{type(error).__name__}: {error}"
            await asyncio.sleep(_RETRY_S)
            continue
        one.answered_us, one.answer = now_us(), str(answer.outcome)
        if answer.outcome in (AlarmOutcome.DONE, AlarmOutcome.RECORDED):
            return
        one.answer += f": {answer.detail}"
        if answer.outcome is AlarmOutcome.REFUSED:
            break
        await asyncio.sleep(_RETRY_S)
    one.wrong = one.wrong or f"it could not be acknowledged: {one.answer}"


async def _watch(client: AsyncClient, board: _Board, opened: asyncio.Event) -> None:
    """Changes as they come; the client opens the watch again after an outage, and begins anew."""
    while True:
        try:
            async with client.watch_alarms() as changes:
                async for change in changes:
                    at_us = now_us()
                    for alarm in change.alarms:
                        board.saw(alarm, change.sent_us, at_us)
                    if change.snapshot_complete:
                        opened.set()
        except MillraceError:  # it is away for longer than the client asks again
            await asyncio.sleep(_RETRY_S)


async def _watch_page(http: str, board: _Board) -> None:
    while True:
        try:
            async for message in _events(http):
                board.saw_in_page(message, now_us())
        except (OSError, UnavailableError):
            await asyncio.sleep(_RETRY_S)


async def _events(http: str) -> AsyncIterator[dict[str, Any]]:
    host, _, port = http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=_LINE)
    try:
        writer.write(f"GET /api/v1/watch/alarms HTTP/1.1\r\nHost: {http}\r\n\r\n".encode())
        status = await reader.readline()
        if b" 200 " not in status:
            msg = f"{http} answered {status.decode().strip()}"
            raise UnavailableError(msg)
        while line := await reader.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        writer.transport.abort()
