"""CPU priority of TaskManagers: the one that runs the commands job, for which people wait, goes before the others.

Jobs move: after a failure any job may run on any TaskManager. So priority follows the job. Every TaskManager starts with supervisord's
niceness; one that runs other jobs only becomes polite, one that runs nothing stays as it is. Called by the job keeper, again and again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from stack import jobs
from stack.config import StackConfig
from stack.flink_rest import FlinkRest
from stack.supervisor import Supervisor

FIRST = "commands"
POLITE = 5
"""Added to supervisord's niceness, as `nice` does for the other services."""
_log = logging.getLogger(__name__)


def wanted(hosts: Mapping[str, set[str]], base: int) -> dict[str, int]:
    """Niceness by TaskManager, from the TaskManagers by job and what they start with; those that run no job are not named."""
    favoured = hosts.get(FIRST, set())
    return {host: base if host in favoured else base + POLITE for host in set[str]().union(*hosts.values())}


class Priorities:
    """The priorities of an instance's TaskManagers. Flink is asked where the jobs run when a task has come to another state."""

    def __init__(self, config: StackConfig) -> None:
        self._rest, self._supervisor = FlinkRest(config.flink_url), Supervisor(config)
        self._followed: frozenset[tuple[str, int, bool]] = frozenset()

    def look(self) -> dict[str, int]:
        """Give TaskManagers their priority; the changed ones with their new niceness. FlinkUnavailableError when Flink cannot be asked."""
        live = self._rest.live_jobs()
        places = frozenset((job.id, job.changed_ms, job.all_running) for job in live.values())
        if places == self._followed:
            return {}
        running = {name: live.get(jobs.flink_name(name)) for name in jobs.JOBS}
        hosts = {name: self._rest.hosts_of(job.id) for name, job in running.items() if job and job.all_running}
        changed = self._give(wanted(hosts, os.getpriority(os.PRIO_PROCESS, self._supervisor.pid()))) if hosts else {}
        self._followed = places
        return changed

    def _give(self, niceness: Mapping[str, int]) -> dict[str, int]:
        """To take politeness back needs a right (CAP_SYS_NICE) that ordinary users and containers lack.

        Without it the TaskManager is started again, which costs the commands job the ten seconds of one more failure; a new process is
        not polite.
        """
        states, changed = self._supervisor.states(), {}
        for name, nice in niceness.items():
            pid = states[name].pid if name in states else 0
            try:
                if not pid or os.getpriority(os.PRIO_PGRP, pid) == nice:
                    continue
                # The whole group: niceness belongs to threads, and a JVM has many. Every service is a process group of its own.
                os.setpriority(os.PRIO_PGRP, pid, nice)
                _log.info("priority follows the job", extra={"taskmanager": name, "nice": nice})
            except ProcessLookupError:
                continue  # it died meanwhile; its job comes to another state then
            except PermissionError:
                _log.warning(
                    "niceness cannot be lowered here; starting again", extra={"taskmanager": name, "first": FIRST}
                )
                self._supervisor.stop(name)
                self._supervisor.start(name)
            changed[name] = nice
        return changed
