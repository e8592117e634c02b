"""Calls of HistoryService."""

from __future__ import annotations

from collections.abc import Iterable

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import history_pb2
from millrace_client.calls.method import Call, Method, TagRef, message, tags_of, texts
from millrace_client.results import (
    Anomaly,
    Chart,
    Event,
    OeeFigures,
    Page,
    Reject,
    RejectCount,
    StateInterval,
    Time,
)
from millrace_client.results.times import to_us

_SERVICE = "HistoryService"
READ_SAMPLES = Method(
    _SERVICE, "ReadSamples", history_pb2.ReadSamplesRequest, history_pb2.ReadSamplesResponse, streaming=True
)
READ_AGGREGATES = Method(
    _SERVICE, "ReadAggregates", history_pb2.ReadAggregatesRequest, history_pb2.ReadAggregatesResponse, streaming=True
)
READ_CHART = Method(_SERVICE, "ReadChart", history_pb2.ReadChartRequest, history_pb2.ReadChartResponse)
LIST_ANOMALIES = Method(_SERVICE, "ListAnomalies", history_pb2.ListAnomaliesRequest, history_pb2.ListAnomaliesResponse)
LIST_EVENTS = Method(_SERVICE, "ListEvents", history_pb2.ListEventsRequest, history_pb2.ListEventsResponse)
LIST_REJECTS = Method(_SERVICE, "ListRejects", history_pb2.ListRejectsRequest, history_pb2.ListRejectsResponse)
COUNT_REJECTS = Method(_SERVICE, "CountRejects", history_pb2.CountRejectsRequest, history_pb2.CountRejectsResponse)
READ_OEE = Method(_SERVICE, "ReadOee", history_pb2.ReadOeeRequest, history_pb2.ReadOeeResponse)
READ_STATES = Method(_SERVICE, "ReadStates", history_pb2.ReadStatesRequest, history_pb2.ReadStatesResponse)
METHODS = (
    READ_SAMPLES,
    READ_AGGREGATES,
    READ_CHART,
    LIST_ANOMALIES,
    LIST_EVENTS,
    LIST_REJECTS,
    COUNT_REJECTS,
    READ_OEE,
    READ_STATES,
)


def selection(tags: TagRef | Iterable[TagRef], start: Time, end: Time | None) -> history_pb2.Selection:
    """Whose history, and when."""
    tag_ids, prefixes = tags_of(tags)
    return message(history_pb2.Selection, tag_ids=tag_ids, prefixes=prefixes, start_us=to_us(start), end_us=to_us(end))


def read_samples(wanted: history_pb2.Selection, limit: int, good_only: bool) -> Call[history_pb2.ReadSamplesResponse]:
    """Samples in chunks; `unpack.series` puts them together."""
    request = message(history_pb2.ReadSamplesRequest, selection=wanted, limit=limit, good_only=good_only)
    return Call(READ_SAMPLES, request, lambda chunk: chunk)


def read_aggregates(wanted: history_pb2.Selection, window_s: int) -> Call[history_pb2.ReadAggregatesResponse]:
    """Windows in chunks; `unpack.series` puts them together."""
    request = message(history_pb2.ReadAggregatesRequest, selection=wanted, window_s=window_s)
    return Call(READ_AGGREGATES, request, lambda chunk: chunk)


def read_chart(wanted: history_pb2.Selection, pixels: int) -> Call[Chart]:
    """Curves for a drawing."""
    request = message(history_pb2.ReadChartRequest, selection=wanted, pixels=pixels)
    return Call(READ_CHART, request, lambda answer: Chart(tuple(map(unpack.curve, answer.series))))


def list_anomalies(
    prefix: str, start: Time | None, end: Time | None, open_only: bool, page_size: int, page_token: str
) -> Call[Page[Anomaly]]:
    """A page of anomaly episodes."""
    request = message(
        history_pb2.ListAnomaliesRequest,
        prefix=prefix,
        start_us=to_us(start),
        end_us=to_us(end),
        open_only=open_only,
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_ANOMALIES, request, unpack.page(Anomaly, "anomalies"))


def list_events(
    prefix: str,
    start: Time | None,
    end: Time | None,
    kinds: str | Iterable[str],
    page_size: int,
    page_token: str,
) -> Call[Page[Event]]:
    """A page of events."""
    request = message(
        history_pb2.ListEventsRequest,
        prefix=prefix,
        start_us=to_us(start),
        end_us=to_us(end),
        kinds=texts(kinds),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_EVENTS, request, unpack.page(Event, "events"))


def list_rejects(
    prefix: str,
    start: Time | None,
    end: Time | None,
    reasons: str | Iterable[str],
    page_size: int,
    page_token: str,
) -> Call[Page[Reject]]:
    """A page of refused samples."""
    request = message(
        history_pb2.ListRejectsRequest,
        prefix=prefix,
        start_us=to_us(start),
        end_us=to_us(end),
        reasons=texts(reasons),
        page_size=page_size,
        page_token=page_token,
    )
    return Call(LIST_REJECTS, request, unpack.page(Reject, "rejects"))


def count_rejects(prefix: str, start: Time | None, end: Time | None) -> Call[tuple[RejectCount, ...]]:
    """Refused samples by reason and device."""
    request = message(history_pb2.CountRejectsRequest, prefix=prefix, start_us=to_us(start), end_us=to_us(end))
    return Call(COUNT_REJECTS, request, unpack.results(RejectCount, "counts"))


def read_oee(
    prefix: str, start: Time | None, end: Time | None, by: str | Iterable[str]
) -> Call[tuple[OeeFigures, ...]]:
    """OEE by group."""
    request = message(history_pb2.ReadOeeRequest, prefix=prefix, start_us=to_us(start), end_us=to_us(end), by=texts(by))
    return Call(READ_OEE, request, unpack.results(OeeFigures, "rows"))


def read_states(prefix: str, start: Time | None, end: Time | None) -> Call[tuple[StateInterval, ...]]:
    """States of machines."""
    request = message(history_pb2.ReadStatesRequest, prefix=prefix, start_us=to_us(start), end_us=to_us(end))
    return Call(READ_STATES, request, unpack.results(StateInterval, "intervals"))
