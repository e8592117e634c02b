"""`./millrace gateway`: gateways of the local stack (enrol, revoke, list), and the gateway's own tools beside them (`edge.command`).

Exit statuses are those of docs/command-line.md: 0, 1 failed, 2 wrong arguments, 3 nobody answers, 4 the gateway is not well.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence

from base import tool
from edge import command
from enrolment.ledger import LIFE
from stack import config as configuration
from stack.config import ROOT, StackConfig
from stack.errors import StackError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one tool."""
    options = parser().parse_args(arguments)
    return tool.run("gateway", lambda: int(options.run(options)), StackError)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace gateway",
        description="Enrol, revoke and list gateways of the local stack; check, watch and reload any.",
    )
    tools = made.add_subparsers(required=True, metavar="TOOL")
    enrolling = tools.add_parser(
        "enrol", help="a code, good once and for minutes, with which a gateway gets its certificate"
    )
    enrolling.add_argument("site", metavar="SITE")
    enrolling.add_argument("--name", default="", metavar="ID", help="the gateway; default: the only one of the site")
    enrolling.add_argument(
        "--minutes",
        type=int,
        default=int(LIFE.total_seconds() // 60),
        help="how long the code is good (default: %(default)s)",
    )
    enrolling.add_argument(
        "--hand-over", action="store_true", help="of a gateway that this stack runs: it does not run it any more"
    )
    enrolling.add_argument("--json", action="store_true", help="one JSON object")
    enrolling.set_defaults(run=_with_config(_enrol))
    revoking = tools.add_parser(
        "revoke", help="a gateway's certificate and codes count nothing from now on, on open connections too"
    )
    revoking.add_argument("name", metavar="ID")
    revoking.add_argument("--why", default="", help="for the audit log")
    revoking.set_defaults(run=_with_config(_revoke))
    listing = tools.add_parser("list", help="name, site, state, end of the certificate, last seen")
    listing.add_argument("--json", action="store_true", help="one JSON object")
    listing.set_defaults(run=_with_config(_list))
    command.add_tools(tools)
    return made


def _with_config(run: Callable[[StackConfig, argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def with_config(options: argparse.Namespace) -> int:
        # The front door calls this in the caller's folder; paths of the stack's settings are meant from the checkout, as for `up`.
        with contextlib.chdir(ROOT):
            return run(configuration.load(), options)

    return with_config


# Each imports what it needs: a list of gateways needs no authority, and help needs nothing.


def _enrol(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import gateway_trust

    return gateway_trust.run_enrol(config, options)


def _revoke(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import gateway_trust

    return gateway_trust.run_revoke(config, options)


def _list(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import gateway_list

    return gateway_list.run(config, options)


if __name__ == "__main__":
    sys.exit(main())
