"""What the OpenAPI document says of addresses that are of HTTP alone: the caller, names, sessions, signing in, notifications, health.

Leaves: operations by address and verb. Their endpoints are those of `own`, `people`, `sign_in` and `push`; a test compares the document
with the routes of a running server, so that none is missing.
"""

from __future__ import annotations

from typing import Any

from serving.http import own, people, push, security, sign_in
from serving.http.openapi_failures import ALWAYS, failures

_CALLER = {
    "type": "object",
    "description": "Who is calling.",
    "required": ["name", "shown", "allow", "grants", "csrf"],
    "properties": {
        "name": {
            "type": "string",
            "description": "Principal; of a person its subject id, where there is a directory of people.",
        },
        "shown": {"type": "string", "description": "What people call it."},
        "allow": {
            "type": "array",
            "items": {"type": "string", "enum": ["read", "command", "approve", "plan", "alarm", "audit"]},
            "description": "What it may do somewhere.",
        },
        "grants": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What it may do where: `command@acme/north`, or `command` for everywhere.",
        },
        "csrf": {
            "type": "string",
            "description": f"What header {security.CSRF_HEADER} has to say; empty without a session.",
        },
    },
}
_SIGNING_IN = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "token": {
            "type": "string",
            "maxLength": own.MAX_TOKEN,
            "description": "A token of the tokens file, or of the issuer.",
        },
        "name": {
            "type": "string",
            "maxLength": own.MAX_NAME,
            "description": "On the loopback interface without tokens: a name.",
        },
    },
}
_SUBSCRIPTION = {
    "type": "object",
    "description": "What a browser's `PushSubscription.toJSON()` gives.",
    "required": ["endpoint", "keys"],
    "properties": {
        "endpoint": {"type": "string", "format": "uri", "maxLength": push.MAX_ENDPOINT, "description": "https."},
        "keys": {
            "type": "object",
            "required": ["p256dh", "auth"],
            "properties": {
                "p256dh": {"type": "string", "description": "65 bytes in Base64 for URLs."},
                "auth": {"type": "string", "description": "16 bytes in Base64 for URLs."},
            },
        },
    },
}


def operations(schemas: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Operations by address and verb; their schemas are put into `schemas`."""
    schemas["Caller"] = _CALLER
    return _session() | _people() | _sign_in() | _push() | _health()


def _session() -> dict[str, dict[str, Any]]:
    caller = _json({"$ref": "#/components/schemas/Caller"})
    ways = {
        "issuer": {
            "type": ["string", "null"],
            "description": "Where a browser signs in at the issuer; null without one.",
        },
        "names": {"type": "boolean", "description": "Whether a name is taken in the place of a token."},
    }
    return {
        own.ME: {
            "get": _operation(
                "GetMe",
                "The caller, what it may do, and its session's CSRF token",
                {"200": {"description": "The caller.", "content": caller}, **failures(list(ALWAYS))},
            )
        },
        own.SESSION: {
            "get": _operation(
                "GetWaysToSignIn",
                "How somebody can sign in here",
                {"200": {"description": "The ways.", "content": _object(ways)}, **failures(list(ALWAYS))},
                security=[],
            ),
            "post": _operation(
                "OpenSession",
                "A token for a session in a cookie",
                {
                    "201": {"description": "The caller; Set-Cookie.", "content": caller},
                    **failures([*ALWAYS, 413, 415]),
                },
                security=[],
                requestBody={"required": True, "content": _json(_SIGNING_IN)},
            ),
            "delete": _operation(
                "CloseSession",
                "The cookie is forgotten",
                {"204": {"description": "It is."}, **failures(list(ALWAYS))},
            ),
        },
        own.SESSIONS: {
            "delete": _operation(
                "CloseSessions",
                "Everything that the caller is signed in with is over: at every browser, and tokens that an issuer made before",
                {"204": {"description": "It is."}, **failures(list(ALWAYS))},
            )
        },
    }


def _people() -> dict[str, dict[str, Any]]:
    person = {
        "id": {"type": "string", "description": "Subject id, as records have it."},
        "name": {"type": ["string", "null"], "description": "Null for somebody who was forgotten."},
    }
    listed = {"type": "array", "items": {"type": "object", "required": list(person), "properties": person}}
    schema = {"type": "array", "minItems": 1, "maxItems": people.MOST, "items": {"type": "string"}}
    return {
        people.PEOPLE: {
            "get": _operation(
                "GetNames",
                "Names of people whose subject ids records have",
                {
                    "200": {"description": "The names.", "content": _object({"people": listed})},
                    **failures(list(ALWAYS)),
                },
                parameters=[
                    {"name": "id", "in": "query", "required": True, "description": "Subject ids.", "schema": schema}
                ],
            )
        }
    }


def _sign_in() -> dict[str, dict[str, Any]]:
    """For a browser that is sent there, and no program."""
    given = (
        ("code", "What the issuer gives the browser."),
        ("state", "As it was sent."),
        ("iss", "The issuer (RFC 9207)."),
    )
    return {
        sign_in.SIGN_IN: {
            "get": _operation(
                "StartSignIn",
                "The browser goes to the issuer to sign in",
                {
                    "302": {"description": "To the issuer; Set-Cookie of the attempt."},
                    **failures([*ALWAYS, 404]),
                },
                security=[],
                parameters=[
                    _query("to", "The page to come back to, of this server."),
                    _query(
                        "again", "1: the issuer asks for the password in any case, whoever it knows this browser by."
                    ),
                ],
            )
        },
        sign_in.DONE: {
            "get": _operation(
                "FinishSignIn",
                "The browser comes back from the issuer with a code, and has a session",
                {
                    "200": {"description": "A page that leads on; Set-Cookie.", "content": {"text/html": {}}},
                    **failures([*ALWAYS, 404]),
                },
                security=[],
                parameters=[
                    *(_query(name, text) for name, text in given),
                    _query("error", "Why the issuer signed nobody in."),
                ],
            )
        },
    }


def _push() -> dict[str, dict[str, Any]]:
    key = {"key": {"type": ["string", "null"], "description": "To subscribe with; null where nobody can."}}
    made = {"id": {"type": "string", "format": "uuid", "description": "What ends it."}}
    return {
        push.PUSH: {
            "get": _operation(
                "GetPushKey",
                "The key that a browser subscribes to notifications with",
                {"200": {"description": "The key.", "content": _object(key)}, **failures(list(ALWAYS))},
            ),
            "post": _operation(
                "TurnOnPush",
                "This browser takes notifications for who is signed in, or goes on taking them",
                {
                    "201": {"description": "It does.", "content": _object(made)},
                    **failures([*ALWAYS, 404, 413, 415]),
                },
                security=[{"session": []}],
                requestBody={"required": True, "content": _json(_SUBSCRIPTION)},
            ),
            "delete": _operation(
                "TurnOffPush",
                "A browser takes no notifications any more",
                {"204": {"description": "It does not."}, **failures(list(ALWAYS))},
                parameters=[
                    {
                        "name": "id",
                        "in": "query",
                        "required": True,
                        "description": "What turning them on gave.",
                        "schema": {"type": "string", "format": "uuid"},
                    }
                ],
            ),
        }
    }


def _health() -> dict[str, dict[str, Any]]:
    answered = {"200": {"description": "The answer.", "content": _object({"status": {"type": "string"}})}}
    document = {"200": {"description": "The document.", "content": _json({"type": "object"})}}
    return {
        own.OPENAPI: {
            "get": _operation(
                "GetOpenApi", "This document", document | {"304": {"description": "As known."}}, security=[]
            )
        },
        own.ALIVE: {"get": _operation("GetHealth", "Whether the process answers", answered, security=[])},
        own.READY: {
            "get": _operation("GetReady", "Whether what it knows is current", answered | failures([503]), security=[])
        },
    }


def _operation(name: str, text: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["access"],
        "summary": text,
        "description": f"{text}.",
        "responses": responses,
    } | more


def _query(name: str, text: str) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": sign_in.MAX_PARAMETER}
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return _json({"type": "object", "required": list(properties), "properties": properties})
