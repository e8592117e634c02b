"""Modbus TCP in the catalogue of protocols."""

from __future__ import annotations

from connectors.modbus import address
from connectors.modbus.settings import ModbusSettings
from connectors.protocol import Context, MachineProtocol
from connectors.readings import Connector


def _make(name: str, settings: ModbusSettings, context: Context) -> Connector:
    from connectors.modbus.connector import ModbusConnector

    return ModbusConnector(settings, name=name, sink=context.sink, clock=context.clock)


MODBUS = MachineProtocol(name="modbus", settings=ModbusSettings, check_address=address.check, make=_make)
