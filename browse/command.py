"""`./millrace browse`: what a server or broker has, for people and as a plant file's skeleton. Reads only; writes nothing but FILE.

`browse opc.tcp://HOST:PORT` lists endpoints and walks the address space, `browse mqtt://HOST:PORT` listens for some seconds. Exit
statuses are in docs/command-line.md.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from base import secrets
from base.errors import MillraceError
from browse import broker, skeleton, skeleton_text
from browse.listen import ListenError
from browse.machines import companion_of, kind_of, machines, matches
from connectors.opcua import discovery
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.space import Endpoint, Found, Space
from connectors.opcua.walk import Bounds

UNREACHABLE = 3
_PROGRESS_S = 1.0
_SHOWN_VALUE = 40
_SECURITY_KEYS = ("security_policy", "security_mode", "certificate", "private_key")
_LEVELS = ("enterprise", "site", "area", "line", "cell")


class BrowseError(MillraceError):
    """What was asked for cannot be browsed."""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace browse", description="List what a server has, and write a plant file's skeleton of it."
    )
    made.add_argument("url", help="opc.tcp://HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT")
    made.add_argument("--json", action="store_true", help="one JSON object instead of text")
    made.add_argument("--write", type=Path, metavar="FILE", help="write a plant file's skeleton; FILE must not exist")
    made.add_argument(
        "--at", default="enterprise/site/area/line/cell", metavar="PATH", help="where the machines stand, for --write"
    )
    made.add_argument("--gateway", default="gateway-1", metavar="ID", help="who reads them, for --write")
    made.add_argument("--connection", default="server", metavar="NAME", help="name of the connection, for --write")
    made.add_argument(
        "--root", default="i=85", metavar="NODE", help="node id to begin at (ns=2;s=Line1); default: Objects"
    )
    made.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="PATTERN",
        help="objects that are devices of their own, by their path as it is listed: 'Line 1/Tanks/*'; may be given again",
    )
    made.add_argument("--max-nodes", type=_positive, default=20_000, metavar="N", help="stop after so many nodes")
    made.add_argument("--max-depth", type=_positive, default=20, metavar="N", help="stop so many steps from the root")
    made.add_argument("--username", default="", metavar="NAME")
    made.add_argument("--password", default="", metavar="REFERENCE", help="file:PATH or env:NAME")
    made.add_argument(
        "--security",
        default="",
        metavar="POLICY[,MODE[,CERTIFICATE,KEY]]",
        help="such as Basic256Sha256,SignAndEncrypt; without files the gateway's own certificate of --pki is shown",
    )
    made.add_argument(
        "--pki",
        type=Path,
        metavar="FOLDER",
        help="certificates and trust list of a gateway, for --security (millrace certificate)",
    )
    made.add_argument(
        "--server-certificate",
        default="",
        metavar="FILE",
        help="the only certificate that is accepted, in place of the trust list",
    )
    made.add_argument("--seconds", type=float, default=10.0, metavar="S", help="MQTT: how long to listen")
    made.add_argument("--topics", default="#", metavar="FILTER", help="MQTT: what to listen to")
    made.add_argument(
        "--rebirth", action="store_true", help="MQTT: ask Sparkplug nodes for their births; nothing else is ever sent"
    )
    made.add_argument("--timeout-s", type=float, default=20.0, metavar="S", help="for each request")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        return asyncio.run(_browse(options))
    except MillraceError as error:
        sys.stderr.write(f"{error}\n")
        return UNREACHABLE if isinstance(error, ListenError) else 1
    except discovery.ERRORS as error:
        sys.stderr.write(f"{options.url}: {_cause(error)}\n")
        return UNREACHABLE


async def _browse(options: argparse.Namespace) -> int:
    scheme = urlsplit(options.url).scheme
    if scheme not in {"opc.tcp", "mqtt", "mqtts"}:
        msg = f"{options.url!r} is not opc.tcp://HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT"
        raise BrowseError(msg)
    place = _place(options)
    try:
        secrets.check_reference("--password", options.password)
        if options.write and options.write.exists():
            msg = f"{options.write} exists already; give --write another name"
            raise BrowseError(msg)
        if scheme == "opc.tcp":
            settings, devices = await _opcua(options)
        else:
            settings, devices = await broker.run(options, _progress("messages heard", "s to go"))
    except ValueError as error:
        raise BrowseError(str(error)) from error
    if options.write:
        _write(options, skeleton.build(devices, dataclasses.replace(place, settings=settings)))
    return 0


async def _opcua(options: argparse.Namespace) -> tuple[dict[str, Any], list[skeleton.DeviceCandidate]]:
    """Print what a server has; the keys of a connection and the devices for a plant file."""
    settings = _settings(options)
    access = OpcUaSettings(**settings, request_timeout_s=options.timeout_s)
    certificates = _certificates(options, access)
    offered = await discovery.endpoints(options.url, options.timeout_s)
    if not options.json:
        _say(endpoint_lines(options.url, offered))
    bounds = Bounds(max_nodes=options.max_nodes, max_depth=options.max_depth)
    try:
        space = await discovery.walk(access, certificates, options.root, bounds, _progress("nodes found", "to look at"))
    except discovery.ERRORS as error:
        msg = f"{options.url}: no session: {_cause(error)}{_advice(access, offered)}"
        raise BrowseError(msg) from error
    for pattern in options.device:
        if not any(matches(space, index, pattern) for index in range(len(space.nodes))):
            msg = f"--device {pattern!r} is the path of no object; paths as the server has them are listed without it"
            raise BrowseError(msg)
    if options.json:
        shown = _as_json(options.url, offered, space, options.device)
        sys.stdout.write(json.dumps(shown, ensure_ascii=False, default=str) + "\n")
    else:
        _say(space_lines(space, options.device))
    return {"protocol": "opcua", **settings}, skeleton.of_space(space, options.device)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Keys of a connection, as far as they were given."""
    security = options.security.split(",") if options.security else []
    if len(security) > len(_SECURITY_KEYS):
        msg = f"--security is {options.security!r}, not POLICY[,MODE[,CERTIFICATE,KEY]]; the server's certificate is --server-certificate"
        raise BrowseError(msg)
    found = {"endpoint": options.url, **dict(zip(_SECURITY_KEYS, security, strict=False))}
    found |= {key: getattr(options, key) for key in ("username", "password", "server_certificate")}
    return {key: value for key, value in found.items() if value}


def _certificates(options: argparse.Namespace, access: OpcUaSettings) -> CertificateStore:
    """The gateway's certificates and trust list; a folder that is not looked at when nothing of it is needed."""
    if options.pki is not None:
        if not options.pki.is_dir():
            msg = f"--pki: {options.pki} is no folder"
            raise BrowseError(msg)
        return CertificateStore(options.pki, options.pki.absolute().parent.name)
    if access.security_policy and not (access.certificate and access.server_certificate):
        msg = (
            "--security needs --pki, the folder of the gateway's certificate and trust list (<state_dir>/pki), "
            "or a certificate with its key and --server-certificate"
        )
        raise BrowseError(msg)
    return CertificateStore(Path("pki"), options.gateway)


def _write(options: argparse.Namespace, made: skeleton.Skeleton) -> None:
    with options.write.open("x") as file:
        file.write(skeleton_text.render(made, options.url))
    classes = made.file["device_classes"]
    tags = sum(len(one["tags"]) for one in classes.values())
    left_out = f"; {len(made.left_out)} values left out, listed at its end" if made.left_out else ""
    sys.stderr.write(f"{options.write}: {len(classes)} device classes with {tags} tags{left_out}\n")


def endpoint_lines(url: str, offered: Sequence[Endpoint]) -> Iterator[str]:
    """Endpoints for people."""
    yield f"{url} offers"
    for one in offered:
        yield f"  {one.policy:<22}{one.mode:<16}{', '.join(one.user_tokens)}"
    yield ""


def space_lines(space: Space, named: Sequence[str] = ()) -> Iterator[str]:
    """Machines with their variables, for people; `named` as in `machines`."""
    found = machines(space, named)
    for machine in found:
        node = space.nodes[machine.index] if machine.index >= 0 else None
        named = kind_of(node) if node is not None else ""
        kind = f"  ({named})" if named else ""
        companion = f"  {machine.companion}" if machine.companion else ""
        yield f"{'/'.join(space.path(machine.index)) or 'Objects'}{kind}{companion}"
        rows = [_row("/".join(names), space.nodes[index]) for index, names in machine.variables]
        widths = [min(max(len(row[column]) for row in rows), 48) for column in range(len(rows[0]) - 1)]
        for row in rows:
            cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
            yield f"  {'  '.join([*cells, row[-1]])}".rstrip()
        yield ""
    yield f"{len(space.nodes)} nodes, {sum(len(machine.variables) for machine in found)} variables"
    if space.cut:
        yield f"not everything was looked at: {space.cut}"
    yield from (f"refused: {problem}" for problem in space.problems)


def _row(name: str, node: Found) -> tuple[str, ...]:
    kind = node.data_type_name or node.data_type or "?"
    value = _shown(node)
    unit = node.unit.text if node.unit is not None else ""
    eu = f"[{node.eu_range[0]:g}, {node.eu_range[1]:g}]" if node.eu_range is not None else ""
    access = ("r" if node.readable else "-") + ("w" if node.writable else "-")
    return name, f"{kind}[]" if node.array else kind, access, f"{value} {unit}".rstrip(), eu, node.id, node.description


def _shown(node: Found) -> str:
    if node.status != "Good":
        return node.status
    if node.data_type == "Structure":
        return "(structure)"
    text = f"{node.value:g}" if isinstance(node.value, float) else str(node.value)
    text = "".join(one if one.isprintable() else "?" for one in text)
    return text if len(text) <= _SHOWN_VALUE else f"{text[: _SHOWN_VALUE - 1]}…"


def _as_json(url: str, offered: Sequence[Endpoint], space: Space, named: Sequence[str]) -> dict[str, Any]:
    return {
        "url": url,
        "endpoints": [dataclasses.asdict(one) for one in offered],
        "namespaces": space.namespaces,
        "nodes": [dataclasses.asdict(node) | {"companion": companion_of(node)} for node in space.nodes],
        "machines": [
            {
                "path": space.path(machine.index),
                "companion": machine.companion,
                "variables": [i for i, _ in machine.variables],
            }
            for machine in machines(space, named)
        ],
        "cut": space.cut,
        "problems": space.problems,
    }


def _place(options: argparse.Namespace) -> skeleton.Place:
    names = options.at.split("/")
    if len(names) != len(_LEVELS):
        msg = f"--at is {options.at!r}, not {'/'.join(_LEVELS)}"
        raise BrowseError(msg)
    levels = dict(zip(_LEVELS, names, strict=True))
    return skeleton.Place(**levels, gateway=options.gateway, connection=options.connection)


def _advice(access: OpcUaSettings, offered: Sequence[Endpoint]) -> str:
    if not access.security_policy and offered and all(one.policy != "None" for one in offered):
        return "; the server offers no endpoint without security: give --security and --pki"
    anonymous = any("Anonymous" in one.user_tokens for one in offered)
    return (
        ""
        if access.username or anonymous or not offered
        else "; the server wants a user: give --username and --password"
    )


def _cause(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens there: check host and port, and that the server runs ({error})"
    if isinstance(error, socket.gaierror):
        return f"no machine has that name here: check the host ({error})"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _say(lines: Iterator[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _progress(done: str, ahead_is: str) -> Callable[[int, int], None]:
    """Says on standard error, at most once a second, how far it has come."""
    said = time.monotonic()

    def progress(found: int, ahead: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _PROGRESS_S:
            said = time.monotonic()
            sys.stderr.write(f"{found} {done}, {ahead} {ahead_is}\n")

    return progress


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text} is below 1"
        raise argparse.ArgumentTypeError(msg)
    return number


if __name__ == "__main__":
    sys.exit(main())
