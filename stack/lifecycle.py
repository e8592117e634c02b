"""Starting and stopping an instance: waves of services with one-shot steps between them.

`up` is idempotent: a step that finds its work done says so. `down` stops in reverse order, jobs with a savepoint first, and looks for
processes that stayed behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from base.errors import listed
from stack import (
    deployment,
    flink,
    jobs,
    kafka,
    mosquitto,
    page,
    postgres,
    preflight,
    processes,
    render,
    restore_points,
    roots,
    signing,
    steps,
    trust,
)
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.node import NodeError
from stack.programs import program
from stack.readiness import wait_ready
from stack.reporting import Progress
from stack.services import FLINK, Service, all_services, select
from stack.supervisor import Supervisor

_NAMED = 10
"""Certificates that a line of progress names: a plant may have a thousand gateways."""


def up(config: StackConfig, progress: Progress, *, names: tuple[str, ...] = ()) -> None:
    """Start the instance, or the named services of it with the steps that they make possible."""
    prepare(config, progress, names=names)
    chosen = select(config, names)
    with_infrastructure = {service.name for service in chosen}
    start(config, progress, (s for s in chosen if s.stage <= 1))
    older = _why_older(config, Supervisor(config))
    for step in steps.PREPARATION:
        if older and step.defines:
            progress.sink(
                f"{step.title}: left as it is, {older} (docs/operations.md, Upgrade an instance), then `up` again"
            )
            continue
        _run(config, progress, step, with_infrastructure)
    start(config, progress, (s for s in chosen if s.stage == 2), wait=False)
    for step in steps.JOBS:
        _run(config, progress, step, with_infrastructure)
    start(config, progress, (s for s in chosen if s.stage >= 2))
    for step in steps.PROOF:
        _run(config, progress, step, with_infrastructure)


def prepare_upgrade(config: StackConfig, progress: Progress) -> None:
    """What the jobs of a newer version need of an instance that runs: topics, access to them, tables. The old jobs go on meanwhile."""
    running = {name for name, state in Supervisor(config).states().items() if state.pid}
    for step in steps.UPGRADE:
        _run(config, progress, step, running)


def prepare(config: StackConfig, progress: Progress, *, names: tuple[str, ...] = ()) -> None:
    """Everything before the first process: checks, folders, configuration files, supervisord."""
    supervisor = Supervisor(config)
    selected = {service.name for service in select(config, names)}
    uses_flink = any(name == "jobmanager" for name in selected)
    with progress.step("checks") as details:
        running = supervisor.alive()
        preflight.check(config, running=running, flink=uses_flink)
        if uses_flink and _running_root(config, supervisor):
            signing.require_as_it_runs(config)
        details.append("already running" if running else "ports, memory and disk are free")
    if "serving" in selected:
        with progress.step("page") as details:
            details.append(_page())
    with progress.step("certificates") as details:
        issued = trust.prepare(config)
        details.append(_issued(issued))
    with progress.step("configuration") as details:
        for folder in (config.state, config.data, config.logs, config.run):
            folder.mkdir(parents=True, exist_ok=True)
        render.render_all(config, jobs.of(config))
        details.append(f"signatures {signing.describe(config)}")
        for name, action in (
            ("kafka", kafka.prepare),
            ("postgres", postgres.prepare),
            ("mosquitto", mosquitto.prepare),
            ("jobmanager", flink.prepare),
        ):
            if name in selected:
                action(config)
    if uses_flink:
        with progress.step("code root") as details:
            details.append(_code_root(config, supervisor))
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


def _issued(names: Sequence[str]) -> str:
    return f"issued: {listed(names, _NAMED)}" if names else "good"


def _page() -> str:
    """The page is for people: without it (no package registry to be reached, the first time) the platform goes up all the same."""
    try:
        return page.build()
    except NodeError as error:
        return f"NOT BUILT, everything else goes on: {error}"


def _code_root(config: StackConfig, supervisor: Supervisor) -> str:
    """The root that TaskManagers start on: made of today's code while nothing of Flink runs, and left alone while something does."""
    if deployment.pending(config) is not None:
        return f"{roots.active(config).name}, in a deployment that was interrupted"
    if name := _running_root(config, supervisor):
        return (
            name
            if name == _name_of_today(config)
            else f"{name} goes on; the code has changed, `deploy` upgrades the jobs"
        )
    name = roots.build(config, program(config, "jobs").directory)
    roots.activate(config, name)
    return name


def _why_older(config: StackConfig, supervisor: Supervisor) -> str:
    """Why the jobs may not know today's definitions; empty where they do."""
    name = _running_root(config, supervisor)
    if name and deployment.pending(config) is not None:
        return "a deployment that was interrupted is ended first"
    return f"the jobs run on {name}, `deploy` upgrades them first" if name and name != _name_of_today(config) else ""


def _running_root(config: StackConfig, supervisor: Supervisor) -> str:
    """The root that Flink's processes run on; empty where none runs, or there is none."""
    states = supervisor.states()
    stages = (FLINK, FLINK + 1)
    runs = any(states[s.name].pid for s in all_services(config) if s.stop_stage in stages and s.name in states)
    return roots.active(config).name if runs and roots.link(config).exists() else ""


def _name_of_today(config: StackConfig) -> str:
    return roots.name_of(program(config, "jobs").directory)


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
        if deployment.pending(config) is None:  # it may go back to what looks old now
            restore_points.prune(config, live=())


def _run(config: StackConfig, progress: Progress, step: steps.Step, selected: set[str]) -> None:
    if not step.needs <= selected:
        return
    with progress.step(step.title) as details:
        details.append(step.action(config))
