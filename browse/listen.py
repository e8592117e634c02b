"""Listens at an MQTT broker for some seconds. Publishes nothing, unless births are asked for by name (`rebirth`)."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from base.errors import MillraceError
from base.ids import now_us
from browse.heard import MAX_PAYLOAD, Heard
from connectors.mqtt_transport.connection import Message, MqttConnection, MqttError
from connectors.mqtt_transport.settings import MqttSettings
from connectors.sparkplug import payload
from connectors.sparkplug.data_types import DataType
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import Metric, Payload

_STEP_S = 1.0


class ListenError(MillraceError):
    """The broker does not answer, or not for this user."""


async def listen(
    settings: MqttSettings, topics: str, seconds: float, *, rebirth: bool, progress: Callable[[int, int], None]
) -> Heard:
    """What comes at a filter within so many seconds; with `rebirth`, edge nodes whose birth is missing are asked for it once.

    Raises ListenError.
    """
    heard, asked, messages = Heard(), set[tuple[str, str]](), 0

    def on_message(message: Message) -> None:
        nonlocal messages
        messages += 1
        heard.take(message.topic, message.data)

    name = f"millrace-browse-{secrets.token_hex(4)}"
    connection = MqttConnection(settings, client_id=name, on_message=on_message, max_payload=MAX_PAYLOAD)
    try:
        await connection.open()
        if refused := await connection.subscribe([(topics, 0)]):
            msg = f"{settings.endpoint}: {topics}: {refused[topics]}"
            raise ListenError(msg)
        left = seconds
        while left > 0:
            await connection.ended(min(_STEP_S, left))
            left -= _STEP_S
            progress(messages, round(max(left, 0)))
            for node in set(heard.unborn()) - asked if rebirth else ():
                asked.add(node)
                connection.publish(*_request(*node))
    except MqttError as error:
        msg = f"{settings.endpoint}: {error}"
        raise ListenError(msg) from error
    finally:
        await connection.close()
    return heard


def _request(group: str, node: str) -> tuple[str, bytes]:
    """Topic and payload of a request for rebirth (Sparkplug 3.0, 6.4.20)."""
    metric = Metric(name=payload.REBIRTH_METRIC, data_type=DataType.BOOLEAN, value=True)
    return str(Topic(group, MessageType.NCMD, node)), payload.encode(
        Payload(time_ms=now_us() // 1000, metrics=(metric,))
    )
