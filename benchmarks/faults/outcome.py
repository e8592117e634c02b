"""What one fault came to: a row of the result file, and nothing else. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from base.errors import ConfigError
from benchmarks.faults.table import Fault


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Times are seconds since the fault was over: since a kill, or since the end of a pause. None: not within the bound."""

    seed: int
    round: int
    fault: str
    kind: str
    pause_s: float
    services: list[str]
    time: str
    commit: str
    load: float
    """Processes that wanted a core just before, mean of a minute: other work on the machine shows here."""
    took_s: float
    healed: bool
    """Without a person."""
    healed_s: float | None
    samples_s: float | None
    lag_s: float | None
    silent_s: float
    largest_lag: int
    restarted: dict[str, int]
    commands: dict[str, int]
    commands_unacknowledged: int
    commands_wrong: list[str]
    accounting: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    """What was wrong when the bound was over."""
    status: str = ""
    logs: str = ""
    by_person: str = ""
    """What a restart of the stack did, when one was needed."""
    lost: bool = False
    """Not even the restart brought the line back: nothing after it could be asked."""

    @property
    def key(self) -> tuple[int, int, str, str]:
        """Of its fault."""
        return (self.seed, self.round, self.fault, self.kind)

    @property
    def exact(self) -> bool:
        """Whether the accounting closed with equal checksums."""
        found = self.accounting
        return found.get("closed") is True and found["difference"] == 0 and found["checksums_differing"] == 0

    def as_row(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def read(result: Mapping[str, Any], where: str) -> list[Outcome]:
    """The outcomes of a result file; raises ConfigError when it is no result of this scenario."""
    if result.get("scenario") != "faults":
        msg = f"{where} is a result of {result.get('scenario')!r}, not of 'faults'"
        raise ConfigError(msg)
    try:
        return [Outcome(**row) for row in result["faults"]]
    except (KeyError, TypeError) as error:
        msg = f"{where}: a fault of it cannot be read: {error}"
        raise ConfigError(msg) from error


def merged(files: Iterable[list[Outcome]]) -> list[Outcome]:
    """All outcomes, in the order of time; one that is in several files counts once. A fault that was tried again counts each time."""
    found = {(one.key, one.time): one for outcomes in files for one in outcomes}
    return sorted(found.values(), key=lambda one: one.time)


def left(faults: Iterable[Fault], outcomes: Iterable[Outcome]) -> list[Fault]:
    """Faults of a schedule that have no outcome yet."""
    known = {one.key for one in outcomes}
    return [one for one in faults if one.key not in known]
