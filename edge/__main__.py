"""`python -m edge --config gateway.toml`: run one gateway until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from base import logs, settings
from base.errors import MillraceError
from edge.config import GatewayConfig
from edge.gateway import Gateway

log = logging.getLogger("edge")


async def serve(config: GatewayConfig) -> None:
    """Run a gateway until a signal asks it to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Gateway(config).run(stop)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 after a signal, 1 when the gateway cannot start or a part of it fails."""
    parser = argparse.ArgumentParser(prog="python -m edge", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of the gateway")
    options = parser.parse_args(arguments)
    logs.configure("gateway")
    try:
        config = settings.load(GatewayConfig, options.config, service="gateway")
        asyncio.run(serve(config))
    except (MillraceError, OSError) as error:
        log.critical("gateway ended", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
