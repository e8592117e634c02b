"""The shapes in which i3X answers: success, failure, and bulk with a result for each of what was asked for."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from base.errors import NotFoundError
from serving.http import problems
from serving.http.plain import dumps
from serving.http.replies import Headers

_JSON = ("content-type", "application/json")
_NO_STORE = ("cache-control", "no-store")


def detail(error: BaseException) -> dict[str, Any]:
    """What went wrong."""
    body = problems.body_of(error)
    return {name: body[name] for name in ("title", "status", "detail")}


def failure(error: BaseException) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error's answer."""
    status, headers, _ = problems.answer(error)
    kept = [pair for pair in headers if pair[0] != "content-type"]
    return status, [_JSON, *kept], dumps({"success": False, "responseDetail": detail(error)})


def success(result: Any, partial: str = "") -> tuple[int, dict[str, Any]]:
    """Status and body; `partial` says what is missing."""
    return _with_detail({"success": True, "result": result}, partial)


def bulk(
    key: str, asked: Iterable[str], answer: Callable[[str], Any], partial: Callable[[], str] = str
) -> tuple[int, dict[str, Any]]:
    """Status and body with a result for each of what was asked for, in its order."""
    results: list[dict[str, Any]] = []
    for one in asked:
        try:
            results.append({"success": True, key: one, "result": answer(one)})
        except NotFoundError as error:
            results.append({"success": False, key: one, "responseDetail": detail(error)})
    body = {"success": all(result["success"] for result in results), "results": results}
    return _with_detail(body, partial())


def packed(status: int, body: dict[str, Any], *, compress: bool) -> tuple[int, Headers, bytes]:
    """Status, headers and body as they go out."""
    text = dumps(body)
    headers: Headers = [_JSON, _NO_STORE, ("vary", "accept-encoding")]
    if compress:
        return status, [*headers, ("content-encoding", "gzip")], gzip.compress(text, 1)
    return status, headers, text


def _with_detail(body: dict[str, Any], partial: str) -> tuple[int, dict[str, Any]]:
    if not partial:
        return HTTPStatus.OK, body
    status = HTTPStatus.PARTIAL_CONTENT
    return status, body | {"responseDetail": {"title": status.phrase, "status": int(status), "detail": partial}}
