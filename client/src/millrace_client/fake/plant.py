"""The fake plant: what a test puts in, and the answers to the calls of its clients.

Enters: definitions, values, anomalies and outcomes from the test; requests from clients, by any thread. Leaves: response messages, and the
errors of `millrace_client.errors` where the server would answer with a status. One lock guards everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from millrace_client.aio import AsyncClient
from millrace_client.calls import Call, CommandRef, Method, TagRef
from millrace_client.client import Client
from millrace_client.errors import (
    InvalidRequestError,
    MillraceError,
    PermissionDeniedError,
    UnavailableError,
    UnsupportedError,
)
from millrace_client.fake import rules
from millrace_client.fake.book import Book, Control, Outcome
from millrace_client.fake.registry import Registry
from millrace_client.fake.services import Services
from millrace_client.fake.subscriptions import (
    CommandSubscription,
    EpisodeSubscription,
    Polled,
    Subscription,
    TagSubscription,
)
from millrace_client.fake.transports import Caller, FakeAioTransport, FakeTransport
from millrace_client.ids import now_us
from millrace_client.results import (
    Anomaly,
    AnomalyPhase,
    Command,
    CommandState,
    Device,
    Quality,
    Tag,
    Value,
)

S = TypeVar("S", bound=Subscription)
H = TypeVar("H")
Machine = Callable[["FakePlant", Command], Outcome | None]
"""Carries a command out: returns its outcome, or None for one that the test gives later with `advance`."""

_CODES = {Quality.GOOD: 0, Quality.UNCERTAIN: 0x4000, Quality.BAD: 0x8000}
_ALL = ("read", "command", "approve")
_NEEDS = {"SubmitCommand": "command", "CancelCommand": "command", "ApproveCommand": "approve"}


def obey(plant: FakePlant, command: Command) -> Outcome:
    """Write what the command says to the tags of its device, and read it back."""
    device = plant.device(command.device_path)
    values = rules.writes(device.tags, command.name, command.parameters)
    for name, value in values.items():
        plant.set(f"{device.path}/{name}", value)
    return Outcome(readback=values)


class FakePlant:
    """A plant in memory.

    `machine` carries commands out, by default as told; None: the test moves every command with `advance`, as gateway and record would.
    `clock`: microseconds since 1970-01-01 UTC.
    """

    def __init__(self, *, machine: Machine | None = obey, clock: Callable[[], int] = now_us) -> None:
        self.machine = machine
        self.controls: list[Control] = []
        self._clock = clock
        self._lock = threading.RLock()
        self._registry = Registry(clock)
        self._book = Book()
        self._services = Services(self._registry, self._book, self, clock)
        self._streams: list[Subscription] = []
        self._failures: list[MillraceError] = []
        self._running = True

    # --- for the test ------------------------------------------------------------------------------------------------

    def client(self, name: str = "", *, allow: Collection[str] = _ALL, **options: Any) -> Client:
        """A client of this plant, called `name`, that may do what `allow` has of read, command, approve; `options` as of `Client`."""
        return Client(transport=FakeTransport(self, _caller(name, allow)), **options)

    def async_client(self, name: str = "", *, allow: Collection[str] = _ALL, **options: Any) -> AsyncClient:
        """As `client`, for an event loop."""
        return AsyncClient(transport=FakeAioTransport(self, _caller(name, allow)), **options)

    def define(
        self,
        path: str,
        *,
        value: float | None = None,
        unit: str = "1",
        data_type: str = "DOUBLE",
        writable: bool = False,
        eu_low: float | None = None,
        eu_high: float | None = None,
        description: str = "",
        tag_id: int = 0,
        device_id: int = 0,
        device_class: str = "machine",
        site: str = "",
        gateway_id: str = "",
    ) -> Tag:
        """Add a tag, and its device, or define them anew. `path` is enterprise/site/.../device/tag; ids are made when they are 0."""
        device_path, _, name = path.rpartition("/")
        if not device_path or not name:
            msg = f"{path!r} is not enterprise/site/.../device/tag"
            raise InvalidRequestError(msg)
        with self._lock:
            before, device = self._registry.known_tag(path), self._registry.known_device(device_path)
            site = site or (path.split("/")[1] if path.count("/") > 1 else "site")
            tag = Tag(
                tag_id=tag_id or (before.tag_id if before else self._registry.next_tag_id()),
                device_id=device_id or (device.device_id if device else self._registry.next_device_id()),
                path=path,
                name=name,
                description=description,
                unit=unit,
                data_type=data_type,
                eu_low=eu_low,
                eu_high=eu_high,
                writable=writable,
            )
            self._registry.define(
                tag,
                Device(
                    device_id=tag.device_id,
                    path=device_path,
                    device_class=device_class,
                    site=site,
                    gateway_id=gateway_id or f"gw-{site}-1",
                ),
            )
            if value is not None:
                self.set(tag, value)
            return tag

    def set(
        self, tag: TagRef, value: float, *, quality: Quality = Quality.GOOD, code: int = 0, time_us: int | None = None
    ) -> None:
        """A tag has a new value. `code`: quality in 16 bits, instead of `quality`. An older source time never replaces a newer one."""
        if code:
            quality = Quality.BAD if code & 0x8000 else Quality.UNCERTAIN if code & 0x4000 else Quality.GOOD
        with self._lock:
            known = self._registry.find_tag(tag)
            at_us = self._clock() if time_us is None else time_us
            new = Value(value=value, time_us=at_us, quality=quality, quality_code=code or _CODES[quality])
            if self._registry.set(known.tag_id, new):
                for stream in self._of(TagSubscription):
                    stream.mark([(known.tag_id, known.path)])

    def publish(self, step: Anomaly) -> None:
        """An anomaly episode opens, goes on or closes."""
        with self._lock:
            if step.phase is AnomalyPhase.CLOSE:
                self._services.episodes.pop(step.episode_id, None)
            else:
                self._services.episodes[step.episode_id] = step
            for stream in self._of(EpisodeSubscription):
                stream.offer(step)

    def device(self, device: int | str) -> Device:
        """A device as clients see it."""
        with self._lock:
            return self._registry.find_device(device)

    @property
    def commands(self) -> list[Command]:
        """Commands as they stand, in the order in which they were submitted."""
        with self._lock:
            return list(self._book.commands.values())

    def advance(
        self,
        command: CommandRef,
        state: CommandState,
        *,
        detail: str = "",
        readback: Mapping[str, float] | None = None,
        provisional: bool = False,
    ) -> Command:
        """A command goes on. `provisional`: the gateway says so, the record does not yet."""
        wanted = command.command_id if isinstance(command, Command) else UUID(str(command))
        outcome = Outcome(state=state, detail=detail, readback=readback or {})
        with self._lock:
            moved = self._book.advance(wanted, outcome, provisional=provisional, now_us=self._clock())
            for stream in self._of(CommandSubscription):
                if stream.command_id == wanted:
                    stream.offer(moved)
            return moved

    def fail(self, error: MillraceError, *, times: int = 1) -> None:
        """The next calls, `times` of them, fail with `error`."""
        with self._lock:
            self._failures += [error] * times

    def stop(self) -> None:
        """The server goes away: streams end and calls fail as UNAVAILABLE, until `start`. What it knows it keeps."""
        with self._lock:
            self._running = False
            for stream in self._streams:
                stream.end(UnavailableError("the server is stopping; connect again"))
            self._streams.clear()

    def start(self) -> None:
        """The server is back."""
        with self._lock:
            self._running = True

    # --- for the transports and the services -------------------------------------------------------------------------

    def answer(self, caller: Caller, call: Call[Any]) -> Message:
        """Answer of a unary call."""
        with self._lock:
            self._admit(caller, call)
            return self._supported(self._services.unary, call)(call.request, caller.principal)

    def subscribe(self, caller: Caller, call: Call[Any], wake: Callable[[], None]) -> Subscription:
        """Open a stream."""
        with self._lock:
            self._admit(caller, call)
            stream = self._supported(self._services.streaming, call)(call.request, wake)
            self._streams.append(stream)
            return stream

    def poll(self, subscription: Subscription) -> Polled:
        """Next message of a stream, or how long to wait for one."""
        with self._lock:
            return subscription.poll()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a stream."""
        with self._lock:
            if subscription in self._streams:
                self._streams.remove(subscription)

    def submitted(self, command: Command) -> None:
        """A new command: the machine carries it out, once it needs no approval."""
        if self.machine is not None and command.state is CommandState.ACCEPTED:
            self._carry_out(self.machine, command)

    def controlled(self, control: Control) -> None:
        """A cancellation or an approval: without a machine it is only noted."""
        self.controls.append(control)
        if self.machine is None:
            return
        if control.action == "CANCEL":
            self.advance(control.command_id, CommandState.CANCELLED, detail=control.reason)
        else:
            self._carry_out(self.machine, self._book.get(control.command_id))

    def _carry_out(self, machine: Machine, command: Command) -> None:
        accepted = self.advance(command, CommandState.ACCEPTED)
        outcome = machine(self, accepted)
        if outcome is not None:
            self.advance(command, CommandState.DELIVERED)
            self.advance(command, CommandState.EXECUTING)
            self.advance(command, outcome.state, detail=outcome.detail, readback=outcome.readback)

    def _admit(self, caller: Caller, call: Call[Any]) -> None:
        """Refuse a call, as far as that does not need its content."""
        if not self._running:
            msg = "the server is not running"
            raise UnavailableError(msg)
        if self._failures:
            raise self._failures.pop(0)
        needed = _NEEDS.get(call.method.name, "read")
        if needed not in caller.allow:
            msg = f"{caller.principal} may not {needed}; allowed: {', '.join(sorted(caller.allow)) or 'nothing'}"
            raise PermissionDeniedError(msg)

    def _supported(self, handlers: Mapping[Method, H], call: Call[Any]) -> H:
        if call.method in handlers:
            return handlers[call.method]
        msg = f"{call.method.path} is not a method of this server"
        raise UnsupportedError(msg)

    def _of(self, kind: type[S]) -> Iterator[S]:
        return (stream for stream in self._streams if isinstance(stream, kind))


def _caller(name: str, allow: Collection[str]) -> Caller:
    if unknown := set(allow) - set(_ALL):
        msg = f"allow has {', '.join(sorted(unknown))}; there are {', '.join(_ALL)}"
        raise InvalidRequestError(msg)
    return Caller(f"local:{name}" if name else "local", frozenset(allow))
