"""Sparkplug B in the catalogue of protocols."""

from __future__ import annotations

from connectors.protocol import Context, MachineProtocol
from connectors.readings import Connector
from connectors.sparkplug import names
from connectors.sparkplug.settings import SparkplugSettings


def _make(name: str, settings: SparkplugSettings, context: Context) -> Connector:
    from connectors.sparkplug.host import SparkplugConnector

    return SparkplugConnector(
        settings, name=name, gateway_id=context.gateway_id, sink=context.sink, clock=context.clock
    )


SPARKPLUG = MachineProtocol(
    name="sparkplug",
    settings=SparkplugSettings,
    check_address=names.check_address,
    machine_of=names.machine_of,
    make=_make,
)
