"""The methods of the gRPC face: what each is to the gate. A method that is not in the table is not served."""

from __future__ import annotations

from serving.gate import Kind, Method
from serving.principals import Permission

_CONTROL, _READ, _BULK, _PROBE = Kind.CONTROL, Kind.READ, Kind.BULK, Kind.PROBE

_COMMANDS = {
    "SubmitCommand": (_CONTROL, Permission.COMMAND),
    "SubmitAndWait": (_CONTROL, Permission.COMMAND),
    "CancelCommand": (_CONTROL, Permission.COMMAND),
    "ApproveCommand": (_CONTROL, Permission.APPROVE),
    "GetCommand": (_CONTROL, Permission.READ),
    "WatchCommand": (_CONTROL, Permission.READ),
    "WatchCommands": (_READ, Permission.READ),
    "ListCommands": (_READ, Permission.READ),
}
_READS: dict[str, dict[str, Kind]] = {
    "StateService": {
        "ListDevices": _READ,
        "GetDevice": _READ,
        "ListTags": _READ,
        "GetTag": _READ,
        "WatchTags": _BULK,
        "WatchAnomalies": _READ,
        "BatchGetTags": _READ,
        "WatchTagBatches": _BULK,
        "ListPlantNodes": _READ,
        "WatchAggregates": _BULK,
    },
    "HistoryService": {
        "ReadSamples": _BULK,
        "ReadAggregates": _BULK,
        "ReadChart": _BULK,
        "ListAnomalies": _READ,
        "ListEvents": _READ,
        "ListRejects": _READ,
        "CountRejects": _READ,
        "ReadOee": _READ,
        "ReadStates": _READ,
        "ReadDowntimePareto": _READ,
        "ReadReliability": _READ,
        "ReadProduction": _READ,
        "ReadGenealogy": _READ,
        "ReadLotValues": _READ,
        "ReadAnomalyLots": _READ,
        "ReadControlChart": _READ,
        "ReadBatchDeviation": _READ,
    },
    "LineService": {
        "ListGateways": _READ,
        "WatchGateways": _READ,
        "GetLineHealth": _READ,
        "GetAccounting": _READ,
        "WatchEvents": _READ,
    },
}
_WORK = {
    **dict.fromkeys(
        (
            "ListShifts",
            "ListMaterials",
            "ListJobOrders",
            "ListMaterialLots",
            "ListDowntimes",
            "ListReasons",
            "ListScrap",
            "ListBatches",
            "ListWorkChanges",
        ),
        Permission.READ,
    ),
    **dict.fromkeys(
        (
            "PutJobOrder",
            "StartJob",
            "CompleteJob",
            "EnterDowntime",
            "RecordMaterial",
            "RecordScrap",
            "StartBatch",
            "EnterBatchPhase",
            "CompleteBatch",
        ),
        Permission.PLAN,
    ),
}
_ALARMS = {
    "ListAlarms": (_READ, Permission.READ),
    "ListAlarmLines": (_READ, Permission.READ),
    "GetAlarm": (_READ, Permission.READ),
    "WatchAlarms": (_READ, Permission.READ),
    "GetAlarmFigures": (_BULK, Permission.READ),
    "ListAlarmActivations": (_BULK, Permission.READ),
    **dict.fromkeys(
        (
            "AcknowledgeAlarm",
            "AcknowledgeAlarms",
            "ResetAlarm",
            "ShelveAlarm",
            "UnshelveAlarm",
            "TakeAlarmOutOfService",
            "ReturnAlarmToService",
            "CommentAlarm",
        ),
        (_CONTROL, Permission.ALARM),
    ),
}
_LABELS = {
    "LabelAnomaly": (_CONTROL, Permission.ALARM),
    "WithdrawAnomalyLabel": (_CONTROL, Permission.ALARM),
}
_AUDIT = {"ListAuditEvents": Permission.AUDIT}
_ACTIONS = {
    "SubmitCommand": "command:submit",
    "SubmitAndWait": "command:submit",
    "CancelCommand": "command:cancel",
    "ApproveCommand": "command:approve",
    "ListAuditEvents": "audit:read",
    "AcknowledgeAlarm": "alarm:acknowledge",
    "AcknowledgeAlarms": "alarm:acknowledge",
    "ResetAlarm": "alarm:reset",
    "ShelveAlarm": "alarm:shelve",
    "UnshelveAlarm": "alarm:unshelve",
    "TakeAlarmOutOfService": "alarm:out-of-service",
    "ReturnAlarmToService": "alarm:in-service",
    "CommentAlarm": "alarm:comment",
    "LabelAnomaly": "anomaly:label",
    "WithdrawAnomalyLabel": "anomaly:withdraw-label",
}
"""What the audit log calls commands, what is done to alarms, what is said of anomalies, and reading itself.

What is planned is `work:` and the name of its method.
"""
_REFLECTION = "grpc.reflection.{}.ServerReflection"

UNKNOWN = Method(name="unknown", kind=Kind.READ)
"""What a method of no service is to the gate: its caller is asked who it is, then told."""


def _table() -> dict[str, tuple[Kind, Permission | None]]:
    found: dict[str, tuple[Kind, Permission | None]] = {
        f"millrace.v1.CommandService/{name}": row for name, row in _COMMANDS.items()
    }
    found |= {f"millrace.v1.AlarmService/{name}": row for name, row in _ALARMS.items()}
    found |= {f"millrace.v1.StateService/{name}": row for name, row in _LABELS.items()}
    for service, kinds in _READS.items():
        found |= {f"millrace.v1.{service}/{name}": (kind, Permission.READ) for name, kind in kinds.items()}
    found |= {f"millrace.v1.WorkService/{name}": (_READ, needs) for name, needs in _WORK.items()}
    found |= {f"millrace.v1.AuditService/{name}": (_BULK, needs) for name, needs in _AUDIT.items()}
    for version in ("v1", "v1alpha"):
        found[f"{_REFLECTION.format(version)}/ServerReflectionInfo"] = (_READ, Permission.READ)
    for name in ("Check", "Watch", "List"):
        found[f"grpc.health.v1.Health/{name}"] = (_PROBE, None)
    return found


_TABLE = _table()


def method_of(path: str, *, streaming: bool) -> Method | None:
    """Row of `/package.Service/Method`; None for one that is not in the table."""
    row = _TABLE.get(path.removeprefix("/"))
    if row is None:
        return None
    kind, needs = row
    name = path.rpartition("/")[2]
    action = f"work:{name}" if needs is Permission.PLAN else _ACTIONS.get(name, "")
    return Method(name=path.rpartition(".")[2], kind=kind, needs=needs, streaming=streaming, action=action)
