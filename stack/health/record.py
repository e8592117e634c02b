"""What the watch of the services found and did, in a small file: `status` and `top` read it, the watch writes it every round."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from base import files
from stack.config import StackConfig
from stack.health.answer import Health
from stack.line_state import LineState, State

KEPT_RESTARTS = 50
FRESH_S = 15.0
"""A record that is older says what was, not what is: nobody watches."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Restart:
    """A service that was restarted because it did not answer."""

    at: str
    service: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Newest round. Times are ISO 8601, UTC; `since` is when the line came into its `state`, empty before the first round."""

    at: str = ""
    state: str = ""
    since: str = ""
    reasons: tuple[str, ...] = ()
    services: Mapping[str, str] = field(default_factory=dict)
    restarts: tuple[Restart, ...] = ()


def file(config: StackConfig) -> Path:
    """Where it is kept."""
    return config.run / "health.json"


def read(config: StackConfig) -> Record:
    """The newest record; an empty one when there is none, or none that can be read."""
    try:
        rows = json.loads(file(config).read_text())
        restarts = tuple(Restart(**row) for row in rows.pop("restarts"))
        return Record(**rows | {"reasons": tuple(rows["reasons"]), "restarts": restarts})
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("the record of health cannot be read", extra={"path": str(file(config)), "detail": str(error)})
        return Record()


def take(
    before: Record, *, now: datetime, line: LineState, answers: Mapping[str, Health], restarts: Iterable[Restart]
) -> Record:
    """The record after one more round. A line that is down keeps its time when only the grade of it changes."""
    at = now.isoformat(timespec="seconds")
    return Record(
        at=at,
        state=line.state,
        since=before.since if before.since and same(before.state, line.state) else at,
        reasons=line.reasons,
        services={name: str(health.answer) for name, health in answers.items()},
        restarts=(*before.restarts, *restarts)[-KEPT_RESTARTS:],
    )


def same(one: str, other: str) -> bool:
    """Whether two states of the line are one for `since`: a line that is not up stays so when only the grade changes."""
    return one == other or {one, other} <= {State.DEGRADED, State.DOWN}


def write(config: StackConfig, record: Record) -> None:
    """Replace the record."""
    files.replace(file(config), json.dumps(asdict(record), indent=2))
