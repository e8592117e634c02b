"""Problems (RFC 9457) in the OpenAPI document: which statuses there are, what each means, and the schema of the body."""

from __future__ import annotations

from typing import Any

from serving.http import problems

_STATUSES = {
    400: "Malformed: `detail` names the field and the bound.",
    401: "No token, or one that is not known.",
    403: "Not allowed, or sent by another site's page.",
    404: "There is no such thing.",
    409: "Another one has this id, or its state does not allow this.",
    413: "The body is too long.",
    414: "The query is too long.",
    415: "The body is not JSON.",
    421: "The Host is not one of this server's names.",
    429: "Too much at once: try again after `Retry-After`.",
    501: "This server does not have it.",
    503: "A component that this needs cannot be reached; try again.",
    504: "Not in time.",
}
ALWAYS = (400, 401, 403, 414, 421, 429, 503, 504)
"""What every resource may answer with."""


def failures(statuses: list[int]) -> dict[str, Any]:
    """Responses of the statuses."""
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": _STATUSES[status], "content": content} for status in statuses}


def problem() -> dict[str, Any]:
    """Schema of a problem."""
    return {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "A URN, stable, for programs."},
            "title": {"type": "string", "description": "HTTP's phrase of the status."},
            "status": {"type": "integer", "description": "HTTP status."},
            "detail": {"type": "string", "description": "Cause and fix, for people."},
            "code": {"type": "string", "description": "Name of the gRPC status."},
            "field": {"type": "string", "description": "Field of the request that is to blame, where one is."},
            "retry_after_ms": {"type": "integer", "description": "The same request can succeed after so long."},
        },
    }
