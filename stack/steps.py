"""One-shot steps of `up`: tables of what is done between the waves of services.

A step names the services it needs; it is left out when one of them was not selected.
Every step may run again at any time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from stack import bounded, deploy, jobs, line, postgres, postgres_roles, priority, render, renewal, signing_keys, trust
from stack.config import StackConfig
from stack.errors import NotReadyError, StepError
from stack.flink_rest import FlinkRest
from stack.programs import program
from stack.reporting import Progress
from stack.services import HEALTH_WATCH, JOB_KEEPER

_FRESH_S = 10
_PROOF_TIMEOUT_S = 120
_LINE_TIMEOUT_S = 60
_TOOL_TIMEOUT_S = 900
"""A plant of 400,000 tags takes minutes to load."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of `up`. `defines`: it tells jobs what the files of this checkout define, which older jobs may not know how to read."""

    title: str
    needs: frozenset[str]
    action: Callable[[StackConfig], str]
    defines: bool = False


def _tool(module: str, *arguments: str) -> Callable[[StackConfig], str]:
    """Run a module of ours with the platform's configuration; its last line of output is the step's result."""

    def action(config: StackConfig) -> str:
        tool = program(config, "historian")
        command = tool.module(module, *arguments, "--config", str(render.platform_file(config)))
        command = tuple(str(config.plant) if part == "{plant}" else part for part in command)
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        named = " ".join(command[1:4])
        result = bounded.run(
            command,
            timeout_s=_TOOL_TIMEOUT_S,
            late=f"{named} did not finish",
            cwd=tool.directory,
            env=environment,
        )
        if result.returncode:
            msg = f"{named} failed:\n{result.stdout[-2000:]}{result.stderr[-3000:]}"
            raise StepError(msg)
        lines = result.stdout.strip().splitlines()
        return lines[-1] if lines else "done"

    return action


def _work(config: StackConfig) -> str:
    """What lies beside the plant file in the folder `work`; what people changed since stays."""
    folder = config.plant.parent / "work"
    if not folder.is_dir():
        return f"none: there is no {folder}"
    return _tool(
        "work.command", "import", str(folder), "--missing", "--who", "millrace up", "--why", "start of the stack"
    )(config)


def _alarm_rules(config: StackConfig) -> str:
    """Those of the file `alarms.yaml` beside the plant's, else what definitions give; what people changed or retired since stays."""
    if "alarms" not in jobs.of(config):
        return "none: parallelism.alarms is 0"
    file = config.plant.parent / "alarms.yaml"
    return _tool(
        "alarms.command", "load", *([str(file)] if file.exists() else []), "--missing", "--why", "missing at up"
    )(config)


def _mqtt_access(config: StackConfig) -> str:
    """One that ran already has not read what was written for it."""
    renewal.tell_mosquitto(config)
    return f"{len(trust.nodes(config))} nodes"


def _job(name: str) -> Callable[[StackConfig], str]:
    def action(config: StackConfig) -> str:
        if name not in jobs.of(config):
            return f"off (parallelism.{name} is 0)"
        job_id, submitted = jobs.ensure(config, name, wait=False)
        return f"{'submitted' if submitted else 'runs'} as {job_id}"

    return action


def _plans(config: StackConfig) -> str:
    live = FlinkRest(config.flink_url).live_jobs()
    with jobs.lock(config):
        return jobs.compile_ahead(config, [name for name in jobs.of(config) if jobs.flink_name(name) not in live])


def _interrupted_deployment(config: StackConfig) -> str:
    lines: list[str] = []
    with jobs.lock(config):
        try:
            deploy.resume(config, Progress(sink=lines.append))
        except deploy.RolledBackError as error:
            return str(error)
    return "finished" if lines else "none"


def _all_jobs_run(config: StackConfig) -> str:
    for name in jobs.of(config):
        jobs.ensure(config, name)
    priority.Priorities(config).look()
    return "all tasks run"


def _fresh_rows(config: StackConfig) -> str:
    """Wait until the SQL view `telemetry` has a row younger than a few seconds."""
    deadline, detail = time.monotonic() + _PROOF_TIMEOUT_S, "no rows"
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(postgres.dsn(config), connect_timeout=5) as connection:
                query = "SELECT extract(epoch FROM now() - max(time)) FROM telemetry WHERE time > now() - interval '10 minutes'"
                row = connection.execute(query).fetchone()
        except psycopg.Error as error:
            detail = str(error).strip()
        else:
            if row is not None and row[0] is not None:
                if row[0] < _FRESH_S:
                    return f"newest row of `telemetry` is {row[0]:.1f} s old"
                detail = f"newest row is {row[0]:.0f} s old"
        time.sleep(0.25)
    msg = f"no fresh rows in the view `telemetry` after {_PROOF_TIMEOUT_S} s: {detail}; look at `./millrace status` and `./millrace logs`"
    raise NotReadyError(msg)


def _line_is_up(config: StackConfig) -> str:
    """What `status` will say; a line that is not up by now is reported, not refused: samples do flow."""
    found, _ = line.wait_up(config, _LINE_TIMEOUT_S)
    return "; ".join([str(found.state), *found.reasons])


_KAFKA, _POSTGRES, _FLINK = (
    frozenset({"kafka"}),
    frozenset({"postgres"}),
    frozenset({"kafka", "postgres", "jobmanager", "taskmanager-1"}),
)
_ALL = _FLINK | {"simulator", "serving"}

_TOPICS = Step(title="topics", needs=_KAFKA, action=_tool("connectors.kafka.admin"))
_ACCESS = Step(title="access to topics", needs=_KAFKA, action=trust.allow_step)
_SIGNING_KEYS = Step(title="signing keys", needs=_KAFKA, action=signing_keys.publish_step)
_MIGRATIONS = Step(title="migrations", needs=_POSTGRES, action=_tool("historian.migrate"))
_ROLES = Step(title="roles of services", needs=_POSTGRES, action=postgres_roles.create_service_roles)

# After broker and database are up, before anything that uses them.
PREPARATION = (
    _TOPICS,
    _ACCESS,
    _SIGNING_KEYS,
    Step(title="access to MQTT", needs=frozenset({trust.MOSQUITTO}), action=_mqtt_access),
    Step(title="database", needs=_POSTGRES, action=postgres_roles.create_database),
    _MIGRATIONS,
    _ROLES,
    Step(
        title="registry",
        needs=_POSTGRES,
        action=_tool("registry.command", "load", "{plant}", "--no-publish", "--why", "start of the stack"),
        defines=True,
    ),
    Step(title="model of work", needs=_POSTGRES, action=_work, defines=True),
    Step(title="registry topic", needs=_KAFKA | _POSTGRES, action=_tool("registry.command", "publish"), defines=True),
    Step(title="alarm rules", needs=_KAFKA | _POSTGRES, action=_alarm_rules, defines=True),
)

# What newer jobs need of broker and database of an instance that runs.
UPGRADE = (_TOPICS, _ACCESS, _SIGNING_KEYS, _MIGRATIONS, _ROLES)

JOBS = (
    Step(title="interrupted deployment", needs=_FLINK, action=_interrupted_deployment),
    Step(title="plans of jobs", needs=_FLINK, action=_plans),
    *(Step(title=f"job {name}", needs=_FLINK, action=_job(name)) for name in jobs.JOBS),
    Step(title="jobs", needs=_FLINK, action=_all_jobs_run),
)

# Data has gone the whole way.
PROOF = (
    Step(title="data at the far end", needs=_ALL, action=_fresh_rows),
    Step(title="line", needs=_ALL | {JOB_KEEPER, HEALTH_WATCH}, action=_line_is_up),
)
