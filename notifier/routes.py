"""What the notifier goes by: targets, roles, calendars, routes. Frozen, checked by `notifier.routes_file`; no input or output.

Names: a *target* is where something is sent (an address, a URL, a topic). A *role* is who that is at which time. A *route* says which
alarms are told to whom, in steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.mqtt_transport.settings import MqttSettings
from notifier.calendar import Calendar
from notifier.shifts import NOTHING_KNOWN, Shifts
from schemas.alarms import Alarm
from schemas.priorities import Priority


class StopWhen(StrEnum):
    """What ends an escalation. That the alarm is normal, or put aside, ends it at any rate."""

    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"


class Security(StrEnum):
    """How the connection to a mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Email:
    """Mail through a server (SMTP)."""

    host: str
    port: int
    security: Security
    username: str
    password: str
    """A reference."""
    ca_file: str
    sender: str
    to: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """Alertmanager's JSON to a URL, signed as Standard Webhooks has it."""

    url: str
    key: str
    """A reference; empty: not signed."""
    token: str
    """A reference to a bearer token, or empty."""
    ca_file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mqtt:
    """The same JSON to a topic, QoS 1."""

    broker: MqttSettings
    topic: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WebPush:
    """The browsers of people who turned it on (Web Push)."""

    people: tuple[str, ...]
    """Names of principals."""
    to: tuple[str, ...] = ()
    """Ids of the subscriptions that do not have the message yet; empty: all of these people."""
    taken: bool = False
    """Whether a browser has it from an earlier attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where to, how much at once, and how patiently."""

    name: str
    channel: Email | Webhook | Mqtt | WebPush
    per_minute: int
    """Messages in any minute. What is critical does not count and does not wait."""
    gather_us: int
    """What comes within this time of the first is told with it."""
    timeout_s: float
    """How long the receiver may take."""
    give_up_us: int
    """For how long it is tried."""
    ended: bool
    """Whether it is told of ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """These targets, while the calendar says so, or a shift of the plant is on; always without either.

    `during_shift`: of these names, at `place`, or where the alarm is when that is empty.
    """

    tell: tuple[str, ...]
    during: Calendar | None = None
    during_shift: frozenset[str] = frozenset()
    place: str = ""

    def holds(self, time_us: int, path: str, shifts: Shifts) -> bool:
        """Whether they are on duty for an alarm at a path."""
        if self.during is not None and not self.during.covers(time_us):
            return False
        return not self.during_shift or shifts.counts(self.during_shift, self.place or path, time_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Told `after_us` behind the step before, or behind the activation."""

    after_us: int
    duties: tuple[Duty, ...]

    @property
    def targets(self) -> frozenset[str]:
        """All that it can reach, whoever is on duty."""
        return frozenset(name for duty in self.duties for name in duty.tell)

    def on_duty(self, time_us: int, path: str = "", shifts: Shifts = NOTHING_KNOWN) -> list[str]:
        """Whom it reaches at a time, for an alarm at a path, in the order of the file."""
        found = [name for duty in self.duties if duty.holds(time_us, path, shifts) for name in duty.tell]
        return list(dict.fromkeys(found))


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Alarms at or under `scope` that are at least as urgent as `at_least`."""

    name: str
    scope: str
    at_least: Priority
    stop_when: frozenset[StopWhen]
    steps: tuple[Step, ...]

    def takes(self, alarm: Alarm) -> bool:
        """Whether the alarm goes this way."""
        return alarm.priority.rank <= self.at_least.rank and (
            not self.scope or alarm.path == self.scope or alarm.path.startswith(f"{self.scope}/")
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Routes:
    """A whole file."""

    targets: Mapping[str, Target] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    @property
    def by_shifts(self) -> bool:
        """Whether it goes by shifts of the plant's model of work."""
        return any(duty.during_shift for route in self.routes for step in route.steps for duty in step.duties)

    @property
    def to_browsers(self) -> bool:
        """Whether a target is browsers of people."""
        return any(isinstance(target.channel, WebPush) for target in self.targets.values())
