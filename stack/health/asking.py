"""Asking all services for their health at once, within a bounded time whatever they do.

Called by the watch, round after round, and by `status` and `top`, once. Every question has a thread of its own that nobody waits for: a
database that was stopped in the middle of an answer holds its thread, not the round.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from stack.config import StackConfig
from stack.health import probes
from stack.health.answer import Health, silent, unknown
from stack.services import Service

DEADLINE_S = probes.TIMEOUT_S + 1.0
_log = logging.getLogger(__name__)


class Asker:
    """Asks the same services again and again; one question to each at a time."""

    def __init__(self, config: StackConfig, services: Iterable[Service]) -> None:
        probes.load()
        self._config, self._services = config, tuple(services)
        self._questions: dict[str, _Question] = {}

    def ask(self) -> dict[str, Health]:
        """One round: the answer of each service, by name. A question that was not answered the last time is still open."""
        deadline_s = time.monotonic() + DEADLINE_S
        for service in self._services:
            question = self._questions.get(service.name)
            if question is None or question.done:
                self._questions[service.name] = _Question(self._config, service)
        return {
            service.name: self._questions[service.name].wait(deadline_s - time.monotonic())
            for service in self._services
        }


class _Question:
    """One question to one service."""

    def __init__(self, config: StackConfig, service: Service) -> None:
        self._config, self._service = config, service
        self._answered = threading.Event()
        self._health = silent(f"no answer within {DEADLINE_S:.0f} s")
        threading.Thread(target=self._run, name=f"health {service.name}", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self._answered.is_set()

    def wait(self, timeout_s: float) -> Health:
        """The answer, or what it counts as when there is none in time."""
        self._answered.wait(max(timeout_s, 0.0))
        return self._health

    def _run(self) -> None:
        try:
            self._health = self._service.health(self._config)
        # A check that fails by itself says nothing about the service, and must not end the others
        except Exception as error:  # noqa: BLE001
            _log.exception("health check failed", extra={"checked": self._service.name})
            self._health = unknown(f"its check failed: {error!r}")
        self._answered.set()
