"""The table of resources: which method of the contract answers which address, and how its fields are named in a query.

A row is all there is of a resource: the address, the method, where each field of the request comes from. The rest follows from the
contract: types, bounds, descriptions, OpenAPI, what a principal needs, whether it is control or bulk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from serving.http.contract import Rpc, rpc

API = "/api/v1"
Names = Mapping[str, str]


class Answer(StrEnum):
    """What a resource answers with."""

    MESSAGE = "message"
    """The response as an object."""
    SERIES = "series"
    """A stream of columns, gathered: `{"series": [...]}` or a download."""
    CHART = "chart"
    """One response with columns: `{"series": [...]}`."""


class Keep(StrEnum):
    """What a cache may do with an answer, see `serving.http.caching`."""

    NEVER = "never"
    """It is of this moment."""
    METADATA = "metadata"
    """Asked for again each time; unchanged, it is not sent again."""
    HISTORY = "history"
    """Of a range that is closed it may be kept for a while."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A row. `query` and `path_fields`: names of parameters to names of fields; `body`: the request is the body.

    `wait` is the method that answers instead when the query has `wait_ms`.
    """

    verb: str
    path: str
    method: str
    tag: str
    query: Names = field(default_factory=dict)
    path_fields: Names = field(default_factory=dict)
    body: bool = False
    answer: Answer = Answer.MESSAGE
    keep: Keep = Keep.NEVER
    wait: str = ""
    success: int = 200

    @property
    def rpc(self) -> Rpc:
        """Method of the contract."""
        return rpc(self.method)

    @property
    def name(self) -> str:
        """As the access log and the metrics call it."""
        return f"{self.verb} {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """A stream: as server-sent events under `/watch/NAME`, and as a subscription of the WebSocket.

    `key`: name of the message in a WebSocket message; `position`: field with the position to resume from, empty for none;
    `resume`: field of the request that takes it.
    """

    name: str
    key: str
    method: str
    query: Names
    position: str = ""
    resume: str = ""

    @property
    def rpc(self) -> Rpc:
        """Method of the contract."""
        return rpc(self.method)

    @property
    def path(self) -> str:
        """Address of its server-sent events."""
        return f"{API}/watch/{self.name}"


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
    Feed(name="gateways", key="gateway", method="LineService.WatchGateways", query=_same("site")),
)
FEED_OF: Mapping[str, Feed] = {feed.name: feed for feed in FEEDS}
