"""Configuration of the simulator: one TOML file, loaded by `base.settings`.

Only `plant`, `journal`, `opcua.url`, `sparkplug.host`, `sparkplug.port`, `admin.host` and `admin.port` have to be given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

from simulator.rhythm import Rhythm

NO_SECURITY = "NoSecurity"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, kw_only=True, slots=True)
class OpcUaSettings:
    """OPC UA server. `security` names policies and modes as asyncua does (`Basic256Sha256_SignAndEncrypt`).

    Any but NoSecurity needs certificate and key of the server, and a folder with the certificates of the clients it lets in.
    """

    url: str
    security: tuple[str, ...] = (NO_SECURITY,)
    certificate: Path | None = None
    private_key: Path | None = None
    trusted: Path | None = None

    def __post_init__(self) -> None:
        parsed = urlparse(self.url)
        if parsed.scheme != "opc.tcp" or not parsed.hostname or not parsed.port:
            msg = f"opcua.url is {self.url!r}, not opc.tcp://host:port"
            raise ValueError(msg)
        if NO_SECURITY in self.security and parsed.hostname not in LOOPBACK:
            msg = f"opcua.security is {NO_SECURITY} on {parsed.hostname}; anybody there could move the machines"
            raise ValueError(msg)
        if self.secured and not (self.certificate and self.private_key and self.trusted):
            msg = "opcua.security needs opcua.certificate, opcua.private_key and opcua.trusted"
            raise ValueError(msg)

    @property
    def secured(self) -> bool:
        """Whether there is an endpoint with a policy."""
        return bool(set(self.security) - {NO_SECURITY})


@dataclass(frozen=True, kw_only=True, slots=True)
class SparkplugSettings:
    """MQTT broker of the edge nodes. Data is published every `publish_ms`; births, deaths and answers to commands at once.

    With `ca_file` the broker is spoken to over TLS; `certificate_file` has key and certificate of an edge node, for which `{node}` stands
    in its name. Both are PEM, read at each connect.

    With a `primary_host` (`{gateway}` in it stands for the gateway of the site's devices) a node is born only while that host says in its
    STATE message that it is online; otherwise as soon as there is a broker.
    """

    host: str
    port: int
    primary_host: str = ""
    publish_ms: int = 100
    keepalive_s: int = 20
    reconnect_s: float = 1.0
    username: str = ""
    password: str = ""
    ca_file: str = ""
    certificate_file: str = ""

    def __post_init__(self) -> None:
        if self.certificate_file and not self.ca_file:
            msg = "sparkplug.certificate_file needs sparkplug.ca_file"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminSettings:
    """Admin interface: loopback only, it has no authentication."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK:
            msg = f"admin.host is {self.host}, not a loopback address: the interface has no authentication"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultSettings:
    """A fault of the schedule, in seconds from start. Parameters as in `faults`."""

    device: str
    kind: str
    tag: str = ""
    start_s: float = 0.0
    duration_s: float = 0.0
    repeat_s: float = 0.0
    parameters: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatorConfig:
    """The whole file. `journal_keep` bounds the journal: samples, about 50 bytes each."""

    plant: Path
    journal: Path
    opcua: OpcUaSettings
    sparkplug: SparkplugSettings
    admin: AdminSettings
    seed: int = 1
    tick_ms: int = 50
    journal_keep: int = 10_000_000
    rhythm: Rhythm = field(default_factory=Rhythm)
    faults: tuple[FaultSettings, ...] = ()

    def __post_init__(self) -> None:
        if not 5 <= self.tick_ms <= 1000:
            msg = f"tick_ms is {self.tick_ms}, not between 5 and 1000"
            raise ValueError(msg)
