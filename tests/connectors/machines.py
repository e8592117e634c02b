"""The machine of each protocol. One of the catalogue that is missing here fails the suite."""

from __future__ import annotations

from tests.connectors.machine import Machine
from tests.connectors.modbus_machine import ModbusMachine
from tests.connectors.mqtt_machine import MqttMachine
from tests.connectors.opcua_machine import OpcUaMachine
from tests.connectors.sparkplug_machine import SparkplugMachine

MACHINES: dict[str, type[Machine]] = {
    one.protocol: one
    for one in (
        OpcUaMachine,
        SparkplugMachine,
        ModbusMachine,
        MqttMachine,
    )
}
