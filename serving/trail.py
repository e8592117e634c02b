"""Events of the audit log, as calls make them: who asked for what, and what was decided.

Enters: calls as the gate sees them begin and end, decisions of policies, files of access that changed. Leaves: events in `audit.log`, in
the order in which they came about. Nobody waits for one to be written, but a command's answer, and that for `WAIT_S` at most. While the
log takes nothing, `require` refuses: commands and approvals are not let through without it; everything else is (ADR 0038).

What the gate refuses may come as often as somebody calls. So the first refusal of a caller and method is an event, and the next ones within
`WINDOW_S` are counted in one. Called in the event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from base.errors import MillraceError, UnavailableError
from schemas import topics
from schemas.audit import AuditEvent, Outcome
from serving.access import ISSUED
from serving.principals import Principal
from serving.record_log import RecordLog

log = logging.getLogger(__name__)

SERVICE, READ = "serving", "read"
WAIT_S = 0.05
WINDOW_S = 10.0
STALE_S = 5.0
_DENIALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
_MOST_DENIALS, _MOST_WAITING = 1_000, 10_000


@dataclass(kw_only=True, slots=True, eq=False)
class Asked:
    """A call in the gate, as its events tell it. `about` is what its handler knows of it."""

    method: str
    action: str
    peer: str
    trace_id: str
    about: dict[str, Any] = field(default_factory=dict)
    noted: Outcome | None = None

    def event(self, outcome: Outcome, who: Principal | None, **more: Any) -> AuditEvent:
        """Event of this call."""
        fields: dict[str, Any] = {
            "service": SERVICE,
            "action": self.action or READ,
            "outcome": outcome,
            "method": self.method,
            "peer": self.peer,
            "trace_id": self.trace_id,
        }
        return AuditEvent(**(fields | _caller(who) | self.about | more))


current: ContextVar[Asked | None] = ContextVar("asked", default=None)
"""The call that is being handled."""


def about(**fields: Any) -> None:
    """Say more of the call that is being handled, for its event: fields of `AuditEvent`."""
    asked = current.get()
    if asked is not None:
        asked.about |= fields


@dataclass(slots=True)
class _Denials:
    since_s: float
    newest: AuditEvent | None = None
    count: int = 0


class Trail:
    """Writes events. `reads`: of reads that were allowed, too."""

    def __init__(
        self, log_of_events: RecordLog, *, reads: bool = False, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._reads, self._clock_s = log_of_events, reads, clock_s
        self._waiting: dict[asyncio.Task[None], tuple[float, AuditEvent]] = {}
        self._denials: dict[tuple[str, ...], _Denials] = {}
        self._failing = False
        self._lost = 0
        self.written = self.lost = 0

    def note(self, event: AuditEvent) -> asyncio.Task[None] | None:
        """Write an event; what is returned is done when it is durable, or lost. None for one that is lost at once."""
        if len(self._waiting) >= _MOST_WAITING:
            self._lose(event, "too many events wait for the broker")
            return None
        task = asyncio.create_task(self._write(event))
        self._waiting[task] = (self._clock_s(), event)
        task.add_done_callback(self._waiting.pop)
        return task

    def decided(self, outcome: Outcome, who: Principal, **more: Any) -> asyncio.Task[None] | None:
        """Write what was decided about the call that is being handled."""
        asked = current.get() or Asked(method="", action="", peer="", trace_id="")
        asked.about |= more
        asked.noted = outcome
        return self.note(asked.event(outcome, who))

    async def settled(self, *noted: asyncio.Task[None] | None) -> None:
        """Wait until events are durable, for `WAIT_S` at most."""
        if waiting := [task for task in noted if task is not None]:
            await asyncio.wait(waiting, timeout=WAIT_S)

    def require(self) -> None:
        """Raise UnavailableError while the log takes nothing."""
        oldest_s, _ = next(iter(self._waiting.values()), (self._clock_s(), None))
        full = len(self._waiting) >= _MOST_WAITING
        if self._failing or full or self._clock_s() - oldest_s > STALE_S:
            msg = "the audit log cannot be written, so no command is let through; try again when the broker is back"
            raise UnavailableError(msg)

    def ended(self, asked: Asked, who: Principal | None, code: str, cause: str) -> None:
        """A call has left the gate."""
        if not asked.action:
            if code in _DENIALS:
                self._refused(asked.event(Outcome.DENY, who, code=code, detail=cause))
            elif self._reads and who is not None:
                outcome = Outcome.ALLOW if code == "OK" else Outcome.ERROR
                self.note(asked.event(outcome, who, code="" if code == "OK" else code, detail=cause))
        elif code == "OK":
            if asked.noted is None:
                self.note(asked.event(Outcome.DONE, who))
        elif asked.noted is Outcome.ALLOW:  # it was let through, and then it failed
            self.note(asked.event(Outcome.ERROR, who, code=code, detail=cause))
        elif asked.noted is None:
            outcome = Outcome.DENY if code in _DENIALS else Outcome.ERROR
            self._refused(asked.event(outcome, who, code=code, detail=cause))

    def changed(self, action: str, *, before: str, after: str, cause: str = "") -> None:
        """A file that decides about access was read again; `cause`: why it was not taken."""
        outcome = Outcome.ERROR if cause else Outcome.DONE
        self.note(_own(action, outcome, before=before, after=after, detail=cause))

    async def run(self) -> None:
        """Write what was counted, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.flush()
            await self.report_lost()

    async def report_lost(self) -> None:
        """Write how many events were lost, if any were. It is also how a log that failed shows that it takes events again."""
        if not self._lost:
            return
        lost, self._lost = self._lost, 0
        detail = "events that the broker did not take; the service's log has them"
        event = _own("audit:lost", Outcome.ERROR, count=lost, detail=detail)
        try:
            await self._log.send(topics.AUDIT.name, event.key, event.encode())
        except MillraceError:
            self._lost += lost  # the next time
            return
        self._failing = False
        self.written += 1

    def flush(self, *, everything: bool = False) -> None:
        """Write what was counted long enough."""
        now_s = self._clock_s()
        for key, denials in tuple(self._denials.items()):
            if everything or now_s - denials.since_s >= WINDOW_S:
                del self._denials[key]
                if denials.newest is not None:
                    self.note(replace(denials.newest, count=denials.count))

    async def close(self, within_s: float = 5.0) -> None:
        """Write what is left; waits for it."""
        self.flush(everything=True)
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=within_s)
        for task, (_, event) in tuple(self._waiting.items()):
            task.cancel()
            self._lose(event, "the server stopped before the broker took it")
        with suppress(TimeoutError):  # the broker may be away for long; what is lost is in the log above
            await asyncio.wait_for(self.report_lost(), 1.0)

    def _refused(self, event: AuditEvent) -> None:
        """First of its kind at once, the next ones counted."""
        where = "" if event.subject else event.peer.rpartition(":")[0]
        key: tuple[str, ...] = (event.subject, where, event.method, event.code)
        if key not in self._denials and len(self._denials) >= _MOST_DENIALS:
            key = ()  # so many callers at once are one
        known = self._denials.get(key)
        if known is None:
            self._denials[key] = _Denials(self._clock_s())
            self.note(event)
        else:
            known.newest, known.count = event, known.count + 1

    async def _write(self, event: AuditEvent) -> None:
        try:
            await self._log.send(topics.AUDIT.name, event.key, event.encode())
        except MillraceError as error:
            self._failing = True
            self._lose(event, str(error))
            return
        self._failing = False
        self.written += 1

    def _lose(self, event: AuditEvent, cause: str) -> None:
        self._lost += event.count
        self.lost += event.count
        shown = {name: value for name, value in event.record().items() if value not in ("", 0, [])}
        log.error("an audit event was not written", extra={"cause": cause, "event": shown})


def _own(action: str, outcome: Outcome, **more: Any) -> AuditEvent:
    """Event of the service itself."""
    fields: dict[str, Any] = {"service": SERVICE, "subject": SERVICE, "credential": "system"}
    return AuditEvent(**(fields | more), action=action, outcome=outcome)


def _caller(who: Principal | None) -> dict[str, Any]:
    if who is None:
        return {"subject": ""}
    kind = "issuer" if who.credential.startswith(ISSUED) else "token" if who.credential else "loopback"
    return {"subject": who.name, "credential": kind, "amr": tuple(sorted(who.amr)), "signed_in_us": who.signed_in_us}
