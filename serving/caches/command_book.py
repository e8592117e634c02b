"""What is known of commands: the record from `command.states`, and, ahead of it, requests, controls and the gateways' acknowledgements.

Enters: CommandState records (highest version wins), CommandRequests, CommandControls and CommandAcks, each from the beginning of its
topic, in any order between topics. Leaves: `CommandView`s, by id, newest first, or as they change. A view is final only when it comes
from the record; what is known earlier is marked provisional. Commands that ended longer than `remember_s` ago are forgotten, so memory
is bounded by the rate of commands, not by the age of the topic. Called in the event loop only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from base.ids import Clock, now_us
from schemas.commands import CommandAck, CommandControl, CommandRequest, CommandStateRecord, ControlAction
from serving.caches.command_readers import CommandReader, CommandsReader, Picks
from serving.caches.command_view import CommandView, view_of
from serving.caches.wakeup import Wakeup

_SWEEP = 64

Place = tuple[int, int]
"""Place of a command in the order of submission: time of submission in microseconds UTC, and its id as a number."""


def place(view: CommandView) -> Place:
    """Where a command stands in the order of submission."""
    return view.submitted_us, view.command_id.int


@dataclass(slots=True)
class _Entry:
    request: CommandRequest | None = None
    record: CommandStateRecord | None = None
    acks: dict[str, CommandAck] = field(default_factory=dict)
    """The furthest word of each gateway: that of the command's own counts."""
    approval: CommandControl | None = None
    cancellation: CommandControl | None = None
    shown: CommandView | None = None
    readers: list[CommandReader] = field(default_factory=list)


class CommandBook:
    """The cache. Entries are in the order in which they last changed."""

    def __init__(self, *, remember_s: float, clock: Clock = now_us) -> None:
        self._remember_us = int(remember_s * 1e6)
        self._clock = clock
        self._entries: OrderedDict[UUID, _Entry] = OrderedDict()
        self._under_way: dict[UUID, CommandView] = {}
        self._places: list[Place] = []
        """Sorted; places of forgotten commands are passed over and swept out now and then."""
        self._readers: set[CommandsReader] = set()

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

    def apply_control(self, control: CommandControl) -> None:
        """Fold an approval or a cancellation in; the first of each counts."""
        entry = self._entry(control.command_id)
        if control.action is ControlAction.CANCEL:
            entry.cancellation = entry.cancellation or control
        else:
            entry.approval = entry.approval or control
        self._changed(control.command_id, entry)

    def apply_ack(self, ack: CommandAck) -> None:
        """Fold a gateway's acknowledgement in; it is shown while it is ahead of the record."""
        entry = self._entry(ack.command_id)
        known = entry.acks.get(ack.gateway_id)
        if known is None or ack.state.rank > known.state.rank:
            entry.acks[ack.gateway_id] = ack
            self._changed(ack.command_id, entry)

    def get(self, command_id: UUID) -> CommandView | None:
        """A command as it stands."""
        entry = self._entries.get(command_id)
        return entry.shown if entry else None

    def request(self, command_id: UUID) -> CommandRequest | None:
        """The request of a command, when the topic still has it."""
        entry = self._entries.get(command_id)
        return entry.request if entry else None

    def before(self, limit: Place | None) -> Iterator[CommandView]:
        """Commands, newest first, submitted before a place. The book must not change while the iterator is in use."""
        start = len(self._places) if limit is None else bisect_left(self._places, limit)
        for index in range(start - 1, -1, -1):
            view = self._at(self._places[index])
            if view is not None:
                yield view

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

    def open_many(self, wakeup: Wakeup, picks: Picks) -> CommandsReader:
        """A reader of the views that `picks` wants: commands without a final outcome first, in order of submission. Close it when done."""
        reader = CommandsReader(wakeup, sorted(self._under_way.values(), key=place), picks)
        self._readers.add(reader)
        return reader

    def close_many(self, reader: CommandsReader) -> None:
        """Forget a reader."""
        self._readers.discard(reader)

    def _entry(self, command_id: UUID) -> _Entry:
        return self._entries.setdefault(command_id, _Entry())

    def _at(self, where: Place) -> CommandView | None:
        entry = self._entries.get(UUID(int=where[1]))
        view = entry.shown if entry else None
        return view if view is not None and view.submitted_us == where[0] else None

    def _put(self, where: Place) -> None:
        index = bisect_left(self._places, where)
        if index == len(self._places) or self._places[index] != where:  # it may be there from before it was forgotten
            self._places.insert(index, where)

    def _changed(self, command_id: UUID, entry: _Entry) -> None:
        self._entries.move_to_end(command_id)
        known = entry.record or entry.request
        ack = entry.acks.get(known.gateway_id) if known else None
        view = view_of(entry.record, entry.request, ack=ack, approval=entry.approval, cancellation=entry.cancellation)
        if view is not None and view != entry.shown:
            if entry.shown is None or entry.shown.submitted_us != view.submitted_us:
                self._put(place(view))
            entry.shown = view
            if view.final:
                self._under_way.pop(command_id, None)
            else:
                self._under_way[command_id] = view
            for reader in entry.readers:
                reader.offer(view)
            for many in self._readers:
                many.offer(view)
        self._forget()

    def _forget(self) -> None:
        """Drop a few of the oldest entries that have ended, or never were more than an orphaned ack."""
        limit_us = self._clock() - self._remember_us
        for _ in range(min(_SWEEP, len(self._entries))):
            command_id, entry = next(iter(self._entries.items()))
            if entry.readers or _last_us(entry) >= limit_us:
                break
            del self._entries[command_id]
            self._under_way.pop(command_id, None)
        if len(self._places) > 2 * len(self._entries) + _SWEEP:
            self._places = [where for where in self._places if self._at(where) is not None]


def _last_us(entry: _Entry) -> int:
    """When an entry stops being of interest: an unfinished command at its expiry, whatever became of it since."""
    times = [word.time_us for word in (*entry.acks.values(), entry.approval, entry.cancellation) if word]
    if entry.request:
        times.append(entry.request.expires_us)
    if entry.record:
        times.append(entry.record.updated_us)
    return max(times, default=0)
