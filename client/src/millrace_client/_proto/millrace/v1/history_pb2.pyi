from millrace_client._proto.millrace.v1 import state_pb2 as _state_pb2
from millrace_client._proto.millrace.v1 import work_pb2 as _work_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Selection(_message.Message):
    __slots__ = ("tag_ids", "prefixes", "start_us", "end_us")
    TAG_IDS_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    tag_ids: _containers.RepeatedScalarFieldContainer[int]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    start_us: int
    end_us: int
    def __init__(self, tag_ids: _Optional[_Iterable[int]] = ..., prefixes: _Optional[_Iterable[str]] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class ReadSamplesRequest(_message.Message):
    __slots__ = ("selection", "limit", "good_only")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    GOOD_ONLY_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    limit: int
    good_only: bool
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., limit: _Optional[int] = ..., good_only: bool = ...) -> None: ...

class TagPeriod(_message.Message):
    __slots__ = ("start_us", "path", "unit", "eu_low", "eu_high", "limit_low", "limit_high")
    START_US_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EU_LOW_FIELD_NUMBER: _ClassVar[int]
    EU_HIGH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_LOW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_HIGH_FIELD_NUMBER: _ClassVar[int]
    start_us: int
    path: str
    unit: str
    eu_low: float
    eu_high: float
    limit_low: float
    limit_high: float
    def __init__(self, start_us: _Optional[int] = ..., path: _Optional[str] = ..., unit: _Optional[str] = ..., eu_low: _Optional[float] = ..., eu_high: _Optional[float] = ..., limit_low: _Optional[float] = ..., limit_high: _Optional[float] = ...) -> None: ...

class ReadSamplesResponse(_message.Message):
    __slots__ = ("tag_id", "path", "unit", "time_us", "value", "quality", "tag_complete", "periods")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    TAG_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    unit: str
    time_us: bytes
    value: bytes
    quality: bytes
    tag_complete: bool
    periods: _containers.RepeatedCompositeFieldContainer[TagPeriod]
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ..., unit: _Optional[str] = ..., time_us: _Optional[bytes] = ..., value: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., tag_complete: bool = ..., periods: _Optional[_Iterable[_Union[TagPeriod, _Mapping]]] = ...) -> None: ...

class ReadAggregatesRequest(_message.Message):
    __slots__ = ("selection", "window_s")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    window_s: int
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., window_s: _Optional[int] = ...) -> None: ...

class ReadAggregatesResponse(_message.Message):
    __slots__ = ("tag_id", "path", "unit", "window_s", "start_us", "count", "good", "mean", "min", "max", "stddev", "repaired", "tag_complete", "periods")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    STDDEV_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    TAG_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    unit: str
    window_s: int
    start_us: bytes
    count: bytes
    good: bytes
    mean: bytes
    min: bytes
    max: bytes
    stddev: bytes
    repaired: bytes
    tag_complete: bool
    periods: _containers.RepeatedCompositeFieldContainer[TagPeriod]
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ..., unit: _Optional[str] = ..., window_s: _Optional[int] = ..., start_us: _Optional[bytes] = ..., count: _Optional[bytes] = ..., good: _Optional[bytes] = ..., mean: _Optional[bytes] = ..., min: _Optional[bytes] = ..., max: _Optional[bytes] = ..., stddev: _Optional[bytes] = ..., repaired: _Optional[bytes] = ..., tag_complete: bool = ..., periods: _Optional[_Iterable[_Union[TagPeriod, _Mapping]]] = ...) -> None: ...

class ReadChartRequest(_message.Message):
    __slots__ = ("selection", "pixels")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    pixels: int
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., pixels: _Optional[int] = ...) -> None: ...

class ReadChartResponse(_message.Message):
    __slots__ = ("series",)
    SERIES_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[ChartSeries]
    def __init__(self, series: _Optional[_Iterable[_Union[ChartSeries, _Mapping]]] = ...) -> None: ...

class ChartSeries(_message.Message):
    __slots__ = ("tag_id", "path", "unit", "source", "window_s", "time_us", "value", "min", "max", "quality", "repaired")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    unit: str
    source: str
    window_s: int
    time_us: bytes
    value: bytes
    min: bytes
    max: bytes
    quality: bytes
    repaired: bytes
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ..., unit: _Optional[str] = ..., source: _Optional[str] = ..., window_s: _Optional[int] = ..., time_us: _Optional[bytes] = ..., value: _Optional[bytes] = ..., min: _Optional[bytes] = ..., max: _Optional[bytes] = ..., quality: _Optional[bytes] = ..., repaired: _Optional[bytes] = ...) -> None: ...

class ListAnomaliesRequest(_message.Message):
    __slots__ = ("prefix", "end_us", "start_us", "open_only", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    end_us: int
    start_us: int
    open_only: bool
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., end_us: _Optional[int] = ..., start_us: _Optional[int] = ..., open_only: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAnomaliesResponse(_message.Message):
    __slots__ = ("anomalies", "next_page_token")
    ANOMALIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    anomalies: _containers.RepeatedCompositeFieldContainer[_state_pb2.Anomaly]
    next_page_token: str
    def __init__(self, anomalies: _Optional[_Iterable[_Union[_state_pb2.Anomaly, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us", "kinds", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("event_id", "kind", "gateway_id", "device_id", "device_path", "time_us", "text", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    kind: str
    gateway_id: str
    device_id: int
    device_path: str
    time_us: int
    text: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, event_id: _Optional[str] = ..., kind: _Optional[str] = ..., gateway_id: _Optional[str] = ..., device_id: _Optional[int] = ..., device_path: _Optional[str] = ..., time_us: _Optional[int] = ..., text: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListRejectsRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us", "reasons", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., reasons: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRejectsResponse(_message.Message):
    __slots__ = ("rejects", "next_page_token")
    REJECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rejects: _containers.RepeatedCompositeFieldContainer[Reject]
    next_page_token: str
    def __init__(self, rejects: _Optional[_Iterable[_Union[Reject, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("rejected_us", "reason", "detail", "tag_id", "path", "time_us", "value", "gateway_id")
    REJECTED_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    rejected_us: int
    reason: str
    detail: str
    tag_id: int
    path: str
    time_us: int
    value: float
    gateway_id: str
    def __init__(self, rejected_us: _Optional[int] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., tag_id: _Optional[int] = ..., path: _Optional[str] = ..., time_us: _Optional[int] = ..., value: _Optional[float] = ..., gateway_id: _Optional[str] = ...) -> None: ...

class CountRejectsRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class CountRejectsResponse(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[RejectCount]
    def __init__(self, counts: _Optional[_Iterable[_Union[RejectCount, _Mapping]]] = ...) -> None: ...

class RejectCount(_message.Message):
    __slots__ = ("reason", "device_path", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    device_path: str
    count: int
    def __init__(self, reason: _Optional[str] = ..., device_path: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ReadOeeRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us", "by")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., by: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadOeeResponse(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[OeeFigures]
    def __init__(self, rows: _Optional[_Iterable[_Union[OeeFigures, _Mapping]]] = ...) -> None: ...

class OeeFigures(_message.Message):
    __slots__ = ("path", "shift_day", "shift", "start_us", "job_order", "material", "pbt_s", "apt_s", "pq", "gq", "ideal_s", "availability", "effectiveness", "quality", "oee", "unknown_s", "unplanned_gq")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHIFT_DAY_FIELD_NUMBER: _ClassVar[int]
    SHIFT_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    PBT_S_FIELD_NUMBER: _ClassVar[int]
    APT_S_FIELD_NUMBER: _ClassVar[int]
    PQ_FIELD_NUMBER: _ClassVar[int]
    GQ_FIELD_NUMBER: _ClassVar[int]
    IDEAL_S_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVENESS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    OEE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_S_FIELD_NUMBER: _ClassVar[int]
    UNPLANNED_GQ_FIELD_NUMBER: _ClassVar[int]
    path: str
    shift_day: str
    shift: str
    start_us: int
    job_order: str
    material: str
    pbt_s: float
    apt_s: float
    pq: float
    gq: float
    ideal_s: float
    availability: float
    effectiveness: float
    quality: float
    oee: float
    unknown_s: float
    unplanned_gq: float
    def __init__(self, path: _Optional[str] = ..., shift_day: _Optional[str] = ..., shift: _Optional[str] = ..., start_us: _Optional[int] = ..., job_order: _Optional[str] = ..., material: _Optional[str] = ..., pbt_s: _Optional[float] = ..., apt_s: _Optional[float] = ..., pq: _Optional[float] = ..., gq: _Optional[float] = ..., ideal_s: _Optional[float] = ..., availability: _Optional[float] = ..., effectiveness: _Optional[float] = ..., quality: _Optional[float] = ..., oee: _Optional[float] = ..., unknown_s: _Optional[float] = ..., unplanned_gq: _Optional[float] = ...) -> None: ...

class ReadStatesRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class ReadStatesResponse(_message.Message):
    __slots__ = ("intervals",)
    INTERVALS_FIELD_NUMBER: _ClassVar[int]
    intervals: _containers.RepeatedCompositeFieldContainer[StateInterval]
    def __init__(self, intervals: _Optional[_Iterable[_Union[StateInterval, _Mapping]]] = ...) -> None: ...

class StateInterval(_message.Message):
    __slots__ = ("device_id", "device_path", "packml_state", "start_us", "end_us")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    PACKML_STATE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    device_id: int
    device_path: str
    packml_state: str
    start_us: int
    end_us: int
    def __init__(self, device_id: _Optional[int] = ..., device_path: _Optional[str] = ..., packml_state: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class ReadDowntimeParetoRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us", "depth")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    depth: int
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., depth: _Optional[int] = ...) -> None: ...

class ReadDowntimeParetoResponse(_message.Message):
    __slots__ = ("causes",)
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    causes: _containers.RepeatedCompositeFieldContainer[DowntimeCause]
    def __init__(self, causes: _Optional[_Iterable[_Union[DowntimeCause, _Mapping]]] = ...) -> None: ...

class DowntimeCause(_message.Message):
    __slots__ = ("reason", "stops", "downtime_s", "share", "cumulative")
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    DOWNTIME_S_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    CUMULATIVE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    stops: int
    downtime_s: float
    share: float
    cumulative: float
    def __init__(self, reason: _Optional[str] = ..., stops: _Optional[int] = ..., downtime_s: _Optional[float] = ..., share: _Optional[float] = ..., cumulative: _Optional[float] = ...) -> None: ...

class ReadReliabilityRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us", "failure_reasons")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASONS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    failure_reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., failure_reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadReliabilityResponse(_message.Message):
    __slots__ = ("machines",)
    MACHINES_FIELD_NUMBER: _ClassVar[int]
    machines: _containers.RepeatedCompositeFieldContainer[Reliability]
    def __init__(self, machines: _Optional[_Iterable[_Union[Reliability, _Mapping]]] = ...) -> None: ...

class Reliability(_message.Message):
    __slots__ = ("path", "failures", "operating_s", "repair_s", "mtbf_s", "mttr_s")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    OPERATING_S_FIELD_NUMBER: _ClassVar[int]
    REPAIR_S_FIELD_NUMBER: _ClassVar[int]
    MTBF_S_FIELD_NUMBER: _ClassVar[int]
    MTTR_S_FIELD_NUMBER: _ClassVar[int]
    path: str
    failures: int
    operating_s: float
    repair_s: float
    mtbf_s: float
    mttr_s: float
    def __init__(self, path: _Optional[str] = ..., failures: _Optional[int] = ..., operating_s: _Optional[float] = ..., repair_s: _Optional[float] = ..., mtbf_s: _Optional[float] = ..., mttr_s: _Optional[float] = ...) -> None: ...

class ReadProductionRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us", "counted_class")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    COUNTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    counted_class: str
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., counted_class: _Optional[str] = ...) -> None: ...

class ReadProductionResponse(_message.Message):
    __slots__ = ("orders",)
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[PlannedProduction]
    def __init__(self, orders: _Optional[_Iterable[_Union[PlannedProduction, _Mapping]]] = ...) -> None: ...

class PlannedProduction(_message.Message):
    __slots__ = ("job_order", "material", "status", "quantity", "planned_start_us", "planned_end_us", "started_us", "ended_us", "good", "declared", "expected", "ahead")
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PLANNED_START_US_FIELD_NUMBER: _ClassVar[int]
    PLANNED_END_US_FIELD_NUMBER: _ClassVar[int]
    STARTED_US_FIELD_NUMBER: _ClassVar[int]
    ENDED_US_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    DECLARED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    job_order: str
    material: str
    status: _work_pb2.JobOrderStatus
    quantity: float
    planned_start_us: int
    planned_end_us: int
    started_us: int
    ended_us: int
    good: float
    declared: float
    expected: float
    ahead: float
    def __init__(self, job_order: _Optional[str] = ..., material: _Optional[str] = ..., status: _Optional[_Union[_work_pb2.JobOrderStatus, str]] = ..., quantity: _Optional[float] = ..., planned_start_us: _Optional[int] = ..., planned_end_us: _Optional[int] = ..., started_us: _Optional[int] = ..., ended_us: _Optional[int] = ..., good: _Optional[float] = ..., declared: _Optional[float] = ..., expected: _Optional[float] = ..., ahead: _Optional[float] = ...) -> None: ...

class ReadGenealogyRequest(_message.Message):
    __slots__ = ("lot", "direction")
    LOT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    lot: str
    direction: str
    def __init__(self, lot: _Optional[str] = ..., direction: _Optional[str] = ...) -> None: ...

class ReadGenealogyResponse(_message.Message):
    __slots__ = ("relations",)
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    relations: _containers.RepeatedCompositeFieldContainer[LotRelation]
    def __init__(self, relations: _Optional[_Iterable[_Union[LotRelation, _Mapping]]] = ...) -> None: ...

class LotRelation(_message.Message):
    __slots__ = ("direction", "depth", "lot", "material", "trail")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    direction: str
    depth: int
    lot: str
    material: str
    trail: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, direction: _Optional[str] = ..., depth: _Optional[int] = ..., lot: _Optional[str] = ..., material: _Optional[str] = ..., trail: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadLotValuesRequest(_message.Message):
    __slots__ = ("lot",)
    LOT_FIELD_NUMBER: _ClassVar[int]
    lot: str
    def __init__(self, lot: _Optional[str] = ...) -> None: ...

class ReadLotValuesResponse(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[LotValue]
    def __init__(self, values: _Optional[_Iterable[_Union[LotValue, _Mapping]]] = ...) -> None: ...

class LotValue(_message.Message):
    __slots__ = ("lot", "depth", "device_path", "start_us", "end_us", "name", "unit", "mean", "min", "max", "out_of_range_s")
    LOT_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_RANGE_S_FIELD_NUMBER: _ClassVar[int]
    lot: str
    depth: int
    device_path: str
    start_us: int
    end_us: int
    name: str
    unit: str
    mean: float
    min: float
    max: float
    out_of_range_s: float
    def __init__(self, lot: _Optional[str] = ..., depth: _Optional[int] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ..., mean: _Optional[float] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., out_of_range_s: _Optional[float] = ...) -> None: ...

class ReadAnomalyLotsRequest(_message.Message):
    __slots__ = ("episode_id",)
    EPISODE_ID_FIELD_NUMBER: _ClassVar[int]
    episode_id: str
    def __init__(self, episode_id: _Optional[str] = ...) -> None: ...

class ReadAnomalyLotsResponse(_message.Message):
    __slots__ = ("lots",)
    LOTS_FIELD_NUMBER: _ClassVar[int]
    lots: _containers.RepeatedCompositeFieldContainer[AnomalyLot]
    def __init__(self, lots: _Optional[_Iterable[_Union[AnomalyLot, _Mapping]]] = ...) -> None: ...

class AnomalyLot(_message.Message):
    __slots__ = ("lot", "material", "use", "depth")
    LOT_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    lot: str
    material: str
    use: str
    depth: int
    def __init__(self, lot: _Optional[str] = ..., material: _Optional[str] = ..., use: _Optional[str] = ..., depth: _Optional[int] = ...) -> None: ...

class ReadControlChartRequest(_message.Message):
    __slots__ = ("path", "start_us", "end_us", "n", "packml_state", "baseline_start_us", "baseline_end_us", "lower_spec", "upper_spec")
    PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    PACKML_STATE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_START_US_FIELD_NUMBER: _ClassVar[int]
    BASELINE_END_US_FIELD_NUMBER: _ClassVar[int]
    LOWER_SPEC_FIELD_NUMBER: _ClassVar[int]
    UPPER_SPEC_FIELD_NUMBER: _ClassVar[int]
    path: str
    start_us: int
    end_us: int
    n: int
    packml_state: str
    baseline_start_us: int
    baseline_end_us: int
    lower_spec: float
    upper_spec: float
    def __init__(self, path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., n: _Optional[int] = ..., packml_state: _Optional[str] = ..., baseline_start_us: _Optional[int] = ..., baseline_end_us: _Optional[int] = ..., lower_spec: _Optional[float] = ..., upper_spec: _Optional[float] = ...) -> None: ...

class ReadControlChartResponse(_message.Message):
    __slots__ = ("limits", "points")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    limits: ControlLimits
    points: _containers.RepeatedCompositeFieldContainer[ControlPoint]
    def __init__(self, limits: _Optional[_Union[ControlLimits, _Mapping]] = ..., points: _Optional[_Iterable[_Union[ControlPoint, _Mapping]]] = ...) -> None: ...

class ControlLimits(_message.Message):
    __slots__ = ("subgroups", "mean", "lcl", "ucl", "range_mean", "range_lcl", "range_ucl", "sigma", "lower_spec", "upper_spec", "cp", "cpk")
    SUBGROUPS_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LCL_FIELD_NUMBER: _ClassVar[int]
    UCL_FIELD_NUMBER: _ClassVar[int]
    RANGE_MEAN_FIELD_NUMBER: _ClassVar[int]
    RANGE_LCL_FIELD_NUMBER: _ClassVar[int]
    RANGE_UCL_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    LOWER_SPEC_FIELD_NUMBER: _ClassVar[int]
    UPPER_SPEC_FIELD_NUMBER: _ClassVar[int]
    CP_FIELD_NUMBER: _ClassVar[int]
    CPK_FIELD_NUMBER: _ClassVar[int]
    subgroups: int
    mean: float
    lcl: float
    ucl: float
    range_mean: float
    range_lcl: float
    range_ucl: float
    sigma: float
    lower_spec: float
    upper_spec: float
    cp: float
    cpk: float
    def __init__(self, subgroups: _Optional[int] = ..., mean: _Optional[float] = ..., lcl: _Optional[float] = ..., ucl: _Optional[float] = ..., range_mean: _Optional[float] = ..., range_lcl: _Optional[float] = ..., range_ucl: _Optional[float] = ..., sigma: _Optional[float] = ..., lower_spec: _Optional[float] = ..., upper_spec: _Optional[float] = ..., cp: _Optional[float] = ..., cpk: _Optional[float] = ...) -> None: ...

class ControlPoint(_message.Message):
    __slots__ = ("number", "start_us", "end_us", "mean", "range", "rules", "range_out")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    RANGE_OUT_FIELD_NUMBER: _ClassVar[int]
    number: int
    start_us: int
    end_us: int
    mean: float
    range: float
    rules: _containers.RepeatedScalarFieldContainer[int]
    range_out: bool
    def __init__(self, number: _Optional[int] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., mean: _Optional[float] = ..., range: _Optional[float] = ..., rules: _Optional[_Iterable[int]] = ..., range_out: bool = ...) -> None: ...

class ReadBatchDeviationRequest(_message.Message):
    __slots__ = ("batch", "golden", "points")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    batch: str
    golden: str
    points: int
    def __init__(self, batch: _Optional[str] = ..., golden: _Optional[str] = ..., points: _Optional[int] = ...) -> None: ...

class ReadBatchDeviationResponse(_message.Message):
    __slots__ = ("deviations",)
    DEVIATIONS_FIELD_NUMBER: _ClassVar[int]
    deviations: _containers.RepeatedCompositeFieldContainer[BatchDeviation]
    def __init__(self, deviations: _Optional[_Iterable[_Union[BatchDeviation, _Mapping]]] = ...) -> None: ...

class BatchDeviation(_message.Message):
    __slots__ = ("golden_batch", "phase", "name", "unit", "duration_s", "golden_duration_s", "mean_deviation", "rms_deviation", "max_deviation")
    GOLDEN_BATCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_DURATION_S_FIELD_NUMBER: _ClassVar[int]
    MEAN_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    RMS_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    MAX_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    golden_batch: str
    phase: str
    name: str
    unit: str
    duration_s: float
    golden_duration_s: float
    mean_deviation: float
    rms_deviation: float
    max_deviation: float
    def __init__(self, golden_batch: _Optional[str] = ..., phase: _Optional[str] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ..., duration_s: _Optional[float] = ..., golden_duration_s: _Optional[float] = ..., mean_deviation: _Optional[float] = ..., rms_deviation: _Optional[float] = ..., max_deviation: _Optional[float] = ...) -> None: ...
