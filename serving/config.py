"""Settings of the server: `serving.toml`.

Enters: a TOML file and `MILLRACE_SERVING_...` in the environment. Leaves: a frozen `ServingConfig`, refused when it
would open the plant to a network without encryption and authentication.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from base import settings
from base.errors import ConfigError
from base.settings import EndpointSettings, KafkaSettings, PostgresSettings
from connectors.postgres import transport
from connectors.postgres.pool import PoolSettings
from privacy.settings import PrivacySettings
from schemas.signing_keys import until_us
from serving.oidc.settings import OidcSettings
from serving.sign_outs import LONGEST_S


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsSettings:
    """Files in PEM. With `client_ca` every client must show a certificate that it signed."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""

    def __post_init__(self) -> None:
        if bool(self.cert) != bool(self.key):
            msg = "tls.cert and tls.key belong together; one of them is missing"
            raise ValueError(msg)
        if self.client_ca and not self.cert:
            msg = "tls.client_ca needs tls.cert and tls.key"
            raise ValueError(msg)

    @property
    def enabled(self) -> bool:
        """Whether the server speaks TLS."""
        return bool(self.cert)


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitSettings:
    """What one principal may ask for; what one device gets (`device_...`); what the server does in total (`total_...`)."""

    requests_per_s: float = 100.0
    burst: int = 200
    commands_per_s: float = 10.0
    commands_burst: int = 20
    open_streams: int = 50
    watched_tags: int = 50_000
    # Updates of live values a second; more are conflated to the newest. The share of one stream, and of all streams of the process.
    stream_updates_per_s: float = 20_000.0
    total_updates_per_s: float = 100_000.0
    max_expires_ms: int = 24 * 3_600_000
    device_commands_per_s: float = 20.0
    device_commands_burst: int = 40
    total_streams: int = 4_000
    # Reads at once; commands are not among them.
    total_reads: int = 200
    # A loop that comes this late is overloaded: new streams and bulk reads wait, commands pass.
    overload_lag_ms: float = 250.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) <= 0:
                msg = f"limits.{name} must be above 0"
                raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpSettings:
    """The HTTP face: REST, live values for browsers, the page. Empty `listen`: there is none."""

    listen: str = ""
    # Folder that the web build made; empty: only the API.
    page: str = ""
    # What browsers call the server, as scheme://host:port; empty: the listen address, and localhost.
    origins: tuple[str, ...] = ()
    # File with 32 random bytes or more, the same for all processes of the installation; empty: sessions end with the process.
    session_key: str = ""
    session_s: float = 12 * 3_600.0
    # Public half of the key of browsers' notifications (`millrace notify key FILE` says it); empty: nobody can turn them on.
    push_key: str = ""
    # History of a range that is closed may be this old in a cache.
    cache_closed_s: int = 300
    # A cache in front keeps answers for everybody, and asks the server who may read (docs/http.md).
    shared_cache: bool = False
    # Connections at once.
    connections: int = 5_000
    # A request is complete within this time of its first byte; a reader takes something within this time.
    request_s: float = 20.0
    stuck_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("session_s", "request_s", "stuck_s", "connections"):
            if getattr(self, name) <= 0:
                msg = f"http.{name} must be above 0"
                raise ValueError(msg)
        if self.session_s > LONGEST_S:
            msg = f"http.session_s is at most {LONGEST_S:g} (28 days): who signed out everywhere is remembered for 30 days"
            raise ValueError(msg)
        if self.push_key and not _PUSH_KEY.fullmatch(self.push_key):
            msg = "http.push_key is no public key of P-256 in Base64 for URLs, as `millrace notify key FILE` says it"
            raise ValueError(msg)
        if wrong := [origin for origin in self.origins if not _ORIGIN.fullmatch(origin)]:
            msg = f"http.origins has {wrong[0]!r}; an origin is scheme://host or scheme://host:port, without a path"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrailSettings:
    """What goes to the audit log beside commands, planning, sign-ins and whatever is denied."""

    # Reads that were allowed, one event each: many. Without, they are counted by method (metrics) and in the access log.
    reads: bool = False
    # Folder of the log, for those who may read it over gRPC and HTTP; empty: this server does not have it.
    folder: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningSettings:
    """Signatures of commands (`schemas.command_signatures`)."""

    # File with the key and certificate of `serving`, PEM: commands are signed with it. Read again when it changes. Empty: they are not
    # signed.
    key: str = ""
    # File with the certificate of the authority whose word about keys counts: an acknowledgement is shown ahead of the record only when its
    # gateway has signed it. Empty: it is shown unsigned.
    authority: str = ""
    # Commands are signed from this moment on (ISO 8601, with its offset): a gateway that is not upgraded yet cannot read a signed one.
    # Empty: at once.
    sign_from: str = ""

    def __post_init__(self) -> None:
        until_us(self.sign_from, "signing.sign_from")


_PUSH_KEY = re.compile(r"B[A-Za-z0-9_-]{86}")
_ORIGIN = re.compile(r"https?://[^/?#\s@]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServingConfig:
    """The whole file."""

    listen: str
    kafka: KafkaSettings
    # Of history and the accounting; state and commands need no database. The role is a member of millrace_reader and of nothing else.
    postgres: PostgresSettings = field(default_factory=lambda: PostgresSettings(dsn=""))
    history: PoolSettings = field(default_factory=PoolSettings)
    # Of what people enter (WorkService): a member of millrace_planner; empty: that of [postgres], when it is one.
    planner: PostgresSettings = field(default_factory=lambda: PostgresSettings(dsn=""))
    http: HttpSettings = field(default_factory=HttpSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    # Access file of tokens (see `access`). Without one every caller on the loopback interface is the principal `local`.
    tokens: str = ""
    # Folder of Cedar policies (*.cedar) that stand beside the built-in ones; empty: those alone.
    policies: str = ""
    # Where people sign in; the tokens file is for programs then.
    oidc: OidcSettings = field(default_factory=OidcSettings)
    # The directory of people: they are in records by a subject id; empty: by the issuer's subject.
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    audit: TrailSettings = field(default_factory=TrailSettings)
    signing: SigningSettings = field(default_factory=SigningSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    # Commands that ended longer ago are forgotten by the cache; their history is in SQL.
    remember_s: float = 7 * 86_400.0
    drain_s: float = 10.0
    metrics: EndpointSettings = field(default_factory=EndpointSettings)

    def __post_init__(self) -> None:
        for key, listen in (("listen", self.listen), ("http.listen", self.http.listen)):
            if listen and not is_loopback(listen) and not (self.tls.enabled and (self.tokens or self.oidc.issuer)):
                msg = (
                    f"{key} is {listen}, reachable from the network: that needs [tls] cert and key, and a tokens file or [oidc]; "
                    "or listen on 127.0.0.1"
                )
                raise ValueError(msg)
        if self.http.listen and not is_loopback(self.http.listen) and not (self.http.origins and self.http.session_key):
            msg = (
                f"http.listen is {self.http.listen}, reachable from the network: that needs http.origins, what browsers call "
                "the server, and http.session_key, which all its processes share"
            )
            raise ValueError(msg)

    @property
    def browsers_over_tls(self) -> bool:
        """Whether browsers come over TLS: to this process, or to a proxy on this machine that has what all `http.origins` name."""
        origins = self.http.origins
        return self.tls.enabled or (bool(origins) and all(one.lower().startswith("https://") for one in origins))


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a listen address: a unix socket, 127.0.0.0/8, ::1 or localhost."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


SECRET_FILES = frozenset({"tls.key", "tokens", "http.session_key", "signing.key"})


def load(path: Path) -> ServingConfig:
    """Config of one file; raises ConfigError naming the key, also for a file it names that does not exist."""
    config = settings.load(ServingConfig, path, service="serving")
    for one in (config.postgres, config.planner):
        transport.check(one.dsn)
    files = {"tls.cert": config.tls.cert, "tls.key": config.tls.key, "tls.client_ca": config.tls.client_ca}
    files |= {"oidc.ca": config.oidc.ca, "signing.authority": config.signing.authority}
    secret = {"tokens": config.tokens, "http.session_key": config.http.session_key, "signing.key": config.signing.key}
    for key, name in (files | secret).items():
        if name and not Path(name).is_file():
            # Where a secret is expected people write the secret itself.
            shown = "is the name of no file" if key in SECRET_FILES else f"is {name}, which is not a file"
            msg = f"{path}: {key} {shown}"
            raise ConfigError(msg)
    return config
