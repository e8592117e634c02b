"""What went wrong, as `application/problem+json` (RFC 9457), for errors of handlers, of the gate and of HTTP itself.

`type` is a URN that programs compare, `code` the gRPC status name, `status` HTTP's, `detail` a sentence with cause and fix.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from base.errors import InvalidRequestError, NotFoundError, PermissionDeniedError
from serving.http.plain import dumps
from serving.problems import Problem, problem_of

MEDIA_TYPE = "application/problem+json"
Headers = list[tuple[str, str]]


class BodyTooLargeError(InvalidRequestError):
    """More bytes than a request may have."""


class UriTooLongError(InvalidRequestError):
    """A longer address or query than a request may have."""


class MediaTypeError(InvalidRequestError):
    """A body of another kind than JSON."""


class MisdirectedError(InvalidRequestError):
    """A Host that this server does not answer to."""


class MethodNotAllowedError(InvalidRequestError):
    """A verb that this address does not have; `allow` are those that it has."""

    def __init__(self, message: str, *, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


class CrossSiteError(PermissionDeniedError):
    """A request that another site's page made its visitor's browser send."""


# What HTTP says more precisely than the contract.
_STATUS: dict[type[BaseException], HTTPStatus] = {
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UriTooLongError: HTTPStatus.REQUEST_URI_TOO_LONG,
    MediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    MisdirectedError: HTTPStatus.MISDIRECTED_REQUEST,
    MethodNotAllowedError: HTTPStatus.METHOD_NOT_ALLOWED,
}


def no_address(path: str) -> NotFoundError:
    """Nothing is at a path."""
    return NotFoundError(f"nothing is at {path[:100]}; /api/openapi.json says what there is")


def status_of(error: BaseException) -> int:
    """HTTP status of an error."""
    known = _STATUS.get(type(error))
    return int(known) if known is not None else problem_of(error).http_status


def body_of(error: BaseException) -> dict[str, Any]:
    """The problem's members."""
    problem = problem_of(error)
    status = status_of(error)
    found: dict[str, Any] = {
        "type": f"urn:millrace:problem:{problem.reason.lower().replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": problem.detail,
        "code": problem.code,
    }
    return found | _details(problem)


def _details(problem: Problem) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if problem.field:
        found["field"] = problem.field
    if problem.retry_after_s is not None:
        found["retry_after_ms"] = max(1, round(problem.retry_after_s * 1000))
    return found


def answer(error: BaseException) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error's answer."""
    problem = problem_of(error)
    headers: Headers = [("content-type", MEDIA_TYPE), ("cache-control", "no-store")]
    if problem.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, round(problem.retry_after_s)))))
    if isinstance(error, MethodNotAllowedError):
        headers.append(("allow", ", ".join(error.allow)))
    if problem.code == "UNAUTHENTICATED":
        headers.append(("www-authenticate", 'Bearer realm="millrace"'))
    return status_of(error), headers, dumps(body_of(error))
