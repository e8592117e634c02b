"""State of the line of an instance, asked now: services, jobs, and what the job keeper knows of them.

Called by the watch (every round), by `status` and by `up`. `line_state` decides what it comes to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from stack import jobs, postgres
from stack.backup import state as backup
from stack.backup.state import Safety
from stack.config import StackConfig
from stack.flink_rest import FlinkRest, FlinkUnavailableError
from stack.healing import record as healing
from stack.health import record as health
from stack.health.answer import Answer, Health, unknown
from stack.health.asking import Asker
from stack.line_state import JobView, LineState, ServiceView, State, line_state
from stack.services import JOB_KEEPER, all_services
from stack.supervisor import ProcessState, Supervisor

_SUPERVISOR_TIMEOUT_S = 10.0
_WAIT_PERIOD_S = 1.0
_PUT_ASIDE = "SELECT site, detail FROM alarms WHERE state <> 'NORMAL' AND rule = %s ORDER BY site"
_NOT_ASKED = unknown("it does not run")


def ask(config: StackConfig) -> tuple[LineState, dict[str, Health]]:
    """State of the line and the answers of its services, asked now; takes some seconds when one of them is silent."""
    supervisor = Supervisor(config, timeout_s=_SUPERVISOR_TIMEOUT_S)
    if supervisor.state() == "SILENT":
        return LineState(state=State.DOWN, reasons=("supervisord does not answer",)), {}
    states = supervisor.states()
    if not states:
        return LineState(state=State.STOPPED), {}
    running = [s for s in all_services(config) if s.name in states and states[s.name].state == "RUNNING"]
    answers = Asker(config, running).ask()
    return find(config, states=states, answers=answers), answers


def find(
    config: StackConfig,
    *,
    states: Mapping[str, ProcessState],
    answers: Mapping[str, Health],
    safety: Safety | None = None,
) -> LineState:
    """State of the line from what supervisord and the services said; Flink is asked for its jobs.

    A service that runs and has no answer does not count: whoever asks does not ask itself. `safety` is asked when it is not given.
    """
    if not states:
        return LineState(state=State.STOPPED)
    views = []
    for service in all_services(config):
        state = states[service.name].state if service.name in states else "STOPPED"
        if state != "RUNNING" or service.name in answers:
            views.append(ServiceView(name=service.name, state=state, health=answers.get(service.name, _NOT_ASKED)))
    safety = safety or backup.find(config)
    database = answers.get("postgres")
    ready = database is not None and database.answer is Answer.READY
    unsafe = safety.reasons(config.backup.max_age_h, answers=ready)
    if "alarms" in jobs.of(config) and ready:
        unsafe = (*unsafe, *alarm_reasons(postgres.dsn(config)))
    keeper = states.get(JOB_KEEPER)
    watched = keeper is not None and keeper.state in ("STARTING", "RUNNING")
    return line_state(views, job_views(config, watched=watched), unsafe)


def alarm_reasons(dsn: str) -> tuple[str, ...]:
    """Sites whose alarms are not evaluated, as history has it: the job runs, and says so by an alarm."""
    import psycopg  # late, and so is what follows: while nothing runs nobody is asked

    from connectors.postgres.database import StoreUnavailable, connect
    from schemas.alarms import PUT_ASIDE

    try:
        with connect(dsn, application="status", autocommit=True) as connection:
            rows = connection.execute(_PUT_ASIDE, (PUT_ASIDE,)).fetchall()
    except psycopg.errors.UndefinedTable:  # nothing has been migrated yet
        return ()
    except (psycopg.Error, StoreUnavailable) as error:
        return (f"whether the alarms of every site are evaluated is not known: {str(error).strip()}",)
    return tuple(f"alarms of site {site} are not evaluated: {detail}" for site, detail in rows)


def job_views(config: StackConfig, *, watched: bool) -> list[JobView] | None:
    """Every job; None when Flink does not answer. `watched`: the job keeper runs, so a job of which it has said nothing is new to it."""
    known = healing.read(config).jobs
    try:
        live = FlinkRest(config.flink_url).live_jobs()
    except FlinkUnavailableError:
        return None
    views = []
    for name in jobs.of(config):
        flink_name, record = jobs.flink_name(name), known.get(name)
        job = live.get(flink_name)
        if job is None:
            detail = record.detail if record else ""
            views.append(JobView(name=flink_name, state="ABSENT", running=False, detail=detail))
        else:
            condition, detail = "starting" if record or watched else "", ""
            if record and record.job_id == job.id:
                condition, detail = record.condition or condition, record.detail
            views.append(
                JobView(name=flink_name, state=job.state, running=job.all_running, condition=condition, detail=detail)
            )
    return views


def since(config: StackConfig, state: State, now: datetime) -> datetime:
    """When the line came into this state, as the watch remembers it; now, when it has not seen it yet."""
    found = health.read(config)
    if found.since and health.same(found.state, state):
        return datetime.fromisoformat(found.since)
    return now


def wait_up(config: StackConfig, timeout_s: float) -> tuple[LineState, dict[str, Health]]:
    """As `ask`, as soon as the line is UP, or after the time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found, answers = ask(config)
        if found.state is State.UP or time.monotonic() >= deadline_s:
            return found, answers
        time.sleep(_WAIT_PERIOD_S)
