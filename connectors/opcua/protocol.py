"""OPC UA in the catalogue of protocols."""

from __future__ import annotations

from connectors.opcua import address
from connectors.opcua.settings import OpcUaSettings
from connectors.protocol import Context, MachineProtocol
from connectors.readings import Connector


def _make(name: str, settings: OpcUaSettings, context: Context) -> Connector:
    from connectors.opcua.certificates import CertificateStore
    from connectors.opcua.connector import OpcUaConnector

    certificates = CertificateStore(context.shared_dir / "pki", context.gateway_id)
    return OpcUaConnector(
        settings,
        name=name,
        sink=context.sink,
        clock=context.clock,
        certificates=certificates,
        state_dir=context.state_dir,
    )


OPCUA = MachineProtocol(
    name="opcua",
    settings=OpcUaSettings,
    check_address=address.check,
    warn_address=address.warning,
    make=_make,
)
