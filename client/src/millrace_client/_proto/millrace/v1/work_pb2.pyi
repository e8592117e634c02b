from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobOrderStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_ORDER_STATUS_UNSPECIFIED: _ClassVar[JobOrderStatus]
    JOB_ORDER_STATUS_PLANNED: _ClassVar[JobOrderStatus]
    JOB_ORDER_STATUS_RELEASED: _ClassVar[JobOrderStatus]
    JOB_ORDER_STATUS_RUNNING: _ClassVar[JobOrderStatus]
    JOB_ORDER_STATUS_COMPLETED: _ClassVar[JobOrderStatus]
    JOB_ORDER_STATUS_CANCELLED: _ClassVar[JobOrderStatus]

class MaterialUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATERIAL_USE_UNSPECIFIED: _ClassVar[MaterialUse]
    MATERIAL_USE_CONSUMED: _ClassVar[MaterialUse]
    MATERIAL_USE_PRODUCED: _ClassVar[MaterialUse]
JOB_ORDER_STATUS_UNSPECIFIED: JobOrderStatus
JOB_ORDER_STATUS_PLANNED: JobOrderStatus
JOB_ORDER_STATUS_RELEASED: JobOrderStatus
JOB_ORDER_STATUS_RUNNING: JobOrderStatus
JOB_ORDER_STATUS_COMPLETED: JobOrderStatus
JOB_ORDER_STATUS_CANCELLED: JobOrderStatus
MATERIAL_USE_UNSPECIFIED: MaterialUse
MATERIAL_USE_CONSUMED: MaterialUse
MATERIAL_USE_PRODUCED: MaterialUse

class Shift(_message.Message):
    __slots__ = ("shift", "day", "start_us", "end_us")
    SHIFT_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    shift: str
    day: str
    start_us: int
    end_us: int
    def __init__(self, shift: _Optional[str] = ..., day: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class Material(_message.Message):
    __slots__ = ("material", "description", "unit")
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    material: str
    description: str
    unit: str
    def __init__(self, material: _Optional[str] = ..., description: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class JobResponse(_message.Message):
    __slots__ = ("job_response_id", "job_order", "device_path", "start_us", "end_us", "entered_by")
    JOB_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    ENTERED_BY_FIELD_NUMBER: _ClassVar[int]
    job_response_id: str
    job_order: str
    device_path: str
    start_us: int
    end_us: int
    entered_by: str
    def __init__(self, job_response_id: _Optional[str] = ..., job_order: _Optional[str] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., entered_by: _Optional[str] = ...) -> None: ...

class JobOrder(_message.Message):
    __slots__ = ("job_order", "material", "quantity", "unit", "scope", "planned_start_us", "planned_end_us", "status", "priority", "responses", "entered_by", "why")
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_START_US_FIELD_NUMBER: _ClassVar[int]
    PLANNED_END_US_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    ENTERED_BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    job_order: str
    material: str
    quantity: float
    unit: str
    scope: str
    planned_start_us: int
    planned_end_us: int
    status: JobOrderStatus
    priority: int
    responses: _containers.RepeatedCompositeFieldContainer[JobResponse]
    entered_by: str
    why: str
    def __init__(self, job_order: _Optional[str] = ..., material: _Optional[str] = ..., quantity: _Optional[float] = ..., unit: _Optional[str] = ..., scope: _Optional[str] = ..., planned_start_us: _Optional[int] = ..., planned_end_us: _Optional[int] = ..., status: _Optional[_Union[JobOrderStatus, str]] = ..., priority: _Optional[int] = ..., responses: _Optional[_Iterable[_Union[JobResponse, _Mapping]]] = ..., entered_by: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class MaterialActual(_message.Message):
    __slots__ = ("actual_id", "lot", "use", "quantity", "device_path", "job_order", "start_us", "end_us", "entered_by")
    ACTUAL_ID_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    ENTERED_BY_FIELD_NUMBER: _ClassVar[int]
    actual_id: str
    lot: str
    use: MaterialUse
    quantity: float
    device_path: str
    job_order: str
    start_us: int
    end_us: int
    entered_by: str
    def __init__(self, actual_id: _Optional[str] = ..., lot: _Optional[str] = ..., use: _Optional[_Union[MaterialUse, str]] = ..., quantity: _Optional[float] = ..., device_path: _Optional[str] = ..., job_order: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., entered_by: _Optional[str] = ...) -> None: ...

class MaterialLot(_message.Message):
    __slots__ = ("lot", "material", "quantity", "unit", "description", "actuals")
    LOT_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ACTUALS_FIELD_NUMBER: _ClassVar[int]
    lot: str
    material: str
    quantity: float
    unit: str
    description: str
    actuals: _containers.RepeatedCompositeFieldContainer[MaterialActual]
    def __init__(self, lot: _Optional[str] = ..., material: _Optional[str] = ..., quantity: _Optional[float] = ..., unit: _Optional[str] = ..., description: _Optional[str] = ..., actuals: _Optional[_Iterable[_Union[MaterialActual, _Mapping]]] = ...) -> None: ...

class Downtime(_message.Message):
    __slots__ = ("device_path", "start_us", "end_us", "packml_state", "reason", "planned", "entered_by", "entry_id")
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    PACKML_STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    ENTERED_BY_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    device_path: str
    start_us: int
    end_us: int
    packml_state: str
    reason: str
    planned: bool
    entered_by: str
    entry_id: str
    def __init__(self, device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., packml_state: _Optional[str] = ..., reason: _Optional[str] = ..., planned: bool = ..., entered_by: _Optional[str] = ..., entry_id: _Optional[str] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("reason", "description", "planned")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    reason: str
    description: str
    planned: bool
    def __init__(self, reason: _Optional[str] = ..., description: _Optional[str] = ..., planned: bool = ...) -> None: ...

class ScrapEntry(_message.Message):
    __slots__ = ("entry_id", "device_path", "time_us", "quantity", "reason", "job_order", "entered_by")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    ENTERED_BY_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    device_path: str
    time_us: int
    quantity: float
    reason: str
    job_order: str
    entered_by: str
    def __init__(self, entry_id: _Optional[str] = ..., device_path: _Optional[str] = ..., time_us: _Optional[int] = ..., quantity: _Optional[float] = ..., reason: _Optional[str] = ..., job_order: _Optional[str] = ..., entered_by: _Optional[str] = ...) -> None: ...

class BatchPhase(_message.Message):
    __slots__ = ("phase", "device_path", "start_us", "end_us", "nominal_s")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_S_FIELD_NUMBER: _ClassVar[int]
    phase: str
    device_path: str
    start_us: int
    end_us: int
    nominal_s: float
    def __init__(self, phase: _Optional[str] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., nominal_s: _Optional[float] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("batch", "recipe", "version", "material", "lot", "device_path", "start_us", "end_us", "golden", "phases")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    batch: str
    recipe: str
    version: str
    material: str
    lot: str
    device_path: str
    start_us: int
    end_us: int
    golden: bool
    phases: _containers.RepeatedCompositeFieldContainer[BatchPhase]
    def __init__(self, batch: _Optional[str] = ..., recipe: _Optional[str] = ..., version: _Optional[str] = ..., material: _Optional[str] = ..., lot: _Optional[str] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., golden: bool = ..., phases: _Optional[_Iterable[_Union[BatchPhase, _Mapping]]] = ...) -> None: ...

class WorkChange(_message.Message):
    __slots__ = ("change_id", "changed_us", "who", "why", "table", "key", "before", "after")
    CHANGE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANGED_US_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    change_id: int
    changed_us: int
    who: str
    why: str
    table: str
    key: str
    before: str
    after: str
    def __init__(self, change_id: _Optional[int] = ..., changed_us: _Optional[int] = ..., who: _Optional[str] = ..., why: _Optional[str] = ..., table: _Optional[str] = ..., key: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class ListShiftsRequest(_message.Message):
    __slots__ = ("scope", "start_us", "end_us")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    scope: str
    start_us: int
    end_us: int
    def __init__(self, scope: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ...) -> None: ...

class ListShiftsResponse(_message.Message):
    __slots__ = ("shifts",)
    SHIFTS_FIELD_NUMBER: _ClassVar[int]
    shifts: _containers.RepeatedCompositeFieldContainer[Shift]
    def __init__(self, shifts: _Optional[_Iterable[_Union[Shift, _Mapping]]] = ...) -> None: ...

class ListMaterialsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMaterialsResponse(_message.Message):
    __slots__ = ("materials", "next_page_token")
    MATERIALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    materials: _containers.RepeatedCompositeFieldContainer[Material]
    next_page_token: str
    def __init__(self, materials: _Optional[_Iterable[_Union[Material, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListJobOrdersRequest(_message.Message):
    __slots__ = ("scope", "statuses", "start_us", "end_us", "page_size", "page_token", "job_order")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    scope: str
    statuses: _containers.RepeatedScalarFieldContainer[JobOrderStatus]
    start_us: int
    end_us: int
    page_size: int
    page_token: str
    job_order: str
    def __init__(self, scope: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[JobOrderStatus, str]]] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., job_order: _Optional[str] = ...) -> None: ...

class ListJobOrdersResponse(_message.Message):
    __slots__ = ("job_orders", "next_page_token")
    JOB_ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_orders: _containers.RepeatedCompositeFieldContainer[JobOrder]
    next_page_token: str
    def __init__(self, job_orders: _Optional[_Iterable[_Union[JobOrder, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListMaterialLotsRequest(_message.Message):
    __slots__ = ("lot", "material", "scope", "page_size", "page_token")
    LOT_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lot: str
    material: str
    scope: str
    page_size: int
    page_token: str
    def __init__(self, lot: _Optional[str] = ..., material: _Optional[str] = ..., scope: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMaterialLotsResponse(_message.Message):
    __slots__ = ("lots", "next_page_token")
    LOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    lots: _containers.RepeatedCompositeFieldContainer[MaterialLot]
    next_page_token: str
    def __init__(self, lots: _Optional[_Iterable[_Union[MaterialLot, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListDowntimesRequest(_message.Message):
    __slots__ = ("scope", "start_us", "end_us", "page_size", "page_token")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scope: str
    start_us: int
    end_us: int
    page_size: int
    page_token: str
    def __init__(self, scope: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDowntimesResponse(_message.Message):
    __slots__ = ("downtimes", "next_page_token")
    DOWNTIMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    downtimes: _containers.RepeatedCompositeFieldContainer[Downtime]
    next_page_token: str
    def __init__(self, downtimes: _Optional[_Iterable[_Union[Downtime, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListReasonsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReasonsResponse(_message.Message):
    __slots__ = ("downtime", "scrap")
    DOWNTIME_FIELD_NUMBER: _ClassVar[int]
    SCRAP_FIELD_NUMBER: _ClassVar[int]
    downtime: _containers.RepeatedCompositeFieldContainer[Reason]
    scrap: _containers.RepeatedCompositeFieldContainer[Reason]
    def __init__(self, downtime: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., scrap: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ...) -> None: ...

class ListScrapRequest(_message.Message):
    __slots__ = ("scope", "start_us", "end_us", "page_size", "page_token")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scope: str
    start_us: int
    end_us: int
    page_size: int
    page_token: str
    def __init__(self, scope: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListScrapResponse(_message.Message):
    __slots__ = ("scrap", "next_page_token")
    SCRAP_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scrap: _containers.RepeatedCompositeFieldContainer[ScrapEntry]
    next_page_token: str
    def __init__(self, scrap: _Optional[_Iterable[_Union[ScrapEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ("scope", "start_us", "end_us", "recipe", "page_size", "page_token", "batch")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    scope: str
    start_us: int
    end_us: int
    recipe: str
    page_size: int
    page_token: str
    batch: str
    def __init__(self, scope: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., recipe: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., batch: _Optional[str] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches", "next_page_token")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    next_page_token: str
    def __init__(self, batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListWorkChangesRequest(_message.Message):
    __slots__ = ("table", "start_us", "end_us", "page_size", "page_token")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    table: str
    start_us: int
    end_us: int
    page_size: int
    page_token: str
    def __init__(self, table: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorkChangesResponse(_message.Message):
    __slots__ = ("changes", "next_page_token")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[WorkChange]
    next_page_token: str
    def __init__(self, changes: _Optional[_Iterable[_Union[WorkChange, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PutJobOrderRequest(_message.Message):
    __slots__ = ("job_order", "material", "quantity", "scope", "planned_start_us", "planned_end_us", "status", "priority", "why", "request_id")
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_START_US_FIELD_NUMBER: _ClassVar[int]
    PLANNED_END_US_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    job_order: str
    material: str
    quantity: float
    scope: str
    planned_start_us: int
    planned_end_us: int
    status: JobOrderStatus
    priority: int
    why: str
    request_id: str
    def __init__(self, job_order: _Optional[str] = ..., material: _Optional[str] = ..., quantity: _Optional[float] = ..., scope: _Optional[str] = ..., planned_start_us: _Optional[int] = ..., planned_end_us: _Optional[int] = ..., status: _Optional[_Union[JobOrderStatus, str]] = ..., priority: _Optional[int] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PutJobOrderResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartJobRequest(_message.Message):
    __slots__ = ("job_order", "device_path", "start_us", "end_us", "why", "request_id")
    JOB_ORDER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    job_order: str
    device_path: str
    start_us: int
    end_us: int
    why: str
    request_id: str
    def __init__(self, job_order: _Optional[str] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class StartJobResponse(_message.Message):
    __slots__ = ("job_response_id",)
    JOB_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    job_response_id: str
    def __init__(self, job_response_id: _Optional[str] = ...) -> None: ...

class CompleteJobRequest(_message.Message):
    __slots__ = ("job_response_id", "end_us", "order_goes_on", "why", "request_id")
    JOB_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    ORDER_GOES_ON_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    job_response_id: str
    end_us: int
    order_goes_on: bool
    why: str
    request_id: str
    def __init__(self, job_response_id: _Optional[str] = ..., end_us: _Optional[int] = ..., order_goes_on: bool = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CompleteJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DowntimeRange(_message.Message):
    __slots__ = ("start_us", "end_us", "reason")
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    start_us: int
    end_us: int
    reason: str
    def __init__(self, start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class EnterDowntimeRequest(_message.Message):
    __slots__ = ("device_path", "ranges", "why", "request_id")
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    device_path: str
    ranges: _containers.RepeatedCompositeFieldContainer[DowntimeRange]
    why: str
    request_id: str
    def __init__(self, device_path: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[DowntimeRange, _Mapping]]] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class EnterDowntimeResponse(_message.Message):
    __slots__ = ("entry_ids",)
    ENTRY_IDS_FIELD_NUMBER: _ClassVar[int]
    entry_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, entry_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RecordMaterialRequest(_message.Message):
    __slots__ = ("lot", "device_path", "use", "quantity", "start_us", "end_us", "material", "why", "request_id")
    LOT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    lot: str
    device_path: str
    use: MaterialUse
    quantity: float
    start_us: int
    end_us: int
    material: str
    why: str
    request_id: str
    def __init__(self, lot: _Optional[str] = ..., device_path: _Optional[str] = ..., use: _Optional[_Union[MaterialUse, str]] = ..., quantity: _Optional[float] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., material: _Optional[str] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RecordMaterialResponse(_message.Message):
    __slots__ = ("actual_id",)
    ACTUAL_ID_FIELD_NUMBER: _ClassVar[int]
    actual_id: str
    def __init__(self, actual_id: _Optional[str] = ...) -> None: ...

class RecordScrapRequest(_message.Message):
    __slots__ = ("device_path", "time_us", "quantity", "reason", "why", "request_id")
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    device_path: str
    time_us: int
    quantity: float
    reason: str
    why: str
    request_id: str
    def __init__(self, device_path: _Optional[str] = ..., time_us: _Optional[int] = ..., quantity: _Optional[float] = ..., reason: _Optional[str] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RecordScrapResponse(_message.Message):
    __slots__ = ("entry_id",)
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    def __init__(self, entry_id: _Optional[str] = ...) -> None: ...

class StartBatchRequest(_message.Message):
    __slots__ = ("batch", "recipe", "version", "device_path", "start_us", "lot", "why", "request_id")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    LOT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    batch: str
    recipe: str
    version: str
    device_path: str
    start_us: int
    lot: str
    why: str
    request_id: str
    def __init__(self, batch: _Optional[str] = ..., recipe: _Optional[str] = ..., version: _Optional[str] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., lot: _Optional[str] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class StartBatchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EnterBatchPhaseRequest(_message.Message):
    __slots__ = ("batch", "phase", "device_path", "start_us", "end_us", "why", "request_id")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_PATH_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    batch: str
    phase: str
    device_path: str
    start_us: int
    end_us: int
    why: str
    request_id: str
    def __init__(self, batch: _Optional[str] = ..., phase: _Optional[str] = ..., device_path: _Optional[str] = ..., start_us: _Optional[int] = ..., end_us: _Optional[int] = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class EnterBatchPhaseResponse(_message.Message):
    __slots__ = ("start_us",)
    START_US_FIELD_NUMBER: _ClassVar[int]
    start_us: int
    def __init__(self, start_us: _Optional[int] = ...) -> None: ...

class CompleteBatchRequest(_message.Message):
    __slots__ = ("batch", "end_us", "golden", "why", "request_id")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    END_US_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    batch: str
    end_us: int
    golden: bool
    why: str
    request_id: str
    def __init__(self, batch: _Optional[str] = ..., end_us: _Optional[int] = ..., golden: bool = ..., why: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CompleteBatchResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
