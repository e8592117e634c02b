"""An instance of the stack for programs: tests and benchmarks start exactly the services they need, once, on ports of their own.

Several instances live side by side: each takes a free block of ports (a lock file per block keeps two sessions from taking the same) and
a state folder of its own, and stops by itself when its owner process is gone.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base import locks
from stack import lifecycle, preflight
from stack.config import SHARED_TEMPORARY, TOOLS, Memory, Parallelism, Ports, StackConfig
from stack.errors import StackError
from stack.reporting import Progress
from stack.services import select

_log = logging.getLogger("stack.instance")
# Blocks of 1000 ports below Linux's ephemeral range; the local stack's own 29000 is not among them.
_BASES = range(15000, 29000, 1000)
_SMALL = Memory(kafka_heap_mb=384, jobmanager_mb=1024, taskmanager_mb=1024, postgres_shared_buffers_mb=128)

# The alarms job costs a TaskManager and time: who looks at alarms, or at the platform as it comes, asks for it (`Parallelism()`).
_WITHOUT_ALARMS = Parallelism(alarms=0)


class Instance:
    """A running instance; `require` starts services that do not run yet."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self._started: set[str] = set()

    def require(self, *names: str) -> StackConfig:
        """Start services (names or groups) unless they run; returns the configuration with their addresses."""
        wanted = {service.name for service in select(self.config, names)}
        if not wanted <= self._started:
            if self.config.owner_pid:
                wanted.add("owner-watch")
            lifecycle.prepare(self.config, Progress(sink=_log.info), names=tuple(sorted(wanted | self._started)))
            lifecycle.start(self.config, Progress(sink=_log.info), select(self.config, tuple(sorted(wanted))))
            self._started |= wanted
        return self.config

    def stop(self) -> None:
        """Stop everything."""
        lifecycle.down(self.config, Progress(sink=_log.info))


@contextmanager
def temporary(*, folder: Path = TOOLS / "test", keep: bool = False, **settings: Any) -> Iterator[Instance]:
    """An empty instance on free ports; stopped and, unless `keep`, deleted at the end. `settings` are fields of StackConfig."""
    with free_block() as base:
        state = folder / str(base)
        shutil.rmtree(state, ignore_errors=True)
        own: dict[str, Any] = {"memory": _SMALL, "parallelism": _WITHOUT_ALARMS, "min_free_disk_gb": 2} | settings
        config = StackConfig(state=state, ports=Ports(base=base), owner_pid=os.getpid(), **own)
        instance = Instance(config)
        try:
            yield instance
        finally:
            instance.stop()
            if not keep:
                shutil.rmtree(state, ignore_errors=True)


@contextmanager
def free_block() -> Iterator[int]:
    """Base of a block of ports that nobody else takes meanwhile."""
    for base in _BASES:
        try:
            lock = locks.take(SHARED_TEMPORARY / f"millrace-ports-{base}.lock", wait=False)
        except BlockingIOError:
            continue
        with lock:
            probe = dataclasses.replace(StackConfig(), ports=Ports(base=base))
            if all(preflight.is_free(probe.host, port) for port in preflight.used_ports(probe).values()):
                yield base
                return
    msg = "no free block of ports for another instance"
    raise StackError(msg)
