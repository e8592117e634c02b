"""What is remembered of a command between records: the keyed state of the commands job."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    CommandStateRecord,
    Outcomes,
    ParameterOutcome,
)

T = TypeVar("T")

STATE_VERSION = 1
_GATEWAYS_WORD, _UNKNOWN, _SILENCE = 3_000_000, 2_000_000, 1_000_000
"""Where versions of outcomes begin: what a gateway said, UNKNOWN (a later word can still correct it), what follows from silence."""


@dataclass(kw_only=True, slots=True)
class TrackedCommand:
    """What is known of one command; the job keeps it as bytes between calls.

    `request` is None while only acks or controls have come.
    """

    request: CommandRequest | None = None
    state: CommandState = CommandState.ACCEPTED
    version: int = 0
    """How many transitions were recorded."""
    attempt: int = 1
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    outcomes: Outcomes = ()
    late_acks: int = 0
    duplicate_acks: int = 0
    inferred: bool = False
    """The state is this side's conclusion, not the gateway's word."""
    delivered: bool = False
    cancel_requested: bool = False
    approval: CommandControl | None = None
    seen_acks: list[str] = field(default_factory=list)
    waiting_acks: list[CommandAck] = field(default_factory=list)
    waiting_sites: list[str] = field(default_factory=list)
    """Site of the topic of each waiting ack; shorter where the first ones are from before sites were kept."""
    waiting_controls: list[CommandControl] = field(default_factory=list)
    site: str = ""
    changed_us: int = 0
    """When it came into its state; duplicates and late words do not count, or they would prolong it for ever."""
    sent_us: int = 0
    first_seen_us: int = 0

    def wait(self, ack: CommandAck, site: str, *, at_most: int) -> None:
        """Keep an ack until its request is known, of each site the newest: a site that sends many pushes out its own alone."""
        waiting = [*self.no_longer_waiting(), (ack, site)]
        of_site = [at for at, (_, of) in enumerate(waiting) if of == site]
        for at in reversed(of_site[:-at_most]):
            del waiting[at]
        self.waiting_acks, self.waiting_sites = [one for one, _ in waiting], [of for _, of in waiting]

    def no_longer_waiting(self) -> list[tuple[CommandAck, str]]:
        """The acks that waited, in their order, each with the site of its topic; empty where that is not known."""
        acks, sites, self.waiting_acks, self.waiting_sites = self.waiting_acks, self.waiting_sites, [], []
        return list(zip(acks, [""] * (len(acks) - len(sites)) + sites, strict=True))

    @property
    def record_version(self) -> int:
        """Version of the record: the highest of a command is right, whatever was recorded and is forgotten.

        A job that goes on from a checkpoint may find requests and acks in another order and make fewer transitions of them, or others.
        So transitions alone do not say which record is newer: an outcome is above all that comes before one, and a gateway's word above
        what was concluded without it.
        """
        if self.state not in OUTCOMES:
            return self.version
        if self.state is CommandState.UNKNOWN:
            return _UNKNOWN + self.version
        return (_SILENCE if self.inferred else _GATEWAYS_WORD) + self.version

    def record(self, now_us: int) -> CommandStateRecord:
        """The record of a command whose request is known."""
        request = self.request
        assert request is not None
        return CommandStateRecord(
            command_id=request.command_id,
            version=self.record_version,
            state=self.state,
            device_id=request.device_id,
            gateway_id=request.gateway_id,
            site=request.site,
            name=request.name,
            parameters=request.parameters,
            submitted_by=request.submitted_by,
            submitted_us=request.submitted_us,
            expires_us=request.expires_us,
            updated_us=now_us,
            attempt=self.attempt,
            detail=self.detail,
            readback=self.readback,
            late_acks=self.late_acks,
            duplicate_acks=self.duplicate_acks,
            outcomes=self.outcomes,
            reason=request.reason,
            approved_by=self.approval.by if self.approval else "",
        )

    def to_bytes(self) -> bytes:
        """Versioned bytes for keyed state."""
        plain = _plain(self)
        return bytes([STATE_VERSION]) + json.dumps(plain, default=_plain, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> TrackedCommand:
        """Inverse of `to_bytes`; raises ValueError for a version this code does not know."""
        if data[0] != STATE_VERSION:
            msg = f"command state of version {data[0]}, not {STATE_VERSION}"
            raise ValueError(msg)
        plain: dict[str, Any] = json.loads(data[1:])
        plain["state"] = CommandState(plain["state"])
        plain["outcomes"] = tuple(map(ParameterOutcome.from_record, plain.get("outcomes", ())))
        plain["request"] = _from_plain(CommandRequest.from_record, plain["request"])
        plain["approval"] = _from_plain(CommandControl.from_record, plain["approval"])
        plain["waiting_acks"] = [_from_plain(CommandAck.from_record, ack) for ack in plain["waiting_acks"]]
        plain["waiting_controls"] = [
            _from_plain(CommandControl.from_record, control) for control in plain["waiting_controls"]
        ]
        return cls(**plain)


def _plain(value: Any) -> Any:
    """What JSON has no word for: records as objects, ids as text. `dataclasses.asdict` copies all values, a third of the job's time."""
    if dataclasses.is_dataclass(value):
        fields: tuple[str, ...] = value.__slots__  # type: ignore[union-attr]
        return {name: getattr(value, name) for name in fields}
    return str(value)


def _from_plain(make: Callable[[dict[str, Any]], T], plain: dict[str, Any] | None) -> T | None:
    return None if plain is None else make({**plain, "command_id": UUID(plain["command_id"])})
