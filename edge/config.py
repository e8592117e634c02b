"""Configuration of a gateway: one TOML file, `python -m edge --config gateway.toml`.

    gateway_id = "gw-north"
    site = "north"
    state_dir = "/var/lib/millrace/gw-north"
    [kafka]
    bootstrap_servers = "kafka:9092"
    [[connections]]
    name = "line1"
    protocol = "opcua"
    endpoint = "opc.tcp://line1:4840"

A plant that may not open Kafka goes by the ingestion service instead: `uplink.kind` is `ingestion`, and `[ingestion]` has its `address` and
the gateway's certificate. Everything else has a default. A connection's other keys are its protocol's settings (`connectors.catalogue`).
`[admin]`, `[framing]`, `[buffer]`, `[uplink]`, `[thinning]`, `[commands]`, `[clock]`, `[enrolment]`, `[signatures]` and `[at_rest]` are
the tables of the dataclasses named here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from base.settings import KafkaSettings
from connectors.catalogue import Connection
from connectors.enrolment.client import check_server
from connectors.ingestion.settings import IngestionSettings
from edge.at_rest import AtRestSettings
from edge.commands import CommandSettings
from edge.framing import FramingSettings
from edge.segment_store import BufferSettings
from edge.signing import SignatureSettings
from edge.uplink import UplinkSettings, Way

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def is_name(text: str) -> bool:
    """Whether a gateway or a site can be called so."""
    return bool(_NAME.fullmatch(text))


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminSettings:
    """Where `/health`, `/status` and `/metrics` are answered, without authentication; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ThinningSettings:
    """How tags with a deadband are thinned."""

    swinging_door: bool = False
    max_silence_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockSettings:
    """`time_service_expected`: an undisciplined clock is reported as UNSYNCHRONISED instead of UNKNOWN."""

    time_service_expected: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class EnrolmentSettings:
    """Where the gateway renews the certificate of `[kafka]` before its end; empty: somebody else does (`python -m edge enrol` sets it)."""

    server: str = ""

    def __post_init__(self) -> None:
        if self.server:
            check_server(self.server)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConfig:
    """One gateway."""

    gateway_id: str
    site: str
    state_dir: Path
    kafka: KafkaSettings = field(default_factory=lambda: KafkaSettings(bootstrap_servers=""))
    ingestion: IngestionSettings = field(default_factory=IngestionSettings)
    connections: tuple[Connection, ...] = ()
    policies: Path | None = None
    """Policies file (`edge.policy_file`); no interlocks and no rules without one."""
    admin: AdminSettings = field(default_factory=AdminSettings)
    framing: FramingSettings = field(default_factory=FramingSettings)
    buffer: BufferSettings = field(default_factory=BufferSettings)
    uplink: UplinkSettings = field(default_factory=UplinkSettings)
    thinning: ThinningSettings = field(default_factory=ThinningSettings)
    commands: CommandSettings = field(default_factory=CommandSettings)
    clock: ClockSettings = field(default_factory=ClockSettings)
    enrolment: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    signatures: SignatureSettings = field(default_factory=SignatureSettings)
    at_rest: AtRestSettings = field(default_factory=AtRestSettings)
    shutdown_s: float = 5.0

    @property
    def way(self) -> KafkaSettings | IngestionSettings:
        """The table of the way that is gone; both have the gateway's files under the same names."""
        return self.ingestion if self.uplink.kind is Way.INGESTION else self.kafka

    @property
    def identity(self) -> tuple[str, str]:
        """Files of the gateway's own key and certificate, and of whom it believes; empty without."""
        return self.way.ssl_certificate_location, self.way.ssl_ca_location

    def __post_init__(self) -> None:
        for key in ("gateway_id", "site"):
            if not is_name(getattr(self, key)):
                msg = f"{key} is {getattr(self, key)!r}, not made of letters, digits, '_' and '-'"
                raise ValueError(msg)
        kind = self.uplink.kind
        if kind is Way.KAFKA and not self.kafka.bootstrap_servers:
            msg = "kafka.bootstrap_servers is missing, and uplink.kind does not name another way"
            raise ValueError(msg)
        if kind is Way.INGESTION:
            self.ingestion.check()
        if self.enrolment.server and not all(self.identity):
            msg = f"enrolment.server is set, and {kind}.ssl_certificate_location or {kind}.ssl_ca_location is not: what would be renewed?"
            raise ValueError(msg)
        if self.signatures.key and self.enrolment.server:
            msg = "signatures.key is set, and enrolment.server too: a gateway that enrolled signs with the key that it makes; leave one out"
            raise ValueError(msg)
        if self.signatures.enabled and not self.signatures.key and not all(self.identity):
            msg = (
                f"signatures.enabled is set, {kind}.ssl_certificate_location or {kind}.ssl_ca_location is not, nor are signatures.key"
                " and signatures.authority: the key comes from there"
            )
            raise ValueError(msg)
        names = [one.name for one in self.connections]
        if len(set(names)) != len(names):
            msg = f"connections: {next(one for one in names if names.count(one) > 1)} is there twice; addresses could not tell them apart"
            raise ValueError(msg)
