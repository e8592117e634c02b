"""The fake plant: what a test puts in. What its clients get is in `server`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from millrace_client.aio import AsyncClient
from millrace_client.calls import CommandRef, TagRef
from millrace_client.client import Client
from millrace_client.errors import InvalidRequestError, MillraceError, UnavailableError
from millrace_client.fake import rules
from millrace_client.fake.book import Outcome
from millrace_client.fake.server import PlantServer
from millrace_client.fake.subscriptions import (
    EventSubscription,
    GatewaySubscription,
    WindowSubscription,
)
from millrace_client.fake.tag_subscriptions import TagSubscription
from millrace_client.fake.transports import Caller, FakeAioTransport, FakeTransport
from millrace_client.fake.work import Recipe
from millrace_client.ids import now_us
from millrace_client.results import (
    Accounting,
    Aggregate,
    Alarm,
    AlarmEvaluationState,
    AlarmEventKind,
    Anomaly,
    Command,
    CommandState,
    Device,
    DeviceState,
    Downtime,
    Effect,
    Event,
    Gateway,
    LineHealth,
    Material,
    OeeFigures,
    ParameterOutcome,
    Quality,
    Reason,
    Reject,
    Shift,
    StateInterval,
    Tag,
    Value,
)

Machine = Callable[["FakePlant", Command], Outcome | None]
"""Carries a command out: returns its outcome, or None for one that the test gives later with `advance`."""

_CODES = {Quality.GOOD: 0, Quality.UNCERTAIN: 0x4000, Quality.BAD: 0x8000}
_ALL = ("read", "command", "approve", "plan", "alarm")


def obey(plant: FakePlant, command: Command) -> Outcome:
    """Write what the command says to the tags of its device, and read it back."""
    device = plant.device(command.device_path)
    values = rules.writes(device.tags, command.name, command.parameters)
    for name, value in values.items():
        plant.set(f"{device.path}/{name}", value)
    outcomes = (ParameterOutcome(name=name, effect=Effect.APPLIED, readback=value) for name, value in values.items())
    return Outcome(readback=values, outcomes=tuple(outcomes))


class FakePlant(PlantServer):
    """A plant in memory.

    `machine` carries commands out, by default as told; None: the test moves every command with `advance`, as gateway and record would.
    `clock`: microseconds since 1970-01-01 UTC. `without`: methods that its server does not have, as an older one.
    """

    def __init__(
        self, *, machine: Machine | None = obey, clock: Callable[[], int] = now_us, without: Collection[str] = ()
    ) -> None:
        super().__init__(clock, without)
        self.machine = machine

    def client(self, name: str = "", *, allow: Collection[str] = _ALL, **options: Any) -> Client:
        """A client of this plant, called `name`, that may do what `allow` has of read, command, approve, plan, alarm."""
        return Client(transport=FakeTransport(self, _caller(name, allow)), **options)

    def async_client(self, name: str = "", *, allow: Collection[str] = _ALL, **options: Any) -> AsyncClient:
        """As `client`, for an event loop."""
        return AsyncClient(transport=FakeAioTransport(self, _caller(name, allow)), **options)

    # --- the registry and its values ---------------------------------------------------------------------------------

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
        limit_low: float | None = None,
        limit_high: float | None = None,
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
                limit_low=limit_low,
                limit_high=limit_high,
                device_path=device_path,
            )
            new = Device(
                device_id=tag.device_id,
                path=device_path,
                device_class=device_class,
                site=site,
                gateway_id=gateway_id or f"gw-{site}-1",
                state=DeviceState.ONLINE,
            )
            if device is not None:
                new = replace(new, state=device.state, packml_state=device.packml_state)
            self._registry.define(tag, new)
            if value is not None:
                self.set(tag, value)
            return tag

    def set(
        self, tag: TagRef, value: float, *, quality: Quality = Quality.GOOD, code: int = 0, time_us: int | None = None
    ) -> None:
        """A tag has a new value. `code`: quality in 16 bits, instead of `quality`.

        An older source time never replaces a newer one; history keeps both.
        """
        if code:
            quality = Quality.BAD if code & 0x8000 else Quality.UNCERTAIN if code & 0x4000 else Quality.GOOD
        with self._lock:
            known = self._registry.find_tag(tag)
            at_us = self._clock() if time_us is None else time_us
            new = Value(value=value, time_us=at_us, quality=quality, quality_code=code or _CODES[quality])
            self._archive.add(known.tag_id, new)
            if self._registry.set(known.tag_id, new):
                for stream in self._of(TagSubscription):
                    stream.mark([(known.tag_id, known.path)])

    def set_state(self, device: int | str, state: DeviceState, packml_state: str = "") -> None:
        """A device is heard or not. OFFLINE: its values are stale, and of bad quality, until it is ONLINE."""
        with self._lock:
            changed = self._registry.set_state(self._registry.find_device(device), state, packml_state)
            for stream in self._of(TagSubscription):
                stream.mark(changed)

    def device(self, device: int | str) -> Device:
        """A device as clients see it."""
        with self._lock:
            return self._registry.find_device(device)

    # --- what happens ------------------------------------------------------------------------------------------------

    def publish(self, step: Anomaly) -> None:
        """An anomaly episode opens, goes on or closes."""
        with self._lock:
            self._publish(step)

    def close_window(self, tag: TagRef, start_us: int, window_s: int) -> Aggregate:
        """The stream closes a window of a tag, over the samples that the plant has."""
        with self._lock:
            window = self._archive.window(self._registry.find_tag(tag).tag_id, start_us, window_s)
            for stream in self._of(WindowSubscription):
                stream.offer(window)
            return window

    def tell(self, event: Event) -> None:
        """An event: BIRTH, DEATH, STATE, STRING, PROPOSAL, REFUSED or GAP."""
        with self._lock:
            self._log.events.append(event)
            for stream in self._of(EventSubscription):
                stream.offer(event)

    def reject(self, reject: Reject) -> None:
        """Validation refused a sample or a record."""
        with self._lock:
            self._log.rejects.append(reject)

    def worked(self, figures: OeeFigures) -> None:
        """OEE of a group, as it is to be answered: nothing is computed here. Its path says what it is of."""
        with self._lock:
            self._log.oee.append(figures)

    def was(self, state: StateInterval) -> None:
        """A machine was in a state."""
        with self._lock:
            self._log.states.append(state)

    def answered(self, of: str, *rows: Any) -> None:
        """What is to be answered of a part of the plant, a lot, an episode, a tag or a batch: results of one kind; nothing is computed."""
        with self._lock:
            self._log.answers[type(rows[0]), of] = rows

    def report(self, gateway: Gateway) -> None:
        """A gateway reports, or falls silent."""
        with self._lock:
            self._log.gateways[gateway.gateway_id] = gateway
            for stream in self._of(GatewaySubscription):
                stream.offer(gateway)

    def set_line(self, *, health: LineHealth | None = None, accounting: Accounting | None = None) -> None:
        """What the line's health and accounting are; None: everything is well."""
        with self._lock:
            self._log.health, self._log.accounting = health, accounting

    # --- work --------------------------------------------------------------------------------------------------------

    def know(self, *things: Material | Recipe | Downtime) -> None:
        """There are materials and recipes; a machine stood."""
        with self._lock:
            for one in things:
                match one:
                    case Material():
                        self._work.materials[one.material] = one
                    case Recipe():
                        self._work.recipes[one.recipe, one.version] = one
                    case Downtime():
                        self._work.stops.append(one)

    def know_reasons(self, *, downtime: Iterable[Reason] = (), scrap: Iterable[Reason] = ()) -> None:
        """There are reasons of stops, and of scrap."""
        with self._lock:
            self._work.downtime_reasons |= {one.reason: one for one in downtime}
            self._work.scrap_reasons |= {one.reason: one for one in scrap}

    def know_shifts(self, scope: str, *shifts: Shift) -> None:
        """A part of the plant works by shifts."""
        with self._lock:
            self._work.shifts += [(scope, one) for one in shifts]

    # --- commands ----------------------------------------------------------------------------------------------------

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
        outcomes: Collection[ParameterOutcome] = (),
        provisional: bool = False,
    ) -> Command:
        """A command goes on. `provisional`: the gateway says so, the record does not yet."""
        wanted = command.command_id if isinstance(command, Command) else UUID(str(command))
        outcome = Outcome(state=state, detail=detail, readback=readback or {}, outcomes=tuple(outcomes))
        with self._lock:
            return self._advance(self._book.get(wanted), outcome, provisional=provisional)

    def _carry_out(self, command: Command) -> None:
        if self.machine is None:
            return
        outcome = self.machine(self, self.advance(command, CommandState.ACCEPTED))
        if outcome is not None:
            self.advance(command, CommandState.DELIVERED)
            self.advance(command, CommandState.EXECUTING)
            self._advance(command, outcome, provisional=False)

    def _withdraw(self, command: Command, reason: str) -> None:
        if self.machine is not None:
            self.advance(command, CommandState.CANCELLED, detail=reason)

    # --- alarms ------------------------------------------------------------------------------------------------------

    @property
    def alarms(self) -> list[Alarm]:
        """Alarms as they stand, those that are over among them."""
        with self._lock:
            return list(self._alarms.alarms.values())

    def raise_alarm(self, alarm: Alarm) -> Alarm:
        """An alarm is raised, or stands otherwise than before: what it says holds."""
        with self._lock:
            now = self._alarms.put(alarm, AlarmEventKind.RAISED if alarm.active else AlarmEventKind.RETURNED)
            self._alarm_changed(now)
            return now

    def switch_alarms(self, *, on: bool, evaluation: AlarmEvaluationState = AlarmEvaluationState.RUNNING) -> None:
        """Whether alarms are switched on, and whether the server sees that they are evaluated."""
        with self._lock:
            self._alarms.on, self._alarms.evaluation = on, evaluation

    # --- the server --------------------------------------------------------------------------------------------------

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


def _caller(name: str, allow: Collection[str]) -> Caller:
    if unknown := set(allow) - set(_ALL):
        msg = f"allow has {', '.join(sorted(unknown))}; there are {', '.join(_ALL)}"
        raise InvalidRequestError(msg)
    return Caller(f"local:{name}" if name else "local", frozenset(allow))
