"""`python -m stack.health.watch`: asks every service for its health and restarts what has been silent for longer than its grace.

Supervised, one per instance. supervisord restarts what ends; this restarts what runs and does not answer: a stopped process, one that
hangs. The job keeper looks after this process in the same way, and this one after the job keeper, so neither is watched by itself.

A service is restarted by killing it and its children; supervisord starts it again. What somebody stopped is left alone. What is seen
goes into a small file for `status`; so does the state of the whole line, with the time since when it is so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

from base import endpoint, heartbeat, logs
from stack import line, processes, prometheus, renewal
from stack.backup import state as backup
from stack.config import StackConfig, load
from stack.errors import StackError
from stack.health import record
from stack.health.answer import Health
from stack.health.asking import Asker
from stack.health.metrics import WatchMetrics
from stack.health.patience import Asked, Grace, Patience
from stack.services import HEALTH_WATCH, Service, all_services
from stack.supervisor import ProcessState, Supervisor, restarts

PERIOD_S = 3.0
_SUPERVISOR_TIMEOUT_S = 10.0
_log = logging.getLogger("stack.health.watch")


class Watch:
    """Patience with some services of an instance, and what comes of it."""

    def __init__(
        self, config: StackConfig, services: Iterable[Service], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        chosen = tuple(services)
        self._config, self._clock = config, clock
        self._asker = Asker(config, chosen)
        self._supervisor = Supervisor(config, timeout_s=_SUPERVISOR_TIMEOUT_S)
        self._patience = Patience(
            graces={s.name: Grace(grace_s=s.grace_s, start_grace_s=s.start_grace_s) for s in chosen}
        )
        self.states: dict[str, ProcessState] = {}
        self.answers: dict[str, Health] = {}

    def round(self) -> list[record.Restart]:
        """Ask once, restart those whose patience is over; what was restarted."""
        self.answers = self._asker.ask()
        # After the answers: a service that was restarted meanwhile is another process, and the old one's silence is not its own.
        self.states = self._supervisor.states()
        asked = {name: Asked(pid=self._pid(name), health=health) for name, health in self.answers.items()}
        silent_s = {name: self._patience.silent_s(name) for name in asked}
        return [
            self._restart(name, asked[name], silent_s[name]) for name in self._patience.observe(self._clock(), asked)
        ]

    def _pid(self, name: str) -> int:
        state = self.states.get(name)
        return state.pid if state is not None and state.state in ("STARTING", "RUNNING") else 0

    def _restart(self, name: str, asked: Asked, silent_s: float) -> record.Restart:
        detail = asked.health.detail
        _log.error(
            "a service that does not answer is restarted",
            extra={"restarted": name, "pid": asked.pid, "silent_s": round(silent_s, 1), "detail": detail},
        )
        processes.kill_tree(asked.pid)
        return record.Restart(at=datetime.now(UTC).isoformat(timespec="seconds"), service=name, detail=detail)


def main() -> None:
    """Watch until stopped."""
    logs.configure(HEALTH_WATCH)
    config = load()
    beat = heartbeat.from_environment(patience_s=60.0)
    watch = Watch(config, (service for service in all_services(config) if service.name != HEALTH_WATCH))
    known = record.read(config)
    registry = endpoint.new_registry()
    metrics = WatchMetrics(registry, partial(restarts, config))
    prometheus.listen(config, config.ports.watch_metrics, registry)
    renewing = renewal.Renewal(config, beat.tick)
    renewal_s = time.monotonic() + renewal.PERIOD_S
    while True:
        began_s = time.monotonic()
        beat.tick()
        restarted = watch.round()
        metrics.restarted(restarted)
        try:
            safety = backup.find(config)
            found = line.find(config, states=watch.states, answers=watch.answers, safety=safety)
            known = record.take(known, now=datetime.now(UTC), line=found, answers=watch.answers, restarts=restarted)
            metrics.show(known, safety)
            record.write(config, known)
        except (OSError, StackError):  # a full disk, an error of Flink's: services are watched all the same
            _log.exception("the state of the line was not written down")
        if began_s >= renewal_s:
            beat.tick()
            renewal_s = began_s + renewing.round(watch.states)
        time.sleep(max(0.0, PERIOD_S - (time.monotonic() - began_s)))


if __name__ == "__main__":
    main()
