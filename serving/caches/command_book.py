"""What is known of commands: the record from `command.states`, and, ahead of it, requests and the gateways' acknowledgements.

Enters: CommandState records (highest version wins), CommandRequests and CommandAcks, each from the beginning of its
topic, in any order between topics. Leaves: `CommandView`s. A view is final only when it comes from the record; what is
known earlier is marked provisional. Commands that ended longer than `remember_s` ago are forgotten, so memory is
bounded by the rate of commands, not by the age of the topic. Called in the event loop only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from uuid import UUID

from base.ids import Clock, now_us
from schemas.commands import OUTCOMES, CommandAck, CommandRequest, CommandState, CommandStateRecord
from serving.caches.wakeup import Wakeup

_MAX_PENDING = 64
_SWEEP = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandView:
    """A command as it stands. `provisional`: not yet in the record; `version` is the record's, 0 before it has one."""

    command_id: UUID
    state: CommandState
    version: int
    provisional: bool
    device_id: int
    gateway_id: str
    site: str
    name: str
    parameters: dict[str, float]
    submitted_by: str
    submitted_us: int
    expires_us: int
    updated_us: int
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    late_acks: int = 0
    duplicate_acks: int = 0

    @property
    def final(self) -> bool:
        """Whether the record has an outcome."""
        return not self.provisional and self.state in OUTCOMES


@dataclass(slots=True)
class _Entry:
    request: CommandRequest | None = None
    record: CommandStateRecord | None = None
    ack: CommandAck | None = None
    shown: CommandView | None = None
    readers: list[CommandReader] = field(default_factory=list)


class CommandBook:
    """The cache. Entries are in the order in which they last changed."""

    def __init__(self, *, remember_s: float, clock: Clock = now_us) -> None:
        self._remember_us = int(remember_s * 1e6)
        self._clock = clock
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """Commands that are known."""
        return sum(entry.shown is not None for entry in self._entries.values())

    def apply_state(self, record: CommandStateRecord) -> None:
        """Fold a record in; an older version is ignored."""
        entry = self._entry(record.command_id)
        if entry.record is None or record.version > entry.record.version:
            entry.record = record
            self._changed(record.command_id, entry)

    def apply_request(self, request: CommandRequest) -> None:
        """Fold a request in; the first one of an id counts, others are attempts to deliver it."""
        entry = self._entry(request.command_id)
        if entry.request is None:
            entry.request = request
            self._changed(request.command_id, entry)

    def apply_ack(self, ack: CommandAck) -> None:
        """Fold a gateway's acknowledgement in; it is shown while it is ahead of the record."""
        entry = self._entry(ack.command_id)
        if entry.ack is None or ack.state.rank > entry.ack.state.rank:
            entry.ack = ack
            self._changed(ack.command_id, entry)

    def get(self, command_id: UUID) -> CommandView | None:
        """A command as it stands."""
        entry = self._entries.get(command_id)
        return entry.shown if entry else None

    def request(self, command_id: UUID) -> CommandRequest | None:
        """The request of a command, when the topic still has it."""
        entry = self._entries.get(command_id)
        return entry.request if entry else None

    def open(self, wakeup: Wakeup, command_id: UUID) -> CommandReader:
        """A reader of a known command's views, the present one first. Close it when done."""
        reader = CommandReader(wakeup)
        entry = self._entries[command_id]
        if entry.shown is not None:
            reader.offer(entry.shown)
        entry.readers.append(reader)
        return reader

    def close(self, command_id: UUID, reader: CommandReader) -> None:
        """Forget a reader."""
        entry = self._entries.get(command_id)
        if entry is not None and reader in entry.readers:
            entry.readers.remove(reader)

    def _entry(self, command_id: UUID) -> _Entry:
        return self._entries.setdefault(command_id, _Entry())

    def _changed(self, command_id: UUID, entry: _Entry) -> None:
        self._entries.move_to_end(command_id)
        view = _view(entry)
        if view is not None and view != entry.shown:
            entry.shown = view
            for reader in entry.readers:
                reader.offer(view)
        self._forget()

    def _forget(self) -> None:
        """Drop a few of the oldest entries that have ended, or never were more than an orphaned ack."""
        limit_us = self._clock() - self._remember_us
        for command_id in [key for key, _ in zip(self._entries, range(_SWEEP), strict=False)]:
            entry = self._entries[command_id]
            if entry.readers or _last_us(entry) >= limit_us:
                break
            del self._entries[command_id]


class CommandReader:
    """The views one reader has not taken yet; of more than 64 the oldest are dropped."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._pending: deque[CommandView] = deque(maxlen=_MAX_PENDING)

    def offer(self, view: CommandView) -> None:
        """Note a view."""
        self._pending.append(view)
        self._wakeup.set()

    async def views(self) -> AsyncGenerator[CommandView, None]:
        """Views as the reader takes them; ends after a final one."""
        while True:
            while self._pending:
                view = self._pending.popleft()
                yield view
                if view.final:
                    return
            await self._wakeup.wait()


def _last_us(entry: _Entry) -> int:
    """When an entry stops being of interest: an unfinished command at its expiry, whatever became of it since."""
    times = [entry.ack.time_us if entry.ack else 0]
    if entry.request:
        times.append(entry.request.expires_us)
    if entry.record:
        times.append(entry.record.updated_us)
    return max(times)


def _view(entry: _Entry) -> CommandView | None:
    """Record if there is one, else request; with the acknowledgement on top while that is ahead."""
    if entry.record is not None:
        base = _of_record(entry.record)
    elif entry.request is not None:
        base = _of_request(entry.request)
    else:
        return None
    ack = entry.ack
    if ack is None or base.state in OUTCOMES or ack.state.rank <= base.state.rank:
        return base
    if base.state is CommandState.PENDING_APPROVAL and ack.state is CommandState.DELIVERED:
        return base  # the gateway keeps it, and waits for the approval as well
    return replace(
        base, state=ack.state, provisional=True, updated_us=ack.time_us, detail=ack.detail, readback=ack.readback
    )


def _of_record(record: CommandStateRecord) -> CommandView:
    return CommandView(
        command_id=record.command_id,
        state=record.state,
        version=record.version,
        provisional=False,
        device_id=record.device_id,
        gateway_id=record.gateway_id,
        site=record.site,
        name=record.name,
        parameters=record.parameters,
        submitted_by=record.submitted_by,
        submitted_us=record.submitted_us,
        expires_us=record.expires_us,
        updated_us=record.updated_us,
        detail=record.detail,
        readback=record.readback,
        late_acks=record.late_acks,
        duplicate_acks=record.duplicate_acks,
    )


def _of_request(request: CommandRequest) -> CommandView:
    return CommandView(
        command_id=request.command_id,
        state=CommandState.PENDING_APPROVAL if request.requires_approval else CommandState.ACCEPTED,
        version=0,
        provisional=True,
        device_id=request.device_id,
        gateway_id=request.gateway_id,
        site=request.site,
        name=request.name,
        parameters=request.parameters,
        submitted_by=request.submitted_by,
        submitted_us=request.submitted_us,
        expires_us=request.expires_us,
        updated_us=request.submitted_us,
    )
