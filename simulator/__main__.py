"""`python -m simulator --config F` simulates the plant until SIGTERM; `fault`, `pause`, `resume`, `status` talk to a running one."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from base import logs, settings
from base.errors import MillraceError
from simulator import cli
from simulator.config import SimulatorConfig
from simulator.journal import JournalError
from simulator.service import SimulatorService

logger = logging.getLogger("simulator")

# asyncua reports every monitored item. gmqtt warns of every lost connection with a traceback; the edge node says it itself.
_LIBRARY_LEVELS = {"asyncua": logging.WARNING, "gmqtt": logging.ERROR}


async def simulate(config: SimulatorConfig) -> None:
    """Run the simulator until SIGTERM or SIGINT."""
    service = SimulatorService(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop)
    await service.run()


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace", description=__doc__)
    made.add_argument("--config", type=Path, help="TOML file")
    cli.add_commands(made.add_subparsers(dest="command"))
    return made


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 stopped as asked, 1 wrong configuration, 2 failed."""
    chosen = parser().parse_args(arguments)
    if chosen.command:
        return cli.run(chosen)
    if chosen.config is None:
        parser().error("--config is missing")
    logs.configure("simulator")
    for name, level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    try:
        config = settings.load(SimulatorConfig, chosen.config, service="simulator")
        asyncio.run(simulate(config))
    except JournalError:
        logger.exception("simulator stopped: what it emits can no longer be accounted for")
        return 2
    except MillraceError as error:
        logger.error("simulator cannot start", extra={"reason": str(error)})
        return 1
    except Exception:
        logger.exception("simulator failed")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
