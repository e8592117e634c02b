"""What is compared after a fault: the accounting with quiet machines, and every command with the record and the journal."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults import orders
from benchmarks.faults.orders import Order
from stack import status
from stack.config import StackConfig

_CLOSE_S = 90.0
_OUTCOMES_S = 120.0
"""The longest expiry, the 30 s that the commands job waits for an outcome after it, and spare."""
_LOOK_S = 0.5
_ADMIN_S = 30.0
_KEPT = ("closed", "difference", "checksums_compared", "checksums_differing", "missing_frames", "produced", "stored", "rejected",
         "suppressed", "held", "in_flight", "dropped", "duplicates", "identity_conflicts", "undecodable", "not_measured")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Parts of the accounting, and what became of the commands; empty when nothing could be asked."""

    accounting: dict[str, Any] = field(default_factory=dict)
    by_state: dict[str, int] = field(default_factory=dict)
    unacknowledged: int = 0
    wrong: list[str] = field(default_factory=list)


def reach(config: StackConfig, commands: Sequence[Order], earlier: Sequence[Order], known_wrong: set[str]) -> Verdict:
    """Wait until nothing is under way any more, then compare. `earlier` commands are looked at again; `known_wrong` grows."""
    wanted = {one.command_id for one in commands if one.acknowledged}

    def decided() -> bool:
        states = orders.recorded(config, commands)
        return wanted <= {key for key, state in states.items() if state in orders.OUTCOMES}

    _until(decided, timeout_s=_OUTCOMES_S)
    with _quiet(config):
        _until(lambda: _closed(status.measure_accounting(config)), timeout_s=_CLOSE_S)
        books = status.measure_accounting(config)
        _admin(config, "/flush")  # the journal is written behind what the machines do
        told = orders.served(config, [one for one in commands if one.acknowledged])
        found = orders.compare(commands, orders.recorded(config, commands), told, orders.carried_out(config, commands))
        before = orders.compare(earlier, orders.recorded(config, earlier), {}, orders.carried_out(config, earlier))
    late = [f"of an earlier fault: {text}" for text in before.wrong if text not in known_wrong]
    known_wrong.update(before.wrong, found.wrong)
    return Verdict(
        accounting={name: books[name] for name in _KEPT},
        by_state=found.by_state,
        unacknowledged=found.unacknowledged,
        wrong=[*found.wrong, *late],
    )


def _closed(books: dict[str, Any]) -> bool:
    return bool(books["closed"]) and books["in_flight"] == books["held"] == 0


def _until(condition: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait for a condition; when it does not come, what is compared afterwards says so."""
    until_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < until_s:
        time.sleep(_LOOK_S)


@contextmanager
def _quiet(config: StackConfig) -> Iterator[None]:
    """Machines that say nothing."""
    _admin(config, "/pause")
    try:
        yield
    finally:
        _admin(config, "/resume")


def _admin(config: StackConfig, path: str) -> Any:
    """Tell the simulator."""
    url = f"http://{config.host}:{config.ports.simulator_admin}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=_ADMIN_S) as answer:
        return json.loads(answer.read() or b"null")
