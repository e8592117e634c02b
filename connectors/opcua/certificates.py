"""The gateway's own application instance certificate, and the list of server certificates that it trusts: files in one folder.

    own.der own.pem          certificate and private key (mode 0600); made at first use, made anew by `renew`
    trusted/*.der *.pem      certificates of servers, or of authorities that signed them
    trusted/*.crl            revocation lists of these authorities
    rejected/<sha256>.der    certificates that servers showed and nobody trusts yet

Who uses it: sessions with security (`connectors.opcua.security`) and `python -m edge certificate`. All connections of a gateway share it. A
certificate is named by its SHA-256 fingerprint in hexadecimal.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asyncua.crypto import cert_gen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from base import files
from base.errors import ConfigError
from connectors.opcua import revocation

VALID_DAYS = 1825
_LARGEST = 64 * 1024
_REJECTED_KEPT = 100
_SHORTEST = 8
_PEM = b"-----BEGIN"
_SUFFIXES = frozenset({".der", ".pem", ".crt", ".cer"})


class UntrustedError(ConfigError):
    """A server shows a certificate that nobody trusts: a person has to look at it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An application instance: certificate and key, with the application URI that the certificate carries."""

    certificate: x509.Certificate
    key: PrivateKeyTypes
    uri: str


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 in hexadecimal, as OPC UA tools show it."""
    return certificate.fingerprint(hashes.SHA1()).hex()


def uri_of(certificate: x509.Certificate) -> str:
    """Application URI that a certificate carries; empty when it has none."""
    with contextlib.suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")
    return ""


def describe(certificate: x509.Certificate) -> str:
    """Subject, validity and fingerprint in one line."""
    subject = certificate.subject.rfc4514_string()[:200]
    return f"{subject}, valid until {certificate.not_valid_after_utc:%Y-%m-%d}, SHA-256 {fingerprint(certificate)}"


def read_certificate(path: Path, *, key: str) -> x509.Certificate:
    """Certificate of a PEM or DER file; raises ConfigError that names the setting `key`."""
    data = _read(path, key)
    if b"PRIVATE KEY-----" in data:
        msg = f"{key}: {path} holds a private key, not a certificate"
        raise ConfigError(msg)
    try:
        return x509.load_pem_x509_certificate(data) if data.startswith(_PEM) else x509.load_der_x509_certificate(data)
    except ValueError as error:
        msg = f"{key}: {path} is no X.509 certificate in PEM or DER"
        raise ConfigError(msg) from error


def read_key(path: Path, *, key: str) -> PrivateKeyTypes:
    """Private key of a PEM or DER file without a password; raises ConfigError that names the setting `key`."""
    data = _read(path, key)
    if b"BEGIN CERTIFICATE-----" in data:
        msg = f"{key}: {path} holds a certificate, not a private key"
        raise ConfigError(msg)
    load = serialization.load_pem_private_key if data.startswith(_PEM) else serialization.load_der_private_key
    try:
        return load(data, password=None)
    except (ValueError, TypeError) as error:
        with contextlib.suppress(ValueError):
            x509.load_der_x509_certificate(data)
            msg = f"{key}: {path} holds a certificate, not a private key"
            raise ConfigError(msg) from error
        msg = f"{key}: {path} is no private key in PEM or DER without a password"
        raise ConfigError(msg) from error


def read_identity(certificate: Path, private_key: Path, *, keys: tuple[str, str]) -> Identity:
    """A certificate and its key; raises ConfigError, also when they do not belong together."""
    found = read_certificate(certificate, key=keys[0])
    own = read_key(private_key, key=keys[1])
    if own.public_key() != found.public_key():
        msg = f"{keys[1]}: {private_key} is not the key of the certificate {certificate}"
        raise ConfigError(msg)
    if not isinstance(own, rsa.RSAPrivateKey):
        msg = f"{keys[1]}: {private_key} is no RSA key; the security policies of OPC UA need one"
        raise ConfigError(msg)
    return Identity(found, own, uri_of(found))


class CertificateStore:
    """The folder of one gateway. Methods raise ConfigError, or OSError when the folder cannot be used."""

    def __init__(self, folder: Path, gateway_id: str) -> None:
        self.folder = folder
        self._gateway_id = gateway_id
        self.certificate_file, self._key = folder / "own.der", folder / "own.pem"
        self._trusted, self._rejected = folder / "trusted", folder / "rejected"

    @property
    def default_uri(self) -> str:
        """Application URI of a gateway that was given no other."""
        return f"urn:millrace:{self._gateway_id}"

    def own(self) -> Identity:
        """The gateway's own certificate; made when there is none."""
        if not self.certificate_file.exists() or not self._key.exists():
            return self.renew()
        return read_identity(self.certificate_file, self._key, keys=("own certificate", "own private key"))

    def renew(self, uri: str = "") -> Identity:
        """Make another certificate and key: servers have to be told. The application URI stays unless another one is given."""
        if not uri and self.certificate_file.exists():
            uri = uri_of(read_certificate(self.certificate_file, key="own certificate"))
        uri = uri or self.default_uri
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:\S{1,1000}", uri):
            msg = f"the application URI {uri[:200]!r} is no URI, such as urn:example:gateway-1"
            raise ConfigError(msg)
        key = cert_gen.generate_private_key()
        certificate = cert_gen.generate_self_signed_app_certificate(
            key,
            f"millrace gateway {self._gateway_id}"[:64],
            {"organizationName": "millrace"},
            [x509.UniformResourceIdentifier(uri), x509.DNSName(socket.gethostname())],
            extended=[ExtendedKeyUsageOID.CLIENT_AUTH],
            days=VALID_DAYS,
        )
        _write(self._key, cert_gen.dump_private_key_as_pem(key))
        _write(self.certificate_file, certificate.public_bytes(serialization.Encoding.DER))
        return Identity(certificate, key, uri)

    def trusted(self) -> list[x509.Certificate]:
        """Certificates that are trusted, servers' and authorities'."""
        return list(_certificates_in(self._trusted))

    def revocation_lists(self) -> list[x509.CertificateRevocationList]:
        """Lists of what authorities have revoked; one that cannot be read is an error, for it may name the server."""
        found = []
        for path in _files_in(self._trusted, frozenset({".crl"})):
            try:
                found.append(revocation.parse(_read(path, self._trusted.name)))
            except ValueError as error:
                msg = f"{self._trusted.name}: {path} is no revocation list in PEM or DER"
                raise ConfigError(msg) from error
        return found

    def rejected(self) -> list[x509.Certificate]:
        """Certificates that servers showed and nobody trusts yet."""
        return list(_certificates_in(self._rejected))

    def check(self, data: bytes, *, now: datetime | None = None) -> x509.Certificate:
        """The certificate of a server, when it is trusted and valid; raises UntrustedError that says what to do."""
        try:
            certificate = x509.load_der_x509_certificate(data)
        except ValueError as error:
            msg = "the server's certificate cannot be read"
            raise UntrustedError(msg) from error
        trusted = self.trusted()
        authorities = [one for one in trusted if _signed_by(certificate, one)]
        if certificate not in trusted and not authorities:
            self._keep_rejected(certificate, data)
            short = fingerprint(certificate)[:16]
            msg = (
                f"the server's certificate is not trusted: {describe(certificate)}. Compare the fingerprint with the server's, "
                f"then run: python -m edge certificate trust {short} --pki {self.folder}"
            )
            raise UntrustedError(msg)
        at = now or datetime.now(UTC)
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            msg = f"the server's certificate is not valid at {at:%Y-%m-%d %H:%M} UTC: {describe(certificate)}"
            raise UntrustedError(msg)
        lists = self.revocation_lists()
        for one in (certificate, *authorities):
            if problem := revocation.problem(one, lists, trusted):
                msg = f"the server's certificate is not trusted: {problem}: {describe(one)}"
                raise UntrustedError(msg)
        return certificate

    def trust(self, name: str) -> x509.Certificate:
        """Trust a rejected certificate by its fingerprint, or the beginning of it; raises ConfigError."""
        wanted = re.sub(r"[:\s]", "", name).lower()
        if len(wanted) < _SHORTEST:
            msg = f"{name[:80]!r} is too short: give at least {_SHORTEST} digits of the fingerprint"
            raise ConfigError(msg)
        found = [
            one for one in self.rejected() if fingerprint(one).startswith(wanted) or thumbprint(one).startswith(wanted)
        ]
        if len(found) != 1:
            known = "; ".join(describe(one) for one in self.rejected()[:10]) or "none"
            msg = f"{len(found)} rejected certificates begin with {wanted[:80]}; rejected are: {known}"
            raise ConfigError(msg)
        (certificate,) = found
        name = f"{fingerprint(certificate)}.der"
        _write(self._trusted / name, certificate.public_bytes(serialization.Encoding.DER), mode=0o644)
        (self._rejected / name).unlink(missing_ok=True)
        return certificate

    def _keep_rejected(self, certificate: x509.Certificate, data: bytes) -> None:
        path = self._rejected / f"{fingerprint(certificate)}.der"
        if not path.exists() and len(list(_files_in(self._rejected))) < _REJECTED_KEPT:
            _write(path, data, mode=0o644)


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority signed a certificate itself."""
    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return True


def _files_in(folder: Path, suffixes: frozenset[str] = _SUFFIXES) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from sorted(path for path in folder.iterdir() if path.suffix in suffixes)


def _certificates_in(folder: Path) -> Iterator[x509.Certificate]:
    for path in _files_in(folder):
        yield read_certificate(path, key=folder.name)


def _read(path: Path, key: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        msg = f"{key}: {path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    if len(data) > _LARGEST:
        msg = f"{key}: {path} is larger than {_LARGEST} bytes"
        raise ConfigError(msg)
    return data


def _write(path: Path, data: bytes, *, mode: int = files.OWNERS) -> None:
    """Write a file as a whole, readable by its owner alone unless told."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(path, data, mode=mode)
