"""`./millrace correct TAG --from … --to … --scale 0.001 --why …`: puts stored samples right; what they were stays in `superseded`.

Enters: arguments, `platform.toml`. Leaves: a correction, or with nothing but a look (without --yes) nothing at all: the
same statements run and are rolled back, so what is shown is what would be. Exit status: 0 done or shown, 1 refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from base import ids, logs
from base.account import os_user
from base.errors import InvalidRequestError, MillraceError
from base.moments import moment
from base.settings import PlatformSettings, load, local_config
from connectors.postgres.database import blames_data, connect, unavailable
from historian.replay.selection import resolve_tags

_ABOUT = """\
Samples that are stored and wrong can be put right by somebody who says why. The old ones stay visible to auditors in the view
superseded, the correction itself in the view correction. Windows, hours and days follow within seconds. Nothing is changed
without --yes: until then the command shows what it would do."""
_EXAMPLES = """\
examples:
  correct ram_force --from 2026-03-01T06:00 --to 2026-03-02T00:00 --scale 0.001 --why "sent in N until the gateway was mended"
  correct oil_temperature --from 2h --to 90m --drop --why "the sensor lay on the bench" --yes
  correct energy --from 3d --to 2d --offset -14.2 --why "zero of the new meter" --yes
  correct --restore 4b1c0a52-61ff-4c55-a3f5-b7c2a2f0a9d1 --why "it was the right sensor after all" --yes"""
_EXAMPLE_ROWS = 3


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="millrace correct",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("tag", nargs="?", metavar="TAG", help="its path, the end of it, or its number")
    made.add_argument("--from", dest="start", metavar="TIME", help="first time: ISO 8601, or 2h for two hours ago")
    made.add_argument("--to", dest="end", metavar="TIME", help="end, not included")
    how = made.add_argument_group("how")
    how.add_argument("--value", type=float, metavar="X", help="all samples have this value")
    how.add_argument("--scale", type=float, metavar="FACTOR", help="multiply values by this")
    how.add_argument("--offset", type=float, metavar="X", help="then add this, in the tag's unit")
    how.add_argument("--drop", action="store_true", help="take the samples out")
    how.add_argument("--restore", metavar="CORRECTION", help="take this correction back")
    made.add_argument("--why", required=True, metavar="TEXT", help="why; it is kept")
    made.add_argument("--who", default=None, metavar="NAME", help="who (default: the user of this machine)")
    made.add_argument("--yes", action="store_true", help="do it; without, only show what would be done")
    made.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="platform.toml (default: the local stack's)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    args = parser().parse_args(arguments)
    logs.configure("correct")
    try:
        _run(args)
    except psycopg.Error as error:
        refused = error.diag.message_primary if error.diag.sqlstate and blames_data(error) else None
        sys.stderr.write(f"correct: {refused or unavailable(error)}\n")
    except MillraceError as error:
        sys.stderr.write(f"correct: {error}\n")
    else:
        return 0
    return 1


def _run(args: argparse.Namespace) -> None:
    statement, asked = _statement(args, datetime.fromtimestamp(ids.now_us() / 1e6, UTC))
    platform = load(PlatformSettings, args.config or local_config("platform.toml"))
    with connect(platform.postgres.dsn, application="correct", autocommit=True) as connection:
        if args.tag is not None:
            asked["tag"] = _one_tag(connection, args.tag)
        with connection.transaction(force_rollback=not args.yes):
            row = connection.execute(statement, asked).fetchone()
            assert row is not None
            shown = describe(connection, row[0])
    sys.stdout.writelines(f"{line}\n" for line in shown)
    sys.stdout.write(f"correction {row[0]}\n" if args.yes else "Nothing was changed. With --yes it is done.\n")


def _statement(args: argparse.Namespace, now: datetime) -> tuple[bytes, dict[str, Any]]:
    """What to execute, all but the tag's number; raises InvalidRequestError."""
    asked: dict[str, Any] = {"who": args.who or os_user(), "why": args.why}
    scale = args.scale is not None or args.offset is not None
    if [args.value is not None, scale, args.drop, args.restore is not None].count(True) != 1:
        msg = "give exactly one of --value, --scale and --offset, --drop, --restore"
        raise InvalidRequestError(msg)
    if args.restore is not None:
        if args.tag is not None or args.start is not None or args.end is not None:
            msg = "--restore takes tag and range from the correction: leave them out"
            raise InvalidRequestError(msg)
        return b"SELECT restore_samples(%(correction)s::uuid, %(who)s, %(why)s)", {**asked, "correction": args.restore}
    if args.tag is None or args.start is None or args.end is None:
        msg = "give the tag, --from and --to"
        raise InvalidRequestError(msg)
    asked |= {
        "from": moment(args.start, now), "to": moment(args.end, now), "value": args.value, "factor": args.scale, "added": args.offset,
        "action": "DROP" if args.drop else "SCALE" if scale else "VALUE",
    }  # fmt: skip
    return _CORRECT, asked


def _one_tag(connection: psycopg.Connection[Any], given: str) -> int:
    found = resolve_tags(connection, [], [given])
    if found is None or len(found) != 1:
        msg = f"{given} is {0 if found is None else len(found)} tags, not one: give more of the path"
        raise InvalidRequestError(msg)
    return int(next(iter(found)))


def describe(connection: psycopg.Connection[Any], correction: str) -> list[str]:
    """What a correction does, for people."""
    row = connection.execute(_SUMMARY, (correction,)).fetchone()
    assert row is not None
    path, unit, samples, follow, first, last, before, after = row
    lines = [
        f"{path}: {samples} samples from {first:%Y-%m-%d %H:%M:%S.%f} to {last:%Y-%m-%d %H:%M:%S.%f} UTC",
        f"  before: {before} {unit}",
        f"  after:  {after} {unit}" if after else "  after:  taken out",
    ]
    examples = connection.execute(_EXAMPLE, (correction, _EXAMPLE_ROWS)).fetchall()
    lines += [f"  {time:%H:%M:%S.%f}  {_text(old)} -> {_text(new)}" for time, old, new in examples]
    if not follow:
        lines.append(
            "  Windows stay as they are: not every sample of this tag is stored, so they cannot be computed again."
        )
    return lines


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


_CORRECT = b"""SELECT correct_samples(%(tag)s::integer, %(from)s, %(to)s, %(action)s, %(who)s, %(why)s,
    value => %(value)s::float8, factor => %(factor)s::float8, added => %(added)s::float8)"""
_SUMMARY = b"""
SELECT c.path, c.unit, c.samples, c.windows_follow, min(s.time) AT TIME ZONE 'UTC', max(s.time) AT TIME ZONE 'UTC',
       coalesce(min(s.before)::numeric(30, 6)::float8 || ' to ' || max(s.before)::numeric(30, 6)::float8, 'none'),
       min(s.after)::numeric(30, 6)::float8 || ' to ' || max(s.after)::numeric(30, 6)::float8
FROM correction c JOIN superseded s USING (correction_id) WHERE correction_id = %s GROUP BY 1, 2, 3, 4"""
_EXAMPLE = b"""
SELECT time AT TIME ZONE 'UTC', before, after FROM superseded WHERE correction_id = %s ORDER BY time LIMIT %s"""


if __name__ == "__main__":
    sys.exit(main())
