"""`./millrace storage`: on what history is stored, how long it is kept, what it takes on disk; and changes of the policies.

Enters: the platform's configuration. Leaves: text or JSON on standard output, rows of `storage_policy`. Who calls: people; the same
is there in SQL as `set_storage_policy` and `unset_storage_policy`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import psycopg

from base.errors import MillraceError
from base.settings import PlatformSettings, load, local_config
from connectors.postgres.database import connect, unavailable
from historian import storage_policy, storage_size
from historian.engine import Engine, engine_of
from historian.storage_policy import EVERY, Policy
from historian.storage_size import Size

_RESOLUTIONS = ("samples", "fine_windows", "windows", "hours", "days", "records")
_REFUSED = frozenset({"22", "23", "42", "P0"})
"""Classes of SQLSTATE of what the database refuses: intervals that are none, rules of the table, missing rights, our own exceptions."""
_EXAMPLES = """examples:
  storage                                          what is stored on what, how long, and how large it is
  storage set samples --keep '90 days'             raw samples of every class
  storage set samples --keep '2 years' --class audit
  storage set windows --compress-after '3 days'    chunks of TimescaleDB
  storage unset samples --class audit              as every class again"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default=argparse.SUPPRESS, metavar="FILE", help="platform.toml")
    made = argparse.ArgumentParser(
        prog="millrace storage",
        description="Show on what history is stored, how long it is kept and what it takes; or change how long.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    made.add_argument("--json", action="store_true", help="for programs")
    commands = made.add_subparsers(dest="action", metavar="{set,unset}")
    change = commands.add_parser("set", parents=[common], help="change a policy", description="Change a policy.")
    change.add_argument("resolution", choices=_RESOLUTIONS, help="what is to be kept, compressed or rolled up")
    change.add_argument("--class", dest="tag_class", default=EVERY, metavar="CLASS", help="only tags of this class")
    change.add_argument("--keep", metavar="INTERVAL", help="drop what is older: '90 days', '2 years', forever")
    change.add_argument(
        "--compress-after", metavar="INTERVAL", help="compress chunks so long after their end; never: do not"
    )
    change.add_argument("--refresh-after", metavar="INTERVAL", help="roll an hour or day up so long after its end")
    back = commands.add_parser(
        "unset",
        parents=[common],
        help="take the policy of a class away",
        description="Take the policy of a class away.",
    )
    back.add_argument("resolution", choices=_RESOLUTIONS[:3])
    back.add_argument("--class", dest="tag_class", required=True, metavar="CLASS")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(arguments)
    try:
        platform = load(PlatformSettings, args.config)
        with connect(platform.postgres.dsn, application="storage", autocommit=True) as connection:
            if args.action is not None and not _change(connection, args):
                sys.stderr.write(f"class {args.tag_class} has no policy of its own for {args.resolution}\n")
                return 2
            engine, policies = engine_of(connection), storage_policy.read(connection)
            sizes = storage_size.read(connection)
    except MillraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _REFUSED:
            sys.stderr.write(f"{unavailable(error)}\n")
            return 1
        said = (error.diag.message_primary, error.diag.message_hint)
        sys.stderr.write(". ".join(part for part in said if part) + "\n")
        return 2
    found = (
        [json.dumps(as_values(engine, policies, sizes), default=str)] if args.json else text(engine, policies, sizes)
    )
    sys.stdout.write("\n".join(found) + "\n")
    return 0


def _change(connection: psycopg.Connection[Any], args: argparse.Namespace) -> bool:
    """Set or unset a policy; False when there is none to unset. Raises psycopg.Error for what cannot be kept."""
    if args.action == "set":
        connection.execute(
            "SELECT set_storage_policy(%s, %s, %s, %s, %s)",
            (args.resolution, args.tag_class, args.keep, args.compress_after, args.refresh_after),
        )
        return True
    row = connection.execute("SELECT unset_storage_policy(%s, %s)", (args.resolution, args.tag_class)).fetchone()
    return row == (True,)


def as_values(engine: Engine, policies: Sequence[Policy], sizes: Sequence[Size]) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "engine": str(engine),
        "update": engine.update_waits,
        "policies": [
            {
                "resolution": policy.resolution,
                "tag_class": policy.tag_class,
                "keep_s": _seconds(policy.keep),
                "compress_after_s": _seconds(policy.compress_after),
                "refresh_after_s": _seconds(policy.refresh_after),
                "dropped_before": policy.dropped_before,
            }
            for policy in policies
        ],
        "sizes": [asdict(size) | {"bytes_per_row": size.bytes_per_row} for size in sizes],
    }


def _seconds(interval: timedelta | None) -> float | None:
    return None if interval is None else interval.total_seconds()


def text(engine: Engine, policies: Sequence[Policy], sizes: Sequence[Size]) -> list[str]:
    """Lines for people."""
    lines = [str(engine), *([engine.update_waits] if engine.update_waits else []), ""]
    lines.append(
        f"{'resolution':<14}{'class':<14}{'keep':<14}{'compress after':<16}{'refresh after':<16}dropped before"
    )
    for policy in policies:
        chunks = (
            engine.variant == "timescaledb"
            and policy.tag_class == EVERY
            and policy.resolution not in {"fine_windows", "records"}
        )
        keep = _interval(policy.keep) or "forever"
        compress = (_interval(policy.compress_after) or "never") if chunks else ""
        gone = policy.dropped_before.isoformat(timespec="minutes") if policy.dropped_before else ""
        refresh = _interval(policy.refresh_after)
        lines.append(
            f"{policy.resolution:<14}{policy.tag_class:<14}{keep:<14}{compress:<16}{refresh:<16}{gone}".rstrip()
        )
    return [
        *lines,
        "",
        *(storage_size.table(sizes) or ["sizes have not been measured yet; maintenance does every ten minutes"]),
    ]


def _interval(value: timedelta | None) -> str:
    """Days, or hours, minutes and seconds.

    >>> _interval(timedelta(days=31)), _interval(timedelta(hours=2)), _interval(timedelta(minutes=90)), _interval(None)
    ('31 days', '2 h', '90 min', '')
    """
    if value is None:
        return ""
    seconds = round(value.total_seconds())
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


if __name__ == "__main__":
    sys.exit(main())
