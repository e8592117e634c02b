"""Who trusts whom on this machine: which certificates the stack's authority issues, and what they may do at the broker.

PostgreSQL proves with its certificate who it is; its clients have passwords. Mosquitto takes certificates alone (`mosquitto`). Kafka has a
listener that takes certificates alone (TLS 1.3), beside the plain one on the loopback interface, whose callers are super users: the
stack's own services have not moved yet. Gateways use the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from authority.book import AuthorityError, Book, Entry, Usage
from base.errors import UnavailableError
from base.settings import KafkaSettings
from enrolment.ledger import Ledger
from registry.plant import GatewaySpec
from stack import mqtt_access, postgres, signing
from stack.config import StackConfig
from stack.errors import StackError, StepError
from stack.mqtt_access import gateway_name
from stack.plant import read_gateways

if TYPE_CHECKING:
    from authority.authority import Authority
    from enrolment.outbox import Outbox

KAFKA, MOSQUITTO = "kafka", "mosquitto"
"""Names of the brokers' certificates, and of their services."""
ENROLMENT = "enrolment"
"""The same of the door where gateways enrol."""
INGESTION = "ingestion"
"""The same of the ingestion service, where it runs."""
_LISTENER = "listener.name.ssl."
KEYSTORE = f"{_LISTENER}ssl.keystore.location"
"""The broker's setting that says where its key and certificate are."""


def book(config: StackConfig) -> Book:
    """The folder of the instance's own authority, for who signs nothing."""
    return Book(config.authority)


def authority(config: StackConfig) -> Authority:
    """The instance's own."""
    # Late, as all that brings a library here: this module says who trusts whom to every command, and few of them sign or ask the broker.
    from authority.authority import Authority

    return Authority(config.authority, title=f"Millrace {config.instance_id}")


def ledger(config: StackConfig) -> Ledger[Book]:
    """Which gateways enrol, and their codes."""
    return Ledger(book(config))


def outbox(config: StackConfig) -> Outbox:
    """Events for the audit log, which the signer sends."""
    from enrolment.outbox import Outbox

    return Outbox(book(config))


def gateways_here(config: StackConfig) -> tuple[tuple[int, GatewaySpec], ...]:
    """Gateways that the stack runs itself, with their places in the plant file: those that do not enrol."""
    elsewhere = ledger(config).read().gateways
    found = enumerate(read_gateways(config.plant))
    return tuple((index, one) for index, one in found if one.id not in elsewhere)


def sites_of_gateways(config: StackConfig) -> dict[str, str]:
    """The site of every gateway by id: of those of the plant file, and of those that enrol, whose own site counts."""
    planned = {one.id: one.site for one in read_gateways(config.plant)}
    return planned | {one.id: one.site for one in ledger(config).read().gateways.values()}


def prepare(config: StackConfig) -> list[str]:
    """Issue and renew what is due; the names. Raises StackError."""
    # Made with its parents, a folder has the umask's mode.
    config.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    config.secrets.chmod(0o700)
    issuing = authority(config)
    wanted = holders(config) | dict.fromkeys((signing.SERVING, signing.REPLAY), (Usage.CLIENT, ()))
    try:
        return issuing.ensure_all(wanted)
    except AuthorityError as error:
        raise StackError(str(error)) from error


def holders(config: StackConfig) -> dict[str, tuple[Usage, tuple[str, ...]]]:
    """Names whose keys are made here, what for, and the addresses of servers. A gateway that enrols makes its own."""
    clients = (*(gateway_name(one.id) for _, one in gateways_here(config)), *nodes(config))
    server = (Usage.SERVER, (config.host, "localhost"))
    return {
        **dict.fromkeys(servers(config), server),
        **dict.fromkeys(clients, (Usage.CLIENT, ())),
    }


def servers(config: StackConfig) -> tuple[str, ...]:
    """Names of those who show a certificate to callers."""
    always = (KAFKA, postgres.CERTIFICATE, MOSQUITTO, ENROLMENT)
    return (*always, INGESTION) if takes_gateways(config) else always


def takes_gateways(config: StackConfig) -> bool:
    """Whether the ingestion service runs: where the settings say so, or a gateway of the plant file goes by it."""
    return config.ingestion or any(one.uplink == INGESTION for one in read_gateways(config.plant))


def nodes(config: StackConfig) -> tuple[str, ...]:
    """Names of the simulated edge nodes."""
    return tuple(map(mqtt_access.node_name, mqtt_access.nodes(read_gateways(config.plant))))


def kafka_table(config: StackConfig, gateway_id: str) -> dict[str, Any]:
    """The table `[kafka]` of a gateway."""
    issued = book(config)
    own = str(issued.file(gateway_name(gateway_id)))
    return {
        "bootstrap_servers": config.kafka_tls,
        "security_protocol": "SSL",
        "ssl_ca_location": str(issued.root_file),
        "ssl_certificate_location": own,
        "ssl_key_location": own,
    }


def ingestion_table(config: StackConfig, gateway_id: str) -> dict[str, Any]:
    """The table `[ingestion]` of a gateway."""
    files = {key: value for key, value in kafka_table(config, gateway_id).items() if key.startswith("ssl_")}
    return {"address": config.ingestion_address, **files}


def mqtt_keys(config: StackConfig, name: str) -> dict[str, str]:
    """Keys of a connection to the MQTT broker, for the holder of a certificate."""
    issued = book(config)
    own = str(issued.file(name))
    return {"ca_file": str(issued.root_file), "certificate_file": own, "key_file": own}


def broker_settings(config: StackConfig) -> dict[str, str | Path]:
    """Rows of the broker's `server.properties` about its listener with certificates and about who may do what."""
    issued = book(config)
    return {
        f"{_LISTENER}ssl.enabled.protocols": "TLSv1.3",
        f"{_LISTENER}ssl.client.auth": "required",
        f"{_LISTENER}ssl.keystore.type": "PEM",
        KEYSTORE: issued.file(KAFKA),
        f"{_LISTENER}ssl.truststore.type": "PEM",
        f"{_LISTENER}ssl.truststore.location": issued.root_file,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Nobody is anonymous with a certificate: these are the callers of the plain listeners, on the loopback interface.
        "super.users": "User:ANONYMOUS",
    }


def principal(entry: Entry) -> str:
    """What the broker calls the holder of a certificate."""
    return f"User:{entry.subject}"


def allow(config: StackConfig) -> int:
    """Tell the broker what each gateway may do, and who is revoked; how many ACLs changed. Raises DeliveryError."""
    from connectors.kafka import acls

    issuing = book(config)
    # Until the broker has them: what somebody else read before a revocation must not be told after it.
    with issuing.held():
        sites = {gateway_name(one): site for one, site in sites_of_gateways(config).items()}
        gateways = [one for one in issuing.entries() if principal(one).startswith(acls.GATEWAYS)]
        good = [(principal(one), sites[one.name]) for one in gateways if one.revoked is None and one.name in sites]
        revoked = [principal(one) for one in gateways if one.revoked is not None]
        return acls.apply(KafkaSettings(bootstrap_servers=config.bootstrap_servers), acls.wanted(good, revoked))


def allow_step(config: StackConfig) -> str:
    """The same, as a step of `up`."""
    try:
        return f"{len(read_gateways(config.plant))} gateways, {allow(config)} changes"
    except UnavailableError as error:
        raise StepError(str(error)) from error
