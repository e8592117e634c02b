"""How a message goes out: mail, webhook, MQTT. Enters: a message and a target. Leaves: what the receiver said.

Secrets are read when a message is sent, so a renewed one counts at once. A message that the receiver will never take raises RefusedError;
every other exception is a failure that may pass.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import re
import socket
import ssl
from uuid import uuid4

import aiosmtplib
import httpx

from base import ids
from base.errors import ConfigError, MillraceError
from base.secrets import resolve
from connectors.mqtt_transport.connection import MqttConnection, MqttError
from notifier.message import Message, alertmanager, mail
from notifier.routes import Email, Mqtt, Security, Target, Webhook, WebPush

_REFUSED = frozenset({406, 409, 410, 413, 414, 415, 422})
"""Answers to a message; 401, 403 and 404 are about settings that somebody can put right, and proxies say 400 of what they are not up to."""
_SMTP_LASTING = frozenset(range(500, 600)) - {503, 530, 534, 535, 538, 554}
"""Answers to a message or an address; the others are about settings, or a server's mood."""
_SAID = 300
_GOODBYE_S = 1.0


# They say the address of each request, and those of webhooks and push services are secrets. Here, for every program that sends.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class RefusedError(MillraceError):
    """The receiver will not take this message, however often it is sent."""


class FailedError(MillraceError):
    """The receiver did not take it; it may later."""


class PartlyError(FailedError):
    """Some addresses have it, or will never take it; `left` are those that may later, `taken` whether a browser has it."""

    def __init__(self, message: str, left: tuple[str, ...], *, taken: bool = False) -> None:
        super().__init__(message)
        self.left, self.taken = left, taken


async def send(target: Target, message: Message) -> str:
    """Send once; what the receiver said. Raises RefusedError, or what may pass."""
    async with asyncio.timeout(target.timeout_s):
        match target.channel:
            case Email():
                return await _mail(target.channel, message, target.timeout_s)
            case Webhook():
                return await _webhook(target.channel, message, target.timeout_s)
            case Mqtt():
                return await _mqtt(target.channel, message)
            case WebPush():
                msg = "browsers are told by notifier.push, which knows the subscriptions"
                raise FailedError(msg)


def signature(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`webhook-signature` of Standard Webhooks; a key that begins with `whsec_` is Base64, any other one is what it is."""
    secret = base64.b64decode(key.removeprefix("whsec_")) if key.startswith("whsec_") else key.encode()
    digest = hmac.digest(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


async def _mail(settings: Email, message: Message, timeout_s: float) -> str:
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        username=settings.username or None,
        password=resolve(settings.password) or None,
        use_tls=settings.security is Security.TLS,
        start_tls=settings.security is Security.STARTTLS,
        tls_context=None if settings.security is Security.NONE else _trust(settings.ca_file),
        # The library would ask the resolver, and everybody would wait for it.
        local_hostname=socket.gethostname(),
        timeout=timeout_s,
    )
    try:
        await client.connect()
        refused, said = await client.send_message(
            mail(message, settings, ids.now_us()), sender=settings.sender, recipients=list(settings.to)
        )
        # It has the mail: whether it says good-bye in time is no matter.
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await client.quit()
    except aiosmtplib.SMTPRecipientsRefused as error:
        text = "; ".join(f"{one.recipient}: {one.code} {one.message}" for one in error.recipients)[:_SAID]
        if left := tuple(one.recipient for one in error.recipients if one.code not in _SMTP_LASTING):
            raise PartlyError(text, left) from error
        raise RefusedError(text) from error
    except aiosmtplib.SMTPSenderRefused as error:
        text = f"{error.code} {error.message}"[:_SAID]
        raise FailedError(text) from error
    except aiosmtplib.SMTPDataError as error:
        text = f"{error.code} {error.message}"[:_SAID]
        raise (RefusedError if error.code in _SMTP_LASTING else FailedError)(text) from error
    finally:
        client.close()
    # Some of several addresses: the others have it, and it is said which have not.
    lost = "; ".join(f"{address} refused: {answer.code} {answer.message}" for address, answer in refused.items())
    if left := tuple(address for address, answer in refused.items() if answer.code not in _SMTP_LASTING):
        raise PartlyError(lost[:_SAID], left)
    return f"{said} {lost}".strip()[:_SAID]


async def _webhook(settings: Webhook, message: Message, timeout_s: float) -> str:
    body, number, now_s = alertmanager(message), str(message.message_id), ids.now_us() // 1_000_000
    headers = {
        "content-type": "application/json",
        "user-agent": "millrace-notifier",
        "webhook-id": number,
        "webhook-timestamp": str(now_s),
    }
    if settings.key:
        headers["webhook-signature"] = signature(resolve(settings.key), number, now_s, body)
    if settings.token:
        headers["authorization"] = f"Bearer {_token(settings.token)}"
    # No proxy and no password from the environment: what is told goes where the file says.
    async with (
        httpx.AsyncClient(verify=_trust(settings.ca_file), timeout=timeout_s, trust_env=False) as client,
        client.stream("POST", settings.url, content=body, headers=headers) as response,
    ):
        said = f"{response.status_code} {response.reason_phrase}"
    if response.is_success:
        return said
    raise (RefusedError if response.status_code in _REFUSED else FailedError)(said)


def _token(reference: str) -> str:
    """The library would say a header that it does not take, and so the token."""
    token = resolve(reference)
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        msg = f"secret {reference} is no token: it is empty, or has a blank or a character that no header takes"
        raise ConfigError(msg)
    return token


async def _mqtt(settings: Mqtt, message: Message) -> str:
    connection = MqttConnection(
        settings.broker, client_id=f"millrace-notifier-{uuid4().hex[:12]}", on_message=lambda _: None, max_payload=1024
    )
    try:
        await connection.open()
        await connection.publish_surely(settings.topic, alertmanager(message))
    except MqttError as error:
        raise FailedError(str(error)[:_SAID]) from error
    finally:
        with contextlib.suppress(MqttError):
            await connection.close()
    return "acknowledged by the broker"


def _trust(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)
