"""`python -m stack.top`: rates, lag and load of the running stack, refreshed every second; `--once` prints it once.

Enters: supervisord, Flink's REST interface, Kafka's offsets, SQL. Leaves: a live table, or one snapshot as text,
as JSON, or as a picture for documents.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from base.errors import ConfigError
from stack import config as configuration
from stack import top_svg
from stack.top_sources import Sources, rates
from stack.top_view import view


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace top", description="Rates, lag and load of the running stack.")
    made.add_argument("--once", action="store_true", help="print one snapshot, with the rates over one interval")
    made.add_argument("--json", action="store_true", help="one snapshot, for programs")
    made.add_argument("--svg", type=Path, metavar="FILE", help="one snapshot, as a picture")
    made.add_argument("--interval-s", type=float, default=1.0, help="time between snapshots (default 1)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 1 when nothing of the stack answers."""
    args = parser().parse_args(argv)
    try:
        sources = Sources(configuration.load())
    except ConfigError as error:
        print(f"millrace: {error}", file=sys.stderr)
        return 1
    try:
        return (
            _once(sources, args.interval_s, as_json=args.json, picture=args.svg)
            if args.once or args.json or args.svg
            else _live(sources, args.interval_s)
        )
    except KeyboardInterrupt:
        return 0
    finally:
        sources.close()


def _once(sources: Sources, interval_s: float, *, as_json: bool, picture: Path | None) -> int:
    before = sources.snapshot()
    time.sleep(interval_s)
    now = sources.snapshot()
    if as_json:
        print(json.dumps(dataclasses.asdict(now) | {"rates": rates(before, now)}, default=str))
    elif picture is not None:
        picture.write_text(top_svg.svg(view(now, rates(before, now)), "./millrace top"))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=160)).print(view(now, rates(before, now)))
    return 0 if now.records or now.sql else 1


def _live(sources: Sources, interval_s: float) -> int:
    before = sources.snapshot()
    with Live(view(before, {}), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            now = sources.snapshot()
            live.update(view(now, rates(before, now)), refresh=True)
            before = now


if __name__ == "__main__":
    sys.exit(main())
