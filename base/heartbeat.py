"""A sign of life in a file, for services that listen on no port: its time advances as long as the service does.

Who writes: a service's `Heartbeat`, once a second from a thread of its own, so that a long statement or a long file does not look like
a service that hangs; it stops when the service's loop has said nothing (`tick`) for longer than its work may take. Who reads:
whoever watches the service (`age_s`). A stopped process writes nothing, whatever it was doing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from base import files

log = logging.getLogger(__name__)

VARIABLE = "MILLRACE_HEARTBEAT"
"""Environment variable that names the file; without it nothing is written."""
PERIOD_S = 1.0


class Heartbeat:
    """Writes the file from its first `tick` on; `patience_s` is the longest time between two ticks of a service that is well."""

    def __init__(self, path: Path | None, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._patience_s, self._clock = path, patience_s, clock
        self._ticked_s = clock()
        self._thread: threading.Thread | None = None

    def tick(self) -> None:
        """The service's loop goes round."""
        self._ticked_s = self._clock()
        if self._path is not None and self._thread is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._thread = threading.Thread(target=self._run, args=(self._path,), name="heartbeat", daemon=True)
            self._thread.start()

    def beat(self, path: Path) -> bool:
        """Write once, unless the loop has been silent for too long; whether it was written."""
        if self._clock() - self._ticked_s > self._patience_s:
            return False
        files.replace(path, f"{time.time():.3f} {os.getpid()}\n")
        return True

    def _run(self, path: Path) -> None:
        while True:
            try:
                self.beat(path)
            except OSError as error:  # a full disk is no reason to stop beating for good
                log.warning("heartbeat was not written", extra={"path": str(path), "detail": str(error)})
            time.sleep(PERIOD_S)


def from_environment(*, patience_s: float) -> Heartbeat:
    """The heartbeat that the environment asks for."""
    name = os.environ.get(VARIABLE, "")
    return Heartbeat(Path(name) if name else None, patience_s=patience_s)


def age_s(path: Path, now_s: float) -> float | None:
    """Seconds since the newest beat at Unix time `now_s`; None when there was never one."""
    try:
        return now_s - float(path.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
