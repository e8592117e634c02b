"""Whether the line is well: everything that is wrong with it, in words; nothing when it is.

Well is more than samples that flow: what `status` says of services and jobs, and every job has completed a checkpoint since a given moment,
so that it would come back from there.
"""

from __future__ import annotations

from stack import jobs, line
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.line_state import State
from stack.supervisor import restarts

_ANSWER_S = 2.0


def problems(config: StackConfig, *, since_ms: float = 0.0) -> list[str]:
    """What is wrong now. `since_ms` since 1970: checkpoints must be younger."""
    try:
        found, _ = line.ask(config)
        return [*found.reasons] if found.state is not State.UP else _without_checkpoint(config, since_ms)
    except StackError as error:
        return [str(error).splitlines()[0]]


def _without_checkpoint(config: StackConfig, since_ms: float) -> list[str]:
    rest, found = FlinkRest(config.flink_url, timeout_s=_ANSWER_S), []
    for job in jobs.of(config):
        live = rest.live_job(jobs.flink_name(job))
        if live is None or rest.checkpoints(live.id).newest_ms < since_ms:
            found.append(f"job {job} has completed no checkpoint since")
    return found


def restarted(before: dict[str, int], config: StackConfig) -> dict[str, int]:
    """Services that ended without being asked since `before` was counted, and how often."""
    now = restarts(config)
    return {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}
