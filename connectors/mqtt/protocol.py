"""Plain MQTT in the catalogue of protocols."""

from __future__ import annotations

from connectors.mqtt import address
from connectors.mqtt.settings import PlainMqttSettings
from connectors.protocol import Context, MachineProtocol
from connectors.readings import Connector


def _make(name: str, settings: PlainMqttSettings, context: Context) -> Connector:
    from connectors.mqtt.connector import MqttConnector

    return MqttConnector(settings, name=name, gateway_id=context.gateway_id, sink=context.sink, clock=context.clock)


MQTT = MachineProtocol(
    name="mqtt",
    settings=PlainMqttSettings,
    check_address=address.check,
    machine_of=address.machine_of,
    make=_make,
)
