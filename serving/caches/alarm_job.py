"""Whether the alarms job advances, by the positions that it commits: a list that is empty because nobody looks is not calm.

Enters: committed positions of the job's consumer group in `telemetry.latest` and where the topic ends, every few seconds (`follow`).
Leaves: an `Evaluation`. The job commits with its checkpoints. Without anything to read nobody can see whether it lives, and that is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from base.errors import PreconditionError
from base.ids import Clock, now_us
from base.settings import KafkaSettings
from connectors.kafka.client import DeliveryError
from connectors.kafka.offsets import GroupPosition, Offsets
from schemas import topics
from schemas.alarms import Alarm

log = logging.getLogger(__name__)

GROUP = "millrace-alarms"
"""Consumer group of the alarms job."""
_EVERY_S = 5.0
_STALLED_S = 30.0


class EvaluationState(StrEnum):
    """Whether alarms are evaluated."""

    OFF = "OFF"
    """Values have come, and no alarms job has ever completed a checkpoint."""
    RUNNING = "RUNNING"
    STALLED = "STALLED"
    """There is something to read, and it does not read it."""
    UNKNOWN = "UNKNOWN"
    """It cannot be seen from here."""
    PARTIAL = "PARTIAL"
    """It runs, but the state of some site cannot be read: that is an alarm of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What stands behind a list of alarms. `advanced_us`: when the job was last seen to advance, by this clock; 0 for never."""

    state: EvaluationState
    detail: str
    advanced_us: int = 0


class AlarmJob:
    """What was seen of the job."""

    def __init__(self, clock: Clock = now_us) -> None:
        self._clock = clock
        self._at: Offsets = {}
        self._first_us = self._advanced_us = 0
        self._behind = 0
        self._nothing_yet = False
        self._cause = "the broker has not been asked yet"

    def saw(self, at: Offsets, ends: Offsets) -> None:
        """Positions of the group and ends of the topic."""
        now = self._clock()
        self._cause = ""
        self._first_us = self._first_us or now
        if self._at and at != self._at:
            self._advanced_us = now
        self._at = dict(at)
        self._nothing_yet = bool(ends) and not any(ends.values())
        self._behind = sum(max(0, ends.get(place, offset) - offset) for place, offset in at.items())

    def failed(self, cause: str) -> None:
        """The broker did not say."""
        self._cause = cause

    @property
    def evaluation(self) -> Evaluation:
        """What can be said now."""
        state, detail = self._judged()
        return Evaluation(state=state, detail=detail, advanced_us=self._advanced_us)

    def evaluation_of(self, put_aside: Sequence[Alarm]) -> Evaluation:
        """The same for who sees these alarms of sites whose state cannot be read."""
        found = self.evaluation
        if not put_aside or found.state is not EvaluationState.RUNNING:
            return found
        said = "; ".join(f"alarms of site {one.site} are not evaluated: {one.detail}" for one in put_aside)
        return replace(found, state=EvaluationState.PARTIAL, detail=said)

    def require_on(self) -> None:
        """Raise PreconditionError where no alarms job has ever completed a checkpoint."""
        if self.evaluation.state is EvaluationState.OFF:
            raise PreconditionError(_OFF)

    def _judged(self) -> tuple[EvaluationState, str]:
        if self._cause:
            return EvaluationState.UNKNOWN, f"whether the alarms job advances cannot be seen: {self._cause}"
        if not self._at and self._nothing_yet:
            return EvaluationState.UNKNOWN, "no value has come yet, so nobody can see whether an alarms job runs here"
        if not self._at:
            return EvaluationState.OFF, _OFF
        silent_s = (self._clock() - (self._advanced_us or self._first_us)) / 1e6
        if self._advanced_us and silent_s <= _STALLED_S:
            return EvaluationState.RUNNING, "the alarms job advances"
        if silent_s <= _STALLED_S:
            return EvaluationState.UNKNOWN, "the alarms job has not been watched long enough"
        if self._behind:
            text = f"the alarms job has not advanced for {silent_s:.0f} s: alarms are as they were then, and no new ones come"
            return EvaluationState.STALLED, text
        return (
            EvaluationState.UNKNOWN,
            f"no values have come for {silent_s:.0f} s, so nobody can see whether the alarms job lives",
        )


_OFF = (
    "alarms are not switched on: no alarms job has completed a checkpoint here, which takes some seconds after its first start; give it a "
    "slot (parallelism.alarms in millrace.toml, k8s/alarms.yaml on Kubernetes) and publish rules (docs/alarms.md)"
)


async def follow(settings: KafkaSettings, job: AlarmJob, *, every_s: float = _EVERY_S) -> None:
    """Look again and again, until cancelled."""
    position = GroupPosition(settings, GROUP, topics.LATEST.name)
    try:
        while True:
            await asyncio.to_thread(_look, position, asyncio.get_running_loop().call_soon_threadsafe, job)
            await asyncio.sleep(every_s)
    finally:
        await asyncio.to_thread(position.close)


def _look(position: GroupPosition, tell: Callable[..., object], job: AlarmJob) -> None:
    try:
        at, ends = position.look()
    except DeliveryError as error:
        tell(job.failed, str(error))
    else:
        tell(job.saw, at, ends)
