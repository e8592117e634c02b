"""A `Problem` as gRPC sends it: status, message, and `google.rpc` details for programs.

The details travel in `grpc-status-details-bin`: `ErrorInfo` with a stable reason, `BadRequest` with the field to blame, `RetryInfo` with
the pause; the pause is also in `grpc-retry-pushback-ms`, which gRPC's own retries obey.
"""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from serving.problems import Problem

DOMAIN = "millrace"
_PUSHBACK = "grpc-retry-pushback-ms"
_DETAILS = "grpc-status-details-bin"


def status_code(problem: Problem) -> grpc.StatusCode:
    """Status of a problem."""
    return grpc.StatusCode[problem.code]


def trailers(problem: Problem) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata of a problem."""
    parts: list[Message] = [error_details_pb2.ErrorInfo(reason=problem.reason, domain=DOMAIN)]
    if problem.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=problem.field, description=problem.detail)
        parts.append(error_details_pb2.BadRequest(field_violations=[violation]))
    pushback: tuple[tuple[str, str | bytes], ...] = ()
    if problem.retry_after_s is not None:
        wait_ms = max(1, round(problem.retry_after_s * 1000))
        delay = Duration()
        delay.FromMilliseconds(wait_ms)
        parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
        pushback = ((_PUSHBACK, str(wait_ms)),)
    details = []
    for part in parts:
        packed = Any()
        packed.Pack(part)
        details.append(packed)
    status = status_pb2.Status(code=status_code(problem).value[0], message=problem.detail, details=details)
    return (*pushback, (_DETAILS, status.SerializeToString()))
