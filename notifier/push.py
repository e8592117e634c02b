"""Notifications of browsers: Web Push (RFC 8030), for whoever turned it on.

Enters: a message, people. Leaves: what their push services said. The payload is encrypted for the browser (RFC 8291), the request is
signed with the installation's key (VAPID, RFC 8292). It says what a mail says, and no more. A subscription of which the push service
says that it is gone (404, 410) is ended. Those that did not take a message get it later, alone. A browser that gets a message twice,
after a crash, shows it once: it has one tag, and while the browser is away its push service keeps one of a topic.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from urllib.parse import urlsplit
from uuid import UUID

import http_ece
import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02, VapidException

from base import base64url, ids, p256
from base.errors import ConfigError
from base.secrets import resolve
from notifier.channels import PartlyError, RefusedError
from notifier.message import Message, subject
from notifier.routes import Target, WebPush
from notifier.settings import PushSettings
from schemas.priorities import Priority
from schemas.push import LIFE_US, PushSubscription

_MOST_OF_ONE = 20
"""Browsers of a person: the newest."""
_TEXT = 300
_LIFE_S = 12 * 3_600
_SOON = (Priority.CRITICAL, Priority.HIGH)
_LOOPBACK = ("127.0.0.1", "localhost")
_SAID = 300

Gone = Callable[[PushSubscription], Awaitable[None]]
"""Ends a subscription."""


class Answer(Enum):
    """What a push service made of a message."""

    TAKEN = "took it"
    GONE = "gone"
    REFUSED = "refused"
    LATER = "later"


class Subscriptions:
    """Those that hold, by person. Called in the event loop only.

    Enters: records of `alarm.subscriptions` and of `sign.outs`, at least once, per key in order.
    """

    def __init__(self, clock: ids.Clock = ids.now_us) -> None:
        self._clock = clock
        self._known: dict[UUID, PushSubscription] = {}
        self._signed_out_us: dict[str, int] = {}

    def take(self, one: PushSubscription) -> None:
        """One as it stands now."""
        self._known[one.subscription_id] = one

    def drop(self, subscription_id: UUID) -> None:
        """It has ended."""
        self._known.pop(subscription_id, None)

    def sign_out(self, principal: str, before_us: int) -> None:
        """Everything that somebody was signed in with before a time is over."""
        self._signed_out_us[principal] = max(before_us, self._signed_out_us.get(principal, 0))

    def of(self, channel: WebPush) -> list[PushSubscription]:
        """Where a message goes: the newest browsers of these people, or what is left of them."""
        now_us, found = self._clock(), defaultdict[str, list[PushSubscription]](list)
        for one in self._known.values():
            over = one.session_us < self._signed_out_us.get(one.principal, 0) or one.renewed_us < now_us - LIFE_US
            if one.principal in channel.people and not over:
                found[one.principal].append(one)
        newest = [
            one for of_one in found.values() for one in sorted(of_one, key=lambda each: -each.renewed_us)[:_MOST_OF_ONE]
        ]
        return [one for one in newest if not channel.to or str(one.subscription_id) in channel.to]


def payload(message: Message) -> bytes:
    """What the service worker shows: JSON with `id`, `title`, `body`, `alarm` (the most urgent one's id) and `urgent`."""
    first = message.told[0]
    parts = [first.alarm.detail, "" if first.ended else first.alarm.corrective_action]
    document = {
        "id": str(message.message_id),
        "title": subject(message.told),
        "body": "\n".join(part[:_TEXT] for part in parts if part),
        "alarm": str(first.alarm.alarm_id),
        "urgent": not first.ended and first.alarm.priority is Priority.CRITICAL,
        "notifications": message.notification_ids[:20],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


async def send(
    target: Target, message: Message, to: Iterable[PushSubscription], settings: PushSettings, gone: Gone
) -> str:
    """Send once to each; what was said. Raises RefusedError when no browser has it or will have it, PartlyError with those that may later.

    `target.channel.taken`: whether one has it from an earlier attempt.
    """
    channel = target.channel
    assert isinstance(channel, WebPush)
    wanted = list(to)
    if not wanted:
        if channel.taken:
            return "the others have it; those that were left have ended"
        msg = f"no browser of {', '.join(channel.people)} takes notifications"
        raise RefusedError(msg)
    key, body = _key(settings), payload(message)
    # No proxy and no password from the environment: what is told goes where the browser's service is. Each has a time of its own: one
    # that is slow takes nothing from what the others answered.
    async with httpx.AsyncClient(timeout=target.timeout_s, trust_env=False) as client:
        answers = await asyncio.gather(*(_once(client, key, settings, target, message, one, body) for one in wanted))
    for one, (answer, _) in zip(wanted, answers, strict=True):
        if answer is Answer.GONE:
            await gone(one)
    said = "; ".join(f"{one.principal}: {text}" for one, (_, text) in zip(wanted, answers, strict=True))[:_SAID]
    taken = channel.taken or any(how is Answer.TAKEN for how, _ in answers)
    if left := [str(one.subscription_id) for one, (how, _) in zip(wanted, answers, strict=True) if how is Answer.LATER]:
        raise PartlyError(said, tuple(left), taken=taken)
    if not taken:
        raise RefusedError(said)
    return said


async def _once(
    client: httpx.AsyncClient,
    key: Vapid02,
    settings: PushSettings,
    target: Target,
    message: Message,
    one: PushSubscription,
    body: bytes,
) -> tuple[Answer, str]:
    """An answer whatever happens: one browser says nothing of the others. No text of an error, which may have the endpoint in it."""
    try:
        async with asyncio.timeout(target.timeout_s):
            return await _asked(client, key, settings, target, message, one, body)
    except (httpx.InvalidURL, ValueError, VapidException, UnsupportedAlgorithm, http_ece.ECEException) as error:
        return Answer.REFUSED, f"its endpoint, its keys or push.contact are none: {type(error).__name__}"
    except Exception as error:  # noqa: BLE001  # what a network and a library do may pass
        return Answer.LATER, type(error).__name__


async def _asked(
    client: httpx.AsyncClient,
    key: Vapid02,
    settings: PushSettings,
    target: Target,
    message: Message,
    one: PushSubscription,
    body: bytes,
) -> tuple[Answer, str]:
    if not _known(one.endpoint, settings.services):
        return Answer.REFUSED, "its endpoint is at no push service (push.services)"
    parts = urlsplit(one.endpoint)
    claims = {
        "sub": settings.contact,
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": ids.now_us() // 1_000_000 + _LIFE_S,
    }
    soon = message.told[0].alarm.priority in _SOON
    headers = {
        **key.sign(claims),
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "ttl": str(target.give_up_us // 1_000_000),
        "topic": base64url.encode(message.message_id.bytes),
        "urgency": "high" if soon else "normal",
    }
    sealed = encrypted(body, one)
    async with client.stream("POST", one.endpoint, content=sealed, headers=headers) as response:
        status = response.status_code
        text = f"{status} {response.reason_phrase}"
    if response.is_success:
        return Answer.TAKEN, text
    if status in (404, 410):
        return Answer.GONE, text
    # 400, 401 and 403 are about keys and clocks that somebody can put right; 429 and 5xx pass.
    return (Answer.REFUSED if status == 413 else Answer.LATER), text


def encrypted(body: bytes, one: PushSubscription) -> bytes:
    """The body for one browser alone (RFC 8291, aes128gcm). Raises ValueError for keys that are none."""
    sealed: bytes = http_ece.encrypt(
        body,
        salt=os.urandom(16),
        private_key=p256.new_key(),
        dh=base64url.decode(one.p256dh),
        auth_secret=base64url.decode(one.auth),
        version="aes128gcm",
    )
    return sealed


def public_key(pem: bytes) -> str:
    """What a page gives a browser to subscribe with: the public half, Base64 for URLs. Raises ConfigError for no key."""
    return base64url.encode(p256.point(_private(pem).public_key()))


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        return p256.read_key(pem)
    except ValueError as error:
        msg = f"push.key is no private key of P-256 as PEM: {error}"
        raise ConfigError(msg) from None


def _key(settings: PushSettings) -> Vapid02:
    if not settings.key:
        msg = "push.key is not set in notifier.toml: no push service takes anything without it"
        raise ConfigError(msg)
    return Vapid02(_private(resolve(settings.key).encode()))


def _known(endpoint: str, services: Iterable[str]) -> bool:
    """Whether an endpoint is at a push service: a person names it, and the notifier asks no other server."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        return False
    return any(host.endswith(one) if one.startswith(".") else host == one for one in services)
