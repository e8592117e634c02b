"""Carries commands out, at most once each: policy, order per device, intention before action, read-back, acknowledgement.

Enters: requests and controls from `edge.command_feed`. Leaves: writes to connectors, and acknowledgements (DELIVERED,
EXECUTING, an outcome) through `Acks`. Commands of one device run one after another in order of arrival; those that wait
for approval do not hold up others. The journal has the intention before the machine is touched and the outcome before
anybody is told. Expiry is checked at the last moment. After a crash in between the outcome is UNKNOWN, and the command is
never tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from base.ids import Clock
from connectors.readings import Write, WriteResult, WriteStatus
from edge import policy
from edge.command_journal import CommandJournal, Entry, Position, Received
from schemas.commands import CommandAck, CommandControl, CommandRequest, CommandState
from schemas.definitions import TagDefinition
from schemas.frame import ClockStatus

log = logging.getLogger(__name__)

T = TypeVar("T")
_OUTCOME = {
    WriteStatus.DONE: CommandState.SUCCEEDED,
    WriteStatus.REFUSED: CommandState.FAILED,
    WriteStatus.NOT_SENT: CommandState.FAILED,
    WriteStatus.UNKNOWN: CommandState.UNKNOWN,
}
_HOUSEKEEPING_S = 1.0
_PATIENCE_S, _AGAIN_S = 10.0, 0.1
"""So long after a start what could not be sent is tried again, and how soon: nothing had left the gateway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSettings:
    """How commands are carried out. `remember_days` must exceed the retention of the requests' topic."""

    enabled: bool = True
    write_timeout_s: float = 5.0
    max_clock_skew_s: float = 2.0
    require_synchronised_clock: bool = False
    remember_days: float = 30.0


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
    ) -> None:
        self._journal, self._gateway_id, self._machines, self._tell = journal, gateway_id, machines, tell
        self._settings, self._clock = settings, clock
        self._thread = ThreadPoolExecutor(1, "commands")
        self._queues: dict[int, deque[Entry]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._told: list[tuple[UUID, CommandState]] = []
        self._outcomes: dict[str, int] = {}
        self._patient_until_s = 0.0
        self._stopping = False
        self._failure: Exception | None = None

    async def start(self) -> None:
        """Take up where the journal stands: tell what was not told, go on with what was not begun."""
        self._patient_until_s = time.monotonic() + _PATIENCE_S
        ready = await self._in_thread(self._journal.recover)
        for entry in await self._in_thread(self._journal.untold):
            self._acknowledge(entry)
        for entry in ready:
            self._enqueue(entry)

    async def receive(self, messages: Iterable[CommandRequest | CommandControl], positions: list[Position]) -> None:
        """Take messages over; durable, and their positions with them, when this returns."""
        mine = [message for message in messages if self._is_mine(message)]
        for received in await self._in_thread(lambda: self._journal.receive(mine, positions)):
            self._received(received)

    async def run(self) -> None:
        """Housekeeping until cancelled: expire what waits in vain, remember what was told, forget what is old.

        Raises when a command could not be recorded: without its journal the gateway must not go on.
        """
        beats = 0
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            if self._failure is not None:
                raise self._failure
            for entry in await self._in_thread(self._journal.overdue):
                await self._end(entry, CommandState.EXPIRED, "never approved")
            await self._write_told()
            beats += 1
            if beats % 3600 == 1:
                before_us = self._clock() - int(self._settings.remember_days * 86_400e6)
                await self._in_thread(lambda at=before_us: self._journal.prune(at))  # type: ignore[misc]

    async def stop(self) -> None:
        """Finish what is being carried out, begin nothing more; bounded by the write timeout."""
        self._stopping = True
        if self._workers:
            await asyncio.wait(self._workers.values(), timeout=self._settings.write_timeout_s + 1)

    async def close(self) -> None:
        """Close the journal, after the last acknowledgements were sent."""
        await self._write_told()
        await self._in_thread(self._journal.close)
        self._thread.shutdown()

    async def positions(self) -> dict[tuple[str, int], int]:
        """Where to read on."""
        return await self._in_thread(self._journal.positions)

    async def set_positions(self, positions: list[Position]) -> None:
        """Remember where reading begins."""
        await self._in_thread(lambda: self._journal.receive((), positions))

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return {"waiting": sum(map(len, self._queues.values())), "outcomes": dict(self._outcomes)}

    # --- inside ----------------------------------------------------------------------------------------------------------

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _is_mine(self, message: CommandRequest | CommandControl) -> bool:
        if isinstance(message, CommandRequest):
            return message.gateway_id == self._gateway_id
        return bool(self._machines.tags_of(message.device_id))

    def _received(self, received: Received) -> None:
        entry = received.entry
        self._acknowledge(entry)
        if received.ready:
            self._enqueue(entry)

    def _enqueue(self, entry: Entry) -> None:
        device_id = entry.request.device_id
        self._queues.setdefault(device_id, deque()).append(entry)
        if device_id not in self._workers:
            self._workers[device_id] = asyncio.create_task(self._work(device_id))

    async def _work(self, device_id: int) -> None:
        queue = self._queues[device_id]
        try:
            while queue and not self._stopping:
                await self._carry_out(queue.popleft())
        except Exception as error:  # the journal: `run` ends the gateway
            log.exception("command cannot be recorded", extra={"device_id": device_id})
            self._failure, self._stopping = error, True
        finally:
            del self._workers[device_id]
            if not queue:
                del self._queues[device_id]

    async def _carry_out(self, entry: Entry) -> None:
        request = entry.request
        if problem := self._problem(request):
            await self._end(entry, *problem)
            return
        writes = policy.plan(request, self._machines.tags_of(request.device_id))
        if isinstance(writes, policy.Refusal):
            await self._end(entry, CommandState.REJECTED, writes.reason)
            return
        if refusal := self._machines.refusal(request, writes):
            await self._end(entry, CommandState.REJECTED, refusal)
            return
        if not await self._in_thread(lambda: self._journal.intend(request.command_id)):
            return  # cancelled in between, and said so
        self._acknowledge(entry, CommandState.EXECUTING)
        while True:
            if problem := self._problem(request):
                # The intention took long to record, or the machine was waited for; nothing was done.
                await self._finish(entry, problem[0], WriteResult(status=WriteStatus.NOT_SENT, detail=problem[1]))
                return
            try:
                result = await self._machines.write(writes, self._settings.write_timeout_s)
            except Exception as error:  # a connector promises not to; the machine may have been touched
                log.exception("write failed unexpectedly", extra={"command_id": str(request.command_id)})
                result = WriteResult(status=WriteStatus.UNKNOWN, detail=f"{type(error).__name__}: {error}")
            # What waited for a gateway that was away must not fail because its connections are not made yet.
            if result.status is not WriteStatus.NOT_SENT or self._stopping or time.monotonic() >= self._patient_until_s:
                break
            await asyncio.sleep(_AGAIN_S)
        await self._finish(entry, _OUTCOME[result.status], result)

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
        command_id = entry.request.command_id
        if await self._in_thread(lambda: self._journal.end(command_id, state, detail)):
            self._acknowledge(entry, state, detail)

    async def _finish(self, entry: Entry, state: CommandState, result: WriteResult) -> None:
        command_id, readback = entry.request.command_id, dict(result.readback)
        await self._in_thread(lambda: self._journal.finish(command_id, state, result.detail, readback))
        self._acknowledge(entry, state, result.detail, readback)

    def _acknowledge(
        self,
        entry: Entry,
        state: CommandState | None = None,
        detail: str | None = None,
        readback: dict[str, float] | None = None,
    ) -> None:
        request, state = entry.request, state or entry.state
        if state is CommandState.PENDING_APPROVAL:
            state = CommandState.DELIVERED
        ack = CommandAck(
            command_id=request.command_id,
            attempt=entry.attempt,
            device_id=request.device_id,
            gateway_id=self._gateway_id,
            state=state,
            time_us=self._clock(),
            detail=entry.detail if detail is None else detail,
            readback=entry.readback if readback is None else readback,
        )
        if state not in {CommandState.DELIVERED, CommandState.EXECUTING}:
            self._outcomes[state.value] = self._outcomes.get(state.value, 0) + 1
            log.info(
                "command ended",
                extra={"command_id": str(request.command_id), "state": state.value, "detail": ack.detail},
            )
        self._tell(ack, lambda: self._told.append((request.command_id, ack.state)))

    async def _write_told(self) -> None:
        told, self._told = self._told, []
        if told:
            await self._in_thread(lambda: self._journal.told(told))
