"""`./millrace notify check | test | deliveries | key`: who is told of alarms, whether a message arrives, what became of those due, a key.

Enters: arguments, the routes file, `notifier.toml`. Leaves: findings, one message to a target, a table. Exit status as in
docs/command-line.md.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Message as Record

from base import base64url, ids, logs, p256, tool
from base.errors import ConfigError, MillraceError, NotFoundError, UnavailableError
from base.moments import moment
from base.settings import load, local_config
from connectors.kafka import client as kafka
from notifier import channels, push, routes_file
from notifier.beside import Beside
from notifier.message import Message, Told
from notifier.routes import Email, Route, Routes, Target, Webhook, WebPush
from notifier.settings import NotifierSettings
from notifier.shifts import NOTHING_KNOWN, Shifts
from schemas import topics
from schemas.alarms import Alarm, AlarmState
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState
from schemas.priorities import Priority
from schemas.push import PushSubscription

_ABOUT = """\
Who is told of alarms: a YAML file with targets, roles, calendars and routes (docs/alarms.md). `check` says what is wrong in it and who is
told now or at a time, `test` sends one message to a target, `deliveries` lists what was due and what
became of it, `key` makes the key of browsers' notifications."""
_EXAMPLES = """\
examples:
  notify check alarm-routes.yaml
  notify check alarm-routes.yaml --at 2026-12-24T22:30 --of acme/north/forming/line-1
  notify test on-call --file alarm-routes.yaml
  notify deliveries --since 1h --target on-call"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace notify",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="say what is wrong in a routes file, and who is told now")
    check.add_argument("file", type=Path, metavar="FILE", help="routes file")
    check.add_argument("--at", default="", metavar="TIME", help="who is told at this time: ISO 8601 (default: now)")
    check.add_argument("--of", default="", metavar="PATH", help="of an alarm at this path, for shifts of its place")
    test = actions.add_parser("test", help="send one message to a target now")
    test.add_argument("target", metavar="TARGET", help="name of a target in the routes file")
    test.add_argument("--file", type=Path, metavar="FILE", help="routes file (default: the one that holds)")
    listed = actions.add_parser("deliveries", help="list notifications, the newest last")
    listed.add_argument("--since", default="1d", metavar="TIME", help="ISO 8601, or 2h for two hours ago (default: 1d)")
    listed.add_argument("--target", default="", metavar="TARGET", help="of this target")
    listed.add_argument("--open", action="store_true", help="those that are still to be sent")
    listed.add_argument("--json", action="store_true", help="one JSON object a line")
    key = actions.add_parser("key", help="make the key of browsers' notifications, and say its public half")
    key.add_argument("file", type=Path, metavar="FILE", help="where the private half is, or is to be")
    for one in (check, test, listed):
        one.add_argument("--config", type=Path, metavar="FILE", help="notifier.toml (default: the local stack's)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    logs.configure("notify")
    actions = {"check": _check, "test": _test, "deliveries": _deliveries, "key": _key}
    return tool.run("notify", lambda: actions[args.action](args), config=tool.FAILED)


def _check(args: argparse.Namespace) -> int:
    found = routes_file.read(args.file)
    for target in found.targets.values():
        sys.stdout.write(f"{target.name:<24} {_where(target)}\n")
    at_us = round(moment(args.at, datetime.now(UTC)).timestamp() * 1e6) if args.at else ids.now_us()
    when = f"at {datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC" if args.at else "now"
    shifts = _shifts(args, found) if found.by_shifts else NOTHING_KNOWN
    for route in found.routes:
        sys.stdout.writelines(_route_lines(route, at_us, when, args.of, shifts))
    for warning in routes_file.warnings(found):
        sys.stdout.write(f"{args.file}: warning: {warning}\n")
    sys.stdout.write(f"{len(found.targets)} targets, {len(found.routes)} routes\n")
    return 0


def _shifts(args: argparse.Namespace, routes: Routes) -> Shifts:
    """What is known of the plant's shifts; nothing, with the reason said, where that cannot be read."""
    try:
        return _beside(_settings(args), dataclasses.replace(routes, targets={})).shifts
    except MillraceError as error:
        sys.stderr.write(f"notify: shifts cannot be read, so everybody who has one counts as on duty: {error}\n")
        return NOTHING_KNOWN


def _beside(settings: NotifierSettings, routes: Routes) -> Beside:
    """What the notifier follows beside alarms, as it stands now; a record that cannot be read is passed over with a line."""
    found = Beside(settings.kafka, routes, lambda _: None, _passed_over, ids.now_us)
    found.read()
    return found


def _passed_over(topic: str, record: Record, error: Exception) -> None:
    sys.stderr.write(f"notify: offset {record.offset()} of {topic} is passed over: {error}\n")


def _route_lines(route: Route, at_us: int, when: str, path: str, shifts: Shifts) -> Iterator[str]:
    path = path or route.scope
    which = "all alarms" if route.at_least is Priority.LOW else f"{route.at_least} and above"
    yield f"{route.name}: {which} {'of ' + route.scope if route.scope else 'everywhere'}\n"
    for number, step in enumerate(route.steps, 1):
        minutes = step.after_us / 60_000_000
        after = f"after {minutes:g} min" if minutes else "at once"
        told = ", ".join(step.on_duty(at_us, path, shifts)) or "nobody, the next step follows at once"
        yield f"  {number}. {after:<14} {when}: {told}\n"
        for duty in step.duties:
            if duty.during_shift and (why := shifts.unknown(duty.during_shift, duty.place or path, at_us)):
                names = ", ".join(sorted(duty.during_shift))
                yield f"     {', '.join(duty.tell)} count as on duty: whether {names} is on is not known, {why}\n"


def _where(target: Target) -> str:
    match target.channel:
        case Email():
            return f"mail to {', '.join(target.channel.to)} through {target.channel.host}:{target.channel.port}"
        case Webhook():
            return f"webhook {target.channel.url}"
        case WebPush():
            return f"browsers of {', '.join(target.channel.people)}"
        case channel:
            return f"MQTT {channel.topic} at {channel.broker.endpoint}"


def _test(args: argparse.Namespace) -> int:
    settings = None if args.file else _settings(args)
    found = routes_file.read(args.file or settings.routes)  # type: ignore[union-attr]
    target = _target(found, args.target)
    message = Message(message_id=uuid4(), target=target.name, told=(_sample(target.name),))
    try:
        said = asyncio.run(_send(found, target, message, args))
    except Exception as error:  # whatever the receiver or its library says is the answer
        msg = f"{target.name} did not take it: {type(error).__name__}: {error}"
        raise UnavailableError(msg) from error
    sys.stdout.write(f"{target.name} took message {message.message_id}: {said}\n")
    return 0


async def _send(routes: Routes, target: Target, message: Message, args: argparse.Namespace) -> str:
    if not isinstance(target.channel, WebPush):
        return await channels.send(target, message)
    settings = _settings(args)
    browsers = _beside(settings, dataclasses.replace(routes, routes=())).browsers(target.channel)

    async def gone(one: PushSubscription) -> None:
        sys.stderr.write(f"notify: a browser of {one.principal} takes none any more; the notifier ends it\n")

    return await push.send(target, message, browsers, settings.push, gone)


def _key(args: argparse.Namespace) -> int:
    """Make the key once; say its public half."""
    args.file.parent.mkdir(parents=True, exist_ok=True)
    try:
        key = p256.read_or_make(args.file)
    except ValueError as error:
        msg = f"{args.file} is no private key of P-256 as PEM: {error}"
        raise ConfigError(msg) from None
    sys.stdout.write(f"{base64url.encode(p256.point(key.public_key()))}\n")
    return 0


def _target(found: Routes, name: str) -> Target:
    if name not in found.targets:
        msg = f"no target {name!r}; there are {', '.join(sorted(found.targets))}"
        raise NotFoundError(msg)
    return found.targets[name]


def _sample(target: str) -> Told:
    number, now_us = uuid4(), ids.now_us()
    about: dict[str, Any] = {"site": "test", "rule": "notify-test", "path": "test/notify", "priority": Priority.LOW}
    alarm = Alarm(
        alarm_id=number,
        source_id=uuid4(),
        version=1,
        rule_version=1,
        device_id=0,
        gateway_id="",
        state=AlarmState.UNACKNOWLEDGED,
        activations=1,
        activated_us=now_us,
        title="This is a test of Millrace's notifications",
        detail="nothing is wrong",
        corrective_action="nothing has to be done",
        **about,
    )
    notification = AlarmNotification(
        notification_id=uuid4(),
        kind=NotificationKind.RAISED,
        state=NotificationState.SENDING,
        alarm_id=number,
        activation=1,
        route="test",
        step=0,
        target=target,
        created_us=now_us,
        updated_us=now_us,
        **about,
    )
    return Told(notification=notification, alarm=alarm)


def _deliveries(args: argparse.Namespace) -> int:
    settings = _settings(args)
    since_us = round(moment(args.since, datetime.now(UTC)).timestamp() * 1e6)
    topic = topics.ALARM_NOTIFICATIONS.name
    found = kafka.read_newest(settings.kafka, topic, AlarmNotification.decode, _passed_over)
    chosen = [
        one
        for one in found.values()
        if one.updated_us >= since_us and args.target in ("", one.target) and (one.state.open or not args.open)
    ]
    for one in sorted(chosen, key=lambda each: each.updated_us):
        sys.stdout.write(f"{json.dumps(dataclasses.asdict(one), default=str) if args.json else _line(one)}\n")
    if not args.json and not settings.routes.exists():
        sys.stderr.write(f"notify: nobody is told of alarms: there is no {settings.routes}\n")
    return 0


def _line(one: AlarmNotification) -> str:
    at = datetime.fromtimestamp(one.updated_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    kind = "over" if one.kind is NotificationKind.ENDED else f"step {one.step + 1}"
    what = one.title or one.rule
    return f"{at}  {one.state:<9}  {one.target:<20}  {kind:<7}  {one.priority:<8}  {one.path}  {what}  {one.detail}".rstrip()


def _settings(args: argparse.Namespace) -> NotifierSettings:
    return load(NotifierSettings, args.config or local_config("notifier.toml"), service="notifier")


if __name__ == "__main__":
    sys.exit(main())
