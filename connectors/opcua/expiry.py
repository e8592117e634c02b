"""Certificates that expire: what a person is told from 30 days before, each once as a STATE event and a line of the log.

Enters: the certificates that a connection uses (`connectors.opcua.security`). Who calls: `connectors.opcua.connector`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from base.ids import Clock
from connectors.device_notices import DeviceNotices
from schemas.events import EventKind

log = logging.getLogger(__name__)

WARNING = timedelta(days=30)
_LOOK_S = 3600.0


def warning(certificate: x509.Certificate, whose: str, advice: str, now: datetime) -> str:
    """That a certificate expires soon or has expired, and what to do; empty when there is time. It says the same on each day."""
    end = certificate.not_valid_after_utc
    if now < end - WARNING:
        return ""
    verb = "expires" if now <= end else "has expired"
    return f"{whose} certificate {verb} on {end:%Y-%m-%d %H:%M} UTC: {advice}"


class ExpiryWatch:
    """Looks at the certificates of one connection; `warnings` gives what there is to say of them at a time."""

    def __init__(self, warnings: Callable[[datetime], list[str]], notices: DeviceNotices, clock: Clock) -> None:
        self._warnings, self._notices, self._clock = warnings, notices, clock
        self._told: set[str] = set()

    def warnings(self) -> list[str]:
        """What there is to say now."""
        return self._warnings(datetime.fromtimestamp(self._clock() / 1e6, UTC))

    def look(self) -> None:
        """Tell what was not told yet; what is settled is told again when it comes back."""
        found = self.warnings()
        for text in found:
            if text not in self._told:
                log.warning("certificate", extra={"cause": text})
                self._notices.tell(EventKind.STATE, 0, text, {"certificate": text})
        self._told = set(found)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)
