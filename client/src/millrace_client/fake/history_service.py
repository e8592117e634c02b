"""HistoryService of the fake plant: a handler a method. No locks; the plant holds its own around each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import Message

from millrace_client._proto.millrace.v1 import history_pb2
from millrace_client.calls import Method
from millrace_client.calls import history as calls
from millrace_client.errors import InvalidRequestError
from millrace_client.fake import hierarchy, pack
from millrace_client.fake.archive import Archive
from millrace_client.fake.log import Log
from millrace_client.fake.registry import Registry
from millrace_client.fake.subscriptions import Listed, Subscription
from millrace_client.results import AggregateSeries, Anomaly, Event, Reject, RejectCount, SampleSeries, Tag
from millrace_client.results.columns import packed

_MAX_TAGS, _MAX_CHART_TAGS = 1000, 20
_DEFAULT_PIXELS, _MAX_PIXELS = 1000, 4000
_ROWS = 10_000
_LEVELS = ("site", "area", "line", "cell", "device")
_DAY_US = 86_400_000_000
S = TypeVar("S", SampleSeries, AggregateSeries)


class HistoryService:
    """Handlers by method. A unary one takes request and caller, a streaming one request and what wakes its reader."""

    def __init__(self, registry: Registry, archive: Archive, log: Log, clock: Callable[[], int]) -> None:
        self._registry = registry
        self._archive = archive
        self._log = log
        self._clock = clock
        self.unary: dict[Method, Callable[[Any, str], Message]] = {
            calls.READ_CHART: self._read_chart,
            calls.LIST_ANOMALIES: self._list_anomalies,
            calls.LIST_EVENTS: self._list_events,
            calls.LIST_REJECTS: self._list_rejects,
            calls.COUNT_REJECTS: self._count_rejects,
            calls.READ_OEE: self._read_oee,
            calls.READ_STATES: self._read_states,
        }
        self.streaming: dict[Method, Callable[[Any, Callable[[], None]], Subscription]] = {
            calls.READ_SAMPLES: self._read_samples,
            calls.READ_AGGREGATES: self._read_aggregates,
        }

    # --- columns -----------------------------------------------------------------------------------------------------

    def _read_samples(self, request: history_pb2.ReadSamplesRequest, wake: Callable[[], None]) -> Subscription:
        start_us, end_us = self._range(request.selection)
        if request.limit < 0:
            msg = f"limit is {request.limit}, not 0 or above"
            raise InvalidRequestError(msg)
        found = [
            self._archive.samples(tag, start_us, end_us, limit=request.limit, good_only=request.good_only)
            for tag in self._tags(request.selection, _MAX_TAGS)
        ]
        return Listed(wake, (one for series in found for one in _chunks(history_pb2.ReadSamplesResponse, series)))

    def _read_aggregates(self, request: history_pb2.ReadAggregatesRequest, wake: Callable[[], None]) -> Subscription:
        start_us, end_us = self._range(request.selection)
        if request.window_s < 0:
            msg = f"window_s is {request.window_s}, not 0 or above"
            raise InvalidRequestError(msg)
        found = [
            self._archive.windows(tag, start_us, end_us, request.window_s)
            for tag in self._tags(request.selection, _MAX_TAGS)
        ]
        return Listed(wake, (one for series in found for one in _chunks(history_pb2.ReadAggregatesResponse, series)))

    def _read_chart(self, request: history_pb2.ReadChartRequest, _: str) -> Message:
        start_us, end_us = self._range(request.selection)
        if not 0 <= request.pixels <= _MAX_PIXELS:
            msg = f"pixels is {request.pixels}, not between 0 and {_MAX_PIXELS}"
            raise InvalidRequestError(msg)
        pixels = request.pixels or _DEFAULT_PIXELS
        tags = self._tags(request.selection, _MAX_CHART_TAGS)
        series = [self._archive.chart(tag, start_us, end_us, pixels) for tag in tags]
        return history_pb2.ReadChartResponse(series=pack.messages(series))

    # --- lists -------------------------------------------------------------------------------------------------------

    def _list_anomalies(self, request: history_pb2.ListAnomaliesRequest, _: str) -> Message:
        end_us, wanted = request.end_us or self._clock(), hierarchy.under(request.prefix)

        def fits(one: Anomaly) -> bool:
            overlaps = one.start_us < end_us and (one.end_us is None or one.end_us >= request.start_us)
            return wanted(one.device_path) and overlaps and not (request.open_only and one.end_us is not None)

        found, token = hierarchy.newest(
            filter(fits, self._log.episodes), lambda one: (one.start_us, one.episode_id), request
        )
        return history_pb2.ListAnomaliesResponse(anomalies=pack.messages(found), next_page_token=token)

    def _list_events(self, request: history_pb2.ListEventsRequest, _: str) -> Message:
        start_us, end_us, wanted = *self._day(request), hierarchy.under(request.prefix)

        def fits(one: Event) -> bool:
            kind = not request.kinds or one.kind in request.kinds
            return kind and start_us <= one.time_us < end_us and (not one.device_path or wanted(one.device_path))

        found, token = hierarchy.newest(
            filter(fits, self._log.events), lambda one: (one.time_us, one.event_id), request
        )
        return history_pb2.ListEventsResponse(events=pack.messages(found), next_page_token=token)

    def _list_rejects(self, request: history_pb2.ListRejectsRequest, _: str) -> Message:
        found = [one for one in self._rejects(request) if not request.reasons or one.reason in request.reasons]
        some, token = hierarchy.newest(found, lambda one: (one.rejected_us, one.reason, one.tag_id), request)
        return history_pb2.ListRejectsResponse(rejects=pack.messages(some), next_page_token=token)

    def _count_rejects(self, request: history_pb2.CountRejectsRequest, _: str) -> Message:
        counts: dict[tuple[str, str], int] = {}
        for one in self._rejects(request):
            key = one.reason, one.path.rpartition("/")[0]
            counts[key] = counts.get(key, 0) + 1
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_TAGS]
        found = (RejectCount(reason=reason, device_path=path, count=count) for (reason, path), count in most)
        return history_pb2.CountRejectsResponse(counts=pack.messages(found))

    def _read_oee(self, request: history_pb2.ReadOeeRequest, _: str) -> Message:
        level = next((_LEVELS.index(one) + 2 for one in reversed(_LEVELS) if one in request.by), 0)
        wanted = hierarchy.under(request.prefix)
        found = [
            one
            for one in self._log.oee
            if (one.path.count("/") + 1 == level and wanted(one.path) if level else not one.path)
        ]
        return history_pb2.ReadOeeResponse(rows=pack.messages(found))

    def _read_states(self, request: history_pb2.ReadStatesRequest, _: str) -> Message:
        start_us, end_us, wanted = *self._day(request), hierarchy.under(request.prefix)
        found = [
            one
            for one in sorted(self._log.states, key=lambda one: (one.device_id, one.start_us))
            if one.start_us < end_us and one.end_us > start_us and wanted(one.device_path)
        ]
        return history_pb2.ReadStatesResponse(intervals=pack.messages(found))

    def _rejects(self, request: Any) -> list[Reject]:
        start_us, end_us, wanted = *self._day(request), hierarchy.under(request.prefix)
        return [one for one in self._log.rejects if start_us <= one.rejected_us < end_us and wanted(one.path)]

    # --- selections --------------------------------------------------------------------------------------------------

    def _day(self, request: Any) -> tuple[int, int]:
        """Range of a request; the last 24 hours by default."""
        end_us = request.end_us or self._clock() + 1
        return request.start_us or end_us - _DAY_US, end_us

    def _range(self, selection: history_pb2.Selection) -> tuple[int, int]:
        end_us = selection.end_us or self._clock() + 1
        if selection.start_us >= end_us:
            msg = f"start_us {selection.start_us} is not before end_us {end_us}"
            raise InvalidRequestError(msg)
        return selection.start_us, end_us

    def _tags(self, selection: history_pb2.Selection, most: int) -> list[Tag]:
        """Tags of a selection, by id. Raises NotFoundError for what does not exist."""
        if not selection.tag_ids and not selection.prefixes:
            msg = "the selection has no tag: give tag_ids or prefixes"
            raise InvalidRequestError(msg)
        found = {tag_id: self._registry.find_tag(tag_id) for tag_id in selection.tag_ids}
        for prefix in selection.prefixes:
            wanted = hierarchy.under(prefix)
            paths = [path for path in self._registry.tag_paths if wanted(path)]
            for path in paths or [prefix]:  # a prefix of nothing is looked up: that raises, and says what there is
                tag = self._registry.find_tag(path)
                found[tag.tag_id] = tag
        if len(found) > most:
            msg = f"{len(found)} tags are selected, more than {most}"
            raise InvalidRequestError(msg)
        return [found[tag_id] for tag_id in sorted(found)]


def _chunks(kind: type[Message], series: S) -> Iterator[Message]:
    """Messages of a series, each of some rows; at least one."""
    for start in range(0, max(1, len(series)), _ROWS):
        columns = {
            name: packed(code, getattr(series, name)[start : start + _ROWS]) for name, code in series.COLUMNS.items()
        }
        named: dict[str, Any] = {}
        if start == 0:
            named = {"path": series.path, "unit": series.unit, "periods": pack.messages(series.periods)}
        more: dict[str, Any] = {"window_s": series.window_s} if isinstance(series, AggregateSeries) else {}
        complete = start + _ROWS >= len(series)
        yield kind(tag_id=series.tag_id, tag_complete=complete, **named, **more, **columns)
