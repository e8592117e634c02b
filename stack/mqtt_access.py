"""Who may do what at the stack's MQTT broker: an edge node its own topics and its commands, a gateway the data and commands of its site.

Enters: the gateways of the plant file, and the subjects of certificates that are good. Leaves: the text of Mosquitto's access list, in
which what is not named is denied. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from connectors.sparkplug.names import NAMESPACE, MessageType, host_id_of, is_plain, state_topic
from registry.plant import GatewaySpec
from stack.errors import StackError

_COMMANDS = (MessageType.NCMD, MessageType.DCMD)


def gateway_name(gateway_id: str) -> str:
    """Name of a gateway's certificate, and of its service."""
    return f"gateway-{gateway_id}"


def node_name(site: str) -> str:
    """Name of the certificate of a site's simulated edge node."""
    return f"node-{_node(site)}"


def nodes(gateways: Iterable[GatewaySpec]) -> tuple[str, ...]:
    """Sites whose Sparkplug machines are played by the simulator: each is an edge node."""
    return tuple(dict.fromkeys(one.site for one in gateways if _hosts(one)))


def access_list(gateways: Sequence[GatewaySpec], subjects: Mapping[str, str]) -> str:
    """Mosquitto's file. `subjects` are those of names whose certificates are good. Raises StackError for a gateway that breaks its rows."""
    for one in gateways:
        check(one)
    rules = {
        **{gateway_name(one.id): _gateway(one) for one in gateways if _hosts(one)},
        **{node_name(site): _of_node(site, gateways) for site in nodes(gateways)},
    }
    rows = ["# Rendered by `python -m stack`; edits are overwritten. What is not named here is denied."]
    for name in sorted(set(rules) & set(subjects)):
        rows += ["", f"user {subjects[name]}", *rules[name]]
    return "\n".join(rows) + "\n"


def _gateway(gateway: GatewaySpec) -> list[str]:
    return [
        *(
            f"topic {'write' if kind in _COMMANDS else 'read'} {_topic(gateway.site, kind, '+')}"
            for kind in MessageType
        ),
        *(f"topic readwrite {state_topic(host)}" for host in _hosts(gateway)),
    ]


def _of_node(site: str, gateways: Iterable[GatewaySpec]) -> list[str]:
    hosts = dict.fromkeys(host for one in gateways if one.site == site for host in _hosts(one))
    return [
        *(
            f"topic {'read' if kind in _COMMANDS else 'write'} {_topic(site, kind, _node(site))}"
            for kind in MessageType
        ),
        *(f"topic read {state_topic(host)}" for host in hosts),
    ]


def _topic(site: str, kind: MessageType, node: str) -> str:
    return f"{NAMESPACE}/{site}/{kind}/{node}" + ("/+" if kind.startswith("D") else "")


def check(gateway: GatewaySpec) -> None:
    """Raise StackError for a gateway that cannot be let in as it is written."""
    if len(hosts := _hosts(gateway)) > 1:
        msg = (
            f"gateway {gateway.id} has {len(hosts)} simulated connections with protocol sparkplug, and the stack's broker, which knows it"
            " by its certificate, would end one for the other for ever: write one, which reads all nodes of the site"
        )
        raise StackError(msg)
    for host in hosts:
        if not is_plain(host) or set(host) & set("+#/"):
            msg = f"gateway {gateway.id} has host_id {host[:100]!r}; line breaks, control characters, `+`, `#` and `/` have no place in it"
            raise StackError(msg)


def _hosts(gateway: GatewaySpec) -> list[str]:
    """What a gateway is called where it listens to simulated nodes; nothing when it does not."""
    played = [one for one in gateway.connections if one.simulated and one.protocol == "sparkplug"]
    return [host_id_of(gateway.id, str(one.settings.get("host_id") or "")) for one in played]


def _node(site: str) -> str:
    # As the simulator calls it (`simulator.sparkplug_node`), and the group is the site.
    return f"sim-{site}"
