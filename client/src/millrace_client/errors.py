"""What can go wrong, as one tree; each branch follows from a gRPC status. The message names the cause and, where there is one, the fix.

MillraceError
├── ConfigError                a setting of the client is missing or wrong
├── MissingExtraError          a library of one of the client's extras is not installed; an ImportError too
├── ClosedError                the client was closed                             CANCELLED
├── InvalidRequestError        the request is malformed                          INVALID_ARGUMENT, OUT_OF_RANGE
├── NotFoundError              no such device, tag or command                    NOT_FOUND
├── ConflictError              the same id with other content                    ALREADY_EXISTS, ABORTED
├── PreconditionError          not in a state that allows this                   FAILED_PRECONDITION
├── PermissionDeniedError      the caller may not                                PERMISSION_DENIED
│   └── UnauthenticatedError   the server does not know who is calling           UNAUTHENTICATED
├── OverloadedError            too much at once; see `retry_after_s`             RESOURCE_EXHAUSTED
├── UnavailableError           the server, or what it needs, is not there        UNAVAILABLE
├── DeadlineExceededError      no answer in time                                 DEADLINE_EXCEEDED
└── ServerError                a fault of the server, or no Millrace server      every other status
    └── UnsupportedError       the server is older than this call                UNIMPLEMENTED
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc

_PUSHBACK = "grpc-retry-pushback-ms"


class MillraceError(Exception):
    """Root of the tree. `retry_after_s`: seconds after which the server expects to accept a try, None when it did not say."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(MillraceError):
    """A setting of the client is missing or wrong."""


class MissingExtraError(MillraceError, ImportError):
    """A library of one of the client's extras is not installed."""


class ClosedError(MillraceError):
    """The client was closed."""


class InvalidRequestError(MillraceError):
    """The request is malformed; nothing was done."""


class NotFoundError(MillraceError):
    """No such device, tag or command."""


class ConflictError(MillraceError):
    """The same id with other content."""


class PreconditionError(MillraceError):
    """Not in a state that allows this: a command that has its outcome cannot be cancelled."""


class PermissionDeniedError(MillraceError):
    """The caller may not do this."""


class UnauthenticatedError(PermissionDeniedError):
    """The server does not know who is calling."""


class OverloadedError(MillraceError):
    """Too much at once; nothing was done. `retry_after_s` says when a try is welcome."""


class UnavailableError(MillraceError):
    """The server, or a component that it needs, is not there. Whether the call was carried out is not known."""


class DeadlineExceededError(MillraceError):
    """No answer in time. Whether the call was carried out is not known."""


class ServerError(MillraceError):
    """A fault of the server, or something that is no Millrace server."""


class UnsupportedError(ServerError):
    """The server does not have this call: it is older than this client."""


_KINDS: dict[grpc.StatusCode, type[MillraceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.CANCELLED: ClosedError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
}
_FIXES = {
    grpc.StatusCode.UNAUTHENTICATED: "give the connection a token of the server's tokens file (MILLRACE_TOKEN)",
    grpc.StatusCode.UNAVAILABLE: "check that the server runs, and that the address and the TLS settings are right",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the server is slow or unreachable; try again, or give more time",
    grpc.StatusCode.UNIMPLEMENTED: "the server is older than this client, or no Millrace server",
}


def closed() -> ClosedError:
    """What a closed client raises."""
    return ClosedError("this client is closed")


def from_status(
    code: grpc.StatusCode,
    details: str | None,
    *,
    address: str = "",
    trailing: Iterable[tuple[str, str | bytes]] | None = None,
) -> MillraceError:
    """Exception for a failed call to the server at `address`; `trailing` is the call's trailing metadata."""
    text = details or code.name.lower().replace("_", " ")
    if fix := _FIXES.get(code):
        text = f"{address}: {text} ({code.name}); {fix}"
    kind = _KINDS.get(code, ServerError)
    waits_ms = [float(value) for key, value in trailing or () if key == _PUSHBACK]
    return kind(text, retry_after_s=waits_ms[0] / 1000 if waits_ms else None)
