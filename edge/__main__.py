"""`python -m edge --config gateway.toml`: run one gateway until SIGTERM or SIGINT; SIGHUP reads the file again.

`python -m edge check|status|reload|key …` are the tools beside it (`edge.command`); `python -m edge certificate …` is about its
certificates for OPC UA, `python -m edge enrol …` gets the one for the platform.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from base import latency, logs, settings
from base.errors import MillraceError
from edge import certificate, command, enrol
from edge.config import GatewayConfig
from edge.gateway import Gateway

log = logging.getLogger("edge")


async def serve(config: GatewayConfig, source: Path) -> None:
    """Run a gateway until a signal asks it to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(gateway.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    # Before the buffer is read through, which takes a while: without a handler the signal would end the process.
    loop.add_signal_handler(signal.SIGHUP, reload)
    gateway = Gateway(config, source=source)
    await gateway.run(stop)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 after a signal, 1 when the gateway cannot start or a part of it fails; that of a tool, when one is named."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] and arguments[0] in command.TOOLS:
        return command.main(arguments)
    if arguments[:1] == ["certificate"]:
        return certificate.main(arguments[1:])
    if arguments[:1] == ["enrol"]:
        return enrol.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m edge", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of the gateway")
    options = parser.parse_args(arguments)
    logs.configure("gateway")
    latency.prefer_latency()
    try:
        config = settings.load(GatewayConfig, options.config, service="gateway")
        asyncio.run(serve(config, options.config))
    except (MillraceError, OSError) as error:
        log.critical("gateway ended", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
