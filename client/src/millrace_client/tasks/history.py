"""Methods of HistoryService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial

from millrace_client import course, unpack
from millrace_client.calls import HOUR, PAGE, TagRef
from millrace_client.calls import history as calls
from millrace_client.results import (
    Aggregates,
    AggregateSeries,
    Anomaly,
    Chart,
    Event,
    OeeFigures,
    Page,
    Reject,
    RejectCount,
    Samples,
    SampleSeries,
    StateInterval,
    Time,
)
from millrace_client.tasks.carrier import Carrier
from millrace_client.tasks.stream import AsyncStream


class HistoryMethods(Carrier):
    """What was. Tags are ids, paths (every tag at or under one) or `Tag`s, at most 1,000; times are `Time`s."""

    async def history(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        limit: int = 0,
        good_only: bool = False,
        deadline_s: float | None = None,
    ) -> Samples:
        """As `Client.history`."""
        call = calls.read_samples(calls.selection(tags, start, end), limit, good_only)
        return Samples(unpack.series(SampleSeries, await self._whole(call, deadline_s)))

    def history_chunks(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        limit: int = 0,
        good_only: bool = False,
        deadline_s: float | None = None,
    ) -> AsyncStream[SampleSeries]:
        """As `Client.history_chunks`."""
        call = calls.read_samples(calls.selection(tags, start, end), limit, good_only)
        return self._stream(course.Chunks(SampleSeries, call), deadline_s)

    async def aggregates(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        window_s: int = 0,
        deadline_s: float | None = None,
    ) -> Aggregates:
        """As `Client.aggregates`."""
        call = calls.read_aggregates(calls.selection(tags, start, end), window_s)
        return Aggregates(unpack.series(AggregateSeries, await self._whole(call, deadline_s)))

    async def chart(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        pixels: int = 0,
        deadline_s: float | None = None,
    ) -> Chart:
        """As `Client.chart`."""
        return await self._unary(calls.read_chart(calls.selection(tags, start, end), pixels), deadline_s)

    def episodes(
        self, prefix: str = "", *, start: Time | None = None, end: Time | None = None, open_only: bool = False
    ) -> AsyncIterator[Anomaly]:
        """As `Client.episodes`."""
        return self._pages(partial(self.episodes_page, prefix, start=start, end=end, open_only=open_only))

    async def episodes_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        open_only: bool = False,
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> Page[Anomaly]:
        """As `Client.episodes_page`."""
        return await self._unary(calls.list_anomalies(prefix, start, end, open_only, page_size, page_token), deadline_s)

    def events(
        self, prefix: str = "", *, start: Time | None = None, end: Time | None = None, kinds: str | Iterable[str] = ()
    ) -> AsyncIterator[Event]:
        """As `Client.events`."""
        return self._pages(partial(self.events_page, prefix, start=start, end=end, kinds=kinds))

    async def events_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        kinds: str | Iterable[str] = (),
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> Page[Event]:
        """As `Client.events_page`."""
        return await self._unary(calls.list_events(prefix, start, end, kinds, page_size, page_token), deadline_s)

    def rejects(
        self, prefix: str = "", *, start: Time | None = None, end: Time | None = None, reasons: str | Iterable[str] = ()
    ) -> AsyncIterator[Reject]:
        """As `Client.rejects`."""
        return self._pages(partial(self.rejects_page, prefix, start=start, end=end, reasons=reasons))

    async def rejects_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        reasons: str | Iterable[str] = (),
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> Page[Reject]:
        """As `Client.rejects_page`."""
        return await self._unary(calls.list_rejects(prefix, start, end, reasons, page_size, page_token), deadline_s)

    async def count_rejects(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> tuple[RejectCount, ...]:
        """As `Client.count_rejects`."""
        return await self._unary(calls.count_rejects(prefix, start, end), deadline_s)

    async def oee(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        by: str | Iterable[str] = (),
        deadline_s: float | None = None,
    ) -> tuple[OeeFigures, ...]:
        """As `Client.oee`."""
        return await self._unary(calls.read_oee(prefix, start, end, by), deadline_s)

    async def states(
        self,
        prefix: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> tuple[StateInterval, ...]:
        """As `Client.states`."""
        return await self._unary(calls.read_states(prefix, start, end), deadline_s)
