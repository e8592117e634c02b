"""Lines of progress of long commands: a line when a step is done, with its duration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Progress:
    """Lines of progress; `sink` takes finished lines."""

    sink: Callable[[str], None]
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Report a step when it is done, with its duration and what was appended to the yielded list."""
        begin, details = time.monotonic(), list[str]()
        try:
            yield details
        except BaseException:
            self.sink(f"[{time.monotonic() - self.started:5.1f} s] {title}: FAILED")
            raise
        took = time.monotonic() - begin
        self.sink(f"[{time.monotonic() - self.started:5.1f} s] {title}: {', '.join(details) or 'done'} ({took:.1f} s)")
