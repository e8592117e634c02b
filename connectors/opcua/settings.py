"""Settings of an OPC UA connection: the keys of a connection in the plant file and in a gateway's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from base.secrets import check_reference

POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
MODES = ("Sign", "SignAndEncrypt")


@dataclass(frozen=True, kw_only=True, slots=True)
class OpcUaSettings:
    """One server. `password` is a reference (`base.secrets`); certificates and keys are paths of PEM or DER files.

    With a `security_policy` the gateway shows the certificate that it made for itself, unless `certificate` and `private_key` name another
    one, and the server must be on the gateway's trust list, unless `server_certificate` names the only one that is accepted. The user is
    anonymous, or has `username` and `password`, or `user_certificate` and `user_private_key`.
    """

    endpoint: str
    """`opc.tcp://HOST:PORT[/PATH]`."""
    publishing_interval_ms: int = 100
    """How often the server sends; samples in between wait in its queue."""
    queue_size: int = 1000
    """Samples of an item that the server keeps; an overflow is a gap."""
    request_timeout_s: float = 10.0
    """How long the server may take to answer."""
    reconnect_min_s: float = 0.5
    """Pause before the connection is tried again; doubles until `reconnect_max_s`."""
    reconnect_max_s: float = 5.0
    """Longest pause before the connection is tried again."""
    silence_check_s: float = 10.0
    """Items that said nothing for so long are read, in case the server forgot them."""
    history: bool = True
    """Gaps are filled from the server's history, where it keeps one, as historical samples."""
    server_deadband: bool = False
    """The server does not send changes within a tag's deadband, where it can."""
    alarms: bool = False
    """Conditions of the server (alarms) become `STATE` events."""
    security_policy: str = ""
    """`Basic256Sha256`, `Aes128_Sha256_RsaOaep` or `Aes256_Sha256_RsaPss`."""
    security_mode: str = "SignAndEncrypt"
    """`Sign` or `SignAndEncrypt`, with a policy."""
    certificate: str = ""
    """File of another certificate than the gateway's own."""
    private_key: str = ""
    """File of its private key."""
    server_certificate: str = ""
    """File of the only certificate that is accepted, instead of the trust list."""
    username: str = ""
    """User name at the server; anonymous without one."""
    password: str = ""
    """`file:PATH` or `env:NAME`, read at each connect."""
    user_certificate: str = ""
    """File of the certificate of a user who has one instead of a name."""
    user_private_key: str = ""
    """File of its private key."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme != "opc.tcp" or not parts.hostname:
            msg = f"endpoint is {self.endpoint!r}, not opc.tcp://host:port"
            raise ValueError(msg)
        if not 0 < self.publishing_interval_ms <= 1000:
            msg = f"publishing_interval_ms is {self.publishing_interval_ms}, not between 1 and 1000"
            raise ValueError(msg)
        if self.queue_size < 2:
            msg = f"queue_size is {self.queue_size}: a queue of one loses samples"
            raise ValueError(msg)
        if not 0 < self.silence_check_s <= 3600:
            msg = f"silence_check_s is {self.silence_check_s}, not between 0 and 3600"
            raise ValueError(msg)
        check_reference("password", self.password)
        self._check_security()

    def _check_security(self) -> None:
        if self.security_policy and self.security_policy not in POLICIES:
            msg = f"security_policy is {self.security_policy[:80]!r}; known: {', '.join(POLICIES)}, or nothing for none"
            raise ValueError(msg)
        if self.security_mode not in MODES:
            msg = f"security_mode is {self.security_mode[:80]!r}; known: {', '.join(MODES)}"
            raise ValueError(msg)
        for one, other in (("certificate", "private_key"), ("user_certificate", "user_private_key")):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                msg = f"{one} and {other} go together: name both, or neither"
                raise ValueError(msg)
        if (self.certificate or self.server_certificate) and not self.security_policy:
            msg = "certificate, private_key and server_certificate need a security_policy"
            raise ValueError(msg)
        if self.username and self.user_certificate:
            msg = "a user has a username or a user_certificate, not both"
            raise ValueError(msg)
