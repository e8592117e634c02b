"""Methods of LineService."""

from __future__ import annotations

from collections.abc import Iterable

from millrace_client import course
from millrace_client.calls import line as calls
from millrace_client.results import Accounting, Event, Gateway, LineHealth
from millrace_client.tasks.carrier import Carrier
from millrace_client.tasks.stream import AsyncStream


class LineMethods(Carrier):
    """The line from the gateways to SQL."""

    async def gateways(self, site: str = "", *, deadline_s: float | None = None) -> tuple[Gateway, ...]:
        """As `Client.gateways`."""
        return await self._unary(calls.list_gateways(site), deadline_s)

    def watch_gateways(self, site: str = "", *, deadline_s: float | None = None) -> AsyncStream[Gateway]:
        """As `Client.watch_gateways`."""
        return self._stream(course.Repeated(calls.watch_gateways(site)), deadline_s)

    async def line_health(self, *, deadline_s: float | None = None) -> LineHealth:
        """As `Client.line_health`."""
        return await self._unary(calls.get_line_health(), deadline_s)

    async def accounting(self, site: str = "", *, deadline_s: float | None = None) -> Accounting:
        """As `Client.accounting`."""
        return await self._unary(calls.get_accounting(site), deadline_s)

    def watch_events(
        self, prefix: str = "", *, kinds: str | Iterable[str] = (), deadline_s: float | None = None
    ) -> AsyncStream[Event]:
        """As `Client.watch_events`."""
        return self._stream(course.Repeated(calls.watch_events(prefix, kinds)), deadline_s)
