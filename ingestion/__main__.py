"""`python -m ingestion --config ingestion.toml`: the ingestion service. SIGTERM and SIGINT end it, once what was taken is durable."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from base import logs
from base.errors import MillraceError
from base.settings import load, local_config
from ingestion.service import Service
from ingestion.settings import ServiceSettings

log = logging.getLogger(__name__)


async def run(settings: ServiceSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Service(settings).run(stop)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(
        prog="python -m ingestion", description="Take frames and events of gateways over gRPC."
    )
    made.add_argument("--config", type=Path, default=None, help="ingestion.toml (default: the local stack's)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = parser().parse_args(arguments)
    logs.configure("ingestion")
    try:
        asyncio.run(run(load(ServiceSettings, options.config or local_config("ingestion.toml"), service="ingestion")))
    except (MillraceError, OSError) as error:
        log.error("nothing is taken from gateways", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
