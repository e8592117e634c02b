"""Which gateways send something unsigned while signatures are on, for `status`: those whose upgrade is still to be done.

Enters: what the jobs count by gateway (`jobs.flink.unsigned`). Leaves: rows with plain values, and the same for people.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stack import jobs, signing
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest

METRIC = "unsigned_newest_s"
_RECORDS = {"telemetry": "frames", "commands": "acknowledgements"}
"""What a job verifies."""


def collect(config: StackConfig) -> dict[str, Any]:
    """Rows by gateway and kind of record: when the newest came, since the jobs began. `taken_until`: empty when they are refused by now.

    Empty where nothing has to be signed.
    """
    if not signing.required(config):
        return {}
    rest, rows = FlinkRest(config.flink_url), list[dict[str, str]]()
    for name, record in _RECORDS.items():
        try:
            job = rest.live_job(jobs.flink_name(name))
            found = rest.highest_by_gateway(job.id, METRIC) if job is not None else {}
        except StackError:  # a job that is just being started again; `jobs` says so
            continue
        rows += [
            {"gateway": gateway, "record": record, "newest": datetime.fromtimestamp(newest_s, UTC).isoformat()}
            for gateway, newest_s in sorted(found.items())
        ]
    until = signing.said_until(config)
    ended = not until or datetime.fromisoformat(until) <= datetime.now(UTC)
    return {"taken_until": "" if ended else until, "gateways": rows}


def text(found: dict[str, Any]) -> list[str]:
    """For people."""
    if not found.get("gateways"):
        return []
    until = found["taken_until"]
    what = f"it is taken until {until}, and refused from then on" if until else "it is refused"
    lines = [f"  gateway {row['gateway']}: {row['record']}, the newest at {row['newest']}" for row in found["gateways"]]
    return ["", f"without a signature, since the jobs began: {what} (docs/security.md, Signatures)", *lines]
