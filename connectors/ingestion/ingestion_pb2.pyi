from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AppendRequest(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[NewRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[NewRecord, _Mapping]]] = ...) -> None: ...

class NewRecord(_message.Message):
    __slots__ = ("number", "topic", "key", "value")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    number: int
    topic: str
    key: bytes
    value: bytes
    def __init__(self, number: _Optional[int] = ..., topic: _Optional[str] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("durable", "refused")
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    durable: _containers.RepeatedScalarFieldContainer[int]
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    def __init__(self, durable: _Optional[_Iterable[int]] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("number", "text", "hopeless")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HOPELESS_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    hopeless: bool
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ..., hopeless: bool = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("open", "starts", "taken")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    open: Open
    starts: Starts
    taken: int
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., starts: _Optional[_Union[Starts, _Mapping]] = ..., taken: _Optional[int] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("topic", "in_flight", "batch", "wait_ms")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    in_flight: int
    batch: int
    wait_ms: int
    def __init__(self, topic: _Optional[str] = ..., in_flight: _Optional[int] = ..., batch: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class Starts(_message.Message):
    __slots__ = ("places",)
    PLACES_FIELD_NUMBER: _ClassVar[int]
    places: _containers.RepeatedCompositeFieldContainer[Place]
    def __init__(self, places: _Optional[_Iterable[_Union[Place, _Mapping]]] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("partition", "offset")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class FollowResponse(_message.Message):
    __slots__ = ("marks", "batch", "caught_up")
    MARKS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    marks: Marks
    batch: Batch
    caught_up: bool
    def __init__(self, marks: _Optional[_Union[Marks, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., caught_up: bool = ...) -> None: ...

class Marks(_message.Message):
    __slots__ = ("marks",)
    MARKS_FIELD_NUMBER: _ClassVar[int]
    marks: _containers.RepeatedCompositeFieldContainer[Mark]
    def __init__(self, marks: _Optional[_Iterable[_Union[Mark, _Mapping]]] = ...) -> None: ...

class Mark(_message.Message):
    __slots__ = ("partition", "low", "high")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    partition: int
    low: int
    high: int
    def __init__(self, partition: _Optional[int] = ..., low: _Optional[int] = ..., high: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[ReadRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[ReadRecord, _Mapping]]] = ...) -> None: ...

class ReadRecord(_message.Message):
    __slots__ = ("partition", "offset", "key", "value")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    key: bytes
    value: bytes
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...
