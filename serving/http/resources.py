"""The table of resources: which method of the contract answers which address, and how its fields are named in a query.

A row is all there is of a resource: the address, the method, where each field of the request comes from. The rest follows from the
contract: types, bounds, descriptions, OpenAPI, what a principal needs, whether it is control or bulk.

Over 350 lines: a table, with a row for each resource.
"""

from __future__ import annotations

from collections.abc import Mapping

from serving.http.rows import API, Answer, Feed, Keep, Resource


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_PAGE = _same("page_size", "page_token")
_RANGE = _same("start_us", "end_us")
_SELECTION = {
    "tag_id": "selection.tag_ids",
    "prefix": "selection.prefixes",
    "start_us": "selection.start_us",
    "end_us": "selection.end_us",
}
_FILTER = {name: f"filter.{name}" for name in ("prefix", "states", "submitted_by", "since_us", "until_us")}
_ALARMS = {"prefix": "filter.prefix", "priority": "filter.priorities", "state": "filter.states"}
_CHARTED = ("path", "n", "packml_state", "baseline_start_us", "baseline_end_us", "lower_spec", "upper_spec")

RESOURCES: tuple[Resource, ...] = (
    Resource(
        verb="GET", path=f"{API}/plant", method="StateService.ListPlantNodes", tag="plant", query=_same("path", "depth")
    ),
    Resource(
        verb="GET",
        path=f"{API}/devices",
        method="StateService.ListDevices",
        tag="plant",
        query=_same("prefix", "device_class", "text", "state") | _PAGE,
        keep=Keep.METADATA,
    ),
    Resource(
        verb="GET",
        path=f"{API}/devices/by-path/{{path}}",
        method="StateService.GetDevice",
        tag="plant",
        path_fields=_same("path"),
        keep=Keep.METADATA,
    ),
    Resource(
        verb="GET",
        path=f"{API}/devices/{{device_id}}",
        method="StateService.GetDevice",
        tag="plant",
        path_fields=_same("device_id"),
        keep=Keep.METADATA,
    ),
    Resource(
        verb="GET",
        path=f"{API}/tags",
        method="StateService.ListTags",
        tag="plant",
        query=_same("prefix", "quality", "stale", "writable", "text", "device_class") | _PAGE,
        keep=Keep.METADATA,
    ),
    Resource(verb="POST", path=f"{API}/tags/batch-get", method="StateService.BatchGetTags", tag="plant", body=True),
    Resource(
        verb="GET",
        path=f"{API}/tags/by-path/{{path}}",
        method="StateService.GetTag",
        tag="plant",
        path_fields=_same("path"),
        keep=Keep.METADATA,
    ),
    Resource(
        verb="GET",
        path=f"{API}/tags/{{tag_id}}",
        method="StateService.GetTag",
        tag="plant",
        path_fields=_same("tag_id"),
        keep=Keep.METADATA,
    ),
    Resource(
        verb="GET",
        path=f"{API}/samples",
        method="HistoryService.ReadSamples",
        tag="history",
        query=_SELECTION | _same("limit", "good_only"),
        answer=Answer.SERIES,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="GET",
        path=f"{API}/aggregates",
        method="HistoryService.ReadAggregates",
        tag="history",
        query=_SELECTION | _same("window_s"),
        answer=Answer.SERIES,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="GET",
        path=f"{API}/chart",
        method="HistoryService.ReadChart",
        tag="history",
        query=_SELECTION | _same("pixels"),
        answer=Answer.CHART,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="GET",
        path=f"{API}/anomalies",
        method="HistoryService.ListAnomalies",
        tag="history",
        query=_same("prefix", "open_only") | _RANGE | _PAGE,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="POST",
        path=f"{API}/anomalies/{{episode_id}}/label",
        method="StateService.LabelAnomaly",
        tag="plant",
        path_fields=_same("episode_id"),
        body=True,
    ),
    Resource(
        verb="POST",
        path=f"{API}/anomaly-labels/{{label_id}}/withdraw",
        method="StateService.WithdrawAnomalyLabel",
        tag="plant",
        path_fields=_same("label_id"),
        body=True,
    ),
    Resource(
        verb="GET",
        path=f"{API}/events",
        method="HistoryService.ListEvents",
        tag="history",
        query=_same("prefix", "kinds") | _RANGE | _PAGE,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="GET",
        path=f"{API}/rejects",
        method="HistoryService.ListRejects",
        tag="history",
        query=_same("prefix", "reasons") | _RANGE | _PAGE,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="GET",
        path=f"{API}/rejects/counts",
        method="HistoryService.CountRejects",
        tag="history",
        query=_same("prefix") | _RANGE,
        keep=Keep.HISTORY,
    ),
    Resource(
        verb="GET",
        path=f"{API}/audit",
        method="AuditService.ListAuditEvents",
        tag="audit",
        query=_same("person", "path", "action", "outcome", "command_id", "since_us", "until_us") | _PAGE,
    ),
    *(
        Resource(
            verb="GET", path=f"{API}/work/{name}", method=f"WorkService.{method}", tag="work", query=_same(*fields)
        )
        for name, method, fields in (
            ("shifts", "ListShifts", ("scope", *_RANGE)),
            ("materials", "ListMaterials", (*_PAGE,)),
            ("job-orders", "ListJobOrders", ("scope", "job_order", "statuses", *_RANGE, *_PAGE)),
            ("lots", "ListMaterialLots", ("scope", "lot", "material", *_PAGE)),
            ("downtimes", "ListDowntimes", ("scope", *_RANGE, *_PAGE)),
            ("reasons", "ListReasons", ()),
            ("scrap", "ListScrap", ("scope", *_RANGE, *_PAGE)),
            ("batches", "ListBatches", ("scope", "batch", "recipe", *_RANGE, *_PAGE)),
            ("changes", "ListWorkChanges", ("table", *_RANGE, *_PAGE)),
        )
    ),
    Resource(
        verb="PUT",
        path=f"{API}/work/job-orders/{{job_order}}",
        method="WorkService.PutJobOrder",
        tag="work",
        path_fields=_same("job_order"),
        body=True,
    ),
    Resource(verb="POST", path=f"{API}/work/jobs", method="WorkService.StartJob", tag="work", body=True, success=201),
    Resource(
        verb="POST",
        path=f"{API}/work/jobs/{{job_response_id}}/complete",
        method="WorkService.CompleteJob",
        tag="work",
        path_fields=_same("job_response_id"),
        body=True,
    ),
    *(
        Resource(
            verb="POST", path=f"{API}/work/{name}", method=f"WorkService.{method}", tag="work", body=True, success=201
        )
        for name, method in (
            ("downtimes", "EnterDowntime"),
            ("lots", "RecordMaterial"),
            ("scrap", "RecordScrap"),
            ("batches", "StartBatch"),
        )
    ),
    *(
        Resource(
            verb="POST",
            path=f"{API}/work/batches/{{batch}}/{name}",
            method=f"WorkService.{method}",
            tag="work",
            path_fields=_same("batch"),
            body=True,
        )
        for name, method in (("phases", "EnterBatchPhase"), ("complete", "CompleteBatch"))
    ),
    Resource(
        verb="GET",
        path=f"{API}/oee",
        method="HistoryService.ReadOee",
        tag="history",
        query=_same("prefix", "by") | _RANGE,
    ),
    Resource(
        verb="GET",
        path=f"{API}/states",
        method="HistoryService.ReadStates",
        tag="history",
        query=_same("prefix") | _RANGE,
    ),
    *(
        Resource(
            verb="GET",
            path=f"{API}/{path}",
            method=f"HistoryService.{method}",
            tag="history",
            path_fields=_same(*fields),
            query=_same(*query) | (_RANGE if ranged else {}),
        )
        for path, method, fields, query, ranged in (
            ("downtime-pareto", "ReadDowntimePareto", (), ("prefix", "depth"), True),
            ("reliability", "ReadReliability", (), ("prefix", "failure_reasons"), True),
            ("production", "ReadProduction", (), ("prefix", "counted_class"), True),
            ("control-chart", "ReadControlChart", (), _CHARTED, True),
            ("work/lots/{lot}/genealogy", "ReadGenealogy", ("lot",), ("direction",), False),
            ("work/lots/{lot}/values", "ReadLotValues", ("lot",), (), False),
            ("work/batches/{batch}/deviation", "ReadBatchDeviation", ("batch",), ("golden", "points"), False),
            ("anomalies/{episode_id}/lots", "ReadAnomalyLots", ("episode_id",), (), False),
        )
    ),
    Resource(verb="GET", path=f"{API}/gateways", method="LineService.ListGateways", tag="line", query=_same("site")),
    Resource(verb="GET", path=f"{API}/line", method="LineService.GetLineHealth", tag="line"),
    Resource(verb="GET", path=f"{API}/accounting", method="LineService.GetAccounting", tag="line", query=_same("site")),
    Resource(
        verb="GET",
        path=f"{API}/commands",
        method="CommandService.ListCommands",
        tag="commands",
        query=_FILTER | _PAGE,
    ),
    Resource(
        verb="POST",
        path=f"{API}/commands",
        method="CommandService.SubmitCommand",
        tag="commands",
        body=True,
        wait="CommandService.SubmitAndWait",
        success=201,
    ),
    Resource(
        verb="GET",
        path=f"{API}/commands/{{command_id}}",
        method="CommandService.GetCommand",
        tag="commands",
        path_fields=_same("command_id"),
    ),
    Resource(
        verb="POST",
        path=f"{API}/commands/{{command_id}}/cancel",
        method="CommandService.CancelCommand",
        tag="commands",
        path_fields=_same("command_id"),
        body=True,
    ),
    Resource(
        verb="POST",
        path=f"{API}/commands/{{command_id}}/approve",
        method="CommandService.ApproveCommand",
        tag="commands",
        path_fields=_same("command_id"),
        body=True,
    ),
    Resource(verb="GET", path=f"{API}/alarms", method="AlarmService.ListAlarms", tag="alarms", query=_ALARMS | _PAGE),
    Resource(
        verb="GET",
        path=f"{API}/alarms/lines",
        method="AlarmService.ListAlarmLines",
        tag="alarms",
        query=_same("prefix"),
    ),
    Resource(
        verb="GET",
        path=f"{API}/alarms/figures",
        method="AlarmService.GetAlarmFigures",
        tag="alarms",
        query=_same("prefix") | _RANGE,
    ),
    Resource(
        verb="GET",
        path=f"{API}/alarms/activations",
        method="AlarmService.ListAlarmActivations",
        tag="alarms",
        query=_same("prefix") | _RANGE,
    ),
    Resource(
        verb="GET",
        path=f"{API}/alarms/{{alarm_id}}",
        method="AlarmService.GetAlarm",
        tag="alarms",
        path_fields=_same("alarm_id"),
    ),
    Resource(
        verb="POST", path=f"{API}/alarms/acknowledge", method="AlarmService.AcknowledgeAlarms", tag="alarms", body=True
    ),
    *(
        Resource(
            verb="POST",
            path=f"{API}/alarms/{{alarm_id}}/{name}",
            method=f"AlarmService.{method}",
            tag="alarms",
            path_fields=_same("alarm_id"),
            body=True,
        )
        for name, method in (
            ("acknowledge", "AcknowledgeAlarm"),
            ("reset", "ResetAlarm"),
            ("shelve", "ShelveAlarm"),
            ("unshelve", "UnshelveAlarm"),
            ("out-of-service", "TakeAlarmOutOfService"),
            ("in-service", "ReturnAlarmToService"),
            ("comment", "CommentAlarm"),
        )
    ),
)

_PREFIXES = {"prefix": "prefixes"}
FEEDS: tuple[Feed, ...] = (
    Feed(
        name="tags",
        key="batch",
        method="StateService.WatchTagBatches",
        query=_PREFIXES | _same("min_interval_ms", "heartbeat_ms", "omit_paths", "resume_position"),
        position="position",
        resume="resume_position",
    ),
    Feed(
        name="aggregates",
        key="aggregates",
        method="StateService.WatchAggregates",
        query=_PREFIXES | _same("window_s"),
    ),
    Feed(name="anomalies", key="anomaly", method="StateService.WatchAnomalies", query=_same("prefix")),
    Feed(name="events", key="event", method="LineService.WatchEvents", query=_same("prefix", "kinds")),
    Feed(name="commands", key="command", method="CommandService.WatchCommands", query=_FILTER),
    Feed(
        name="alarms",
        key="alarms",
        method="AlarmService.WatchAlarms",
        query=_ALARMS | _same("counts_only", "heartbeat_ms"),
    ),
    Feed(name="gateways", key="gateway", method="LineService.WatchGateways", query=_same("site")),
)
FEED_OF: Mapping[str, Feed] = {feed.name: feed for feed in FEEDS}
