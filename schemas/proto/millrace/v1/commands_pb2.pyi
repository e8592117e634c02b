from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CommandState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_STATE_UNSPECIFIED: _ClassVar[CommandState]
    COMMAND_STATE_PENDING_APPROVAL: _ClassVar[CommandState]
    COMMAND_STATE_ACCEPTED: _ClassVar[CommandState]
    COMMAND_STATE_DELIVERED: _ClassVar[CommandState]
    COMMAND_STATE_EXECUTING: _ClassVar[CommandState]
    COMMAND_STATE_SUCCEEDED: _ClassVar[CommandState]
    COMMAND_STATE_FAILED: _ClassVar[CommandState]
    COMMAND_STATE_REJECTED: _ClassVar[CommandState]
    COMMAND_STATE_EXPIRED: _ClassVar[CommandState]
    COMMAND_STATE_CANCELLED: _ClassVar[CommandState]
    COMMAND_STATE_UNKNOWN: _ClassVar[CommandState]

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_APPLIED: _ClassVar[Effect]
    EFFECT_REFUSED: _ClassVar[Effect]
    EFFECT_NOT_SENT: _ClassVar[Effect]
    EFFECT_UNKNOWN: _ClassVar[Effect]
COMMAND_STATE_UNSPECIFIED: CommandState
COMMAND_STATE_PENDING_APPROVAL: CommandState
COMMAND_STATE_ACCEPTED: CommandState
COMMAND_STATE_DELIVERED: CommandState
COMMAND_STATE_EXECUTING: CommandState
COMMAND_STATE_SUCCEEDED: CommandState
COMMAND_STATE_FAILED: CommandState
COMMAND_STATE_REJECTED: CommandState
COMMAND_STATE_EXPIRED: CommandState
COMMAND_STATE_CANCELLED: CommandState
COMMAND_STATE_UNKNOWN: CommandState
EFFECT_UNSPECIFIED: Effect
EFFECT_APPLIED: Effect
EFFECT_REFUSED: Effect
EFFECT_NOT_SENT: Effect
EFFECT_UNKNOWN: Effect

class SubmitCommandRequest(_message.Message):
    __slots__ = ("command_id", "device_id", "path", "name", "parameters", "expires_after_ms", "requires_approval", "reason")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_APPROVAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    device_id: int
    path: str
    name: str
    parameters: _containers.ScalarMap[str, float]
    expires_after_ms: int
    requires_approval: bool
    reason: str
    def __init__(self, command_id: _Optional[str] = ..., device_id: _Optional[int] = ..., path: _Optional[str] = ..., name: _Optional[str] = ..., parameters: _Optional[_Mapping[str, float]] = ..., expires_after_ms: _Optional[int] = ..., requires_approval: bool = ..., reason: _Optional[str] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("command_id", "state", "version", "device_id", "device_path", "name", "parameters", "submitted_by", "submitted_us", "expires_us", "updated_us", "detail", "readback", "late_acks", "duplicate_acks", "provisional", "outcomes", "reason", "approved_by", "site")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ReadbackEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_US_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    UPDATED_US_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    READBACK_FIELD_NUMBER: _ClassVar[int]
    LATE_ACKS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_ACKS_FIELD_NUMBER: _ClassVar[int]
    PROVISIONAL_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    state: CommandState
    version: int
    device_id: int
    device_path: str
    name: str
    parameters: _containers.ScalarMap[str, float]
    submitted_by: str
    submitted_us: int
    expires_us: int
    updated_us: int
    detail: str
    readback: _containers.ScalarMap[str, float]
    late_acks: int
    duplicate_acks: int
    provisional: bool
    outcomes: _containers.RepeatedCompositeFieldContainer[ParameterOutcome]
    reason: str
    approved_by: str
    site: str
    def __init__(self, command_id: _Optional[str] = ..., state: _Optional[_Union[CommandState, str]] = ..., version: _Optional[int] = ..., device_id: _Optional[int] = ..., device_path: _Optional[str] = ..., name: _Optional[str] = ..., parameters: _Optional[_Mapping[str, float]] = ..., submitted_by: _Optional[str] = ..., submitted_us: _Optional[int] = ..., expires_us: _Optional[int] = ..., updated_us: _Optional[int] = ..., detail: _Optional[str] = ..., readback: _Optional[_Mapping[str, float]] = ..., late_acks: _Optional[int] = ..., duplicate_acks: _Optional[int] = ..., provisional: bool = ..., outcomes: _Optional[_Iterable[_Union[ParameterOutcome, _Mapping]]] = ..., reason: _Optional[str] = ..., approved_by: _Optional[str] = ..., site: _Optional[str] = ...) -> None: ...

class ParameterOutcome(_message.Message):
    __slots__ = ("name", "effect", "readback", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    READBACK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    effect: Effect
    readback: float
    detail: str
    def __init__(self, name: _Optional[str] = ..., effect: _Optional[_Union[Effect, str]] = ..., readback: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class GetCommandRequest(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class WatchCommandRequest(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class ControlCommandRequest(_message.Message):
    __slots__ = ("command_id", "reason")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    reason: str
    def __init__(self, command_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CommandFilter(_message.Message):
    __slots__ = ("prefix", "states", "submitted_by", "since_us", "until_us")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_BY_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    states: _containers.RepeatedScalarFieldContainer[CommandState]
    submitted_by: str
    since_us: int
    until_us: int
    def __init__(self, prefix: _Optional[str] = ..., states: _Optional[_Iterable[_Union[CommandState, str]]] = ..., submitted_by: _Optional[str] = ..., since_us: _Optional[int] = ..., until_us: _Optional[int] = ...) -> None: ...

class ListCommandsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: CommandFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[CommandFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCommandsResponse(_message.Message):
    __slots__ = ("commands", "next_page_token")
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[Command]
    next_page_token: str
    def __init__(self, commands: _Optional[_Iterable[_Union[Command, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchCommandsRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: CommandFilter
    def __init__(self, filter: _Optional[_Union[CommandFilter, _Mapping]] = ...) -> None: ...
