from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListAuditEventsRequest(_message.Message):
    __slots__ = ("person", "path", "action", "outcome", "command_id", "since_us", "until_us", "page_size", "page_token")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    person: str
    path: str
    action: str
    outcome: str
    command_id: str
    since_us: int
    until_us: int
    page_size: int
    page_token: str
    def __init__(self, person: _Optional[str] = ..., path: _Optional[str] = ..., action: _Optional[str] = ..., outcome: _Optional[str] = ..., command_id: _Optional[str] = ..., since_us: _Optional[int] = ..., until_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token", "size")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    next_page_token: str
    size: int
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("index", "event_id", "time_us", "service", "action", "outcome", "operation", "subject", "credential", "amr", "signed_in_us", "second", "peer", "method", "name", "device_class", "path", "command_id", "reason", "policies", "policy_version", "code", "detail", "before", "after", "trace_id", "count")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    AMR_FIELD_NUMBER: _ClassVar[int]
    SIGNED_IN_US_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    index: int
    event_id: str
    time_us: int
    service: str
    action: str
    outcome: str
    operation: str
    subject: str
    credential: str
    amr: _containers.RepeatedScalarFieldContainer[str]
    signed_in_us: int
    second: str
    peer: str
    method: str
    name: str
    device_class: str
    path: str
    command_id: str
    reason: str
    policies: _containers.RepeatedScalarFieldContainer[str]
    policy_version: str
    code: str
    detail: str
    before: str
    after: str
    trace_id: str
    count: int
    def __init__(self, index: _Optional[int] = ..., event_id: _Optional[str] = ..., time_us: _Optional[int] = ..., service: _Optional[str] = ..., action: _Optional[str] = ..., outcome: _Optional[str] = ..., operation: _Optional[str] = ..., subject: _Optional[str] = ..., credential: _Optional[str] = ..., amr: _Optional[_Iterable[str]] = ..., signed_in_us: _Optional[int] = ..., second: _Optional[str] = ..., peer: _Optional[str] = ..., method: _Optional[str] = ..., name: _Optional[str] = ..., device_class: _Optional[str] = ..., path: _Optional[str] = ..., command_id: _Optional[str] = ..., reason: _Optional[str] = ..., policies: _Optional[_Iterable[str]] = ..., policy_version: _Optional[str] = ..., code: _Optional[str] = ..., detail: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., trace_id: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...
