"""A part of `bench watch` in a process of its own: it starts, says that it is ready, works until it is told to stop, and leaves a result.

What is measured must not share an interpreter with what loads it. A worker ends by itself when its scenario is gone.
"""

from __future__ import annotations

import multiprocessing
import queue
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from base.errors import MillraceError, UnavailableError

_CONTEXT = multiprocessing.get_context("spawn")


class WorkerError(MillraceError):
    """A worker failed; the message is its traceback."""


class Signals:
    """Between a scenario and a worker."""

    def __init__(self) -> None:
        self._stopped = _CONTEXT.Event()
        self._ready: Any = _CONTEXT.Value("q", 0)

    @property
    def stopped(self) -> bool:
        """Whether the worker is to end: it was told so, or its scenario is gone."""
        parent = multiprocessing.parent_process()
        return self._stopped.is_set() or (parent is not None and not parent.is_alive())

    def stop(self) -> None:
        """Tell the worker to end."""
        self._stopped.set()

    @property
    def ready(self) -> int:
        """How much of its work the worker has set up."""
        return int(self._ready.value)

    @ready.setter
    def ready(self, count: int) -> None:
        self._ready.value = count


class Worker:
    """`run(*arguments, signals)` in a process of its own. Use it as a context: leaving it ends the process."""

    def __init__(self, run: Callable[..., Any], *arguments: Any) -> None:
        self.signals = Signals()
        self._results: Any = _CONTEXT.Queue()
        self._process = _CONTEXT.Process(
            target=_main,
            args=(run, arguments, self.signals, self._results),
            name=f"bench-{run.__module__}",
            daemon=True,
        )

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def until_ready(self, count: int, timeout_s: float) -> int:
        """Wait until so much is set up, or the time is over; how much is."""
        deadline = time.monotonic() + timeout_s
        while self.signals.ready < count and time.monotonic() < deadline:
            if not self._process.is_alive():
                self.result()
            time.sleep(0.05)
        return self.signals.ready

    def result(self, timeout_s: float = 60.0) -> Any:
        """Tell it to stop, and take what it leaves. Raises WorkerError."""
        self.signals.stop()
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                failed, found = self._results.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > deadline or (not self._process.is_alive() and self._results.empty()):
                    msg = f"{self._process.name} left no result; exit code {self._process.exitcode}"
                    raise UnavailableError(msg) from None
                continue
            if failed:
                raise WorkerError(found)
            return found


def _main(run: Callable[..., Any], arguments: tuple[Any, ...], signals: Signals, results: Any) -> None:
    try:
        results.put((False, run(*arguments, signals)))
    except Exception:  # noqa: BLE001 - carried over to the process that asked
        results.put((True, traceback.format_exc()))
