"""Who may do what, as every service asks it: the policies decide, and what they decide is in the audit log.

Enters: the caller of the call that is being handled, what it wants, and where. Leaves: an event that is on its way, or
PermissionDeniedError. A denial is written down before it is raised.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypeAlias

from schemas.audit import Outcome
from serving import trail
from serving.caches.plant import Device
from serving.handlers.state import StateHandlers
from serving.policies.engine import AlarmAsk, Ask, Decision, LabelAsk, Place, Policies
from serving.principals import current
from serving.trail import Trail

Noted: TypeAlias = "asyncio.Task[None] | None"
"""An event on its way to the audit log; `Trail.settled` waits for it."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Of the policies that hold, for the audit log that is written."""

    policies: Policies
    trail: Trail

    def permitted(self, action: str, place: Place, ask: Ask | AlarmAsk | LabelAsk, **about: Any) -> Decision:
        """The decision, when it allows; raises PermissionDeniedError. `about`: fields of the denial's event."""
        return self.required(self.policies.decide(current.get(), action, place, ask), action, place, **about)

    def required(self, found: Decision, action: str, place: Place, **about: Any) -> Decision:
        """The same of a decision that is made."""
        principal = current.get()
        trail.about(path=place.path, device_class=place.device_class, policy_version=found.version)
        if not found.allowed:
            error = self.policies.denied(principal, action, place, found)
            about |= {"policies": found.policies, "code": "PERMISSION_DENIED", "detail": str(error)}
            self.trail.decided(Outcome.DENY, principal, **about)
            raise error
        return found

    def allow(self, found: Decision, **about: Any) -> Noted:
        """The event of something that goes on, with the fields `about`."""
        # A call may have been denied something before: its event says nothing of that.
        about = {"policies": found.policies, "code": "", "detail": ""} | about
        return self.trail.decided(Outcome.ALLOW, current.get(), **about)

    def allowed(self, action: str, place: Place, ask: Ask | AlarmAsk | LabelAsk, **about: Any) -> Noted:
        """The event of something that goes on if it may; raises PermissionDeniedError. The fields `about` are in both events."""
        return self.allow(self.permitted(action, place, ask, **about), **about)


def place_of(device: Device, state: StateHandlers) -> Place:
    """Where a device is and how it stands, for policies."""
    packml = state.states.packml(device)
    return Place(path=device.path, device_class=device.device_class, site=device.site, packml_state=packml)
