"""The routes file: YAML, checked as a whole. Enters: text. Leaves: `Routes` and warnings, or a ConfigError that names the place.

What is allowed is in `routes_models`. What a file names has to be in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from base.errors import ConfigError, InvalidRequestError, MillraceError
from base.moments import zone_of
from base.secrets import resolve
from connectors.mqtt_transport.settings import MqttSettings
from notifier import routes
from notifier.calendar import DAY_MINUTES, DAYS, Calendar, Span
from notifier.routes_models import CalendarModel, DutyModel, FileModel, TargetModel

_LONGEST = 1 << 20
_MINUTE_US, _SECOND_US, _HOUR_US, _DAY_US = 60_000_000, 1_000_000, 3_600_000_000, 86_400_000_000
_SHOWN = 200
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def read(path: Path) -> routes.Routes:
    """Routes of a file; raises ConfigError."""
    try:
        if path.stat().st_size > _LONGEST:
            msg = f"routes file {path} is larger than {_LONGEST >> 20} MB"
            raise ConfigError(msg)
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"routes file {path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from None
    except (ConfigError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from None


def parse(text: str) -> routes.Routes:
    """Routes of a text; raises ConfigError that names the first place that is wrong."""
    try:
        document = yaml.safe_load(text)
    # Numbers and dates that are none come as Python's own errors.
    except (yaml.YAMLError, RecursionError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        msg = f"not valid YAML: {error}"
        raise ConfigError(msg) from None
    try:
        return _build(FileModel.model_validate(document))
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"])) or "the file"
        more = f" (and {len(others)} more)" if others else ""
        msg = f"{where}: {first['msg'].removeprefix('Value error, ')[:_SHOWN]}{more}"
        raise ConfigError(msg) from None


def warnings(found: routes.Routes) -> Iterator[str]:
    """What is allowed and hardly meant."""
    if all(route.scope for route in found.routes):
        yield "no route takes what is outside of the scopes: give the last one no scope, and nothing is told to nobody"
    used = {name for route in found.routes for step in route.steps for name in step.targets}
    for name in sorted(set(found.targets) - used):
        yield f"targets.{name}: no route leads there"
    for route in found.routes:
        if hours := _unmanned_h(route):
            yield f"routes.{route.name}: nobody is on duty in {hours:g} of the 168 hours of a week, in any step"
    for target in found.targets.values():
        yield from _of_target(target)


def _of_target(target: routes.Target) -> Iterator[str]:
    channel = target.channel
    if isinstance(channel, routes.Webhook) and not channel.key:
        yield f"targets.{target.name}: without a key the receiver cannot tell who sends it"
    if isinstance(channel, routes.Webhook) and channel.url.startswith("http:"):
        yield f"targets.{target.name}: http can be read and changed on its way"
    if isinstance(channel, routes.Email) and channel.security is routes.Security.NONE:
        yield f"targets.{target.name}: without TLS the mail can be read on its way"
    for reference in references(target):
        try:
            resolve(reference)
        except MillraceError as error:
            yield f"targets.{target.name}: {error}"


def references(target: routes.Target) -> list[str]:
    """Secrets that a target names."""
    channel = target.channel
    if isinstance(channel, routes.Email):
        found = [channel.password]
    elif isinstance(channel, routes.Webhook):
        found = [channel.key, channel.token]
    elif isinstance(channel, routes.WebPush):
        found = []  # the key is the installation's: `push.key` of notifier.toml
    else:
        found = [channel.broker.password]
    return [one for one in found if one]


def _unmanned_h(route: routes.Route) -> float:
    """Hours of a week without closed days in which no step reaches anybody."""
    quarters = range(0, 7 * _DAY_US, 15 * _MINUTE_US)
    return sum(not any(step.on_duty(at) for step in route.steps) for at in quarters) / 4


def _build(file: FileModel) -> routes.Routes:
    calendars = {name: _calendar(name, one) for name, one in file.calendars.items()}
    targets = {name: _target(name, one) for name, one in file.targets.items()}
    if both := sorted(set(targets) & set(file.roles)):
        msg = f"roles.{both[0]}: a target has that name"
        raise ConfigError(msg)
    roles = {name: tuple(_duties(f"roles.{name}", duties, targets, calendars)) for name, duties in file.roles.items()}
    made, seen = [], set()
    for route in file.routes:
        where = f"routes.{route.name}"
        if route.name in seen:
            msg = f"{where} is there twice"
            raise ConfigError(msg)
        seen.add(route.name)
        steps = tuple(
            routes.Step(
                after_us=round(step.after_min * _MINUTE_US), duties=tuple(_reached(where, step.tell, targets, roles))
            )
            for step in route.steps
        )
        made.append(
            routes.Route(
                name=route.name,
                scope=route.scope.strip("/"),
                at_least=route.at_least,
                stop_when=frozenset(route.stop_when),
                steps=steps,
            )
        )
    return routes.Routes(targets=targets, routes=tuple(made))


def _reached(
    where: str, names: list[str], targets: Mapping[str, Any], roles: Mapping[str, tuple[routes.Duty, ...]]
) -> Iterator[routes.Duty]:
    for name in names:
        if name in roles:
            yield from roles[name]
        elif name in targets:
            yield routes.Duty(tell=(name,))
        else:
            msg = f"{where}: there is no role or target {name!r}; there are {', '.join(sorted([*roles, *targets]))}"
            raise ConfigError(msg)


def _duties(
    where: str, duties: list[DutyModel], targets: Mapping[str, Any], calendars: Mapping[str, Calendar]
) -> Iterator[routes.Duty]:
    for duty in duties:
        for name in duty.tell:
            if name not in targets:
                msg = f"{where}: there is no target {name!r}; there are {', '.join(sorted(targets))}"
                raise ConfigError(msg)
        if duty.during is not None and duty.during not in calendars:
            msg = f"{where}: there is no calendar {duty.during!r}; there are {', '.join(sorted(calendars)) or 'none'}"
            raise ConfigError(msg)
        if duty.place and not duty.during_shift:
            msg = f"{where}: place says where a shift is, and there is no during_shift"
            raise ConfigError(msg)
        yield routes.Duty(
            tell=tuple(duty.tell),
            during=calendars[duty.during] if duty.during else None,
            during_shift=frozenset(duty.during_shift),
            place=duty.place.strip("/"),
        )


def _calendar(name: str, model: CalendarModel) -> Calendar:
    try:
        zone = zone_of(model.zone)
    except InvalidRequestError as error:
        msg = f"calendars.{name}: {error}"
        raise ConfigError(msg) from None
    spans = tuple(
        Span(days=frozenset(DAYS.index(day) for day in span.days or DAYS), start=span.start % DAY_MINUTES, end=span.end)
        for span in model.times
    )
    return Calendar(zone=zone, spans=spans, closed=frozenset(model.closed))


def _plain(url: str) -> bool:
    """Whether others can read on the way there."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "mqtt") and parts.hostname not in _LOOPBACK


def _target(name: str, model: TargetModel) -> routes.Target:
    given = [one for one in (model.email, model.webhook, model.mqtt, model.web_push) if one is not None]
    if len(given) != 1:
        msg = f"targets.{name}: it has exactly one of email, webhook, mqtt and web_push"
        raise ConfigError(msg)
    channel: routes.Email | routes.Webhook | routes.Mqtt | routes.WebPush
    if model.email is not None:
        channel = routes.Email(**model.email.model_dump() | {"to": tuple(model.email.to)})
        if channel.password and channel.security is routes.Security.NONE:
            msg = f"targets.{name}.email: a password goes over TLS only"
            raise ConfigError(msg)
    elif model.webhook is not None:
        channel = routes.Webhook(**model.webhook.model_dump())
        if channel.token and _plain(channel.url):
            msg = f"targets.{name}.webhook: a token goes over https only"
            raise ConfigError(msg)
    elif model.web_push is not None:
        channel = routes.WebPush(people=tuple(dict.fromkeys(model.web_push.people)))
    else:
        channel = _mqtt(name, dict(model.mqtt or {}))
    return routes.Target(
        name=name,
        channel=channel,
        per_minute=model.per_minute,
        gather_us=round(model.gather_s * _SECOND_US),
        timeout_s=model.timeout_s,
        give_up_us=round(model.give_up_h * _HOUR_US),
        # A person has seen it; a tool has to close what it opened.
        ended=model.email is None and model.web_push is None if model.ended is None else model.ended,
    )


def _mqtt(name: str, settings: dict[str, Any]) -> routes.Mqtt:
    topic = settings.pop("topic", None)
    if not isinstance(topic, str) or not topic or set("+#") & set(topic):
        msg = f"targets.{name}.mqtt: topic is missing, or has a wildcard"
        raise ConfigError(msg)
    try:
        broker = MqttSettings(**settings)
    except (TypeError, ValueError) as error:
        msg = f"targets.{name}.mqtt: {str(error).removeprefix('MqttSettings.__init__() ')}"
        raise ConfigError(msg) from None
    if broker.password and _plain(broker.endpoint):
        msg = f"targets.{name}.mqtt: a password goes over mqtts:// only"
        raise ConfigError(msg)
    return routes.Mqtt(broker=broker, topic=topic)
