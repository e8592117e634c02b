"""The catalogue of protocols: what a connection's table may say, and which addresses there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from base import ids
from base.errors import ConfigError
from base.settings import parse
from connectors.catalogue import PROTOCOLS
from connectors.protocol import Context
from edge.config import GatewayConfig
from tests.integration.gateway_support import MemorySink

OPCUA = {"name": "line1", "protocol": "opcua", "endpoint": "opc.tcp://line1:4840"}


def gateway(*connections: object) -> GatewayConfig:
    own = {"gateway_id": "gw", "site": "north", "state_dir": Path("state"), "kafka": {"bootstrap_servers": "k"}}
    return parse(GatewayConfig, {**own, "connections": list(connections)}, where="gateway.toml")


def test_a_table_becomes_a_connection_with_its_protocols_settings() -> None:
    found = gateway({**OPCUA, "queue_size": 9}, {"name": "b", "protocol": "sparkplug", "endpoint": "mqtts://mqtt"})
    line1, broker = found.connections
    assert (line1.name, line1.protocol, line1.settings.queue_size) == ("line1", PROTOCOLS["opcua"], 9)
    assert (broker.settings.host, broker.settings.port, broker.settings.tls) == ("mqtt", 8883, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, r"connections\[0\]: name is 'a b'"),
        ({"protocol": "profinet"}, r"connections\[0\]: protocol is 'profinet'; known: .*opcua"),
    ],
)
def test_a_connection_that_cannot_be_told_from_others_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gateway({**OPCUA, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "x"}, r"connections\[0\] line1: unknown key 'url'"),
        ({"endpoint": "http://line1"}, r"connections\[0\] line1: endpoint is 'http://line1', not opc.tcp"),
        ({"password": "secret"}, r"connections\[0\] line1: password is not a reference"),
        ({"queue_size": 1}, r"connections\[0\] line1: queue_size is 1"),
        ({"security_policy": "Basic257"}, r"connections\[0\] line1: security_policy is 'Basic257'"),
    ],
)
def test_wrong_settings_cost_their_connection_alone(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    wrong, right = gateway({**OPCUA, **changes}, {**OPCUA, "name": "line2"}).connections
    assert re.search(message, wrong.problem)
    assert not right.problem
    context = Context(gateway_id="gw", sink=MemorySink(), clock=ids.now_us, state_dir=tmp_path, shared_dir=tmp_path)
    with pytest.raises(ConfigError, match=message):
        wrong.make(context)
    assert right.make(context).name == "line2"


def test_two_connections_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="connections: line1 is there twice"):
        gateway(OPCUA, OPCUA)


def test_every_protocol_is_complete() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert next(iter(protocol.settings.__dataclass_fields__)) == "endpoint"


@pytest.mark.parametrize(
    "text",
    ["nsu=urn:plc;s=a b;c=1", "nsu=http://x/y?a=1;i=7", "ns=4;i=4294967295", "i=2258", "s=x", "ns=3;b=AQID", "s=\"DB\".\"x\"",
     "ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a"],
)  # fmt: skip
def test_node_ids_of_every_kind_are_addresses(text: str) -> None:
    PROTOCOLS["opcua"].check_address(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temperature", "no node id"),
        ("ns=2", "no node id"),
        ("ns=70000;i=1", "above 65535"),
        ("i=4294967296", "not a number between"),
        ("i=x", "not a number between"),
        ("s=", "empty or longer"),
        ("s=" + "x" * 5000, "empty or longer"),
        ("g=12", "not a GUID"),
        ("b=%", "not base64"),
        ("nsu=;s=a", "no node id"),
    ],
)
def test_what_is_no_node_id_is_refused_with_its_cause(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        PROTOCOLS["opcua"].check_address(text)
    assert len(str(caught.value)) < 500


def test_an_index_as_identity_is_warned_of() -> None:
    assert "nsu=" in PROTOCOLS["opcua"].warn_address("ns=2;s=a")
    assert "ns=2 is an index" in PROTOCOLS["opcua"].warn_address("call(nsu=urn:x;s=a,ns=2;s=b)#.c")
    assert not any(PROTOCOLS["opcua"].warn_address(text) for text in ("nsu=urn:x;s=a", "ns=0;i=2258", "i=2258"))


def test_sparkplug_addresses_have_four_levels() -> None:
    for text in ("north/n1/d1/speed", "north/n1//uptime", "g/n/d/Outputs/A/b"):
        PROTOCOLS["sparkplug"].check_address(text)
    for text in ("north/n1/speed", "/n1/d1/speed", "g/n/d/", "g/+/d/m", "x"):
        with pytest.raises(ValueError, match="is not <group>/<edge node>/<device>/<metric>"):
            PROTOCOLS["sparkplug"].check_address(text)
