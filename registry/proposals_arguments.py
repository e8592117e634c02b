"""`plant proposals list | accept | refuse | rules`: its arguments. Who calls: `registry.command`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

TAG_CLASS, PERIOD_MS = "process", 1000
"""Class and nominal period of tags of which nothing else is said."""
Add = Callable[..., argparse.ArgumentParser]


def add(commands: Any, common: argparse.ArgumentParser, changing: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    made: argparse.ArgumentParser = commands.add_parser(
        "proposals", help="what machines name and the registry does not know: list, accept, refuse, rules"
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    pattern = argparse.ArgumentParser(add_help=False)
    pattern.add_argument("--gateway", default="", help="of one gateway only")
    pattern.add_argument("--connection", default="", help="all of this connection: the pattern CONNECTION:*")
    listing = verbs.add_parser("list", parents=[common, pattern], help="open proposals")
    listing.add_argument("patterns", nargs="*", metavar="ADDRESS", help="address, or a pattern with * (all)")
    listing.add_argument("--refused", action="store_true", help="the refused ones")
    listing.add_argument("--limit", type=int, default=200, help="at most so many (200)")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    accepting = verbs.add_parser("accept", parents=[changing, pattern], help="make tags of proposals")
    accepting.add_argument("patterns", nargs="*", metavar="ADDRESS", help="address, or a pattern with *")
    accepting.add_argument("--rule", action="store_true", help="from now on, whatever comes that matches")
    accepting.add_argument("--withdraw", action="store_true", help="forget the rule with this text; its tags stay")
    accepting.add_argument("--device", default="", metavar="PATH", help="the registered device that gets the tags")
    accepting.add_argument(
        "--at", default="", metavar="CELL", help="enterprise/site/area/line/cell where a new device stands"
    )
    accepting.add_argument("--name", default="", help="name of the new device (as the machine calls it)")
    accepting.add_argument("--class", default="", dest="device_class", help="class of the new device (one of its own)")
    accepting.add_argument("--tag-class", default=TAG_CLASS, help=f"class of the tags ({TAG_CLASS})")
    accepting.add_argument("--period-ms", type=int, default=PERIOD_MS, help=f"nominal period ({PERIOD_MS})")
    accepting.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    refusing = verbs.add_parser("refuse", parents=[changing, pattern], help="never list these again")
    refusing.add_argument(
        "patterns", nargs="*", metavar="ADDRESS", help="address, or a pattern with *: a rule for what comes"
    )
    refusing.add_argument("--withdraw", action="store_true", help="forget the refusal that was made with this text")
    ruling = verbs.add_parser(
        "rules", parents=[common], help="what is accepted and refused from now on, since when, by whom and why"
    )
    ruling.add_argument("--json", action="store_true", help="one JSON object a line")
