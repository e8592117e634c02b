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

class AnomalyPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANOMALY_PHASE_UNSPECIFIED: _ClassVar[AnomalyPhase]
    ANOMALY_PHASE_OPEN: _ClassVar[AnomalyPhase]
    ANOMALY_PHASE_UPDATE: _ClassVar[AnomalyPhase]
    ANOMALY_PHASE_CLOSE: _ClassVar[AnomalyPhase]
QUALITY_UNSPECIFIED: Quality
QUALITY_GOOD: Quality
QUALITY_UNCERTAIN: Quality
QUALITY_BAD: Quality
ANOMALY_PHASE_UNSPECIFIED: AnomalyPhase
ANOMALY_PHASE_OPEN: AnomalyPhase
ANOMALY_PHASE_UPDATE: AnomalyPhase
ANOMALY_PHASE_CLOSE: AnomalyPhase

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
    __slots__ = ("tag_id", "device_id", "path", "name", "description", "unit", "data_type", "eu_low", "eu_high", "writable", "last")
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
    def __init__(self, tag_id: _Optional[int] = ..., device_id: _Optional[int] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., unit: _Optional[str] = ..., data_type: _Optional[str] = ..., eu_low: _Optional[float] = ..., eu_high: _Optional[float] = ..., writable: bool = ..., last: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("device_id", "path", "device_class", "site", "gateway_id", "tags")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    device_id: int
    path: str
    device_class: str
    site: str
    gateway_id: str
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    def __init__(self, device_id: _Optional[int] = ..., path: _Optional[str] = ..., device_class: _Optional[str] = ..., site: _Optional[str] = ..., gateway_id: _Optional[str] = ..., tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ("prefix", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("prefix", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("tag_id", "path", "score", "value", "expected_low", "expected_high")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LOW_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_HIGH_FIELD_NUMBER: _ClassVar[int]
    tag_id: int
    path: str
    score: float
    value: float
    expected_low: float
    expected_high: float
    def __init__(self, tag_id: _Optional[int] = ..., path: _Optional[str] = ..., score: _Optional[float] = ..., value: _Optional[float] = ..., expected_low: _Optional[float] = ..., expected_high: _Optional[float] = ...) -> None: ...

class Anomaly(_message.Message):
    __slots__ = ("episode_id", "device_id", "device_path", "phase", "start_us", "end_us", "score", "peak_score", "threshold", "contributors", "detector", "detector_version")
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
    def __init__(self, episode_id: _Optional[str] = ..., device_id: _Optional[int] = ..., device_path: _Optional[str] = ..., phase: _Optional[_Union[AnomalyPhase, str]] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., score: _Optional[float] = ..., peak_score: _Optional[float] = ..., threshold: _Optional[float] = ..., contributors: _Optional[_Iterable[_Union[Contributor, _Mapping]]] = ..., detector: _Optional[str] = ..., detector_version: _Optional[int] = ...) -> None: ...
