"""How a session is secured: policy and mode of the settings, the gateway's certificate, a server that is trusted, the user.

Enters: settings, the gateway's certificate store. Leaves: an asyncua client that is ready to connect. Whatever only a person can mend is a
ConfigError that says how.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from base import secrets
from base.errors import ConfigError
from connectors.opcua import expiry, revocation
from connectors.opcua.certificates import CertificateStore, Identity, read_certificate, read_identity
from connectors.opcua.settings import OpcUaSettings

_POLICIES = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}


class Security:
    """Security of one connection; `own` is the certificate that it shows, None without security."""

    def __init__(self, settings: OpcUaSettings, store: CertificateStore) -> None:
        self._settings, self._store = settings, store
        self.own: Identity | None = None
        self._server: x509.Certificate | None = None
        self._user: x509.Certificate | None = None
        self._lists: list[x509.CertificateRevocationList] = []

    def warnings(self, now: datetime) -> list[str]:
        """Certificates of the last attempt that expire soon, and revocation lists of the server's issuer that are out of date."""
        settings = self._settings
        renew = (
            f"run python -m edge certificate renew --pki {self._store.folder}, and have every server trust the new one"
        )
        own = None if self.own is None else self.own.certificate
        found = [
            expiry.warning(certificate, whose, advice, now)
            for certificate, whose, advice in (
                (own, "this gateway's", f"replace {settings.certificate}" if settings.certificate else renew),
                (self._server, "the server's", "renew it at the server, and trust the new one here"),
                (self._user, "the user's", f"replace {settings.user_certificate}"),
            )
            if certificate is not None
        ]
        issuer = None if self._server is None else self._server.issuer
        return [
            *filter(None, found),
            *filter(None, (revocation.outdated(one, now) for one in self._lists if one.issuer == issuer)),
        ]

    async def prepare(self, client: Any) -> None:
        """Give an asyncua client what it needs to connect; raises ConfigError, and what asyncua raises while it asks for endpoints."""
        settings = self._settings
        self.own = self._identity() if settings.security_policy else None
        client.application_uri = self.own.uri if self.own is not None else self._store.default_uri
        if self.own is not None:
            await self._secure(client, self.own)
        if settings.user_certificate:
            paths = Path(settings.user_certificate), Path(settings.user_private_key)
            user = read_identity(*paths, keys=("user_certificate", "user_private_key"))
            self._user = user.certificate
            client.user_certificate, client.user_private_key = user.certificate, user.key
        elif settings.username:
            client.set_user(settings.username)
            client.set_password(secrets.resolve(settings.password))

    def _identity(self) -> Identity:
        settings = self._settings
        if not settings.certificate:
            return self._store.own()
        found = read_identity(
            Path(settings.certificate), Path(settings.private_key), keys=("certificate", "private_key")
        )
        if not found.uri:
            msg = f"certificate: {settings.certificate} has no application URI (a URI in its subject alternative name)"
            raise ConfigError(msg)
        return found

    async def _secure(self, client: Any, own: Identity) -> None:
        settings = self._settings
        policy, mode = _POLICIES[settings.security_policy], getattr(ua.MessageSecurityMode, settings.security_mode)
        server = self._server = self._trusted(await self._endpoint(policy.URI, mode))
        await client.set_security(
            policy,
            CertProperties(own.certificate.public_bytes(serialization.Encoding.DER), "der"),
            CertProperties(_pem(own), "pem"),
            server_certificate=CertProperties(server.public_bytes(serialization.Encoding.DER), "der"),
            mode=mode,
        )

    async def _endpoint(self, policy_uri: str, mode: Any) -> Any:
        """The endpoint with this policy and mode; the server is asked over a connection of its own, without security."""
        asking = Client(self._settings.endpoint, timeout=self._settings.request_timeout_s)
        endpoints = await asking.connect_and_get_server_endpoints()
        for endpoint in endpoints:
            if (endpoint.SecurityPolicyUri, endpoint.SecurityMode) == (policy_uri, mode) and endpoint.ServerCertificate:
                return endpoint
        offered = sorted({f"{one.SecurityPolicyUri.rpartition('#')[2]} {one.SecurityMode.name}" for one in endpoints})
        wanted = f"{self._settings.security_policy} {self._settings.security_mode}"
        msg = f"the server offers no endpoint with {wanted}; it offers {', '.join(offered)[:500] or 'none'}"
        raise ConfigError(msg)

    def _trusted(self, endpoint: Any) -> x509.Certificate:
        data = _first(endpoint.ServerCertificate)
        if self._settings.server_certificate:
            pinned = read_certificate(Path(self._settings.server_certificate), key="server_certificate")
            if pinned.public_bytes(serialization.Encoding.DER) != data:
                msg = f"the server shows another certificate than {self._settings.server_certificate}"
                raise ConfigError(msg)
            return pinned
        self._lists = self._store.revocation_lists()
        return self._store.check(data)


def _pem(own: Identity) -> bytes:
    return own.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _first(chain: bytes) -> bytes:
    """The first certificate of a chain in DER: a SEQUENCE with its length in two bytes."""
    if len(chain) > 4 and chain[0] == 0x30 and chain[1] == 0x82:
        return chain[: int.from_bytes(chain[2:4], "big") + 4]
    return chain
