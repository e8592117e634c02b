"""Carries commands out, at most once each: policy, order per device, intention before action, read-back, acknowledgement.

Enters: requests and controls from `edge.command_feed`. Leaves: writes to connectors, and acknowledgements (DELIVERED, EXECUTING, an
outcome) through `Acks`. Commands of one device run one after another in order of arrival; those that wait for approval do not hold up
others. Neither do acknowledgements of conditions: they are in order among those of one connection; what could not be sent is tried again
until it expires. The journal has the intention before the machine is touched and the outcome before anybody is told. A request for a
device that has nothing to do is taken in and intended with one write to disk: each is a millisecond, and now and then a hundred. Expiry
is checked at the last moment. After a crash in between the outcome is UNKNOWN, and the command is never tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from base.ids import Clock
from connectors.readings import Write, WriteResult, WriteStatus
from edge import policy
from edge.command_journal import CommandJournal, Entry, Position, Received
from edge.command_outcomes import MAX_DETAIL, ack_of, cut, outcomes_of, same_for_all
from edge.group_commit import GroupCommit
from schemas.command_rules import ACKNOWLEDGE, Acknowledgement
from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    Outcomes,
    readback_of,
)
from schemas.definitions import TagDefinition
from schemas.frame import ClockStatus

log = logging.getLogger(__name__)
_OUTCOME = {
    WriteStatus.DONE: CommandState.SUCCEEDED,
    WriteStatus.REFUSED: CommandState.FAILED,
    WriteStatus.NOT_SENT: CommandState.FAILED,
    WriteStatus.PARTLY: CommandState.FAILED,
    WriteStatus.UNKNOWN: CommandState.UNKNOWN,
}
_HOUSEKEEPING_S = 1.0
_PATIENCE_S, _AGAIN_S = 10.0, 0.1
"""So long after a start what could not be sent is tried again, and how soon: nothing had left the gateway."""

_Queue = int | tuple[int, str]
"""Device, and for an acknowledgement the connection of its condition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSettings:
    """How commands are carried out. `remember_days` must exceed the retention of the requests' topic."""

    enabled: bool = True
    write_timeout_s: float = 5.0
    max_clock_skew_s: float = 2.0
    require_synchronised_clock: bool = False
    remember_days: float = 30.0


class _Refused(NamedTuple):
    """Why a command is not carried out now, and the state it ends in. `interlocked`: a local policy objects."""

    state: CommandState
    detail: str
    interlocked: bool = False


class Machines(Protocol):
    """What commands need of the rest of the gateway."""

    def tags_of(self, device_id: int) -> Sequence[TagDefinition]:
        """The gateway's tags of a device; none when the device is not its own."""

    def clock_status(self) -> ClockStatus:
        """Whether the clock is disciplined."""

    def refusal(self, request: CommandRequest, writes: Sequence[Write]) -> str:
        """Why a command must not be carried out now; empty when no local policy objects."""

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write to one device and read back."""

    async def acknowledge(self, wanted: Acknowledgement, timeout_s: float) -> WriteResult:
        """Acknowledge a condition."""


class Commands:
    """Commands of a gateway's devices, from request to outcome. `tell` sends an acknowledgement and calls back once Kafka has it."""

    def __init__(
        self,
        journal: CommandJournal,
        *,
        gateway_id: str,
        machines: Machines,
        tell: Callable[[CommandAck, Callable[[], None]], None],
        settings: CommandSettings,
        clock: Clock,
        verify: Callable[[CommandRequest | CommandControl], str] = lambda _: "",
    ) -> None:
        """`verify` says why a command is not what serving signed; empty when it is, or need not be."""
        self._verify = verify
        self._unsigned = self._interlocked = 0
        self._journal, self._gateway_id, self._machines, self._tell = journal, gateway_id, machines, tell
        self._settings, self._clock = settings, clock
        self._disk = GroupCommit(journal.together)
        self._queues: dict[_Queue, deque[Received]] = {}
        self._workers: dict[_Queue, asyncio.Task[None]] = {}
        self._told: list[tuple[UUID, CommandState]] = []
        self._outcomes: dict[str, int] = {}
        self._patient_until_s, self._stopping = 0.0, False
        self._failure: Exception | None = None

    async def start(self) -> None:
        """Take up where the journal stands: tell what was not told, go on with what was not begun."""
        self._patient_until_s = time.monotonic() + _PATIENCE_S
        ready = await self._disk.run(self._journal.recover)
        for entry in await self._disk.run(self._journal.untold):
            self._acknowledge(entry)
        for entry in ready:
            self._enqueue(Received(entry=entry, ready=True))

    async def receive(self, messages: Iterable[CommandRequest | CommandControl], positions: list[Position]) -> None:
        """Take messages over; durable, and their positions with them, when this returns."""
        mine, refused = list[CommandRequest | CommandControl](), set[UUID]()
        for message in filter(self.is_mine, messages):
            if self._is_signed(message):
                mine.append(message)
            elif isinstance(message, CommandRequest):
                refused.add(message.command_id)
        intend = self._at_once(mine)
        for received in await self._disk.run(lambda: self._journal.receive(mine, positions, intend=intend)):
            self._received(received)
        # Whoever forges a request names a true one's id, so nothing is said of it but what became of the true one.
        for command_id in refused:
            if (known := await self._disk.run(partial(self._journal.find, command_id))) is not None:
                self._acknowledge(known)

    async def run(self) -> None:
        """Housekeeping until cancelled: expire what waits in vain, remember what was told, forget what is old.

        Raises when a command could not be recorded: without its journal the gateway must not go on.
        """
        beats = 0
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            if self._failure is not None:
                raise self._failure
            for entry in await self._disk.run(self._journal.overdue):
                await self._end(entry, CommandState.EXPIRED, "never approved")
            await self._write_told()
            await self._disk.run(self._journal.reseal)
            beats += 1
            if beats % 3600 == 1:
                before_us = self._clock() - int(self._settings.remember_days * 86_400e6)
                await self._disk.run(lambda at=before_us: self._journal.prune(at))  # type: ignore[misc]

    async def stop(self) -> None:
        """Finish what is being carried out, begin nothing more; bounded by the write timeout."""
        self._stopping = True
        if self._workers:
            await asyncio.wait(self._workers.values(), timeout=self._settings.write_timeout_s + 1)

    async def close(self) -> None:
        """Close the journal, after the last acknowledgements were sent."""
        await self._write_told()
        await self._disk.close(self._journal.close)

    async def positions(self) -> dict[tuple[str, int], int]:
        """Where to read on."""
        return await self._disk.run(self._journal.positions)

    async def set_positions(self, positions: list[Position]) -> None:
        """Remember where reading begins."""
        await self._disk.run(lambda: self._journal.receive((), positions))

    def is_mine(self, message: CommandRequest | CommandControl) -> bool:
        """Whether it is about a device of this gateway."""
        if isinstance(message, CommandRequest):
            return message.gateway_id == self._gateway_id
        return bool(self._machines.tags_of(message.device_id))

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return {
            "waiting": sum(map(len, self._queues.values())),
            "outcomes": dict(self._outcomes),
            "interlocked": self._interlocked,
            "unsigned": self._unsigned,
            "damaged": self._journal.damaged,
        }

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _is_signed(self, message: CommandRequest | CommandControl) -> bool:
        """Whether it is let in. What is not stays out of the journal: it must not take the place of a command with its id that is signed.

        Nor is it acknowledged: an outcome with the gateway's signature would end that command for everybody. Who waits for it hears that
        nothing was heard (EXPIRED, inferred), which the true one corrects.

        So what the journal has was signed when it came, and is carried out after a restart whether the platform answers or not.
        """
        if not (problem := self._verify(message)):
            return True
        self._unsigned += 1
        details = {"command_id": str(message.command_id), "device_id": message.device_id, "cause": problem}
        log.error("a command without a good signature is refused", extra=details)
        return False

    def _received(self, received: Received) -> None:
        self._acknowledge(received.entry)
        if received.ready:
            self._enqueue(received)

    def _at_once(self, messages: Iterable[CommandRequest | CommandControl]) -> frozenset[UUID]:
        """Requests that would be intended next anyway: the first of each device that has nothing to do, unless a control follows it."""
        if self._stopping:
            return frozenset()
        busy, found, controlled = set(self._workers), set[UUID](), set[UUID]()
        for message in messages:
            if isinstance(message, CommandControl):
                controlled.add(message.command_id)
                continue
            queue = _queue_of(message)
            if queue not in busy and not isinstance(self._planned(message), _Refused):
                found.add(message.command_id)
            busy.add(queue)
        return frozenset(found - controlled)

    def _enqueue(self, received: Received) -> None:
        name = _queue_of(received.entry.request)
        self._queues.setdefault(name, deque()).append(received)
        if name not in self._workers:
            self._workers[name] = asyncio.create_task(self._work(name))

    async def _work(self, name: _Queue) -> None:
        queue = self._queues[name]
        try:
            while queue and (queue[0].intended or not self._stopping):
                await self._carry_out(queue.popleft())
        except Exception as error:  # the journal: `run` ends the gateway
            log.exception("command cannot be recorded", extra={"queue": name})
            self._failure, self._stopping = error, True
        finally:
            del self._workers[name]
            if not queue:
                del self._queues[name]

    async def _carry_out(self, received: Received) -> None:
        entry, request = received.entry, received.entry.request
        if not received.intended:
            if isinstance(planned := self._planned(request), _Refused):
                self._interlocked += planned.interlocked
                await self._end(entry, planned.state, planned.detail)
                return
            if not await self._disk.run(lambda: self._journal.intend(request.command_id)):
                return  # cancelled in between, and said so
        self._acknowledge(replace(entry, state=CommandState.EXECUTING, detail=""))
        waited_for = ""
        while True:
            planned = self._planned(request)
            if isinstance(planned, _Refused):
                # The intention took long to record, or the machine was waited for; nothing was done.
                self._interlocked += planned.interlocked
                detail = ": ".join(filter(None, [planned.detail, waited_for]))
                await self._finish(entry, planned.state, detail, same_for_all(request, planned.state, detail))
                return
            try:
                timeout_s = self._settings.write_timeout_s
                if isinstance(planned, Acknowledgement):
                    result = await self._machines.acknowledge(planned, timeout_s)
                else:
                    result = await self._machines.write(planned, timeout_s)
            except Exception as error:  # a connector promises not to; the machine may have been touched
                log.exception("write failed unexpectedly", extra={"command_id": str(request.command_id)})
                result = WriteResult(status=WriteStatus.UNKNOWN, detail=f"{type(error).__name__}: {error}")
            # What waited for a gateway that was away must not fail because its connections are not made yet. An acknowledgement moves
            # nothing: it may come as late as it holds.
            patient = isinstance(planned, Acknowledgement) or time.monotonic() < self._patient_until_s
            if result.status is not WriteStatus.NOT_SENT or self._stopping or not patient:
                break
            waited_for = result.detail
            await asyncio.sleep(_AGAIN_S)
        await self._finish(entry, _OUTCOME[result.status], result.detail, outcomes_of(planned, result))

    def _planned(self, request: CommandRequest) -> list[Write] | Acknowledgement | _Refused:
        """What to write now, or why nothing. An acknowledgement moves nothing, so no local policy objects."""
        if problem := self._problem(request):
            return _Refused(*problem)
        writes = policy.plan(request, self._machines.tags_of(request.device_id))
        if isinstance(writes, policy.Refusal):
            return _Refused(CommandState.REJECTED, writes.reason)
        if not isinstance(writes, Acknowledgement) and (refusal := self._machines.refusal(request, writes)):
            return _Refused(CommandState.REJECTED, refusal, interlocked=True)
        return writes

    def _problem(self, request: CommandRequest) -> tuple[CommandState, str] | None:
        now = self._clock()
        if now >= request.expires_us:
            return CommandState.EXPIRED, f"expired {(now - request.expires_us) / 1e6:.1f} s before it was carried out"
        skew = policy.skew_problem(request, now, max_skew_us=int(self._settings.max_clock_skew_s * 1e6))
        if skew:
            return CommandState.REJECTED, skew
        if self._settings.require_synchronised_clock:
            status = self._machines.clock_status()
            if status is not ClockStatus.SYNCHRONISED:
                return CommandState.REJECTED, f"the gateway's clock is {status.value}: expiry cannot be checked"
        return None

    async def _end(self, entry: Entry, state: CommandState, detail: str) -> None:
        """An outcome without the machine having been touched."""
        command_id, detail = entry.request.command_id, cut(detail, MAX_DETAIL)
        if await self._disk.run(lambda: self._journal.end(command_id, state, detail)):
            self._acknowledge(replace(entry, state=state, detail=detail))

    async def _finish(self, entry: Entry, state: CommandState, detail: str, outcomes: Outcomes) -> None:
        command_id, detail = entry.request.command_id, cut(detail, MAX_DETAIL)
        await self._disk.run(lambda: self._journal.finish(command_id, state, detail, outcomes))
        self._acknowledge(replace(entry, state=state, detail=detail, readback=readback_of(outcomes), outcomes=outcomes))

    def _acknowledge(self, entry: Entry) -> None:
        ack = ack_of(entry, self._gateway_id, self._clock())
        if ack.state in OUTCOMES:
            self._outcomes[ack.state.value] = self._outcomes.get(ack.state.value, 0) + 1
            details = {"command_id": str(ack.command_id), "state": ack.state.value, "detail": ack.detail}
            log.info("command ended", extra=details)
        self._tell(ack, lambda: self._told.append((ack.command_id, ack.state)))

    async def _write_told(self) -> None:
        told, self._told = self._told, []
        if told:
            await self._disk.run(lambda: self._journal.told(told))


def _queue_of(request: CommandRequest) -> _Queue:
    """What a command waits behind."""
    if request.name != ACKNOWLEDGE:
        return request.device_id
    condition = next(iter(request.parameters), "")
    return request.device_id, condition.partition(":")[0]
