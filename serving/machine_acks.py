"""Acknowledgements of conditions for the machines that have them (OPC UA Part 9): one command for each that the machine has not heard of.

Enters: every version of an alarm, as the topic `alarms` says it. Leaves: a command `acknowledge` for the gateway. Its id and its content
follow from the alarm alone, so that after a restart, or from several servers, it is the same command: the gateway carries it out once. One
whose time was over before it could be written is an error in the log, and is written all the same: its record then says EXPIRED. A command
that fails is not tried again; the record of commands says why, and who acknowledges once more makes another. What becomes of a command is
news of its alarm, whose record does not say it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from base.errors import MillraceError
from base.machine_names import is_machines
from schemas.alarms import Alarm
from schemas.command_rules import ACKNOWLEDGE
from schemas.commands import CommandRequest

if TYPE_CHECKING:
    from serving.handlers.commands import CommandHandlers

log = logging.getLogger(__name__)

EXPIRES_US = 60_000_000
"""So long a machine may be away, or this server."""
_LATE_US = 86_400_000_000
"""What is older was judged before; the book of commands may have forgotten it."""
_REMEMBERED = 10_000
_RETRY_S, _SWEEP_S = 1.0, 5.0


class MachineAcks:
    """Of one server; called in the event loop."""

    def __init__(
        self, commands: CommandHandlers, news: Callable[[UUID], None] = lambda _: None, *, sweep_s: float = _SWEEP_S
    ) -> None:
        self._commands, self._news, self._sweep_s = commands, news, sweep_s
        self._alarm_of: OrderedDict[UUID, UUID] = OrderedDict()
        """By command."""
        self._seen: OrderedDict[UUID, None] = OrderedDict()
        self._late: dict[UUID, CommandRequest] = {}
        """By alarm: what is over, and wanted by its newest version."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeping = False

    def look(self, alarm: Alarm) -> None:
        """A version of an alarm."""
        self._late.pop(alarm.alarm_id, None)
        request = request_of(alarm)
        if request is None:
            return
        self._alarm_of[request.command_id] = alarm.alarm_id
        if len(self._alarm_of) > _REMEMBERED:
            self._alarm_of.popitem(last=False)
        if request.command_id in self._seen:
            return
        if request.expires_us <= self._commands.clock():
            self._put_off(alarm.alarm_id, request)
        else:
            self._remember(request)
            self._start(self._send(alarm.alarm_id, request))

    def moved(self, command_id: UUID) -> None:
        """A command has changed: news of the alarm that it is for, if it is one of these."""
        if (alarm_id := self._alarm_of.get(command_id)) is not None:
            self._news(alarm_id)

    async def _send(self, alarm_id: UUID, request: CommandRequest) -> None:
        cause = ""
        while self._commands.clock() < request.expires_us:
            try:
                await self._commands.send(request)
            except MillraceError as error:
                cause = str(error)
                await asyncio.sleep(_RETRY_S)
            else:
                return
        log.error("an acknowledgement could not be written in its time", extra=_about(request, cause=cause))
        self._put_off(alarm_id, request)

    def _put_off(self, alarm_id: UUID, request: CommandRequest) -> None:
        if request.expires_us + _LATE_US <= self._commands.clock():
            return
        self._late[alarm_id] = request
        if not self._sweeping:
            self._sweeping = True
            self._start(self._sweep())

    async def _sweep(self) -> None:
        """Write what is over and in no record, once commands have been read, and what came of the alarms since."""
        try:
            while self._late:
                await asyncio.sleep(self._sweep_s)
                late = dict(self._late) if self._commands.ready else {}
                for alarm_id, request in late.items():
                    if self._late.get(alarm_id) is request:
                        await self._write_late(alarm_id, request)
        finally:
            self._sweeping = False

    async def _write_late(self, alarm_id: UUID, request: CommandRequest) -> None:
        if self._commands.book.get(request.command_id) is None:
            try:
                await self._commands.send(request)
            except MillraceError as error:
                log.warning("a command that is over is not in the record yet", extra=_about(request, cause=str(error)))
                return
            cause = "its time was over before it was written; acknowledge again"
            log.error("an acknowledgement did not get to its machine", extra=_about(request, cause=cause))
        self._remember(request)
        if self._late.get(alarm_id) is request:
            del self._late[alarm_id]

    def _remember(self, request: CommandRequest) -> None:
        self._seen[request.command_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def request_of(alarm: Alarm) -> CommandRequest | None:
    """The command for an alarm whose condition is acknowledged here and not at the machine. Never in the name of somebody there."""
    if not alarm.condition or alarm.acknowledged_us is None or alarm.acknowledged_at_machine or not alarm.seen_us:
        return None
    if is_machines(alarm.acknowledged_by):
        return None
    return CommandRequest(
        command_id=uuid5(alarm.alarm_id, f"{ACKNOWLEDGE}/{alarm.activations}/{alarm.acknowledged_us}"),
        device_id=alarm.device_id,
        gateway_id=alarm.gateway_id,
        site=alarm.site,
        name=ACKNOWLEDGE,
        parameters={alarm.condition: float(alarm.seen_us)},
        submitted_by=alarm.acknowledged_by,
        submitted_us=alarm.acknowledged_us,
        expires_us=alarm.acknowledged_us + EXPIRES_US,
        reason=alarm.acknowledged_reason,
    )


def _about(request: CommandRequest, *, cause: str) -> dict[str, object]:
    return {"command_id": request.command_id, "device_id": request.device_id, "cause": cause}
