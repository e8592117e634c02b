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
from typing import TYPE_CHECKING

from base.errors import ConfigError
from stack import config as configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stack.top_sources import Snapshot, Sources


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
    from stack.top_sources import Sources

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
    from stack.top_sources import rates

    before = sources.snapshot()
    time.sleep(interval_s)
    now = sources.snapshot()
    if as_json:
        print(json.dumps(dataclasses.asdict(now) | {"rates": rates(before, now)}, default=str))
    else:
        _draw(now, rates(before, now), picture)
    return 0 if now.records or now.sql else 1


def _draw(now: Snapshot, rated: Mapping[str, float], picture: Path | None) -> None:
    from rich.console import Console

    from stack import top_svg
    from stack.top_view import view

    if picture is not None:
        picture.write_text(top_svg.svg(view(now, rated), "./millrace top"))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=160)).print(view(now, rated))


def _live(sources: Sources, interval_s: float) -> int:
    from rich.live import Live

    from stack.top_sources import rates
    from stack.top_view import view

    before = sources.snapshot()
    with Live(view(before, {}), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            now = sources.snapshot()
            live.update(view(now, rates(before, now)), refresh=True)
            before = now


if __name__ == "__main__":
    sys.exit(main())
