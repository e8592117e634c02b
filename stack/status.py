"""What `status` shows: services, jobs and the accounting, as a table for people or as JSON for programs."""

from __future__ import annotations

from typing import Any

from base.settings import KafkaSettings
from historian import accounting
from stack import jobs, postgres
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.services import all_services
from stack.supervisor import Supervisor, restarts


def collect(config: StackConfig) -> dict[str, Any]:
    """Everything, with plain values only."""
    states, ended = Supervisor(config).states(), restarts(config)
    rows = []
    for service in all_services(config):
        state = states.get(service.name)
        rows.append(
            {
                "name": service.name,
                "what": service.doc,
                "state": state.state if state else "STOPPED",
                "pid": state.pid if state else 0,
                "uptime_s": state.uptime_s if state else 0,
                "restarts": ended.get(service.name, 0),
                "address": service.address,
            }
        )
    return {
        "running": bool(states),
        "services": rows,
        "jobs": _jobs(config) if states else [],
        "accounting": _accounting(config, up=bool(states)),
    }


def measure_accounting(config: StackConfig) -> dict[str, Any]:
    """The accounting of this instance; takes up to a few seconds and never raises because a part of it is down."""
    return accounting.measure(postgres.dsn(config), KafkaSettings(bootstrap_servers=config.bootstrap_servers))


def text(status: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"{'service':<24}{'state':<10}{'pid':>8}{'uptime':>10}{'restarts':>10}  address"]
    for row in status["services"]:
        pid, uptime = row["pid"] or "", _duration(row["uptime_s"])
        lines.append(f"{row['name']:<24}{row['state']:<10}{pid:>8}{uptime:>10}{row['restarts']:>10}  {row['address']}")
    if status["jobs"]:
        lines += ["", f"{'job':<24}{'state':<12}{'on':<18}id"]
        lines += [f"{row['name']:<24}{row['state']:<12}{','.join(row['on']):<18}{row['id']}" for row in status["jobs"]]
    accounting = status["accounting"]
    if accounting:
        lines += ["", "accounting"] + [
            f"  {key:<22}{value}" for key, value in accounting.items() if not isinstance(value, (dict, list))
        ]
    return "\n".join(lines)


def _jobs(config: StackConfig) -> list[dict[str, Any]]:
    rest = FlinkRest(config.flink_url)
    if not rest.alive():
        return []
    live = {job.name: job for job in reversed(rest.jobs()) if job.live}
    names = [jobs.flink_name(job) for job in jobs.JOBS]
    rows = [{"name": name, "state": "ABSENT", "id": "", "on": []} for name in names if name not in live]
    rows += [
        {"name": job.name, "state": job.state, "id": job.id, "on": sorted(rest.hosts_of(job.id))}
        for job in live.values()
    ]
    return sorted(rows, key=lambda row: (names.index(row["name"]) if row["name"] in names else len(names), row["name"]))


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
