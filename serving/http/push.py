"""Notifications of a browser (Web Push): the key to subscribe with, turning them on, renewing and ending them.

Enters: what a browser's push service gave it. Leaves: a record of the topic `alarm.subscriptions`, durable before the answer, in the name
of who is signed in; a tombstone at its end. Which alarms somebody is told of the notifier's routes say, nothing here.
"""

from __future__ import annotations

import binascii
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from base import base64url
from base.errors import InvalidRequestError, NotFoundError
from schemas import topics
from schemas.push import PushSubscription, subscription_id
from serving.gate import Kind, Method
from serving.http.face import Endpoint, Exchange, Face
from serving.http.own import json_answer
from serving.http.requests import body_of, object_of, query_of
from serving.http.rows import API
from serving.principals import current
from serving.record_log import RecordLog

PUSH = f"{API}/push"
PUSH_ON, PUSH_OFF = "push-on", "push-off"
"""What the audit log calls them."""
MAX_ENDPOINT = 2_000
_KEY_BYTES, _SECRET_BYTES = 65, 16


def endpoints(face: Face, public_key: str, log: RecordLog) -> dict[str, dict[str, Endpoint]]:
    """All of them, by address and verb."""
    return {
        PUSH: {
            "GET": key(face, public_key),
            "POST": turn_on(face, public_key, log),
            "DELETE": turn_off(face, log),
        }
    }


def key(face: Face, public_key: str) -> Endpoint:
    """GET /push: what a browser subscribes with; null where nobody can."""

    async def work(exchange: Exchange) -> None:
        await json_answer(exchange, 200, {"key": public_key or None})

    return Endpoint(face, Method(name=f"GET {PUSH}", kind=Kind.READ, needs=None), work)


def turn_on(face: Face, public_key: str, log: RecordLog) -> Endpoint:
    """POST /push: this browser takes notifications for who is signed in, from now on."""

    async def work(exchange: Exchange) -> None:
        if not public_key:
            msg = "notifications of browsers are not switched on here (http.push_key)"
            raise NotFoundError(msg)
        session = face.sessions.read(face.sessions.shown_by(exchange.pairs))
        if session is None:
            msg = "notifications are turned on in a browser that is signed in; a token alone has none"
            raise InvalidRequestError(msg)
        given = object_of(await body_of(exchange.scope, exchange.receive))
        now_us = face.clock()
        made = subscription(given, principal=current.get().name, session_us=session.made_us, now_us=now_us)
        await log.send(topics.ALARM_SUBSCRIPTIONS.name, made.key, made.encode())
        await json_answer(exchange, 201, {"id": str(made.subscription_id)})

    return Endpoint(face, Method(name=f"POST {PUSH}", kind=Kind.READ, needs=None, action=PUSH_ON), work)


def turn_off(face: Face, log: RecordLog) -> Endpoint:
    """DELETE /push?id=…: it takes none any more. The id is known to who turned it on alone."""

    async def work(exchange: Exchange) -> None:
        values = query_of(exchange.scope).get("id", [])
        try:
            (text,) = values
            number = UUID(text)
        except ValueError:
            msg = "id is the one that turning it on gave"
            raise InvalidRequestError(msg, field="id") from None
        await log.send(topics.ALARM_SUBSCRIPTIONS.name, str(number).encode(), None)
        exchange.call.messages = 1
        await exchange.reply.whole(204, [("cache-control", "no-store")], b"")

    return Endpoint(face, Method(name=f"DELETE {PUSH}", kind=Kind.READ, needs=None, action=PUSH_OFF), work)


def subscription(given: dict[str, Any], *, principal: str, session_us: int, now_us: int) -> PushSubscription:
    """A subscription as browsers write it (`PushSubscription.toJSON()`), checked. Raises InvalidRequestError."""
    endpoint, keys = given.get("endpoint"), given.get("keys")
    if not isinstance(endpoint, str) or not 0 < len(endpoint) <= MAX_ENDPOINT or not _is_address(endpoint):
        msg = f"endpoint is an https address of at most {MAX_ENDPOINT} characters, as the browser gave it"
        raise InvalidRequestError(msg, field="endpoint")
    if not isinstance(keys, dict):
        msg = "keys are missing: p256dh and auth, as the browser gave them"
        raise InvalidRequestError(msg, field="keys")
    found = {
        name: _bytes(keys.get(name), name, size) for name, size in (("p256dh", _KEY_BYTES), ("auth", _SECRET_BYTES))
    }
    return PushSubscription(
        subscription_id=subscription_id(endpoint),
        principal=principal,
        endpoint=endpoint,
        p256dh=found["p256dh"],
        auth=found["auth"],
        session_us=session_us,
        renewed_us=now_us,
    )


def _is_address(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and not parts.fragment
    except ValueError:
        return False


def _bytes(value: object, name: str, size: int) -> str:
    try:
        text = value if isinstance(value, str) and len(value) <= 2 * size else ""
        decoded = base64url.decode(text)
    except (ValueError, binascii.Error):
        decoded = b""
    if len(decoded) != size:
        msg = f"keys.{name} is {size} bytes in Base64 for URLs, as the browser gave it"
        raise InvalidRequestError(msg, field=f"keys.{name}")
    return base64url.encode(decoded)
