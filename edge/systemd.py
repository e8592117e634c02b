"""What a gateway tells systemd: that it is ready, that it reloads or stops, and, again and again, that it still works.

The protocol is a datagram of `KEY=value` lines to the socket named in NOTIFY_SOCKET (sd_notify(3)); without that variable nothing is sent.
The watchdog is fed from the event loop, and only while the pipeline makes its turns: a process that is there and does nothing is ended by
systemd and started anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(*lines: str) -> bool:
    """Send lines; False when nobody listens or they cannot be sent, which is said in the log and costs nothing else."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            # Non-blocking: the event loop does not wait for systemd.
            channel.setblocking(False)
            channel.sendto("\n".join(lines).encode(), f"\0{name[1:]}" if name.startswith("@") else name)
    except OSError as error:
        log.warning("systemd cannot be told", extra={"lines": lines, "cause": str(error)})
        return False
    return True


def reloading() -> bool:
    """Say that the configuration is read again; `READY` says that it is done."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_s() -> float:
    """Seconds between two signs of life, half of what systemd allows; 0 when it does not watch this process."""
    allowed_us, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed_us.isdigit() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(allowed_us) / 2e6


async def feed(turns: Callable[[], int], period_s: float) -> None:
    """A sign of life every `period_s`, as long as `turns` advances; until cancelled."""
    last = -1
    while True:
        if (now := turns()) != last:
            last = now
            notify("WATCHDOG=1")
        else:
            log.error("no sign of life for systemd: the pipeline makes no turns")
        await asyncio.sleep(period_s)
