"""The verbs: `millrace-client watch|history|tags|devices|anomalies|label|alarm|command|get|cancel|approve`.

Exit codes: 0 done, and for a command: SUCCEEDED; 1 the command ended otherwise, or a check failed; 2 wrong arguments; 3
the server or a right is missing; 4 no outcome in time. Errors go to standard error and name cause and fix. `--json`
prints one result a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from uuid import UUID

from rich.live import Live
from rich.text import Text

from millrace_client.cli import alarms, history, render
from millrace_client.cli.find import find_device, find_paths
from millrace_client.client import Client
from millrace_client.connection import Connection
from millrace_client.errors import (
    ConfigError,
    DeadlineExceededError,
    InvalidRequestError,
    MillraceError,
    NotFoundError,
)
from millrace_client.results import AnomalyVerdict, Command, TagUpdate

_OK, _FAILED, _USAGE, _UNAVAILABLE, _NO_OUTCOME = range(5)
_WITHDRAW = "withdraw"
_WAIT_BEYOND_EXPIRY_S = 30.0


def _devices(client: Client, args: argparse.Namespace) -> int:
    found = list(client.devices(args.prefix))
    if args.json:
        for device in found:
            print(render.as_json(device))
    else:
        render.console().print(render.devices_table(found))
    return _OK if found else _nothing(args.prefix)


def _tags(client: Client, args: argparse.Namespace) -> int:
    paths = find_paths(client, args.paths)
    found = [tag for path in paths or [""] for tag in client.tags(path)]
    if args.json:
        for tag in found:
            print(render.as_json(tag))
    else:
        render.console().print(render.tags_table(found))
    return _OK if found else _nothing(" ".join(args.paths))


def _watch(client: Client, args: argparse.Namespace) -> int:
    paths = find_paths(client, args.paths)
    out = render.console()
    units: dict[int, str] = {}
    if not args.json:
        units = {tag.tag_id: "" if tag.unit == "1" else tag.unit for path in paths or [""] for tag in client.tags(path)}
    latest: dict[str, TagUpdate] = {}
    left = args.count
    live = Live(console=out, refresh_per_second=8) if out.is_terminal and not args.json and not args.count else None
    with client.watch(paths, max_rate_hz=args.rate) as updates, live or nullcontext():
        for update in updates:
            if live:
                latest[update.path] = update
                live.update(render.updates_table(latest, units, rows=max(1, out.height - 3)))
            elif args.json:
                print(render.as_json(update), flush=True)
            else:
                out.print(render.update_line(update, units.get(update.tag_id, "")))
            left -= 1
            if left == 0:
                break
    return _OK


def _history(client: Client, args: argparse.Namespace) -> int:
    if history.run(client, args):
        return _OK
    _complain("nothing in this range")
    return _FAILED


def _anomalies(client: Client, args: argparse.Namespace) -> int:
    out, left = render.console(), args.count
    with client.anomalies(args.prefix) as steps:
        for step in steps:
            if args.json:
                print(render.as_json(step), flush=True)
            else:
                out.print(render.anomaly_lines(step))
            left -= 1
            if left == 0:
                break
    return _OK


def _label(client: Client, args: argparse.Namespace) -> int:
    if args.verdict == _WITHDRAW:
        found = client.withdraw_anomaly_label(args.id, args.why)
    else:
        verdict = AnomalyVerdict[args.verdict.upper().replace("-", "_")]
        found = client.label_anomaly(str(args.id), verdict, args.why)
    if args.json:
        print(render.as_json(found))
    else:
        render.console().print(render.anomaly_lines(found))
    return _OK


def _command(client: Client, args: argparse.Namespace) -> int:
    command = client.submit(
        find_device(client, args.device),
        args.name,
        dict(args.parameters),
        command_id=args.id,
        expires_ms=args.expires_ms,
        requires_approval=args.approve,
        reason=args.reason,
    )
    if not args.json:
        render.console().print(render.command_head(command))
    if not args.wait:
        _show(command, args)
        return _OK
    left_s = (command.expires_us - command.submitted_us) / 1e6 + _WAIT_BEYOND_EXPIRY_S
    return _until_outcome(client, command, args, left_s)


def _until_outcome(client: Client, command: Command, args: argparse.Namespace, left_s: float) -> int:
    shown: Text | None = None
    try:
        with client.watch_command(command, deadline_s=left_s) as states:
            for state in states:
                # The record catches up with what was shown ahead of it: people need that only when it says something new.
                line = render.command_line(state)
                if args.json or line != shown:
                    _show(state, args)
                shown = line
                if state.final:
                    return _OK if state.succeeded else _FAILED
    except DeadlineExceededError:
        _complain(f"no outcome within {left_s:.0f} s; the command goes on: see `get {command.command_id}`")
    return _NO_OUTCOME


def _get(client: Client, args: argparse.Namespace) -> int:
    command = client.command(args.id)
    if not args.json:
        render.console().print(render.command_head(command))
    _show(command, args)
    return _OK


def _cancel(client: Client, args: argparse.Namespace) -> int:
    _show(client.cancel(args.id, args.reason), args)
    return _OK


def _approve(client: Client, args: argparse.Namespace) -> int:
    _show(client.approve(args.id, args.reason), args)
    return _OK


def _show(command: Command, args: argparse.Namespace) -> None:
    if args.json:
        print(render.as_json(command), flush=True)
    else:
        out = render.console()
        out.print(render.command_line(command))
        for line in render.outcome_lines(command):
            out.print(line)


def _nothing(what: str) -> int:
    _complain(f"nothing at or under {what!r}; `devices` and `tags` without a path list everything")
    return _FAILED


def _complain(text: str) -> None:
    print(f"millrace-client: {text}", file=sys.stderr)


def _parameter(text: str) -> tuple[str, float]:
    name, separator, value = text.partition("=")
    words = {"true": 1.0, "on": 1.0, "false": 0.0, "off": 0.0}
    try:
        if not separator or not name:
            raise ValueError
        return name, words[value.lower()] if value.lower() in words else float(value)
    except ValueError:
        msg = f"{text!r} is not name=number (or name=true, name=false)"
        raise argparse.ArgumentTypeError(msg) from None


def parser(prog: str = "millrace-client") -> argparse.ArgumentParser:
    """Arguments of the program, under the name by which it was called."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="one JSON object a line")
    shared.add_argument("--address", default="", help="host:port (default: MILLRACE_GRPC)")
    shared.add_argument(
        "--ca", default="", help="server's CA in PEM; its presence means TLS (default: MILLRACE_GRPC_CA)"
    )
    shared.add_argument("--tls", action="store_true", default=None, help="TLS, trusting well-known CAs")
    shared.add_argument("--cert", default="", help="own certificate in PEM (default: MILLRACE_GRPC_CERT)")
    shared.add_argument("--key", default="", help="own key in PEM (default: MILLRACE_GRPC_KEY)")
    shared.add_argument("--as", dest="as_name", default="", help="name of the caller, on a server without tokens")
    shared.add_argument(
        "--deadline-s", type=float, default=10.0, help="deadline of each call, retries included (default 10)"
    )
    made = argparse.ArgumentParser(prog=prog, description="State and commands of the plant.")
    verbs = made.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[Client, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        found = verbs.add_parser(name, parents=[shared], help=text, description=text)
        found.set_defaults(run=run)
        return found

    paths_help = "path of a tag, device, cell, ...; a trailing * is allowed; or the name of a device"
    watch = verb("watch", _watch, "Follow live values.")
    watch.add_argument("paths", nargs="*", metavar="PATH", help=paths_help)
    watch.add_argument(
        "--rate", type=float, default=0.0, metavar="HZ", help="at most this many values a second per tag (default 4)"
    )
    watch.add_argument("--count", type=int, default=0, metavar="N", help="stop after N values")
    tags = verb("tags", _tags, "List tags with their last values.")
    tags.add_argument("paths", nargs="*", metavar="PATH", help=paths_help)
    verb("devices", _devices, "List devices.").add_argument("prefix", nargs="?", default="", metavar="PATH")
    history.add_arguments(verb("history", _history, "Read samples of the past, or windows of them."))
    anomalies = verb("anomalies", _anomalies, "Follow anomaly episodes: those open now, then every step.")
    anomalies.add_argument("prefix", nargs="?", default="", metavar="PATH")
    anomalies.add_argument("--count", type=int, default=0, metavar="N", help="stop after N steps")
    label = verb("label", _label, "Say what an anomaly episode was, or take that back: detection minds it.")
    label.add_argument("id", type=UUID, metavar="ID", help="of the episode; of the label for withdraw")
    label.add_argument("verdict", choices=("not-a-fault", "fault", _WITHDRAW), help="what it was")
    label.add_argument("--why", default="", metavar="TEXT", help="needed for a verdict; at most 500 characters")
    alarms.add(verbs, shared)
    command = verb("command", _command, "Send a command to a device and wait for its outcome.")
    command.add_argument("device", metavar="DEVICE", help="id, path or name")
    command.add_argument("name", metavar="NAME", help="write, or a PackML verb such as start, stop, reset")
    command.add_argument("parameters", nargs="*", type=_parameter, metavar="KEY=VALUE", help="tags to write")
    command.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="wait for the outcome (default)"
    )
    command.add_argument("--expires-ms", type=int, default=0, help="not carried out later than this (default 30000)")
    command.add_argument(
        "--approve", action="store_true", help="ask for approval by somebody else before it is carried out"
    )
    command.add_argument("--reason", default="", help="why, for the record; at most 500 characters")
    command.add_argument("--id", type=UUID, default=None, help="UUIDv7; the same id again is the same command")
    verb("get", _get, "Show a command.").add_argument("id", type=UUID, metavar="ID")
    for name, run, text in (
        ("cancel", _cancel, "Withdraw a command."),
        ("approve", _approve, "Release a command that waits for approval."),
    ):
        control = verb(name, run, text)
        control.add_argument("id", type=UUID, metavar="ID")
        control.add_argument("--reason", default="")
    return made


def main(argv: Sequence[str] | None = None, *, prog: str = "millrace-client") -> int:
    """Run one verb; the exit code says how it went."""
    args = parser(prog).parse_args(argv)
    try:
        connection = Connection.from_environment(
            address=args.address, tls=args.tls, ca=args.ca, cert=args.cert, key=args.key, name=args.as_name
        )
        with Client(connection, deadline_s=args.deadline_s) as client:
            return int(args.run(client, args))
    except (InvalidRequestError, NotFoundError, ConfigError) as error:
        _complain(str(error))
        return _USAGE
    except MillraceError as error:
        _complain(str(error))
        return _UNAVAILABLE
    except KeyboardInterrupt:
        return 130
