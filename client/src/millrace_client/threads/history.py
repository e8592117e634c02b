"""Methods of HistoryService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from millrace_client.threads.carrier import Carrier
from millrace_client.threads.stream import Stream


class HistoryMethods(Carrier):
    """What was. Tags are ids, paths (every tag at or under one) or `Tag`s, at most 1,000; times are `Time`s."""

    def history(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        limit: int = 0,
        good_only: bool = False,
        deadline_s: float | None = None,
    ) -> Samples:
        """Samples of tags from `start` (a time, how long ago, or microseconds), inclusive, to `end` (now), exclusive, as columns.

        `limit`: of each tag at most so many, the newest. `good_only`: only samples with good quality. Raises UnavailableError while the
        server cannot reach its database.
        """
        call = calls.read_samples(calls.selection(tags, start, end), limit, good_only)
        return Samples(unpack.series(SampleSeries, self._whole(call, deadline_s)))

    def history_chunks(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        limit: int = 0,
        good_only: bool = False,
        deadline_s: float | None = None,
    ) -> Stream[SampleSeries]:
        """As `history`, chunk by chunk (some 65,000 samples of one tag, tag by tag, by time), in the memory of one chunk.

        A stream that breaks is read again, and goes on where it broke; it has no deadline unless one is given. Use it as
        `with client.history_chunks(...) as chunks`, or read it to its end.
        """
        call = calls.read_samples(calls.selection(tags, start, end), limit, good_only)
        return self._stream(course.Chunks(SampleSeries, call), deadline_s)

    def aggregates(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        window_s: int = 0,
        deadline_s: float | None = None,
    ) -> Aggregates:
        """Windows of tags as columns; ranges as of `history`.

        `window_s`: one that the tags have, 3,600 or 86,400; 0: the longest that gives at least 500 windows.
        """
        call = calls.read_aggregates(calls.selection(tags, start, end), window_s)
        return Aggregates(unpack.series(AggregateSeries, self._whole(call, deadline_s)))

    def chart(
        self,
        tags: TagRef | Iterable[TagRef],
        start: Time = HOUR,
        end: Time | None = None,
        *,
        pixels: int = 0,
        deadline_s: float | None = None,
    ) -> Chart:
        """A curve of each of at most 20 tags for a drawing `pixels` wide (0: 1,000, at most 4,000).

        Extremes are kept, the resolution is chosen.
        """
        return self._unary(calls.read_chart(calls.selection(tags, start, end), pixels), deadline_s)

    def episodes(
        self, prefix: str = "", *, start: Time | None = None, end: Time | None = None, open_only: bool = False
    ) -> Iterator[Anomaly]:
        """Anomaly episodes of the devices at or under a path that overlap a range, newest first; `anomalies` watches them."""
        return self._pages(partial(self.episodes_page, prefix, start=start, end=end, open_only=open_only))

    def episodes_page(
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
        """A page of `episodes`; at most 1,000 of them."""
        return self._unary(calls.list_anomalies(prefix, start, end, open_only, page_size, page_token), deadline_s)

    def events(
        self, prefix: str = "", *, start: Time | None = None, end: Time | None = None, kinds: str | Iterable[str] = ()
    ) -> Iterator[Event]:
        """Births, deaths, states, strings, gaps and what was refused at the edge, newest first; without a range the last 24 hours.

        `kinds`: of BIRTH, DEATH, STATE, STRING, PROPOSAL, REFUSED, GAP; all of them when empty. `watch_events` follows them.
        """
        return self._pages(partial(self.events_page, prefix, start=start, end=end, kinds=kinds))

    def events_page(
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
        """A page of `events`; at most 1,000 of them."""
        return self._unary(calls.list_events(prefix, start, end, kinds, page_size, page_token), deadline_s)

    def rejects(
        self, prefix: str = "", *, start: Time | None = None, end: Time | None = None, reasons: str | Iterable[str] = ()
    ) -> Iterator[Reject]:
        """Samples and records that validation refused, newest first; without a range the last 24 hours. `reasons`: names of verdicts."""
        return self._pages(partial(self.rejects_page, prefix, start=start, end=end, reasons=reasons))

    def rejects_page(
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
        """A page of `rejects`; at most 1,000 of them."""
        return self._unary(calls.list_rejects(prefix, start, end, reasons, page_size, page_token), deadline_s)

    def count_rejects(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> tuple[RejectCount, ...]:
        """Refused samples and records by reason and device, most first; without a range the last 24 hours."""
        return self._unary(calls.count_rejects(prefix, start, end), deadline_s)

    def oee(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        by: str | Iterable[str] = (),
        deadline_s: float | None = None,
    ) -> tuple[OeeFigures, ...]:
        """OEE by ISO 22400-2 of a part of the plant; without a range of the last 24 hours, at most of 31 days.

        `by`: any of site, area, line, cell, device, shift, day, hour, order, product; without it one row of the whole.
        """
        return self._unary(calls.read_oee(prefix, start, end, by), deadline_s)

    def states(
        self,
        prefix: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> tuple[StateInterval, ...]:
        """PackML states of the machines under a path, by machine and time; without a range of the last 24 hours."""
        return self._unary(calls.read_states(prefix, start, end), deadline_s)
