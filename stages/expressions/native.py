"""Calls into the native library of expressions, in a thread that it can bear.

Its binding (pybind11) asks Python for the thread's own state (`PyGILState`) and waits for ever where another one runs: so it is in Flink's
thread mode, where Java makes the states and moves them between its threads (seen: the import alone does not return). There the calls
go through one thread of Python's own. Everywhere else they are made at once.
"""

from __future__ import annotations

import ctypes
import functools
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def call(function: Callable[..., T], *arguments: Any) -> T:
    """What the function gives, or raises."""
    if ctypes.pythonapi.PyGILState_Check():
        return function(*arguments)
    return _worker().call(function, *arguments)


@functools.lru_cache(maxsize=1)
def _worker() -> _Worker:
    return _Worker()


class _Worker:
    """One thread that makes calls for others, one at a time."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], queue.SimpleQueue[Any]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, name="expressions", daemon=True).start()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self._asked.put((function, arguments, answers))
        done, result = answers.get()
        if not done:
            raise result
        found: T = result
        return found

    def _work(self) -> None:
        while True:
            function, arguments, answers = self._asked.get()
            try:
                answers.put((True, function(*arguments)))
            except BaseException as error:  # noqa: BLE001 - whoever asked gets it
                answers.put((False, error))
