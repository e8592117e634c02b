"""Bring the database to the newest schema: `python -m historian.migrate --config platform.toml`.

The last line of output says what was done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from base import logs
from base.errors import MillraceError
from base.settings import PlatformSettings, load, local_config
from historian.migrator import migrate


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace migrate", description="Bring the database to the newest schema.")
    made.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(arguments)
    logs.configure("migrate")
    try:
        platform = load(PlatformSettings, args.config)
        applied = migrate(platform.postgres.dsn, timescaledb=platform.storage.timescaledb)
    except MillraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{len(applied)} migrations applied\n" if applied else "schema is up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
