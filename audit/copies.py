"""Copies of checkpoints in a second place: what was said once cannot be taken back, even by whoever has the log and its keys.

A file a month, a line a checkpoint, only ever added to. A copy that fails is tried again; the log goes on meanwhile, and says so.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)


class Copies:
    """One place. `clock` is monotonic seconds."""

    def __init__(
        self,
        folder: Path | None,
        *,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._every_s, self._clock, self._today = folder, every_s, clock, today
        self._last, self._tried_s = "", float("-inf")
        self.failed = False

    def offer(self, note: str, *, now: bool = False) -> bool:
        """Copy a checkpoint unless one was copied a moment ago; whether it is there now. `now`: whatever was copied before."""
        if self._folder is None or note in {"", self._last}:
            return self._folder is not None and bool(note)
        if not now and self._clock() - self._tried_s < self._every_s:
            return False
        self._tried_s = self._clock()
        try:
            self._add(self._folder, note)
        except OSError as error:
            if not self.failed:
                log.error(
                    "checkpoint was not copied; it is tried again",
                    extra={"folder": str(self._folder), "cause": str(error)},
                )
            self.failed = True
            return False
        self._last, self.failed = note, False
        return True

    def _add(self, folder: Path, note: str) -> None:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        path = folder / f"{self._today():%Y-%m}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        with os.fdopen(descriptor, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                # A line that a kill cut short stays as it is; the next one begins behind it.
                head = b"" if file.read(1) == b"\n" else b"\n"
            else:
                head = b""
            file.write(head + json.dumps(note, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
