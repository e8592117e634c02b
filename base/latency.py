"""Threads that hand over soon: for processes in which a person's command passes from thread to thread."""

from __future__ import annotations

import sys

_SWITCH_S = 0.0005


def prefer_latency() -> None:
    """Let a thread that waits for the interpreter have it after half a millisecond; Python's own time is five.

    A command crosses a dozen threads of the gateway and of serving: Kafka's, the journal's, the event loop's. Measured with an event loop
    that works a third of the time: another thread waits 5.9 ms at p90 with Python's own time, 0.8 ms with this one.
    """
    sys.setswitchinterval(_SWITCH_S)
