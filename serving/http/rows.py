"""What a row of the table of resources is, and a row of the table of streams."""

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
