"""Command line over the admin interface: `./millrace fault add north.press-01 ram_force drift`.

Finds the interface by `--url`, or by the `[admin]` table of `--config`, which is the local stack's when neither is given. Prints the JSON
it gets. Exit status: 0 done, 1 refused, 3 no answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from base import settings
from base.errors import ConfigError
from simulator.config import SimulatorConfig
from simulator.fault_kinds import PARAMETERS, FaultKind

TIMEOUT_S = 60


def add_commands(commands: Any) -> None:
    """Add the admin commands to an argument parser's subparsers."""
    fault = commands.add_parser("fault", help="put faults on, list them, take them off")
    actions = fault.add_subparsers(dest="action", required=True)
    add = _command(actions, "add", "put a fault on a device or a tag")
    add.add_argument("device", help="<site>.<device>")
    add.add_argument("tag", help="tag name, or - for faults of the whole device")
    add.add_argument("kind", choices=[kind.value for kind in FaultKind])
    add.add_argument("--start-s", type=float, default=0.0, help="begin in so many seconds")
    add.add_argument("--duration-s", type=float, default=0.0, help="last so long; 0 until removed")
    add.add_argument("--repeat-s", type=float, default=0.0, help="begin again every so many seconds")
    names = ", ".join(f"{kind}: {' '.join(sorted(known))}" for kind, known in PARAMETERS.items())
    add.add_argument("parameters", nargs="*", metavar="NAME=NUMBER", help=f"parameters ({names})")
    play = _command(actions, "play", "put the faults of a file on, as stack/bad-day.yaml")
    play.add_argument("file", type=Path, help="YAML with a list `faults`, an entry with the fields of `add` each")
    _command(actions, "list", "list faults in force and to come")
    remove = _command(actions, "remove", "take a fault off")
    remove.add_argument("id", type=int)
    _command(actions, "clear", "take all faults off")
    _command(commands, "pause", "stop emitting samples")
    _command(commands, "resume", "emit samples again")
    past = _command(commands, "past", "let the machines of a line send the days before the start, as stored values")
    past.add_argument("--days", type=int, default=7, help="so many days, 1 to 7 (default: 7)")
    _command(commands, "status", "counts, devices, servers", prog="millrace machines")


def run(arguments: argparse.Namespace) -> int:  # noqa: PLR0911 - one for each command
    """Carry an admin command out; returns the exit code."""
    try:
        url = arguments.url or _url(arguments.config or settings.local_config("simulator.toml"))
    except ConfigError as error:
        sys.stderr.write(f"{error}; is the stack up?\n")
        return 1
    match arguments.command, getattr(arguments, "action", ""):
        case "fault", "add":
            return _call(url, "POST", "/faults", _fault(arguments))
        case "fault", "play":
            return _play(url, arguments.file)
        case "fault", "list":
            return _call(url, "GET", "/faults")
        case "fault", "remove":
            return _call(url, "DELETE", f"/faults/{arguments.id}")
        case "fault", _:
            return _call(url, "DELETE", "/faults")
        case "status", _:
            return _call(url, "GET", "/status")
        case "past", _:
            return _call(url, "POST", "/past", {"days": arguments.days})
        case command, _:
            return _call(url, "POST", f"/{command}")


def _command(parent: Any, name: str, text: str, *, prog: str | None = None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parent.add_parser(name, help=text, **({"prog": prog} if prog else {}))
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, help="configuration file of the simulator (default: the local stack's)")
    where.add_argument("--url", help="admin interface, http://host:port")
    parser.add_argument("--json", action="store_true", help="as always: the answer is JSON")
    return parser


def _url(config: Path) -> str:
    admin = settings.load(SimulatorConfig, config, service="simulator").admin
    return f"http://{admin.host}:{admin.port}"


def _fault(arguments: argparse.Namespace) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "device": arguments.device,
        "tag": "" if arguments.tag == "-" else arguments.tag,
        "kind": arguments.kind,
        "start_s": arguments.start_s,
        "duration_s": arguments.duration_s,
        "repeat_s": arguments.repeat_s,
    }
    for pair in arguments.parameters:
        name, _, number = pair.partition("=")
        try:
            fields[name] = float(number)
        except ValueError:
            sys.exit(f"{pair!r} is not NAME=NUMBER")
    return fields


def _play(url: str, file: Path) -> int:
    """Put the faults of a file on, in order, until one is refused."""
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        sys.stderr.write(f"{file}: {error}\n")
        return 1
    if not isinstance(document, dict) or not isinstance(document.get("faults"), list):
        sys.stderr.write(f"{file}: there is no list `faults`\n")
        return 1
    codes = (_call(url, "POST", "/faults", fault) for fault in document["faults"])
    return next((code for code in codes if code), 0)


def _call(url: str, method: str, path: str, body: Any = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            answer, code = json.load(response), 0
    except urllib.error.HTTPError as error:
        answer, code = json.load(error), 1
    except OSError as error:
        answer, code = {"error": f"no answer from {url}: {error}"}, 3
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return code
