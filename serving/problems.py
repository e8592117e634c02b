"""What went wrong, for any face: an error of `base.errors` as a status with a bounded text that a caller can act on.

Enters: any exception of a handler or of the gate. Leaves: a `Problem`. The gRPC face makes a status with `google.rpc` details of it, the
HTTP face `application/problem+json`. What is not in the table is a defect: the caller hears INTERNAL, the log has the cause.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from base import errors
from serving.principals import UnauthenticatedError

# First match wins, so branches come before the trees they are in. gRPC status name, HTTP status.
_STATUS: tuple[tuple[type[BaseException], str, int], ...] = (
    (UnauthenticatedError, "UNAUTHENTICATED", 401),
    (errors.PermissionDeniedError, "PERMISSION_DENIED", 403),
    (errors.InvalidRequestError, "INVALID_ARGUMENT", 400),
    (errors.NotFoundError, "NOT_FOUND", 404),
    (errors.ConflictError, "ALREADY_EXISTS", 409),
    (errors.PreconditionError, "FAILED_PRECONDITION", 409),
    (errors.OverloadedError, "RESOURCE_EXHAUSTED", 429),
    (errors.UnavailableError, "UNAVAILABLE", 503),
    (errors.DeadlineError, "DEADLINE_EXCEEDED", 504),
    (errors.UnimplementedError, "UNIMPLEMENTED", 501),
)
MAX_DETAIL = 800
"""Characters of a text for people. gRPC sends it percent-encoded in a header, of which clients take 8 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Status, cause and what to do.

    `code`: gRPC status name; `reason`: UPPER_SNAKE name of the error, stable, for programs; `retry_after_s`: set when the same call can
    succeed later; `field`: of the request, when one is to blame.
    """

    code: str
    http_status: int
    reason: str
    detail: str
    retry_after_s: float | None = None
    field: str = ""


def problem_of(error: BaseException) -> Problem:
    """Problem of an error; INTERNAL, without its text, for what is not in the table."""
    for kind, code, http_status in _STATUS:
        if isinstance(error, kind):
            return Problem(
                code=code,
                http_status=http_status,
                reason=_reason(error),
                detail=_bounded(str(error)),
                retry_after_s=error.retry_after_s if isinstance(error, errors.OverloadedError) else None,
                field=error.field if isinstance(error, errors.InvalidRequestError) else "",
            )
    detail = "internal error; the server's log has the cause"
    return Problem(code="INTERNAL", http_status=500, reason="INTERNAL", detail=detail)


def _reason(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 1]}…"
