"""gRPC face of labels: unpacks requests, asks the policies, writes what they decide to the audit log, packs answers.

As with alarms (ADR 0045) a label goes on whatever the audit log does: `anomaly.labels` is a record of who, when and why by itself.
"""

from __future__ import annotations

from uuid import UUID

from base.errors import InvalidRequestError
from schemas.labels import Verdict
from schemas.proto.millrace.v1 import state_pb2
from serving import trail
from serving.caches.episodes import Step
from serving.handlers.labels import LabelHandlers
from serving.handlers.state import StateHandlers
from serving.policies import engine
from serving.policies.engine import LabelAsk, Policies
from serving.principals import current
from serving.rpc import translate
from serving.rpc.decisions import Decisions, Noted, place_of
from serving.rpc.translate_alarms import uuid
from serving.trail import Trail

_WITHDRAW = "withdraw"


class Labelling:
    """The two calls, for StateService."""

    def __init__(self, handlers: LabelHandlers, state: StateHandlers, policies: Policies, trail: Trail) -> None:
        self._handlers, self._state, self._trail = handlers, state, trail
        self._decisions = Decisions(policies, trail)

    async def label(self, request: state_pb2.LabelAnomalyRequest) -> state_pb2.Anomaly:
        """Say what an episode was."""
        self._state.require_ready()
        if not request.verdict:
            msg = "verdict is not given; say NOT_A_FAULT or FAULT"
            raise InvalidRequestError(msg, field="verdict")
        verdict = Verdict(state_pb2.AnomalyVerdict.Name(request.verdict).removeprefix("ANOMALY_VERDICT_"))
        label_id = uuid(request.label_id, "label_id") if request.label_id else None
        reason = request.reason.strip()
        step = await self._handlers.episode(uuid(request.episode_id, "episode_id"))
        noted = self._allowed(step, verdict.lower(), reason, label_id)
        by = current.get().name
        label = self._handlers.label(step, verdict, label_id=label_id, by=by, reason=reason)
        await self._handlers.write(label)
        await self._trail.settled(noted)
        return self.anomaly(step)

    async def withdraw(self, request: state_pb2.WithdrawAnomalyLabelRequest) -> state_pb2.Anomaly:
        """Take a label back."""
        self._state.require_ready()
        reason = request.reason.strip()
        label, step = await self._handlers.of_label(uuid(request.label_id, "label_id"))
        noted = self._allowed(step, _WITHDRAW, reason, label.label_id)
        await self._handlers.write(self._handlers.withdrawn(label, by=current.get().name, reason=reason))
        await self._trail.settled(noted)
        return self.anomaly(step)

    def anomaly(self, step: Step) -> state_pb2.Anomaly:
        """An episode with its labels."""
        return translate.anomaly(step, self._handlers.plant, self._handlers.labels.of(step["episode_id"]))

    def _allowed(self, step: Step, name: str, reason: str, label_id: UUID | None) -> Noted:
        """The event of a decision that allows it; raises PermissionDeniedError."""
        plant = self._handlers.plant
        device = plant.device_at(plant.device_path(step["device_id"]))
        ask = LabelAsk(name=name, detector=step["detector"], reason=reason)
        trail.about(reason=reason, operation=str(label_id or ""), name=name)
        place = place_of(device, self._state)
        return self._decisions.allowed(engine.LABEL, place, ask, after=str(step["episode_id"]))
