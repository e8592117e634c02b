"""Acknowledgements of conditions for the machines that have them (OPC UA Part 9): one command for each that the machine has not heard of.

Enters: every version of an alarm, as the topic `alarms` says it. Leaves: a command `acknowledge` for the gateway, until its time is over.
Its id and its content follow from the alarm alone, so that after a restart, or from several servers, it is the same command: the gateway
carries it out once. A command that fails is not tried again; the record of commands says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from base.errors import MillraceError
from schemas.alarms import Alarm
from schemas.command_rules import ACKNOWLEDGE
from schemas.commands import CommandRequest

if TYPE_CHECKING:
    from serving.handlers.commands import CommandHandlers

log = logging.getLogger(__name__)

EXPIRES_US = 60_000_000
"""So long a machine may be away, or this server."""
_REMEMBERED = 10_000
_RETRY_S = 1.0


class MachineAcks:
    """Of one server; called in the event loop."""

    def __init__(self, commands: CommandHandlers) -> None:
        self._commands = commands
        self._seen: OrderedDict[UUID, None] = OrderedDict()
        self._sending: set[asyncio.Task[None]] = set()

    def look(self, alarm: Alarm) -> None:
        """A version of an alarm."""
        request = request_of(alarm)
        if request is None or request.command_id in self._seen or request.expires_us <= self._commands.clock():
            return
        self._seen[request.command_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        task = asyncio.create_task(self._send(request))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, request: CommandRequest) -> None:
        cause = ""
        while self._commands.clock() < request.expires_us:
            try:
                await self._commands.send(request)
            except MillraceError as error:
                cause = str(error)
                await asyncio.sleep(_RETRY_S)
            else:
                return
        about = {"command_id": request.command_id, "device_id": request.device_id, "cause": cause}
        log.error("an acknowledgement did not get to its machine: nothing could be written in time", extra=about)


def request_of(alarm: Alarm) -> CommandRequest | None:
    """The command for an alarm whose condition is acknowledged here and not at the machine."""
    if not alarm.condition or alarm.acknowledged_us is None or alarm.acknowledged_at_machine:
        return None
    return CommandRequest(
        command_id=uuid5(alarm.alarm_id, f"{ACKNOWLEDGE}/{alarm.activations}"),
        device_id=alarm.device_id,
        gateway_id=alarm.gateway_id,
        site=alarm.site,
        name=ACKNOWLEDGE,
        parameters={alarm.condition: float(alarm.activated_us or 0)},
        submitted_by=alarm.acknowledged_by,
        submitted_us=alarm.acknowledged_us,
        expires_us=alarm.acknowledged_us + EXPIRES_US,
        reason=alarm.acknowledged_reason,
    )
