"""`python -m notifier --config notifier.toml`: tells people of alarms. SIGTERM and SIGINT let what is on its way arrive, and end it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from base import endpoint, heartbeat, logs
from base.errors import MillraceError
from base.settings import load, local_config
from notifier.service import Metrics, serve
from notifier.settings import NotifierSettings

log = logging.getLogger(__name__)

_PATIENCE_S = 60.0


async def run(settings: NotifierSettings) -> None:
    """Tell until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = endpoint.new_registry()
    listening = endpoint.start(settings.metrics, registry)
    try:
        await serve(settings, Metrics(registry), heartbeat.from_environment(patience_s=_PATIENCE_S), stop)
    finally:
        if listening is not None:
            await asyncio.to_thread(listening.close)
    log.info("stopped")


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="python -m notifier", description="Tell people and other systems of alarms.")
    made.add_argument("--config", type=Path, default=None, help="notifier.toml (default: the local stack's)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = parser().parse_args(arguments)
    logs.configure("notifier")
    try:
        asyncio.run(run(load(NotifierSettings, options.config or local_config("notifier.toml"), service="notifier")))
    except (MillraceError, OSError) as error:
        log.error("nobody is told of alarms", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
