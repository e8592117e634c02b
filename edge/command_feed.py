"""Commands from Kafka, and acknowledgements to it, for one gateway, by whichever way.

Enters: all partitions of `command.requests.<site>`, from the positions in the gateway's own journal (no consumer group:
nothing waits for a rebalance, and a request counts as read only with the transaction that records it). Leaves: decoded
requests and controls, batch by batch; the next batch is read when the last one is durable. A gateway with a new journal
starts at the end: what was requested before it existed is for the commands job to time out.

Acknowledgements go to `command.acks.<site>` with the command's id as key. DELIVERED and EXECUTING, a millisecond apart, go together.
Where signatures are enabled, commands are read once the keys are known, and an acknowledgement is signed when it is sent.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

from base.errors import OverloadedError, SchemaError, UnavailableError
from connectors.platform import Failure, Following, Marks, Pace, Platform, Record
from edge.command_journal import Position
from edge.commands import Commands
from edge.signing import Signing
from schemas import codec, topics
from schemas.commands import CommandAck, CommandControl, CommandRequest

log = logging.getLogger(__name__)

_PACE = Pace(in_flight=1, batch=200)
_RETRY_S = 1.0
_LINGER_MS = 2
"""A command of an idle device is delivered and begun within a millisecond: both words are one request, and one answer to each reader."""


class CommandFeed:
    """Reads requests and hands them to `Commands`; a follower that cannot go on is replaced, for the machines must be read on."""

    def __init__(self, platform: Platform, *, site: str, commands: Commands, signing: Signing | None = None) -> None:
        self._platform, self._commands, self._signing = platform, commands, signing
        self._topic = topics.REQUESTS.for_site(site)
        self._follower: Following | None = None
        self._failure = ""

    @property
    def problem(self) -> str:
        """Why no commands come; empty while they are read."""
        if self._follower is None and (keys := self._keys) is not None and not keys.caught_up.is_set():
            return f"the signing keys are not read yet: {keys.unread}"
        return self.failure or (self._follower.problem if self._follower else "not yet connected")

    @property
    def _keys(self) -> Signing | None:
        """Where commands have to be signed."""
        return self._signing if self._signing is not None and self._signing.enabled else None

    @property
    def failure(self) -> str:
        """Why requests were not read any more; empty once they are read again."""
        if self._follower is not None and self._follower.caught_up.is_set():
            self._failure = ""
        return self._failure

    async def run(self) -> None:
        """Read until cancelled."""
        if (keys := self._keys) is not None:
            await keys.caught_up.wait()
        while True:
            self._follower = self._platform.follow(self._topic, self._hand_over, start=self._start, pace=_PACE)
            try:
                await self._follower.run()
            except UnavailableError as error:
                log.error("reading commands", extra={"error": str(error)})
                self._follower, self._failure = None, str(error)
            await asyncio.sleep(_RETRY_S)

    async def _start(self, marks: Marks) -> dict[int, int]:
        """Where the journal is; the end of partitions that it does not know."""
        known = await self._commands.positions()
        starts = {partition: known.get((self._topic, partition), high) for partition, (_, high) in marks.items()}
        await self._commands.set_positions([(self._topic, partition, offset) for partition, offset in starts.items()])
        return starts

    async def _hand_over(self, batch: list[Record]) -> None:
        found: list[CommandRequest | CommandControl] = []
        positions: dict[int, Position] = {}
        for message in batch:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            positions[partition] = (self._topic, partition, offset + 1)
            if decoded := _decode(message):
                found.append(decoded)
        if self._signing is not None:
            await self._signing.known(one.key_id for one in found if self._commands.is_mine(one))
        await self._commands.receive(found, list(positions.values()))


class Acks:
    """Sends acknowledgements."""

    def __init__(self, platform: Platform, *, site: str, signing: Signing | None = None) -> None:
        self._topic, self._signing = topics.ACKS.for_site(site), signing
        # After a restart the journal sends what was not confirmed.
        self._sender = platform.sender(linger_ms=_LINGER_MS, compressed=False)
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._under_way: dict[int, tuple[CommandAck, Callable[[], None]]] = {}

    def send(self, ack: CommandAck, on_delivered: Callable[[], None]) -> None:
        """Send one; `on_delivered` is called in the event loop once Kafka has it."""
        number = next(self._numbers)
        self._under_way[number] = (ack, on_delivered)
        self._produce(number)

    def _produce(self, number: int) -> None:
        if (waiting := self._under_way.get(number)) is None:
            return  # a report of its delivery came meanwhile
        ack, on_delivered = waiting
        signed = ack if self._signing is None else self._signing.signed(ack)
        if signed is None:  # no key is told yet; the journal has what it says
            self._loop.call_later(_RETRY_S, self._produce, number)
            return
        command_id, value = str(ack.command_id), signed.encode()

        def delivered(failure: Failure | None) -> None:
            if failure is None:
                if self._under_way.pop(number, None) is not None:
                    self._loop.call_soon_threadsafe(on_delivered)
            elif not failure.forgotten:
                self._under_way.pop(number, None)
                log.error("acknowledgement not delivered", extra={"command_id": command_id, "error": failure.text})

        try:
            self._sender.produce(self._topic, command_id.encode(), value, delivered)
        except OverloadedError as error:
            self._under_way.pop(number, None)
            log.error("acknowledgement not sent", extra={"command_id": command_id, "error": str(error)})

    def renew(self) -> None:
        """Connect anew, with another certificate; what was under way is sent again, in its order."""
        self._sender.renew()
        for number in list(self._under_way):
            self._produce(number)

    async def close(self, timeout_s: float) -> None:
        """Wait for what is under way, at most so long."""
        await self._sender.close(timeout_s)


def _decode(message: Record) -> CommandRequest | CommandControl | None:
    try:
        name, record = codec.decode(message.value() or b"", "CommandRequest", "CommandControl")
    except SchemaError as error:
        log.error("command cannot be read", extra={"offset": message.offset(), "cause": str(error)})
        return None
    return CommandRequest.from_record(record) if name == "CommandRequest" else CommandControl.from_record(record)
