"""Command line of the client: `python -m client watch|tags|devices|anomalies|command|get|cancel|approve`.

Exit codes: 0 done, and for a command: SUCCEEDED; 1 the command ended otherwise, or a check failed; 2 wrong arguments; 3
the server or a right is missing; 4 no outcome in time. Errors go to standard error and name cause and fix. `--json`
prints one message a line.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from uuid import UUID

from rich.live import Live
from rich.text import Text

from base.errors import ConfigError, InvalidRequestError, MillraceError, NotFoundError
from client import render
from client.address import local_connection
from client.client import Client, is_final
from client.find import find_device, find_paths
from schemas.proto.millrace.v1 import commands_pb2, state_pb2

_OK, _FAILED, _USAGE, _UNAVAILABLE, _NO_OUTCOME = range(5)
_WAIT_BEYOND_EXPIRY_S = 30.0


async def _devices(client: Client, args: argparse.Namespace) -> int:
    found = [device async for device in client.devices(args.prefix)]
    if args.json:
        for device in found:
            print(render.as_json(device))
    else:
        render.console().print(render.devices_table(found))
    return _OK if found else _nothing(args.prefix)


async def _tags(client: Client, args: argparse.Namespace) -> int:
    paths = await find_paths(client, args.paths)
    found = [tag for path in paths or [""] async for tag in client.tags(path)]
    if args.json:
        for tag in found:
            print(render.as_json(tag))
    else:
        render.console().print(render.tags_table(found))
    return _OK if found else _nothing(" ".join(args.paths))


async def _watch(client: Client, args: argparse.Namespace) -> int:
    paths = await find_paths(client, args.paths)
    out = render.console()
    units: dict[int, str] = {}
    if not args.json:
        async for tag in _tags_under(client, paths):
            units[tag.tag_id] = "" if tag.unit == "1" else tag.unit
    latest: dict[str, state_pb2.TagUpdate] = {}
    left = args.count
    live = Live(console=out, refresh_per_second=8) if out.is_terminal and not args.json and not args.count else None
    async with aclosing(client.watch(paths, max_rate_hz=args.rate)) as updates:
        if live:
            live.start()
        try:
            async for update in updates:
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
        finally:
            if live:
                live.stop()
    return _OK


async def _tags_under(client: Client, paths: list[str]) -> AsyncGenerator[state_pb2.Tag, None]:
    for path in paths or [""]:
        async for tag in client.tags(path):
            yield tag


async def _anomalies(client: Client, args: argparse.Namespace) -> int:
    out, left = render.console(), args.count
    async with aclosing(client.anomalies(args.prefix)) as steps:
        async for step in steps:
            if args.json:
                print(render.as_json(step), flush=True)
            else:
                out.print(render.anomaly_lines(step))
            left -= 1
            if left == 0:
                break
    return _OK


async def _command(client: Client, args: argparse.Namespace) -> int:
    device = await find_device(client, args.device)
    command = await client.submit(
        device,
        args.name,
        dict(args.parameters),
        command_id=args.id,
        expires_ms=args.expires_ms,
        requires_approval=args.approve,
    )
    if not args.json:
        render.console().print(render.command_head(command))
    if not args.wait:
        _show(command, args)
        return _OK
    left_s = (command.expires_us - command.submitted_us) / 1e6 + _WAIT_BEYOND_EXPIRY_S
    return await _until_outcome(client, UUID(command.command_id), args, left_s)


async def _until_outcome(client: Client, command_id: UUID, args: argparse.Namespace, left_s: float) -> int:
    try:
        async with asyncio.timeout(left_s), aclosing(client.watch_command(command_id)) as states:
            shown: Text | None = None
            async for command in states:
                # The record catches up with what was shown ahead of it: people need that only when it says something new.
                line = render.command_line(command)
                if args.json or line != shown:
                    _show(command, args)
                shown = line
                if is_final(command):
                    return _OK if command.state == commands_pb2.COMMAND_STATE_SUCCEEDED else _FAILED
    except TimeoutError:
        _complain(f"no outcome within {left_s:.0f} s; the command goes on: python -m client get {command_id}")
    return _NO_OUTCOME


async def _get(client: Client, args: argparse.Namespace) -> int:
    command = await client.command(args.id)
    if not args.json:
        render.console().print(render.command_head(command))
    _show(command, args)
    return _OK


async def _cancel(client: Client, args: argparse.Namespace) -> int:
    _show(await client.cancel(args.id, args.reason), args)
    return _OK


async def _approve(client: Client, args: argparse.Namespace) -> int:
    _show(await client.approve(args.id, args.reason), args)
    return _OK


def _show(command: commands_pb2.Command, args: argparse.Namespace) -> None:
    if args.json:
        print(render.as_json(command), flush=True)
    else:
        render.console().print(render.command_line(command))


def _nothing(what: str) -> int:
    _complain(f"nothing at or under {what!r}; `devices` and `tags` without a path list everything")
    return _FAILED


def _complain(text: str) -> None:
    print(f"millrace: {text}", file=sys.stderr)


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


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="one JSON object a line")
    shared.add_argument("--address", default="", help="host:port (default: MILLRACE_GRPC, then the local stack)")
    shared.add_argument(
        "--ca", default="", help="server's CA in PEM; its presence means TLS (default: MILLRACE_GRPC_CA)"
    )
    shared.add_argument("--cert", default="", help="own certificate in PEM (default: MILLRACE_GRPC_CERT)")
    shared.add_argument("--key", default="", help="own key in PEM (default: MILLRACE_GRPC_KEY)")
    shared.add_argument("--as", dest="as_name", default="", help="name of the caller, on a server without tokens")
    shared.add_argument("--deadline-s", type=float, default=10.0, help="deadline of each call (default 10)")
    made = argparse.ArgumentParser(prog="millrace", description="State and commands of the plant.")
    verbs = made.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[Client, argparse.Namespace], Awaitable[int]], text: str
    ) -> argparse.ArgumentParser:
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
    anomalies = verb("anomalies", _anomalies, "Follow anomaly episodes: those open now, then every step.")
    anomalies.add_argument("prefix", nargs="?", default="", metavar="PATH")
    anomalies.add_argument("--count", type=int, default=0, metavar="N", help="stop after N steps")
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


async def _run(args: argparse.Namespace) -> int:
    connection = local_connection(address=args.address, ca=args.ca, cert=args.cert, key=args.key, name=args.as_name)
    async with Client(connection, deadline_s=args.deadline_s) as client:
        return int(await args.run(client, args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code says how it went."""
    args = parser().parse_args(argv)
    try:
        return asyncio.run(_run(args))
    except (InvalidRequestError, NotFoundError, ConfigError) as error:
        _complain(str(error))
        return _USAGE
    except MillraceError as error:
        _complain(str(error))
        return _UNAVAILABLE
    except KeyboardInterrupt:
        return 130
