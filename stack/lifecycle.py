"""Starting and stopping an instance: waves of services with one-shot steps between them.

`up` is idempotent: a step that finds its work done says so. `down` stops in reverse order, jobs with a savepoint first, and looks for
processes that stayed behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from stack import flink, jobs, kafka, mosquitto, postgres, preflight, processes, render, steps
from stack.config import StackConfig
from stack.errors import NotReadyError, StackError
from stack.flink_rest import FlinkRest
from stack.services import FLINK, Service, all_services, select
from stack.supervisor import Supervisor, log_file, restarts

_POLL_S = 0.1
# A service that ends this often while `up` waits for it will not come.
_MAX_ENDS = 4


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


def up(config: StackConfig, progress: Progress, *, names: tuple[str, ...] = ()) -> None:
    """Start the instance, or the named services of it with the steps that they make possible."""
    prepare(config, progress, names=names)
    chosen = select(config, names)
    with_infrastructure = {service.name for service in chosen}
    start(config, progress, (s for s in chosen if s.stage <= 1))
    for step in steps.PREPARATION:
        _run(config, progress, step, with_infrastructure)
    start(config, progress, (s for s in chosen if s.stage == 2), wait=False)
    for step in steps.COMMANDS_JOB:
        _run(config, progress, step, with_infrastructure)
    start(config, progress, (s for s in chosen if s.stage == 3), wait=False)
    for step in steps.OTHER_JOBS:
        _run(config, progress, step, with_infrastructure)
    start(config, progress, (s for s in chosen if s.stage >= 2))
    for step in steps.PROOF:
        _run(config, progress, step, with_infrastructure)


def prepare(config: StackConfig, progress: Progress, *, names: tuple[str, ...] = ()) -> None:
    """Everything before the first process: checks, folders, configuration files, supervisord."""
    supervisor = Supervisor(config)
    selected = {service.name for service in select(config, names)}
    uses_flink = any(name == "jobmanager" for name in selected)
    with progress.step("checks") as details:
        running = supervisor.alive()
        preflight.check(config, running=running, flink=uses_flink)
        details.append("already running" if running else "ports, memory and disk are free")
    with progress.step("configuration"):
        for folder in (config.state, config.data, config.logs, config.run):
            folder.mkdir(parents=True, exist_ok=True)
        render.render_all(config, jobs.JOBS)
        for name, action in (
            ("kafka", kafka.prepare),
            ("postgres", postgres.prepare),
            ("mosquitto", mosquitto.prepare),
            ("jobmanager", flink.prepare),
        ):
            if name in selected:
                action(config)
    with progress.step("supervisor"):
        supervisor.ensure(all_services(config))


def start(config: StackConfig, progress: Progress, services: Iterable[Service], *, wait: bool = True) -> None:
    """Start services at once and, unless told otherwise, wait until each is ready."""
    supervisor, chosen = Supervisor(config), tuple(services)
    for service in chosen:
        supervisor.start(service.name)
    for service in chosen if wait else ():
        with progress.step(service.name) as details:
            wait_ready(config, service)
            details.append(f"ready on {service.address}" if service.address else "ready")


def wait_ready(config: StackConfig, service: Service) -> None:
    """Return when the service is ready; NotReadyError with the end of its log when its time is over, or when it ends again and again."""
    begin, ends = time.monotonic(), restarts(config).get(service.name, 0)
    while not service.ready(config):
        waited, fresh_ends = time.monotonic() - begin, restarts(config).get(service.name, 0) - ends
        if waited > service.ready_timeout_s or fresh_ends >= _MAX_ENDS:
            log = log_file(config, service.name)
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(empty)"
            why = f"ended {fresh_ends} times" if fresh_ends else f"was not ready after {waited:.0f} s"
            msg = f"{service.name} {why}; end of {log}:\n{tail}"
            raise NotReadyError(msg)
        time.sleep(_POLL_S)


def down(config: StackConfig, progress: Progress) -> None:
    """Stop everything that runs, in reverse order, and end supervisord."""
    supervisor = Supervisor(config)
    states = supervisor.states()
    if not states:
        leftovers = end_leftovers(config)
        progress.sink(
            "nothing runs" + (f"; ended {len(leftovers)} processes that an earlier run left" if leftovers else "")
        )
        return
    running = [
        s for s in stop_order(config) if s.name in states and states[s.name].state not in ("STOPPED", "EXITED", "FATAL")
    ]
    _stop_services(supervisor, progress, [service for service in running if service.stop_stage < FLINK])
    _stop_jobs(config, progress)
    _stop_services(supervisor, progress, [service for service in running if service.stop_stage >= FLINK])
    with progress.step("supervisor"):
        supervisor.shutdown()
    leftovers = end_leftovers(config)
    if leftovers:
        progress.sink(f"ended {len(leftovers)} processes that stayed behind: {', '.join(leftovers)}")


def end_leftovers(config: StackConfig) -> list[str]:
    """End processes of this instance that no supervisor holds any more; their names."""
    found = {process: process.name() for process in processes.of_instance(config)}
    processes.end(found)
    return sorted(found.values())


def stop_order(config: StackConfig) -> list[Service]:
    """Writers first, stores last."""
    return sorted(all_services(config), key=lambda service: service.stop_stage)


def _stop_services(supervisor: Supervisor, progress: Progress, services: list[Service]) -> None:
    for _, stage in groupby(services, key=lambda service: service.stop_stage):
        together = list(stage)
        with progress.step(", ".join(service.name for service in together)) as details:
            for service in together:
                supervisor.stop(service.name, wait=False)
            for service in together:
                supervisor.wait_stopped(service.name, timeout_s=service.stop_wait_s + 10)
            details.append("stopped")


def _stop_jobs(config: StackConfig, progress: Progress) -> None:
    rest = FlinkRest(config.flink_url)
    if not rest.alive():
        return
    with jobs.lock(config):
        for job in reversed(jobs.JOBS):
            if rest.live_job(jobs.flink_name(job)) is None:
                continue
            with progress.step(f"job {job}") as details:
                try:
                    details.append(f"stopped with savepoint {Path(jobs.stop(config, job, timeout_s=45) or '').name}")
                except StackError as error:
                    jobs.cancel(config, job)
                    details.append(
                        f"no savepoint ({str(error).splitlines()[0][:200]}); goes on from its newest checkpoint"
                    )


def _run(config: StackConfig, progress: Progress, step: steps.Step, selected: set[str]) -> None:
    if not step.needs <= selected:
        return
    with progress.step(step.title) as details:
        details.append(step.action(config))
