"""The OpenAPI 3.1 document of the HTTP face, made of the table of resources and the contract's own comments.

`python -m serving.http.openapi` prints it; `docs/openapi.json` is that, and a test compares. Bounds are those of `serving.bounds`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from serving import bounds
from serving.http import columns, downloads, openapi_own, own, rest, security
from serving.http.contract import comment
from serving.http.openapi_failures import ALWAYS, failures, problem
from serving.http.openapi_schemas import of_field, reference
from serving.http.requests import field_of
from serving.http.resources import FEEDS, RESOURCES
from serving.http.rows import Answer, Feed, Keep, Resource
from serving.http.socket import PATH as WEBSOCKET
from serving.sessions import COOKIE, cookie_name

_INTRODUCTION = (
    "JSON over HTTP for people's browsers and for programs without gRPC. Fields have the names of the contract (`millrace.v1`). "
    "Times are integers: microseconds since 1970-01-01 UTC. Enumerations are names. A number that is not finite, and what is absent, "
    "is null. Errors are problems (RFC 9457); `code` is the name of the gRPC status. Lists come in pages: pass `next_page_token` as "
    "`page_token`. Live values come as server-sent events under `/api/v1/watch/...`, or several at once over a WebSocket at "
    f"`{WEBSOCKET}` (docs/http.md)."
)
_TAGS = {
    "plant": "Devices and tags, with their last values.",
    "history": "What was: samples, windows, anomalies, events, rejects. 503 while the database cannot be reached; the rest goes on.",
    "line": "The line itself: gateways, stages, accounting.",
    "work": "The plant's work: shifts, orders, lots, stops, scrap, batches. 503 while the database cannot be reached; the rest goes on.",
    "audit": "Who did what. 503 where the server does not have the log.",
    "commands": "Commands to devices, carried out at most once.",
    "alarms": "Alarms, and what people do about them. 409 where no alarms job has ever run.",
    "watch": "Server-sent events. Each is named after the feed; its data is the message; `id` is the position to resume from.",
    "access": "Who is calling, sessions and notifications of browsers, health.",
}


def document() -> dict[str, Any]:
    """The document."""
    schemas: dict[str, Any] = {"Problem": problem()}
    paths: dict[str, Any] = {}
    for row in RESOURCES:
        paths.setdefault(row.path, {})[row.verb.lower()] = _operation(row, schemas)
    for feed in FEEDS:
        paths[feed.path] = {"get": _watch(feed, schemas)}
    for path, verbs in openapi_own.operations(schemas).items():
        paths[path] = verbs
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Millrace",
            "version": "1",
            "summary": "State, history and commands of the plant.",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of the tokens file."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"Made by POST {own.SESSION}; {cookie_name(COOKIE, tls=True)} over TLS. "
                    f"What changes something also needs header {security.CSRF_HEADER}.",
                },
            },
        },
    }


def _operation(row: Resource, schemas: dict[str, Any]) -> dict[str, Any]:
    method = row.rpc
    made: dict[str, Any] = {
        "operationId": _operation_id(row),
        "tags": [row.tag],
        "summary": method.description.partition(". ")[0].rstrip("."),
        "description": method.description,
        "parameters": [_path_parameter(row, name) for name in row.path_fields]
        + [_parameter(method.request.DESCRIPTOR, name, field) for name, field in row.query.items()]
        + [_EXTRA[name] for name in sorted(rest.parameters_of(row))],
        "responses": {
            str(row.success): {"description": "The answer.", "content": _content(row, schemas)},
            **failures(_statuses(row)),
        },
    }
    if row.keep is not Keep.NEVER:
        made["responses"]["304"] = {"description": "As the ETag of If-None-Match says."}
    if row.body:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _request(row, schemas)}},
        }
    return made


def _operation_id(row: Resource) -> str:
    return row.rpc.name + ("ByPath" if "{path}" in row.path else "")


def _statuses(row: Resource) -> list[int]:
    found = [*ALWAYS, 501]
    if row.path_fields or row.tag in {"plant", "history", "commands", "alarms"}:
        found.append(404)
    if row.body:
        found += [413, 415]
    if row.tag == "alarms" or (row.tag == "commands" and row.verb == "POST"):
        found.append(409)
    return sorted(found)


def _content(row: Resource, schemas: dict[str, Any]) -> dict[str, Any]:
    method = row.rpc
    if row.answer is Answer.MESSAGE:
        return {"application/json": {"schema": reference(method.response.DESCRIPTOR, schemas)}}
    one = (
        method.response.DESCRIPTOR if row.answer is Answer.SERIES else field_of(method.response, "series").message_type
    )
    listed = {
        "type": "object",
        "required": ["series"],
        "properties": {
            "series": {"type": "array", "items": reference(one, schemas), "description": "One for each tag."}
        },
    }
    found: dict[str, Any] = {"application/json": {"schema": listed}}
    if row.answer is Answer.SERIES:
        found |= {kind.partition(";")[0]: {} for kind in downloads.MEDIA_TYPES.values()}
    return found


def _request(row: Resource, schemas: dict[str, Any]) -> dict[str, Any]:
    """The body: the request less what the address says."""
    descriptor = row.rpc.request.DESCRIPTOR
    fields = [field for field in descriptor.fields if field.name not in row.path_fields.values()]
    return {
        "type": "object",
        "description": comment(descriptor.full_name),
        "properties": {field.name: of_field(field, schemas, request=True) for field in fields},
        "additionalProperties": False,
    }


def _path_parameter(row: Resource, name: str) -> dict[str, Any]:
    field = field_of(row.rpc.request, row.path_fields[name])
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": comment(field.full_name) or f"{name.replace('_', ' ')}.",
        "schema": _PARTS.get(name, {"type": "string", "minLength": 1, "maxLength": bounds.TEXT["path"]}),
    }


_PARTS: dict[str, dict[str, Any]] = {
    "device_id": {"type": "integer", "minimum": 1, "maximum": (1 << 31) - 1},
    "tag_id": {"type": "integer", "minimum": 1, "maximum": (1 << 31) - 1},
    "command_id": {"type": "string", "format": "uuid"},
    "alarm_id": {"type": "string", "format": "uuid"},
}
_EXTRA: dict[str, dict[str, Any]] = {
    rest.WAIT: {
        "name": rest.WAIT,
        "in": "query",
        "description": "Wait so many milliseconds for the outcome; then the command as it stands.",
        "schema": {"type": "integer", "minimum": 1, "maximum": rest.MAX_WAIT_MS},
    },
    rest.FORMAT: {
        "name": rest.FORMAT,
        "in": "query",
        "description": f"json for at most {columns.MAX_POINTS:,} points; the others are files, streamed while they are read.",
        "schema": {"type": "string", "enum": ["json", *downloads.MEDIA_TYPES], "default": "json"},
    },
    rest.VALUES: {
        "name": rest.VALUES,
        "in": "query",
        "description": "false leaves out what changes with every value: caches keep the rest.",
        "schema": {"type": "string", "enum": ["true", "false"], "default": "true"},
    },
}


def _parameter(descriptor: Descriptor, name: str, dotted: str) -> dict[str, Any]:
    *within, last = dotted.split(".")
    for part in within:
        descriptor = descriptor.fields_by_name[part].message_type
    field = descriptor.fields_by_name[last]
    made: dict[str, Any] = {
        "name": name,
        "in": "query",
        "description": comment(field.full_name),
        "schema": of_field(field, {}, request=True),
    }
    made["schema"].pop("description", None)
    if field.label == FieldDescriptor.LABEL_REPEATED:
        made |= {"style": "form", "explode": True}
    return made


def _watch(feed: Feed, schemas: dict[str, Any]) -> dict[str, Any]:
    method = feed.rpc
    parameters = [_parameter(method.request.DESCRIPTOR, name, field) for name, field in feed.query.items()]
    if feed.resume:
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Position of the last event that was taken; browsers send it when they connect again.",
                "schema": {"type": "string", "maxLength": bounds.TEXT["resume_position"]},
            }
        )
    return {
        "operationId": method.name,
        "tags": ["watch"],
        "summary": method.description.partition(". ")[0].rstrip("."),
        "description": f"{method.description} Data of an event `{feed.name}`: {method.response.DESCRIPTOR.name}.",
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "Events until the caller goes; an event `problem` is the last one of a stream that failed.",
                "content": {"text/event-stream": {"schema": reference(method.response.DESCRIPTOR, schemas)}},
            },
            **failures([*ALWAYS, 404, 501]),
        },
    }


def main() -> None:
    """Print the document."""
    sys.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
