"""A failed call as an exception of `base.errors` whose message names the cause and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from base import errors

_KINDS: dict[grpc.StatusCode, type[errors.MillraceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.PreconditionError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.PermissionDeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.OverloadedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.UnavailableError,
}
_FIXES = {
    grpc.StatusCode.UNAUTHENTICATED: "set MILLRACE_TOKEN to a token of the server's tokens file",
    grpc.StatusCode.UNAVAILABLE: "check that the server runs (./millrace status) and that the address and TLS settings are right",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the server is slow or unreachable; try again, or give more time",
    grpc.StatusCode.UNIMPLEMENTED: "the server is older than this client, or no Millrace server",
}


@contextmanager
def named(address: str) -> Iterator[None]:
    """Turn gRPC's errors into ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise translate(error, address) from error


def translate(error: grpc.aio.AioRpcError, address: str) -> errors.MillraceError:
    """Exception for a failed call to the server at `address`."""
    code = error.code()
    text = error.details() or code.name.lower()
    if fix := _FIXES.get(code):
        text = f"{address}: {text} ({code.name}); {fix}"
    return _KINDS.get(code, errors.MillraceError)(text)
