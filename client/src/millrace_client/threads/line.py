"""Methods of LineService."""

from __future__ import annotations

from collections.abc import Iterable

from millrace_client import course
from millrace_client.calls import line as calls
from millrace_client.results import Accounting, Event, Gateway, LineHealth
from millrace_client.threads.carrier import Carrier
from millrace_client.threads.stream import Stream


class LineMethods(Carrier):
    """The line from the gateways to SQL."""

    def gateways(self, site: str = "", *, deadline_s: float | None = None) -> tuple[Gateway, ...]:
        """Gateways (of a site) with their last reports, by id."""
        return self._unary(calls.list_gateways(site), deadline_s)

    def watch_gateways(self, site: str = "", *, deadline_s: float | None = None) -> Stream[Gateway]:
        """As `gateways`, then every change; a gateway that falls silent is a change."""
        return self._stream(course.Repeated(calls.watch_gateways(site)), deadline_s)

    def line_health(self, *, deadline_s: float | None = None) -> LineHealth:
        """Each stage of the line: whether it advances, and how far it is behind."""
        return self._unary(calls.get_line_health(), deadline_s)

    def accounting(self, site: str = "", *, deadline_s: float | None = None) -> Accounting:
        """Produced + calculated = stored + rejected + suppressed + held + in_flight + dropped, per gateway and lane."""
        return self._unary(calls.get_accounting(site), deadline_s)

    def watch_events(
        self, prefix: str = "", *, kinds: str | Iterable[str] = (), deadline_s: float | None = None
    ) -> Stream[Event]:
        """Events of the devices at or under a path, and of their gateways, from now on; kinds as of `events`."""
        return self._stream(course.Repeated(calls.watch_events(prefix, kinds)), deadline_s)
