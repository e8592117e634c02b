"""Set the historian back to what a restored or promoted database has read: `python -m historian.recover --config platform.toml`.

For installations without the local stack (`./millrace recover` does the whole of it there): stop the historian job first, and start it
afterwards without its old state.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from base import logs
from base.errors import MillraceError
from base.settings import PlatformSettings, load, local_config
from historian.recovery import recover


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="python -m historian.recover",
        description="After a restore or a takeover: let the historian read Kafka again from where the database is. Its job must not run.",
        epilog="exit status: 0 Kafka has everything, 4 a part is lost and named",
    )
    made.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    made.add_argument("--dry-run", action="store_true", help="only say what would be read again, and what is lost")
    made.add_argument("--json", action="store_true", help="for programs")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(arguments)
    logs.configure("recover")
    try:
        platform = load(PlatformSettings, args.config)
        report = recover(platform.postgres.dsn, platform.kafka, dry_run=args.dry_run)
    except MillraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    lines = [json.dumps(report.as_json(), indent=2)] if args.json else report.lines()
    sys.stdout.write("\n".join(lines) + "\n")
    return 4 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
