"""The uplink: entries of the durable buffer out to Kafka, by whichever way, confirmations back.

Who calls: `edge.pipeline`, in the event loop. Enters: entries in order, LIVE ones as they are appended, BACKFILL ones as
far as `backlog_room` allows. Leaves: records on `telemetry.frames.<site>` (key: lane key) and `device.events.<site>` (key:
device id), and reports of which entries Kafka has on all in-sync replicas. At least once: an entry is produced again when
its delivery failed; its identity makes the copy harmless. Order: per stream key as submitted, except after such a failure.

Frames that are submitted together are one batch and have one signature (`sign`); one that is sent again keeps the one it has. While
there is no key to sign with, they wait like those that Kafka did not take.

While Kafka is away the sender keeps the few LIVE entries it was given and retries for ever; everything after them is
BACKFILL and stays on disk, so memory is bounded by `live_window_s` and `live_bytes`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from base.errors import OverloadedError
from connectors.platform import Failure, Platform
from edge.events import unpack
from edge.segment import Entry, RecordKind, StreamKey
from schemas import frame_signatures, topics
from schemas.frame import Stream, lane_key

log = logging.getLogger(__name__)

Identity = tuple[StreamKey, int]
Sign = Callable[[Sequence[bytes]], list[bytes] | None]
"""What makes frames signed, by `frame_signatures.signed`; None while they cannot be."""
_RETRY_S = 0.5


class Way(StrEnum):
    """How a gateway reaches the platform."""

    KAFKA = "kafka"
    INGESTION = "ingestion"


@dataclass(frozen=True, kw_only=True, slots=True)
class UplinkSettings:
    """Which way is gone, bounds of what is under way, and what counts as live."""

    kind: Way = Way.KAFKA
    """`ingestion`: by the ingestion service that `[ingestion]` names, where Kafka may not be opened."""
    live_window_s: float = 5.0
    live_bytes: int = 16 << 20
    backlog_bytes: int = 2 << 20
    linger_ms: int = 5


class Uplink:
    """Sends entries to Kafka and keeps what is under way. `on_reports` is called in the event loop when there is something to drain."""

    def __init__(
        self,
        platform: Platform,
        *,
        gateway_id: str,
        site: str,
        settings: UplinkSettings,
        on_reports: Callable[[], None],
        sign: Sign | None = None,
    ) -> None:
        self._gateway_id, self._settings = gateway_id, settings
        self._on_reports, self._sign = on_reports, sign
        self._tails: dict[Identity, bytes] = {}
        self._frames, self._events = topics.FRAMES.for_site(site), topics.EVENTS.for_site(site)
        self._outstanding: dict[Identity, Entry] = {}
        self._live_since: dict[Identity, float] = {}
        self._live_bytes = self._backlog_bytes = 0
        self._retry: dict[Identity, float] = {}
        self._reports: deque[tuple[Identity, Failure | None]] = deque()
        self._announced = False
        self._unconfirmed_health = 0
        self._last_error = ""
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._sender = platform.sender(linger_ms=settings.linger_ms)

    # --- what the pipeline asks ----------------------------------------------------------------------------------------

    def is_live(self) -> bool:
        """Whether what is appended now is live: nothing live has waited for long, and not too much of it waits."""
        oldest = next(iter(self._live_since.values()), None)
        if oldest is not None and time.monotonic() - oldest > self._settings.live_window_s:
            return False
        return self._live_bytes < self._settings.live_bytes

    def backlog_room(self) -> int:
        """Bytes of backlog that may be submitted now; 0 while Kafka does not take live data."""
        if self._retry or not self.is_live():
            return 0
        return max(0, self._settings.backlog_bytes - self._backlog_bytes)

    def is_outstanding(self, key: StreamKey, sequence: int) -> bool:
        """Whether the entry is in memory here; asked from the buffer's thread."""
        return (key, sequence) in self._outstanding

    # --- sending -------------------------------------------------------------------------------------------------------

    def submit(self, entries: Iterable[Entry]) -> None:
        """Send entries; those already under way are left out."""
        now, fresh = time.monotonic(), list[Identity]()
        for entry in entries:
            identity = (entry.key, entry.sequence)
            if identity in self._outstanding:
                continue
            fresh.append(identity)
            self._outstanding[identity] = entry
            if entry.stream is Stream.LIVE:
                self._live_since[identity] = now
                self._live_bytes += len(entry.body)
            else:
                self._backlog_bytes += len(entry.body)
        self._produce_all(fresh)

    def send_health(self, value: bytes) -> None:
        """Send a health event; left out while earlier ones wait, because the next one says more."""
        if self._unconfirmed_health > 2:
            return
        self._unconfirmed_health += 1

        def confirmed(_failure: Failure | None) -> None:
            self._unconfirmed_health -= 1

        try:
            self._sender.produce(self._events, b"0", value, confirmed)
        except OverloadedError:
            self._unconfirmed_health -= 1
            log.warning("health event not sent: the sender's queue is full")

    def drain_reports(self) -> tuple[list[tuple[StreamKey, int, int]], list[Entry]]:
        """(stream key, sequence, samples) of confirmed entries, and entries that Kafka will never take."""
        self._announced = False
        confirmed: list[tuple[StreamKey, int, int]] = []
        hopeless: list[Entry] = []
        while self._reports:
            identity, failure = self._reports.popleft()
            entry = self._outstanding.get(identity)
            if entry is None:
                continue
            if failure is None:
                self._last_error = ""
                confirmed.append((*identity, entry.samples))
                self._forget(identity, entry)
            elif failure.hopeless:
                log.error("an entry is refused for good", extra={"entry": str(identity), "error": failure.text})
                hopeless.append(entry)
                self._forget(identity, entry)
            else:
                self._failed(identity, failure)
        self._send_again()
        return confirmed, hopeless

    async def flush(self, timeout_s: float) -> int:
        """Wait until everything is confirmed, at most so long; returns how many records still wait."""
        return await self._sender.flush(timeout_s)

    async def close(self) -> None:
        """Stop; what is not confirmed is in the buffer."""
        self._stopped = True
        await self._sender.abandon()

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        return {
            "live": self.is_live(),
            "outstanding": len(self._outstanding),
            "outstanding_bytes": self._live_bytes + self._backlog_bytes,
            "waiting_to_retry": len(self._retry),
            "last_error": self._last_error or self._sender.problem,
        }

    # --- inside --------------------------------------------------------------------------------------------------------

    def _produce_all(self, identities: Iterable[Identity]) -> None:
        """Send what is still outstanding of these; the frames among them that have no signature yet get one together."""
        found = [(identity, self._outstanding[identity]) for identity in identities if identity in self._outstanding]
        if self._sign is not None:
            bare = [one for one in found if one[1].kind is not RecordKind.EVENT and one[0] not in self._tails]
            tails = self._sign([entry.body for _, entry in bare]) if bare else []
            if tails is None:
                waiting = {identity for identity, _ in bare}
                self._retry |= dict.fromkeys(waiting, time.monotonic() + _RETRY_S)
                found = [one for one in found if one[0] not in waiting]
            else:
                self._tails |= {identity: tail for (identity, _), tail in zip(bare, tails, strict=True)}
        for identity, entry in found:
            self._produce(identity, entry)

    def _produce(self, identity: Identity, entry: Entry) -> None:
        if entry.kind is RecordKind.EVENT:
            topic = self._events
            key, value = unpack(entry.body)
        else:
            topic, key, value = self._frames, lane_key(self._gateway_id, entry.lane).encode(), entry.body
            if tail := self._tails.get(identity):
                value = frame_signatures.signed(value, tail)

        def delivered(failure: Failure | None) -> None:
            # Perhaps in another thread; one wake-up of the loop for many reports.
            self._reports.append((identity, failure))
            if not self._announced and not self._stopped:
                self._announced = True
                self._loop.call_soon_threadsafe(self._on_reports)

        try:
            self._sender.produce(topic, key, value, delivered)
        except OverloadedError:
            self._retry[identity] = time.monotonic() + _RETRY_S

    def _failed(self, identity: Identity, failure: Failure) -> None:
        if failure.text != self._last_error:
            log.warning("an entry was not taken; it is sent again", extra={"error": failure.text})
        self._last_error = failure.text
        self._retry[identity] = time.monotonic() + _RETRY_S
        if failure.fatal:
            log.error("the sender has failed and is replaced", extra={"error": self._last_error})
            self.renew()

    def renew(self) -> None:
        """Connect anew, after a fatal failure or for another certificate: everything outstanding is sent again, signed anew."""
        self._sender.renew()
        self._tails.clear()
        # Health events that were under way are forgotten without a report.
        self._unconfirmed_health = 0
        now = time.monotonic()
        self._retry = dict.fromkeys(self._outstanding, now)

    def _send_again(self) -> None:
        now = time.monotonic()
        due = [identity for identity, at in self._retry.items() if at <= now]
        for identity in due:
            del self._retry[identity]
        self._produce_all(due)

    def _forget(self, identity: Identity, entry: Entry) -> None:
        del self._outstanding[identity]
        self._retry.pop(identity, None)
        self._tails.pop(identity, None)
        if self._live_since.pop(identity, None) is not None:
            self._live_bytes -= len(entry.body)
        else:
            self._backlog_bytes -= len(entry.body)
