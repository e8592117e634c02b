"""Client of Millrace: live state of a plant, and commands to its devices, over gRPC.

`Client` for threads, `AsyncClient` for event loops; results are frozen dataclasses, failures one tree of exceptions. Users test with
`millrace_client.fake`. Nothing else in this package is part of the interface.
"""

from millrace_client.aio import AsyncClient, AsyncStream
from millrace_client.client import Client, Stream
from millrace_client.connection import Connection
from millrace_client.errors import (
    ClosedError,
    ConfigError,
    ConflictError,
    DeadlineExceededError,
    InvalidRequestError,
    MillraceError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
)
from millrace_client.ids import uuid7
from millrace_client.results import (
    OUTCOMES,
    Anomaly,
    AnomalyPhase,
    Command,
    CommandState,
    Contributor,
    Device,
    Page,
    Quality,
    Tag,
    TagUpdate,
    Value,
)

__all__ = [
    "OUTCOMES",
    "Anomaly",
    "AnomalyPhase",
    "AsyncClient",
    "AsyncStream",
    "Client",
    "ClosedError",
    "Command",
    "CommandState",
    "ConfigError",
    "ConflictError",
    "Connection",
    "Contributor",
    "DeadlineExceededError",
    "Device",
    "InvalidRequestError",
    "MillraceError",
    "NotFoundError",
    "OverloadedError",
    "Page",
    "PermissionDeniedError",
    "PreconditionError",
    "Quality",
    "ServerError",
    "Stream",
    "Tag",
    "TagUpdate",
    "UnauthenticatedError",
    "UnavailableError",
    "Value",
    "uuid7",
]
