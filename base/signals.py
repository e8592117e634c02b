"""SIGTERM and SIGINT for tools that wait on an event; asyncio services use their loop's own handlers."""

from __future__ import annotations

import signal
import threading


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set from now on. Call it on the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # On a thread: the signal may come while this one holds the event's lock, and set() would wait for it for ever.
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    return stop
