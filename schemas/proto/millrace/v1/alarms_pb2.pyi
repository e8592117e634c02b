from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlarmPriority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_PRIORITY_UNSPECIFIED: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_CRITICAL: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_HIGH: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_MEDIUM: _ClassVar[AlarmPriority]
    ALARM_PRIORITY_LOW: _ClassVar[AlarmPriority]

class AlarmState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_STATE_UNSPECIFIED: _ClassVar[AlarmState]
    ALARM_STATE_NORMAL: _ClassVar[AlarmState]
    ALARM_STATE_UNACKNOWLEDGED: _ClassVar[AlarmState]
    ALARM_STATE_ACKNOWLEDGED: _ClassVar[AlarmState]
    ALARM_STATE_RETURNED_UNACKNOWLEDGED: _ClassVar[AlarmState]
    ALARM_STATE_SHELVED: _ClassVar[AlarmState]
    ALARM_STATE_SUPPRESSED: _ClassVar[AlarmState]
    ALARM_STATE_OUT_OF_SERVICE: _ClassVar[AlarmState]

class AlarmOverrideKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_OVERRIDE_KIND_UNSPECIFIED: _ClassVar[AlarmOverrideKind]
    ALARM_OVERRIDE_KIND_LATCHED: _ClassVar[AlarmOverrideKind]
    ALARM_OVERRIDE_KIND_SHELVED: _ClassVar[AlarmOverrideKind]
    ALARM_OVERRIDE_KIND_SUPPRESSED: _ClassVar[AlarmOverrideKind]
    ALARM_OVERRIDE_KIND_OUT_OF_SERVICE: _ClassVar[AlarmOverrideKind]

class MachineAcknowledgementState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MACHINE_ACKNOWLEDGEMENT_STATE_UNSPECIFIED: _ClassVar[MachineAcknowledgementState]
    MACHINE_ACKNOWLEDGEMENT_STATE_PENDING: _ClassVar[MachineAcknowledgementState]
    MACHINE_ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED: _ClassVar[MachineAcknowledgementState]
    MACHINE_ACKNOWLEDGEMENT_STATE_FAILED: _ClassVar[MachineAcknowledgementState]
    MACHINE_ACKNOWLEDGEMENT_STATE_UNKNOWN: _ClassVar[MachineAcknowledgementState]

class AlarmEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_EVENT_KIND_UNSPECIFIED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_RAISED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_RAISED_AGAIN: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_RETURNED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_ACKNOWLEDGED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_RESET: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_SHELVED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_UNSHELVED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_SUPPRESSED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_UNSUPPRESSED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_OUT_OF_SERVICE: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_IN_SERVICE: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_COMMENTED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_CHATTERING: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_RULE_CHANGED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_RULE_RETIRED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_REFUSED: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_FLOOD_BEGAN: _ClassVar[AlarmEventKind]
    ALARM_EVENT_KIND_FLOOD_ENDED: _ClassVar[AlarmEventKind]

class AlarmEvaluationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_EVALUATION_STATE_UNSPECIFIED: _ClassVar[AlarmEvaluationState]
    ALARM_EVALUATION_STATE_RUNNING: _ClassVar[AlarmEvaluationState]
    ALARM_EVALUATION_STATE_STALLED: _ClassVar[AlarmEvaluationState]
    ALARM_EVALUATION_STATE_UNKNOWN: _ClassVar[AlarmEvaluationState]
    ALARM_EVALUATION_STATE_PARTIAL: _ClassVar[AlarmEvaluationState]

class AlarmOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_OUTCOME_UNSPECIFIED: _ClassVar[AlarmOutcome]
    ALARM_OUTCOME_DONE: _ClassVar[AlarmOutcome]
    ALARM_OUTCOME_REFUSED: _ClassVar[AlarmOutcome]
    ALARM_OUTCOME_RECORDED: _ClassVar[AlarmOutcome]
    ALARM_OUTCOME_NOT_FOUND: _ClassVar[AlarmOutcome]
    ALARM_OUTCOME_DENIED: _ClassVar[AlarmOutcome]
    ALARM_OUTCOME_FAILED: _ClassVar[AlarmOutcome]

class AlarmRateVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_RATE_VERDICT_UNSPECIFIED: _ClassVar[AlarmRateVerdict]
    ALARM_RATE_VERDICT_ACCEPTABLE: _ClassVar[AlarmRateVerdict]
    ALARM_RATE_VERDICT_MANAGEABLE: _ClassVar[AlarmRateVerdict]
    ALARM_RATE_VERDICT_OVER_DEMANDING: _ClassVar[AlarmRateVerdict]
    ALARM_RATE_VERDICT_UNACCEPTABLE: _ClassVar[AlarmRateVerdict]
ALARM_PRIORITY_UNSPECIFIED: AlarmPriority
ALARM_PRIORITY_CRITICAL: AlarmPriority
ALARM_PRIORITY_HIGH: AlarmPriority
ALARM_PRIORITY_MEDIUM: AlarmPriority
ALARM_PRIORITY_LOW: AlarmPriority
ALARM_STATE_UNSPECIFIED: AlarmState
ALARM_STATE_NORMAL: AlarmState
ALARM_STATE_UNACKNOWLEDGED: AlarmState
ALARM_STATE_ACKNOWLEDGED: AlarmState
ALARM_STATE_RETURNED_UNACKNOWLEDGED: AlarmState
ALARM_STATE_SHELVED: AlarmState
ALARM_STATE_SUPPRESSED: AlarmState
ALARM_STATE_OUT_OF_SERVICE: AlarmState
ALARM_OVERRIDE_KIND_UNSPECIFIED: AlarmOverrideKind
ALARM_OVERRIDE_KIND_LATCHED: AlarmOverrideKind
ALARM_OVERRIDE_KIND_SHELVED: AlarmOverrideKind
ALARM_OVERRIDE_KIND_SUPPRESSED: AlarmOverrideKind
ALARM_OVERRIDE_KIND_OUT_OF_SERVICE: AlarmOverrideKind
MACHINE_ACKNOWLEDGEMENT_STATE_UNSPECIFIED: MachineAcknowledgementState
MACHINE_ACKNOWLEDGEMENT_STATE_PENDING: MachineAcknowledgementState
MACHINE_ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED: MachineAcknowledgementState
MACHINE_ACKNOWLEDGEMENT_STATE_FAILED: MachineAcknowledgementState
MACHINE_ACKNOWLEDGEMENT_STATE_UNKNOWN: MachineAcknowledgementState
ALARM_EVENT_KIND_UNSPECIFIED: AlarmEventKind
ALARM_EVENT_KIND_RAISED: AlarmEventKind
ALARM_EVENT_KIND_RAISED_AGAIN: AlarmEventKind
ALARM_EVENT_KIND_RETURNED: AlarmEventKind
ALARM_EVENT_KIND_ACKNOWLEDGED: AlarmEventKind
ALARM_EVENT_KIND_RESET: AlarmEventKind
ALARM_EVENT_KIND_SHELVED: AlarmEventKind
ALARM_EVENT_KIND_UNSHELVED: AlarmEventKind
ALARM_EVENT_KIND_SUPPRESSED: AlarmEventKind
ALARM_EVENT_KIND_UNSUPPRESSED: AlarmEventKind
ALARM_EVENT_KIND_OUT_OF_SERVICE: AlarmEventKind
ALARM_EVENT_KIND_IN_SERVICE: AlarmEventKind
ALARM_EVENT_KIND_COMMENTED: AlarmEventKind
ALARM_EVENT_KIND_CHATTERING: AlarmEventKind
ALARM_EVENT_KIND_RULE_CHANGED: AlarmEventKind
ALARM_EVENT_KIND_RULE_RETIRED: AlarmEventKind
ALARM_EVENT_KIND_REFUSED: AlarmEventKind
ALARM_EVENT_KIND_FLOOD_BEGAN: AlarmEventKind
ALARM_EVENT_KIND_FLOOD_ENDED: AlarmEventKind
ALARM_EVALUATION_STATE_UNSPECIFIED: AlarmEvaluationState
ALARM_EVALUATION_STATE_RUNNING: AlarmEvaluationState
ALARM_EVALUATION_STATE_STALLED: AlarmEvaluationState
ALARM_EVALUATION_STATE_UNKNOWN: AlarmEvaluationState
ALARM_EVALUATION_STATE_PARTIAL: AlarmEvaluationState
ALARM_OUTCOME_UNSPECIFIED: AlarmOutcome
ALARM_OUTCOME_DONE: AlarmOutcome
ALARM_OUTCOME_REFUSED: AlarmOutcome
ALARM_OUTCOME_RECORDED: AlarmOutcome
ALARM_OUTCOME_NOT_FOUND: AlarmOutcome
ALARM_OUTCOME_DENIED: AlarmOutcome
ALARM_OUTCOME_FAILED: AlarmOutcome
ALARM_RATE_VERDICT_UNSPECIFIED: AlarmRateVerdict
ALARM_RATE_VERDICT_ACCEPTABLE: AlarmRateVerdict
ALARM_RATE_VERDICT_MANAGEABLE: AlarmRateVerdict
ALARM_RATE_VERDICT_OVER_DEMANDING: AlarmRateVerdict
ALARM_RATE_VERDICT_UNACCEPTABLE: AlarmRateVerdict

class AlarmOverride(_message.Message):
    __slots__ = ("kind", "since_us", "by", "reason", "until_us")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    kind: AlarmOverrideKind
    since_us: int
    by: str
    reason: str
    until_us: int
    def __init__(self, kind: _Optional[_Union[AlarmOverrideKind, str]] = ..., since_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ..., until_us: _Optional[int] = ...) -> None: ...

class MachineAcknowledgement(_message.Message):
    __slots__ = ("state", "detail", "command_id")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    state: MachineAcknowledgementState
    detail: str
    command_id: str
    def __init__(self, state: _Optional[_Union[MachineAcknowledgementState, str]] = ..., detail: _Optional[str] = ..., command_id: _Optional[str] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("alarm_id", "source_id", "version", "site", "rule", "rule_version", "device_id", "device_path", "gateway_id", "tag_id", "path", "priority", "state", "active", "start_us", "activated_us", "returned_us", "acknowledged_us", "acknowledged_by", "activations", "overrides", "value", "detail", "cause_alarm_id", "first_out", "chattering", "fleeting", "late", "title", "cause", "consequence", "corrective_action", "comment", "updated_us", "unit", "condition", "at_machine")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    RULE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    ACTIVATED_US_FIELD_NUMBER: _ClassVar[int]
    RETURNED_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_OUT_FIELD_NUMBER: _ClassVar[int]
    CHATTERING_FIELD_NUMBER: _ClassVar[int]
    FLEETING_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CONSEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CORRECTIVE_ACTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_US_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    AT_MACHINE_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    source_id: str
    version: int
    site: str
    rule: str
    rule_version: int
    device_id: int
    device_path: str
    gateway_id: str
    tag_id: int
    path: str
    priority: AlarmPriority
    state: AlarmState
    active: bool
    start_us: int
    activated_us: int
    returned_us: int
    acknowledged_us: int
    acknowledged_by: str
    activations: int
    overrides: _containers.RepeatedCompositeFieldContainer[AlarmOverride]
    value: float
    detail: str
    cause_alarm_id: str
    first_out: bool
    chattering: bool
    fleeting: bool
    late: bool
    title: str
    cause: str
    consequence: str
    corrective_action: str
    comment: str
    updated_us: int
    unit: str
    condition: str
    at_machine: MachineAcknowledgement
    def __init__(self, alarm_id: _Optional[str] = ..., source_id: _Optional[str] = ..., version: _Optional[int] = ..., site: _Optional[str] = ..., rule: _Optional[str] = ..., rule_version: _Optional[int] = ..., device_id: _Optional[int] = ..., device_path: _Optional[str] = ..., gateway_id: _Optional[str] = ..., tag_id: _Optional[int] = ..., path: _Optional[str] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., state: _Optional[_Union[AlarmState, str]] = ..., active: bool = ..., start_us: _Optional[int] = ..., activated_us: _Optional[int] = ..., returned_us: _Optional[int] = ..., acknowledged_us: _Optional[int] = ..., acknowledged_by: _Optional[str] = ..., activations: _Optional[int] = ..., overrides: _Optional[_Iterable[_Union[AlarmOverride, _Mapping]]] = ..., value: _Optional[float] = ..., detail: _Optional[str] = ..., cause_alarm_id: _Optional[str] = ..., first_out: bool = ..., chattering: bool = ..., fleeting: bool = ..., late: bool = ..., title: _Optional[str] = ..., cause: _Optional[str] = ..., consequence: _Optional[str] = ..., corrective_action: _Optional[str] = ..., comment: _Optional[str] = ..., updated_us: _Optional[int] = ..., unit: _Optional[str] = ..., condition: _Optional[str] = ..., at_machine: _Optional[_Union[MachineAcknowledgement, _Mapping]] = ...) -> None: ...

class AlarmEvent(_message.Message):
    __slots__ = ("event_id", "kind", "state", "time_us", "recorded_us", "by", "reason", "detail", "action_id", "until_us", "value", "withdrawn")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_US_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    kind: AlarmEventKind
    state: AlarmState
    time_us: int
    recorded_us: int
    by: str
    reason: str
    detail: str
    action_id: str
    until_us: int
    value: float
    withdrawn: bool
    def __init__(self, event_id: _Optional[str] = ..., kind: _Optional[_Union[AlarmEventKind, str]] = ..., state: _Optional[_Union[AlarmState, str]] = ..., time_us: _Optional[int] = ..., recorded_us: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., action_id: _Optional[str] = ..., until_us: _Optional[int] = ..., value: _Optional[float] = ..., withdrawn: bool = ...) -> None: ...

class AlarmEvaluation(_message.Message):
    __slots__ = ("state", "detail", "advanced_us")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ADVANCED_US_FIELD_NUMBER: _ClassVar[int]
    state: AlarmEvaluationState
    detail: str
    advanced_us: int
    def __init__(self, state: _Optional[_Union[AlarmEvaluationState, str]] = ..., detail: _Optional[str] = ..., advanced_us: _Optional[int] = ...) -> None: ...

class AlarmCounts(_message.Message):
    __slots__ = ("unacknowledged", "standing", "shelved", "suppressed", "out_of_service", "not_kept")
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    SHELVED_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_SERVICE_FIELD_NUMBER: _ClassVar[int]
    NOT_KEPT_FIELD_NUMBER: _ClassVar[int]
    unacknowledged: _containers.RepeatedCompositeFieldContainer[AlarmCount]
    standing: _containers.RepeatedCompositeFieldContainer[AlarmCount]
    shelved: int
    suppressed: int
    out_of_service: int
    not_kept: int
    def __init__(self, unacknowledged: _Optional[_Iterable[_Union[AlarmCount, _Mapping]]] = ..., standing: _Optional[_Iterable[_Union[AlarmCount, _Mapping]]] = ..., shelved: _Optional[int] = ..., suppressed: _Optional[int] = ..., out_of_service: _Optional[int] = ..., not_kept: _Optional[int] = ...) -> None: ...

class AlarmCount(_message.Message):
    __slots__ = ("priority", "count")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    priority: AlarmPriority
    count: int
    def __init__(self, priority: _Optional[_Union[AlarmPriority, str]] = ..., count: _Optional[int] = ...) -> None: ...

class AlarmFilter(_message.Message):
    __slots__ = ("prefix", "priorities", "states")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PRIORITIES_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    priorities: _containers.RepeatedScalarFieldContainer[AlarmPriority]
    states: _containers.RepeatedScalarFieldContainer[AlarmState]
    def __init__(self, prefix: _Optional[str] = ..., priorities: _Optional[_Iterable[_Union[AlarmPriority, str]]] = ..., states: _Optional[_Iterable[_Union[AlarmState, str]]] = ...) -> None: ...

class ListAlarmsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: AlarmFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[AlarmFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAlarmsResponse(_message.Message):
    __slots__ = ("alarms", "next_page_token", "counts", "evaluation")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    next_page_token: str
    counts: AlarmCounts
    evaluation: AlarmEvaluation
    def __init__(self, alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., counts: _Optional[_Union[AlarmCounts, _Mapping]] = ..., evaluation: _Optional[_Union[AlarmEvaluation, _Mapping]] = ...) -> None: ...

class ListAlarmLinesRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class ListAlarmLinesResponse(_message.Message):
    __slots__ = ("lines", "counts", "evaluation")
    LINES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[AlarmLine]
    counts: AlarmCounts
    evaluation: AlarmEvaluation
    def __init__(self, lines: _Optional[_Iterable[_Union[AlarmLine, _Mapping]]] = ..., counts: _Optional[_Union[AlarmCounts, _Mapping]] = ..., evaluation: _Optional[_Union[AlarmEvaluation, _Mapping]] = ...) -> None: ...

class AlarmLine(_message.Message):
    __slots__ = ("text", "head", "priority", "alarms", "places", "unacknowledged_ids", "rules", "unacknowledged_activations")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_IDS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    text: str
    head: Alarm
    priority: AlarmPriority
    alarms: int
    places: int
    unacknowledged_ids: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedScalarFieldContainer[str]
    unacknowledged_activations: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, text: _Optional[str] = ..., head: _Optional[_Union[Alarm, _Mapping]] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., alarms: _Optional[int] = ..., places: _Optional[int] = ..., unacknowledged_ids: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[str]] = ..., unacknowledged_activations: _Optional[_Iterable[int]] = ...) -> None: ...

class GetAlarmRequest(_message.Message):
    __slots__ = ("alarm_id",)
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    def __init__(self, alarm_id: _Optional[str] = ...) -> None: ...

class GetAlarmResponse(_message.Message):
    __slots__ = ("alarm", "events", "events_missing", "evaluation")
    ALARM_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_MISSING_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    alarm: Alarm
    events: _containers.RepeatedCompositeFieldContainer[AlarmEvent]
    events_missing: str
    evaluation: AlarmEvaluation
    def __init__(self, alarm: _Optional[_Union[Alarm, _Mapping]] = ..., events: _Optional[_Iterable[_Union[AlarmEvent, _Mapping]]] = ..., events_missing: _Optional[str] = ..., evaluation: _Optional[_Union[AlarmEvaluation, _Mapping]] = ...) -> None: ...

class WatchAlarmsRequest(_message.Message):
    __slots__ = ("filter", "counts_only", "heartbeat_ms")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    COUNTS_ONLY_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    filter: AlarmFilter
    counts_only: bool
    heartbeat_ms: int
    def __init__(self, filter: _Optional[_Union[AlarmFilter, _Mapping]] = ..., counts_only: bool = ..., heartbeat_ms: _Optional[int] = ...) -> None: ...

class WatchAlarmsResponse(_message.Message):
    __slots__ = ("alarms", "snapshot_complete", "sequence", "sent_us", "counts", "evaluation", "notice")
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    snapshot_complete: bool
    sequence: int
    sent_us: int
    counts: AlarmCounts
    evaluation: AlarmEvaluation
    notice: str
    def __init__(self, alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ..., snapshot_complete: bool = ..., sequence: _Optional[int] = ..., sent_us: _Optional[int] = ..., counts: _Optional[_Union[AlarmCounts, _Mapping]] = ..., evaluation: _Optional[_Union[AlarmEvaluation, _Mapping]] = ..., notice: _Optional[str] = ...) -> None: ...

class AcknowledgeAlarmRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "reason", "activations")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    reason: str
    activations: int
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., reason: _Optional[str] = ..., activations: _Optional[int] = ...) -> None: ...

class AcknowledgeAlarmsRequest(_message.Message):
    __slots__ = ("alarm_ids", "action_id", "reason", "activations")
    ALARM_IDS_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    alarm_ids: _containers.RepeatedScalarFieldContainer[str]
    action_id: str
    reason: str
    activations: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, alarm_ids: _Optional[_Iterable[str]] = ..., action_id: _Optional[str] = ..., reason: _Optional[str] = ..., activations: _Optional[_Iterable[int]] = ...) -> None: ...

class AcknowledgeAlarmsResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[AlarmAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[AlarmAnswer, _Mapping]]] = ...) -> None: ...

class ResetAlarmRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "reason")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    reason: str
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ShelveAlarmRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "until_us", "reason")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    until_us: int
    reason: str
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., until_us: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class UnshelveAlarmRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "reason")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    reason: str
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CommentAlarmRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "comment")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    comment: str
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class AlarmAnswer(_message.Message):
    __slots__ = ("alarm_id", "action_id", "outcome", "detail", "alarm")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    outcome: AlarmOutcome
    detail: str
    alarm: Alarm
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., outcome: _Optional[_Union[AlarmOutcome, str]] = ..., detail: _Optional[str] = ..., alarm: _Optional[_Union[Alarm, _Mapping]] = ...) -> None: ...

class TakeAlarmOutOfServiceRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "reason", "until_us")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    reason: str
    until_us: int
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., reason: _Optional[str] = ..., until_us: _Optional[int] = ...) -> None: ...

class ReturnAlarmToServiceRequest(_message.Message):
    __slots__ = ("alarm_id", "action_id", "reason")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    action_id: str
    reason: str
    def __init__(self, alarm_id: _Optional[str] = ..., action_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetAlarmFiguresRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class GetAlarmFiguresResponse(_message.Message):
    __slots__ = ("start_us", "end_us", "scopes", "rates", "top", "chattering", "stale", "counts", "evaluation")
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    CHATTERING_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    start_us: int
    end_us: int
    scopes: _containers.RepeatedCompositeFieldContainer[AlarmScopeFigures]
    rates: _containers.RepeatedCompositeFieldContainer[AlarmRate]
    top: _containers.RepeatedCompositeFieldContainer[AlarmSourceFigures]
    chattering: _containers.RepeatedCompositeFieldContainer[AlarmSourceFigures]
    stale: _containers.RepeatedCompositeFieldContainer[StaleAlarm]
    counts: AlarmCounts
    evaluation: AlarmEvaluation
    def __init__(self, start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., scopes: _Optional[_Iterable[_Union[AlarmScopeFigures, _Mapping]]] = ..., rates: _Optional[_Iterable[_Union[AlarmRate, _Mapping]]] = ..., top: _Optional[_Iterable[_Union[AlarmSourceFigures, _Mapping]]] = ..., chattering: _Optional[_Iterable[_Union[AlarmSourceFigures, _Mapping]]] = ..., stale: _Optional[_Iterable[_Union[StaleAlarm, _Mapping]]] = ..., counts: _Optional[_Union[AlarmCounts, _Mapping]] = ..., evaluation: _Optional[_Union[AlarmEvaluation, _Mapping]] = ...) -> None: ...

class AlarmScopeFigures(_message.Message):
    __slots__ = ("scope", "alarms", "per_10_min", "peak_10_min", "flood_share", "by_priority", "acknowledged", "time_to_acknowledge_s", "verdict")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    PER_10_MIN_FIELD_NUMBER: _ClassVar[int]
    PEAK_10_MIN_FIELD_NUMBER: _ClassVar[int]
    FLOOD_SHARE_FIELD_NUMBER: _ClassVar[int]
    BY_PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_ACKNOWLEDGE_S_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    scope: str
    alarms: int
    per_10_min: float
    peak_10_min: int
    flood_share: float
    by_priority: _containers.RepeatedCompositeFieldContainer[AlarmCount]
    acknowledged: int
    time_to_acknowledge_s: float
    verdict: AlarmRateVerdict
    def __init__(self, scope: _Optional[str] = ..., alarms: _Optional[int] = ..., per_10_min: _Optional[float] = ..., peak_10_min: _Optional[int] = ..., flood_share: _Optional[float] = ..., by_priority: _Optional[_Iterable[_Union[AlarmCount, _Mapping]]] = ..., acknowledged: _Optional[int] = ..., time_to_acknowledge_s: _Optional[float] = ..., verdict: _Optional[_Union[AlarmRateVerdict, str]] = ...) -> None: ...

class AlarmRate(_message.Message):
    __slots__ = ("start_us", "alarms", "most")
    START_US_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    start_us: int
    alarms: int
    most: int
    def __init__(self, start_us: _Optional[int] = ..., alarms: _Optional[int] = ..., most: _Optional[int] = ...) -> None: ...

class AlarmSourceFigures(_message.Message):
    __slots__ = ("path", "rule", "title", "alarms", "share", "chattering")
    PATH_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    CHATTERING_FIELD_NUMBER: _ClassVar[int]
    path: str
    rule: str
    title: str
    alarms: int
    share: float
    chattering: int
    def __init__(self, path: _Optional[str] = ..., rule: _Optional[str] = ..., title: _Optional[str] = ..., alarms: _Optional[int] = ..., share: _Optional[float] = ..., chattering: _Optional[int] = ...) -> None: ...

class StaleAlarm(_message.Message):
    __slots__ = ("alarm_id", "path", "rule", "title", "priority", "since_us")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    path: str
    rule: str
    title: str
    priority: AlarmPriority
    since_us: int
    def __init__(self, alarm_id: _Optional[str] = ..., path: _Optional[str] = ..., rule: _Optional[str] = ..., title: _Optional[str] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., since_us: _Optional[int] = ...) -> None: ...

class ListAlarmActivationsRequest(_message.Message):
    __slots__ = ("prefix", "start_us", "end_us")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    start_us: int
    end_us: int
    def __init__(self, prefix: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class ListAlarmActivationsResponse(_message.Message):
    __slots__ = ("activations", "left_out")
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    activations: _containers.RepeatedCompositeFieldContainer[AlarmActivation]
    left_out: int
    def __init__(self, activations: _Optional[_Iterable[_Union[AlarmActivation, _Mapping]]] = ..., left_out: _Optional[int] = ...) -> None: ...

class AlarmActivation(_message.Message):
    __slots__ = ("alarm_id", "source_id", "rule", "title", "priority", "path", "device_id", "gateway_id", "raised_us", "returned_us", "acknowledged_us", "acknowledged_by", "detail")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    RAISED_US_FIELD_NUMBER: _ClassVar[int]
    RETURNED_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    source_id: str
    rule: str
    title: str
    priority: AlarmPriority
    path: str
    device_id: int
    gateway_id: str
    raised_us: int
    returned_us: int
    acknowledged_us: int
    acknowledged_by: str
    detail: str
    def __init__(self, alarm_id: _Optional[str] = ..., source_id: _Optional[str] = ..., rule: _Optional[str] = ..., title: _Optional[str] = ..., priority: _Optional[_Union[AlarmPriority, str]] = ..., path: _Optional[str] = ..., device_id: _Optional[int] = ..., gateway_id: _Optional[str] = ..., raised_us: _Optional[int] = ..., returned_us: _Optional[int] = ..., acknowledged_us: _Optional[int] = ..., acknowledged_by: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...
