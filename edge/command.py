"""The gateway's tools: `./millrace gateway check|status|reload|key`, and `python -m edge …` where a gateway is installed alone.

Exit statuses are those of docs/command-line.md: 0, 1 failed, 2 wrong arguments, 3 nobody answers, 4 the gateway is not well.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from base import tool
from base.errors import ConfigError
from edge.table import render as table

TOOLS = ("check", "status", "reload", "key")


def main(arguments: list[str] | None = None) -> int:
    """Run one tool."""
    options = parser().parse_args(arguments)
    return tool.run("gateway", lambda: int(options.run(options)))


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace gateway", description="Check, watch and reload gateways.")
    add_tools(made.add_subparsers(required=True, metavar="TOOL"))
    return made


def add_tools(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The tools, for this program and for the front door's, which has more."""
    checking = tools.add_parser(
        "check", help="whether a gateway could work with a configuration: file, secrets, disk, Kafka, endpoints"
    )
    checking.add_argument("file", nargs="?", type=Path, metavar="CONFIG", help="TOML file of a gateway")
    checking.add_argument("--config", type=Path, metavar="CONFIG", help="the same, as `python -m edge` has it")
    checking.add_argument("--json", action="store_true", help="one JSON object")
    checking.set_defaults(run=_check)
    status = tools.add_parser("status", help="connections, tags, rates, problems, buffer, gaps")
    _gateway(status)
    status.add_argument("--seconds", type=float, default=1.0, help="over which rates are taken")
    status.add_argument("--json", action="store_true", help="the status page itself")
    status.set_defaults(run=_status)
    reload = tools.add_parser("reload", help="make a gateway of this machine read its configuration again")
    _gateway(reload)
    reload.set_defaults(run=_reload)
    key = tools.add_parser("key", help="keys of a gateway's data at rest: list, rotate, retire")
    _add_key_tools(key.add_subparsers(required=True, metavar="TOOL"))


def _add_key_tools(tools: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, what in (
        ("list", "which keys there are, and how many files are encrypted with each"),
        ("rotate", "make a new key; a running gateway encrypts with it from the next second on"),
        ("retire", "take a key away that encrypts nothing any more"),
    ):
        one = tools.add_parser(name, help=what, description=what)
        one.add_argument(
            "gateway", nargs="?", default="", metavar="CONFIG|ID", help="TOML file, or id in the local stack"
        )
        one.add_argument("--config", type=Path, metavar="CONFIG", help="the same, as `python -m edge` has it")
        if name == "retire":
            one.add_argument("--key", required=True, metavar="KEY", help="its id")
        one.set_defaults(run=_key, key_tool=name)


def _gateway(tool: argparse.ArgumentParser) -> None:
    tool.add_argument(
        "gateway",
        nargs="?",
        default="",
        metavar="URL|ID",
        help="admin endpoint, or id in the local stack; default: all of the local stack",
    )


# Each imports what it needs: help needs nothing, and keys need no connector.


def _key(options: argparse.Namespace) -> int:
    from edge import key_command

    return key_command.run(options)


def _check(options: argparse.Namespace) -> int:
    from edge import check

    path = options.file or options.config
    if path is None:
        msg = "check: name the configuration file of a gateway"
        raise ConfigError(msg)
    rows = check.check(path)
    if options.json:
        print(json.dumps(check.as_json(rows)))
    else:
        print(table(("what", "how", "detail"), [(row.what, row.grade, row.detail) for row in rows]))
    return 1 if check.failed(rows) else 0


def _status(options: argparse.Namespace) -> int:
    from edge import remote
    from edge.status_view import render

    gateways = remote.find(options.gateway)
    before = [(time.monotonic(), one.page("/status")) for one in gateways]
    time.sleep(max(0.0, options.seconds))
    well = True
    for one, (then_s, earlier) in zip(gateways, before, strict=True):
        status: dict[str, Any] = one.page("/status")
        health = one.page("/health")
        well &= bool(health["healthy"])
        if options.json:
            print(json.dumps({**status, "health": health}))
        else:
            print(render(status, earlier, time.monotonic() - then_s, health))
    return 0 if well else tool.UNWELL


def _reload(options: argparse.Namespace) -> int:
    from edge import remote

    refused = False
    for one in remote.find(options.gateway):
        found = one.reload()
        refused |= bool(found["error"])
        print(f"{one.url}: " + (f"refused: {found['error']}" if found["error"] else found["last"]))
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
