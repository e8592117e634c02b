"""Labels of anomaly episodes, as callers give and withdraw them: plain async functions over the caches and a log; no gRPC here.

Enters: which episode or label, and who says what. Leaves: AnomalyLabel records, durable before a call returns, and the episode with its
labels. A label's id makes it idempotent. An episode has one label that stands: who sees it otherwise withdraws that first.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from base.errors import ConflictError, InvalidRequestError, NotFoundError, PreconditionError
from base.ids import Clock, now_us, uuid7
from schemas import topics
from schemas.labels import MAX_NAME, MAX_REASON, AnomalyLabel, Verdict, pattern_of
from serving.caches.episodes import Episodes, Step
from serving.caches.labels import AnomalyLabels
from serving.caches.plant import Plant
from serving.record_log import RecordLog
from serving.seen import seen

log = logging.getLogger(__name__)


class History(Protocol):
    """Where episodes are that closed long ago."""

    async def get_anomaly(self, episode_id: UUID) -> Step | None:
        """Newest step; None where history has none. Raises UnavailableError."""


@dataclass(kw_only=True, slots=True)
class LabelHandlers:
    """The caches, history for older episodes, and the log that labels are written to."""

    plant: Plant
    episodes: Episodes
    labels: AnomalyLabels
    history: History
    records: RecordLog
    clock: Clock = now_us

    async def episode(self, episode_id: UUID) -> Step:
        """An episode. Raises NotFoundError, also for one of a device that the caller may not see."""
        found = self.episodes.get(episode_id) or await self.history.get_anomaly(episode_id)
        if found is None or not seen(self.plant).covers(self.plant.device_path(found["device_id"])):
            msg = f"no anomaly episode {episode_id}"
            raise NotFoundError(msg)
        return found

    async def of_label(self, label_id: UUID) -> tuple[AnomalyLabel, Step]:
        """A label and its episode. Raises NotFoundError."""
        found = self.labels.get(label_id)
        if found is None:
            msg = f"no label {label_id}"
            raise NotFoundError(msg)
        return found, await self.episode(found.episode_id)

    def label(self, step: Step, verdict: Verdict, *, label_id: UUID | None, by: str, reason: str) -> AnomalyLabel:
        """The label that an episode gets, or has if it came before.

        Raises ConflictError for the id of another label, PreconditionError while another stands, InvalidRequestError for a reason too long.
        """
        _check(reason)
        label_id = label_id or uuid7(self.clock())
        if (known := self.labels.get(label_id)) is not None:
            if (known.episode_id, known.verdict) != (step["episode_id"], verdict):
                msg = f"label {label_id} is {known.verdict} of episode {known.episode_id}; a new label has an id of its own"
                raise ConflictError(msg)
            return known
        if (standing := self.labels.standing(step["episode_id"])) is not None:
            msg = f"{standing.by} said {standing.verdict} of this episode; withdraw label {standing.label_id} first"
            raise PreconditionError(msg)
        return AnomalyLabel(
            label_id=label_id,
            episode_id=step["episode_id"],
            device_id=step["device_id"],
            verdict=verdict,
            by=by[:MAX_NAME],
            time_us=self.clock(),
            reason=reason,
            detector=step["detector"],
            peak_score=step["peak_score"],
            pattern=pattern_of(step["contributors"]),
        )

    def withdrawn(self, label: AnomalyLabel, *, by: str, reason: str) -> AnomalyLabel:
        """The label, withdrawn now, or when it was. Raises InvalidRequestError for a reason too long."""
        _check(reason)
        if label.withdrawn_us is not None:
            return label
        return dataclasses.replace(
            label, withdrawn_us=self.clock(), withdrawn_by=by[:MAX_NAME], withdrawn_reason=reason
        )

    async def write(self, label: AnomalyLabel) -> None:
        """Write what is new; it is durable, and known here, when this returns."""
        if self.labels.get(label.label_id) == label:
            return
        await self.records.send(topics.ANOMALY_LABELS.name, label.key, label.encode())
        self.labels.apply(label)
        about = {"label_id": label.label_id, "episode_id": label.episode_id, "device_id": label.device_id}
        principal = label.by if label.withdrawn_us is None else label.withdrawn_by
        log.info("anomaly label", extra=about | {"verdict": label.verdict, "principal": principal})


def _check(reason: str) -> None:
    if len(reason) > MAX_REASON:
        msg = f"reason has {len(reason)} characters, more than {MAX_REASON}"
        raise InvalidRequestError(msg, field="reason")
