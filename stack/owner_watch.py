"""Stops an instance whose owner process is gone, so that a killed test session leaves no broker or database behind."""

from __future__ import annotations

import logging
import time

import psutil

from base import heartbeat, logs
from stack.config import load
from stack.supervisor import Supervisor

_PERIOD_S = 1.0


def main() -> None:
    """Wait for the owner's end, then shut supervisord (and this process with it) down."""
    logs.configure("owner-watch")
    config = load()
    beat = heartbeat.from_environment(patience_s=60.0)
    while psutil.pid_exists(config.owner_pid):
        beat.tick()
        time.sleep(_PERIOD_S)
    logging.getLogger("stack.owner_watch").warning(
        "owner is gone, shutting down", extra={"owner_pid": config.owner_pid}
    )
    Supervisor(config).shutdown()


if __name__ == "__main__":
    main()
