from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_UNSPECIFIED: _ClassVar[Quality]
    QUALITY_GOOD: _ClassVar[Quality]
    QUALITY_UNCERTAIN: _ClassVar[Quality]
    QUALITY_BAD: _ClassVar[Quality]

class DeviceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_STATE_UNSPECIFIED: _ClassVar[DeviceState]
    DEVICE_STATE_ONLINE: _ClassVar[DeviceState]
    DEVICE_STATE_OFFLINE: _ClassVar[DeviceState]
    DEVICE_STATE_UNKNOWN: _ClassVar[DeviceState]

class AnomalyPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANOMALY_PHASE_UNSPECIFIED: _ClassVar[AnomalyPhase]
    ANOMALY_PHASE_OPEN: _ClassVar[AnomalyPhase]
    ANOMALY_PHASE_UPDATE: _ClassVar[AnomalyPhase]
    ANOMALY_PHASE_CLOSE: _ClassVar[AnomalyPhase]

class AnomalyVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANOMALY_VERDICT_UNSPECIFIED: _ClassVar[AnomalyVerdict]
    ANOMALY_VERDICT_NOT_A_FAULT: _ClassVar[AnomalyVerdict]
    ANOMALY_VERDICT_FAULT: _ClassVar[AnomalyVerdict]
QUALITY_UNSPECIFIED: Quality
QUALITY_GOOD: Quality
QUALITY_UNCERTAIN: Quality
QUALITY_BAD: Quality
DEVICE_STATE_UNSPECIFIED: DeviceState
DEVICE_STATE_ONLINE: DeviceState
DEVICE_STATE_OFFLINE: DeviceState
DEVICE_STATE_UNKNOWN: DeviceState
ANOMALY_PHASE_UNSPECIFIED: AnomalyPhase
ANOMALY_PHASE_OPEN: AnomalyPhase
ANOMALY_PHASE_UPDATE: AnomalyPhase
ANOMALY_PHASE_CLOSE: AnomalyPhase
ANOMALY_VERDICT_UNSPECIFIED: AnomalyVerdict
ANOMALY_VERDICT_NOT_A_FAULT: AnomalyVerdict
ANOMALY_VERDICT_FAULT: AnomalyVerdict

class Value(_message.Message):
    __slots__ = ("value", "time_us", "quality", "quality_code", "age_us")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_CODE_FIELD_NUMBER: _ClassVar[int]
    AGE_US_FIELD_NUMBER: _ClassVar[int]
    value: float
    time_us: int
    quality: Quality
    quality_code: int
    age_us: int
    def __init__(self, value: _Optional[float] = ..., time_us: _Optional[int] = ..., quality: _Optional[_Union[Quality, str]] = ..., quality_code: _Optional[int] = ..., age_us: _Optional[int] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("tag_id", "device_id", "path", "name", "description", "unit", "data_type", "eu_low", "eu_high", "writable", "last", "limit_low", "limit_high", "period_ms", "stale", "device_path", "expression")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    EU_LOW_FIELD_NUMBER: _ClassVar[int]
    EU_HIGH_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_LOW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_HIGH_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    device_id: int
    path: str
    name: str
    description: str
    unit: str
    data_type: str
    eu_low: float
    eu_high: float
    writable: bool
    last: Value
    limit_low: float
    limit_high: float
    period_ms: int
    stale: bool
    device_path: str
    expression: str
    def __init__(self, tag_id: _Optional[int] = ..., device_id: _Optional[int] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., unit: _Optional[str] = ..., data_type: _Optional[str] = ..., eu_low: _Optional[float] = ..., eu_high: _Optional[float] = ..., writable: bool = ..., last: _Optional[_Union[Value, _Mapping]] = ..., limit_low: _Optional[float] = ..., limit_high: _Optional[float] = ..., period_ms: _Optional[int] = ..., stale: bool = ..., device_path: _Optional[str] = ..., expression: _Optional[str] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("device_id", "path", "device_class", "site", "gateway_id", "tags", "commands", "state", "packml_state", "open_anomalies")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PACKML_STATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_ANOMALIES_FIELD_NUMBER: _ClassVar[int]
    device_id: int
    path: str
    device_class: str
    site: str
    gateway_id: str
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    commands: _containers.RepeatedCompositeFieldContainer[CommandDescription]
    state: DeviceState
    packml_state: str
    open_anomalies: int
    def __init__(self, device_id: _Optional[int] = ..., path: _Optional[str] = ..., device_class: _Optional[str] = ..., site: _Optional[str] = ..., gateway_id: _Optional[str] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., commands: _Optional[_Iterable[_Union[CommandDescription, _Mapping]]] = ..., state: _Optional[_Union[DeviceState, str]] = ..., packml_state: _Optional[str] = ..., open_anomalies: _Optional[int] = ...) -> None: ...

class CommandDescription(_message.Message):
    __slots__ = ("name", "description", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterDescription]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[ParameterDescription, _Mapping]]] = ...) -> None: ...

class ParameterDescription(_message.Message):
    __slots__ = ("name", "description", "data_type", "unit", "low", "high")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    data_type: str
    unit: str
    low: float
    high: float
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., data_type: _Optional[str] = ..., unit: _Optional[str] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ("prefix", "page_size", "page_token", "device_class", "text", "state")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    device_class: str
    text: str
    state: DeviceState
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., device_class: _Optional[str] = ..., text: _Optional[str] = ..., state: _Optional[_Union[DeviceState, str]] = ...) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices", "next_page_token")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    next_page_token: str
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDeviceRequest(_message.Message):
    __slots__ = ("device_id", "path")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    device_id: int
    path: str
    def __init__(self, device_id: _Optional[int] = ..., path: _Optional[str] = ...) -> None: ...

class ListTagsRequest(_message.Message):
    __slots__ = ("prefix", "page_size", "page_token", "quality", "stale", "writable", "text", "device_class")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    quality: Quality
    stale: bool
    writable: bool
    text: str
    device_class: str
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., quality: _Optional[_Union[Quality, str]] = ..., stale: bool = ..., writable: bool = ..., text: _Optional[str] = ..., device_class: _Optional[str] = ...) -> None: ...

class ListTagsResponse(_message.Message):
    __slots__ = ("tags", "next_page_token")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    next_page_token: str
    def __init__(self, tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetTagRequest(_message.Message):
    __slots__ = ("tag_id", "path")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ...) -> None: ...

class WatchTagsRequest(_message.Message):
    __slots__ = ("prefixes", "max_rate_hz")
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    MAX_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    max_rate_hz: float
    def __init__(self, prefixes: _Optional[_Iterable[str]] = ..., max_rate_hz: _Optional[float] = ...) -> None: ...

class TagUpdate(_message.Message):
    __slots__ = ("tag_id", "path", "value")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    value: Value
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class WatchAnomaliesRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class Contributor(_message.Message):
    __slots__ = ("tag_id", "path", "score", "value", "expected_low", "expected_high", "statistic", "limit", "limit_us", "earliest_us", "latest_us", "as_of_us")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LOW_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_HIGH_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_US_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_US_FIELD_NUMBER: _ClassVar[int]
    LATEST_US_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    score: float
    value: float
    expected_low: float
    expected_high: float
    statistic: str
    limit: float
    limit_us: int
    earliest_us: int
    latest_us: int
    as_of_us: int
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ..., score: _Optional[float] = ..., value: _Optional[float] = ..., expected_low: _Optional[float] = ..., expected_high: _Optional[float] = ..., statistic: _Optional[str] = ..., limit: _Optional[float] = ..., limit_us: _Optional[int] = ..., earliest_us: _Optional[int] = ..., latest_us: _Optional[int] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class Anomaly(_message.Message):
    __slots__ = ("episode_id", "device_id", "device_path", "phase", "start_us", "end_us", "score", "peak_score", "threshold", "contributors", "detector", "detector_version", "labels")
    EPISODE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PEAK_SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTORS_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    episode_id: str
    device_id: int
    device_path: str
    phase: AnomalyPhase
    start_us: int
    end_us: int
    score: float
    peak_score: float
    threshold: float
    contributors: _containers.RepeatedCompositeFieldContainer[Contributor]
    detector: str
    detector_version: int
    labels: _containers.RepeatedCompositeFieldContainer[AnomalyLabel]
    def __init__(self, episode_id: _Optional[str] = ..., device_id: _Optional[int] = ..., device_path: _Optional[str] = ..., phase: _Optional[_Union[AnomalyPhase, str]] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., score: _Optional[float] = ..., peak_score: _Optional[float] = ..., threshold: _Optional[float] = ..., contributors: _Optional[_Iterable[_Union[Contributor, _Mapping]]] = ..., detector: _Optional[str] = ..., detector_version: _Optional[int] = ..., labels: _Optional[_Iterable[_Union[AnomalyLabel, _Mapping]]] = ...) -> None: ...

class AnomalyLabel(_message.Message):
    __slots__ = ("label_id", "verdict", "by", "time_us", "reason", "withdrawn_us", "withdrawn_by", "withdrawn_reason")
    LABEL_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_US_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_BY_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_REASON_FIELD_NUMBER: _ClassVar[int]
    label_id: str
    verdict: AnomalyVerdict
    by: str
    time_us: int
    reason: str
    withdrawn_us: int
    withdrawn_by: str
    withdrawn_reason: str
    def __init__(self, label_id: _Optional[str] = ..., verdict: _Optional[_Union[AnomalyVerdict, str]] = ..., by: _Optional[str] = ..., time_us: _Optional[int] = ..., reason: _Optional[str] = ..., withdrawn_us: _Optional[int] = ..., withdrawn_by: _Optional[str] = ..., withdrawn_reason: _Optional[str] = ...) -> None: ...

class LabelAnomalyRequest(_message.Message):
    __slots__ = ("episode_id", "verdict", "reason", "label_id")
    EPISODE_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LABEL_ID_FIELD_NUMBER: _ClassVar[int]
    episode_id: str
    verdict: AnomalyVerdict
    reason: str
    label_id: str
    def __init__(self, episode_id: _Optional[str] = ..., verdict: _Optional[_Union[AnomalyVerdict, str]] = ..., reason: _Optional[str] = ..., label_id: _Optional[str] = ...) -> None: ...

class WithdrawAnomalyLabelRequest(_message.Message):
    __slots__ = ("label_id", "reason")
    LABEL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    label_id: str
    reason: str
    def __init__(self, label_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class BatchGetTagsRequest(_message.Message):
    __slots__ = ("tag_ids", "paths")
    TAG_IDS_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    tag_ids: _containers.RepeatedScalarFieldContainer[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tag_ids: _Optional[_Iterable[int]] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchGetTagsResponse(_message.Message):
    __slots__ = ("tags", "unknown_tag_ids", "unknown_paths")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TAG_IDS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_PATHS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    unknown_tag_ids: _containers.RepeatedScalarFieldContainer[int]
    unknown_paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., unknown_tag_ids: _Optional[_Iterable[int]] = ..., unknown_paths: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchTagBatchesRequest(_message.Message):
    __slots__ = ("prefixes", "min_interval_ms", "resume_position", "heartbeat_ms", "omit_paths")
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    MIN_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    RESUME_POSITION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    OMIT_PATHS_FIELD_NUMBER: _ClassVar[int]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    min_interval_ms: int
    resume_position: str
    heartbeat_ms: int
    omit_paths: bool
    def __init__(self, prefixes: _Optional[_Iterable[str]] = ..., min_interval_ms: _Optional[int] = ..., resume_position: _Optional[str] = ..., heartbeat_ms: _Optional[int] = ..., omit_paths: bool = ...) -> None: ...

class TagBatch(_message.Message):
    __slots__ = ("updates", "snapshot_complete", "sequence", "position", "sent_us", "interval_ms", "notice")
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[TagUpdate]
    snapshot_complete: bool
    sequence: int
    position: str
    sent_us: int
    interval_ms: int
    notice: str
    def __init__(self, updates: _Optional[_Iterable[_Union[TagUpdate, _Mapping]]] = ..., snapshot_complete: bool = ..., sequence: _Optional[int] = ..., position: _Optional[str] = ..., sent_us: _Optional[int] = ..., interval_ms: _Optional[int] = ..., notice: _Optional[str] = ...) -> None: ...

class ListPlantNodesRequest(_message.Message):
    __slots__ = ("path", "depth")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    path: str
    depth: int
    def __init__(self, path: _Optional[str] = ..., depth: _Optional[int] = ...) -> None: ...

class PlantNode(_message.Message):
    __slots__ = ("path", "name", "level", "device_id", "device_class", "devices", "devices_offline", "tags", "tags_bad", "open_anomalies", "packml_states")
    class PackmlStatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_OFFLINE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TAGS_BAD_FIELD_NUMBER: _ClassVar[int]
    OPEN_ANOMALIES_FIELD_NUMBER: _ClassVar[int]
    PACKML_STATES_FIELD_NUMBER: _ClassVar[int]
    path: str
    name: str
    level: str
    device_id: int
    device_class: str
    devices: int
    devices_offline: int
    tags: int
    tags_bad: int
    open_anomalies: int
    packml_states: _containers.ScalarMap[str, int]
    def __init__(self, path: _Optional[str] = ..., name: _Optional[str] = ..., level: _Optional[str] = ..., device_id: _Optional[int] = ..., device_class: _Optional[str] = ..., devices: _Optional[int] = ..., devices_offline: _Optional[int] = ..., tags: _Optional[int] = ..., tags_bad: _Optional[int] = ..., open_anomalies: _Optional[int] = ..., packml_states: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ListPlantNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[PlantNode]
    def __init__(self, nodes: _Optional[_Iterable[_Union[PlantNode, _Mapping]]] = ...) -> None: ...

class WatchAggregatesRequest(_message.Message):
    __slots__ = ("prefixes", "window_s")
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    window_s: int
    def __init__(self, prefixes: _Optional[_Iterable[str]] = ..., window_s: _Optional[int] = ...) -> None: ...

class WatchAggregatesResponse(_message.Message):
    __slots__ = ("aggregates", "sent_us")
    AGGREGATES_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    aggregates: _containers.RepeatedCompositeFieldContainer[Aggregate]
    sent_us: int
    def __init__(self, aggregates: _Optional[_Iterable[_Union[Aggregate, _Mapping]]] = ..., sent_us: _Optional[int] = ...) -> None: ...

class Aggregate(_message.Message):
    __slots__ = ("tag_id", "start_us", "window_s", "count", "good", "mean", "min", "max", "first", "last", "stddev")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    STDDEV_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    start_us: int
    window_s: int
    count: int
    good: int
    mean: float
    min: float
    max: float
    first: float
    last: float
    stddev: float
    def __init__(self, tag_id: _Optional[int] = ..., start_us: _Optional[int] = ..., window_s: _Optional[int] = ..., count: _Optional[int] = ..., good: _Optional[int] = ..., mean: _Optional[float] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., first: _Optional[float] = ..., last: _Optional[float] = ..., stddev: _Optional[float] = ...) -> None: ...
