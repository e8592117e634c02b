from schemas.proto.millrace.v1 import history_pb2 as _history_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GatewayState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATEWAY_STATE_UNSPECIFIED: _ClassVar[GatewayState]
    GATEWAY_STATE_ONLINE: _ClassVar[GatewayState]
    GATEWAY_STATE_DEGRADED: _ClassVar[GatewayState]
    GATEWAY_STATE_SILENT: _ClassVar[GatewayState]

class Health(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_UNSPECIFIED: _ClassVar[Health]
    HEALTH_OK: _ClassVar[Health]
    HEALTH_DEGRADED: _ClassVar[Health]
    HEALTH_DOWN: _ClassVar[Health]
    HEALTH_UNKNOWN: _ClassVar[Health]
GATEWAY_STATE_UNSPECIFIED: GatewayState
GATEWAY_STATE_ONLINE: GatewayState
GATEWAY_STATE_DEGRADED: GatewayState
GATEWAY_STATE_SILENT: GatewayState
HEALTH_UNSPECIFIED: Health
HEALTH_OK: Health
HEALTH_DEGRADED: Health
HEALTH_DOWN: Health
HEALTH_UNKNOWN: Health

class ListGatewaysRequest(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class ListGatewaysResponse(_message.Message):
    __slots__ = ("gateways",)
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedCompositeFieldContainer[Gateway]
    def __init__(self, gateways: _Optional[_Iterable[_Union[Gateway, _Mapping]]] = ...) -> None: ...

class WatchGatewaysRequest(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class Gateway(_message.Message):
    __slots__ = ("gateway_id", "site", "state", "reported_us", "connections", "dead_device_ids", "buffered_bytes", "buffered_samples", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REPORTED_US_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    DEAD_DEVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    gateway_id: str
    site: str
    state: GatewayState
    reported_us: int
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    dead_device_ids: _containers.RepeatedScalarFieldContainer[int]
    buffered_bytes: int
    buffered_samples: int
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, gateway_id: _Optional[str] = ..., site: _Optional[str] = ..., state: _Optional[_Union[GatewayState, str]] = ..., reported_us: _Optional[int] = ..., connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., dead_device_ids: _Optional[_Iterable[int]] = ..., buffered_bytes: _Optional[int] = ..., buffered_samples: _Optional[int] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Connection(_message.Message):
    __slots__ = ("name", "connected", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    connected: bool
    detail: str
    def __init__(self, name: _Optional[str] = ..., connected: bool = ..., detail: _Optional[str] = ...) -> None: ...

class GetLineHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LineHealth(_message.Message):
    __slots__ = ("health", "stages", "observed_us")
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_US_FIELD_NUMBER: _ClassVar[int]
    health: Health
    stages: _containers.RepeatedCompositeFieldContainer[StageHealth]
    observed_us: int
    def __init__(self, health: _Optional[_Union[Health, str]] = ..., stages: _Optional[_Iterable[_Union[StageHealth, _Mapping]]] = ..., observed_us: _Optional[int] = ...) -> None: ...

class StageHealth(_message.Message):
    __slots__ = ("name", "health", "detail", "advanced_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ADVANCED_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    health: Health
    detail: str
    advanced_us: int
    def __init__(self, name: _Optional[str] = ..., health: _Optional[_Union[Health, str]] = ..., detail: _Optional[str] = ..., advanced_us: _Optional[int] = ...) -> None: ...

class GetAccountingRequest(_message.Message):
    __slots__ = ("site",)
    SITE_FIELD_NUMBER: _ClassVar[int]
    site: str
    def __init__(self, site: _Optional[str] = ...) -> None: ...

class Accounting(_message.Message):
    __slots__ = ("lanes", "exact", "not_measured", "observed_us")
    LANES_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    NOT_MEASURED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_US_FIELD_NUMBER: _ClassVar[int]
    lanes: _containers.RepeatedCompositeFieldContainer[LaneAccount]
    exact: bool
    not_measured: _containers.RepeatedScalarFieldContainer[str]
    observed_us: int
    def __init__(self, lanes: _Optional[_Iterable[_Union[LaneAccount, _Mapping]]] = ..., exact: bool = ..., not_measured: _Optional[_Iterable[str]] = ..., observed_us: _Optional[int] = ...) -> None: ...

class LaneAccount(_message.Message):
    __slots__ = ("gateway_id", "lane", "produced", "stored", "rejected", "suppressed", "held", "in_flight", "missing", "dropped", "calculated")
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    PRODUCED_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    CALCULATED_FIELD_NUMBER: _ClassVar[int]
    gateway_id: str
    lane: int
    produced: int
    stored: int
    rejected: int
    suppressed: int
    held: int
    in_flight: int
    missing: int
    dropped: int
    calculated: int
    def __init__(self, gateway_id: _Optional[str] = ..., lane: _Optional[int] = ..., produced: _Optional[int] = ..., stored: _Optional[int] = ..., rejected: _Optional[int] = ..., suppressed: _Optional[int] = ..., held: _Optional[int] = ..., in_flight: _Optional[int] = ..., missing: _Optional[int] = ..., dropped: _Optional[int] = ..., calculated: _Optional[int] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("prefix", "kinds")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    kinds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prefix: _Optional[str] = ..., kinds: _Optional[_Iterable[str]] = ...) -> None: ...
