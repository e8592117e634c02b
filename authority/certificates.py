"""Certificates as the authority makes them: one root, and short-lived ones for servers and clients, all with P-256 keys (`base.p256`).

Pure but for the random numbers of keys and serials: enters what shall be in a certificate, leaves objects of `cryptography`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from authority.book import Usage

ROOT_LIFE = timedelta(days=3650)
_SKEW = timedelta(minutes=5)
"""A clock that is a little behind must not refuse what was just made."""


_EXTENDED = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


def subject(name: str, generation: int) -> x509.Name:
    """`CN=name,OU=generation`, as RFC 4514 writes it. Kafka's principal is this text."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(generation)),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def root(title: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """The certificate that everybody trusts; it may sign others, and those none."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    made = _builder(name, name, key.public_key(), now, now + ROOT_LIFE)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(_key_usage(signs_certificates=True), critical=True)
    return made.sign(key, hashes.SHA256())


def leaf(
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    name: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    usage: Usage,
    addresses: Iterable[str],
    now: datetime,
    expires: datetime,
) -> x509.Certificate:
    """A certificate for one program. It does not outlast the root."""
    signer, key = authority
    made = _builder(name, signer.subject, public_key, now, min(expires, signer.not_valid_after_utc))
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(_key_usage(signs_certificates=False), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([_EXTENDED[usage]]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    made = made.add_extension(identifier, critical=False)
    if names := [_alternative(one) for one in addresses]:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> str:
    """The certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _builder(
    name: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, expires: datetime
) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder(issuer, name, public_key, x509.random_serial_number(), now - _SKEW, expires)
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
