"""What `status` shows: whether the line is up, services, jobs, storage, the accounting; a table for people, JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from stack import deployment, jobs, line, postgres, render, roots, signing, storage, unsigned
from stack.backup import state as backup
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.healing import record as healing
from stack.health import record as health
from stack.line_state import LineState, State
from stack.services import all_services
from stack.supervisor import Supervisor, restarts

_SHOWN_STEPS = 8
_NOT_CALCULATED = {
    "tags_not_calculated": "{} tags have an expression that cannot be evaluated; the log of the telemetry job names them and says why",
    "calculated_left_out": "{} times of calculated tags had no room in their frame, since the job began",
    "tags_waiting": "{} tags wait for an input that was never heard",
}
"""What is said of calculated tags, by the metric of the telemetry job."""


def collect(config: StackConfig, *, now: datetime | None = None, wait_s: float = 0.0) -> dict[str, Any]:
    """Everything, with plain values only, when the line is up or after `wait_s`. Takes some seconds when a service does not answer."""
    found, answers = line.wait_up(config, wait_s)
    now = now or datetime.now(UTC)
    states, ended = {}, restarts(config)
    if found.state is not State.STOPPED and answers:
        states = Supervisor(config).states()
    rows = []
    for service in all_services(config):
        state, health = states.get(service.name), answers.get(service.name)
        rows.append(
            {
                "name": service.name,
                "what": service.doc,
                "state": state.state if state else "STOPPED",
                "health": str(health.answer) if health else "",
                "detail": health.detail if health else "",
                "pid": state.pid if state else 0,
                "uptime_s": state.uptime_s if state else 0,
                "restarts": ended.get(service.name, 0),
                "address": service.address,
            }
        )
    return {
        "running": found.state is not State.STOPPED,
        "line": line_rows(config, found, now),
        "healing": _healing(config),
        "page": config.page_url,
        "told": _told(config),
        "services": rows,
        "jobs": _jobs(config) if states else [],
        "not_calculated": _not_calculated(config) if states else {},
        "signatures": signing.describe(config) if states else "",
        "unsigned": unsigned.collect(config) if states else {},
        "code": _code(config),
        "safety": _safety(config) if states else {},
        "storage": storage.collect(config, up=bool(states)),
        "accounting": _accounting(config, up=bool(states)),
    }


def line_rows(config: StackConfig, found: LineState, now: datetime) -> dict[str, Any]:
    """State of the line with plain values; `since` is empty while nothing runs."""
    if found.state is State.STOPPED:
        return {"state": str(found.state), "since": "", "for_s": 0, "reasons": []}
    since = line.since(config, found.state, now)
    return {
        "state": str(found.state),
        "since": since.isoformat(timespec="seconds"),
        "for_s": max(0, round((now - since).total_seconds())),
        "reasons": list(found.reasons),
    }


def watched_line(config: StackConfig, now: datetime) -> dict[str, Any] | None:
    """The same as the watch saw it some seconds ago, without asking anybody; None when nobody watches."""
    found = health.read(config)
    if not found.at or (now - datetime.fromisoformat(found.at)).total_seconds() > health.FRESH_S:
        return None
    return line_rows(config, LineState(state=State(found.state), reasons=found.reasons), now)


def exit_status(state: str) -> int:
    """What `status` ends with: 0 up, 3 nothing runs, 4 degraded or down."""
    return {State.UP: 0, State.STOPPED: 3}.get(State(state), 4)


def measure_accounting(config: StackConfig) -> dict[str, Any]:
    """The accounting of this instance; takes up to a few seconds and never raises because a part of it is down."""
    from base.settings import KafkaSettings
    from historian import accounting

    return accounting.measure(postgres.dsn(config), KafkaSettings(bootstrap_servers=config.bootstrap_servers))


def text(status: dict[str, Any]) -> str:
    """The same for people."""
    lines = [line_text(status["line"]), *_healing_text(status["healing"]), "", f"page: {status['page']}", ""]
    lines.append(f"{'service':<24}{'state':<10}{'health':<11}{'pid':>8}{'uptime':>10}{'restarts':>10}  address")
    for row in status["services"]:
        pid, uptime = row["pid"] or "", _duration(row["uptime_s"])
        state = f"{row['name']:<24}{row['state']:<10}{row['health']:<11}"
        lines.append(f"{state}{pid:>8}{uptime:>10}{row['restarts']:>10}  {row['address']}")
    if status["told"]:
        lines += ["", status["told"]]
    if status["jobs"]:
        lines += ["", f"{'job':<24}{'state':<12}{'progress':<12}{'on':<18}id"]
        for row in status["jobs"]:
            on = ",".join(row["on"])
            lines.append(f"{row['name']:<24}{row['state']:<12}{row['progress']:<12}{on:<18}{row['id']}")
    if any(status["not_calculated"].values()):
        lines += ["", "not calculated"]
        lines += [f"  {_NOT_CALCULATED[name].format(n)}" for name, n in status["not_calculated"].items() if n]
    lines += unsigned.text(status["unsigned"])
    if status["safety"]:
        lines += ["", status["safety"]["text"]]
    if status["signatures"]:
        lines += ["", f"signatures: {status['signatures']}"]
    code = status["code"]
    if code["root"]:
        under_way = f"; a deployment of {code['deploying']} is {code['phase']}" if code["phase"] else ""
        lines += ["", f"code root {code['root']}{under_way}"]
    if code["last"].get("reason"):
        last = code["last"]
        lines.append(f"  {last['ended']}: {last['new_root']} {last['outcome']}: {last['reason'].splitlines()[0]}")
    lines += storage.text(status["storage"])
    accounting = status["accounting"]
    if accounting:
        lines += ["", "accounting"] + [
            f"  {key:<22}{value}" for key, value in accounting.items() if not isinstance(value, (dict, list))
        ]
    return "\n".join(lines)


def line_text(found: dict[str, Any]) -> str:
    """State of the line, since when, and why, for people: a line, and one more for each reason."""
    if found["state"] == State.STOPPED:
        return "the line is not running; `./millrace up` starts it"
    head = f"the line is {found['state']} since {found['since']} ({_duration(found['for_s']) or '0 s'})"
    return "\n".join([head, *(f"  {reason}" for reason in found["reasons"])])


def _healing(config: StackConfig) -> dict[str, Any]:
    """What was done by itself: steps for jobs, restarts of services, oldest first."""
    found = healing.read(config)
    return {
        "jobs": {name: asdict(job) for name, job in found.jobs.items()},
        "steps": [asdict(step) for step in found.steps],
        "restarts": [asdict(one) for one in health.read(config).restarts],
    }


def _healing_text(found: dict[str, Any]) -> list[str]:
    done = [(row["at"], f"job {row['job']}: {row['step']}: {row['outcome']}") for row in found["steps"]]
    done += [(row["at"], f"service {row['service']}: restarted: {row['detail']}") for row in found["restarts"]]
    lines = [f"  {at} {what}" for at, what in sorted(done)[-_SHOWN_STEPS:]]
    for name, job in found["jobs"].items():
        if job["held"]:
            lines.append(f"  next for job {name}: held, {job['held']}")
        elif job["next_step"]:
            lines.append(f"  next for job {name}: {job['next_step']}, not before {job['next_step_at']}")
    return ["healing", *lines] if lines else []


def _told(config: StackConfig) -> str:
    """Why nobody is told of alarms; empty where there is a notifier."""
    routes = render.alarm_routes(config)
    return "" if routes.exists() else f"nobody is told of alarms: there is no {routes} (docs/alarms.md)"


def _jobs(config: StackConfig) -> list[dict[str, Any]]:
    rest, progress = FlinkRest(config.flink_url), healing.read(config).jobs
    if not rest.alive():
        return []
    live = rest.live_jobs()
    names = {jobs.flink_name(job): job for job in jobs.of(config)}
    rows: list[dict[str, Any]] = [
        {"name": name, "state": "ABSENT", "progress": "", "id": "", "on": []} for name in names if name not in live
    ]
    for job in live.values():
        known = progress.get(names.get(job.name, ""))
        condition = known.condition if known is not None and known.job_id == job.id else ""
        on = sorted(rest.hosts_of(job.id))
        rows.append({"name": job.name, "state": job.state, "progress": condition, "id": job.id, "on": on})
    order = list(names)
    return sorted(rows, key=lambda row: (order.index(row["name"]) if row["name"] in order else len(order), row["name"]))


def _not_calculated(config: StackConfig) -> dict[str, int]:
    """What the telemetry job could not calculate, by metric; empty when it cannot be asked."""
    rest = FlinkRest(config.flink_url)
    try:
        job = rest.live_job(jobs.flink_name("telemetry"))
        found = rest.sums(job.id, tuple(_NOT_CALCULATED)) if job is not None else {}
    except StackError:  # a job that is just being started again; `jobs` says so
        return {}
    return {name: found[name] for name in _NOT_CALCULATED if name in found}


def _code(config: StackConfig) -> dict[str, Any]:
    """Active root, the deployment that is under way (`phase` is empty without one), and the last one that ended."""
    under_way, link = deployment.pending(config), roots.link(config)
    return {
        "root": link.resolve().name if link.exists() else "",
        "phase": under_way.phase.value if under_way else "",
        "deploying": under_way.new_root if under_way else "",
        "last": deployment.last(config) or {},
    }


def _safety(config: StackConfig) -> dict[str, Any]:
    """Backups and standby."""
    found = backup.find(config)
    return backup.as_row(found) | {"text": found.text()}


def _accounting(config: StackConfig, *, up: bool) -> dict[str, Any]:
    if not up:
        return {}
    try:
        return measure_accounting(config)
    except (StackError, OSError) as error:
        return {"error": str(error)}


def _duration(seconds: int) -> str:
    if not seconds:
        return ""
    minutes, hours = seconds // 60, seconds // 3600
    return f"{seconds} s" if minutes < 2 else f"{minutes} min" if hours < 2 else f"{hours} h"
