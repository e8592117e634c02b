"""Ed25519 keys that sign what travels: each is made of the P-256 key of a certificate, and named after the certificate.

So whoever has a certificate of the platform has a key to sign with: it lies nowhere by itself, changes with the certificate, and ends with
it. The two keys do nothing of each other's work: one proves a connection, the other signs records, and which is which is in the derivation
(HKDF-SHA-256). Ed25519 signs the same bytes the same way each time and needs no random numbers for it.

A key's id is `<name>.<generation>.<first 8 bytes of the SHA-256 of the public key>`: people see whose it is. Who believes an id is told so
by the authority (`schemas.signing_keys`), never by the id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from base import p256

SIGNATURE_BYTES = 64
PUBLIC_BYTES = 32
_PURPOSE = b"millrace signing key 1"


def key_id(name: str, generation: int, public: bytes) -> str:
    """Of a public key, raw."""
    return f"{name}.{generation}.{hashlib.sha256(public).digest()[:8].hex()}"


def derived(key: ec.EllipticCurvePrivateKey) -> Ed25519PrivateKey:
    """The signing key that belongs to a certificate's key."""
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    return Ed25519PrivateKey.from_private_bytes(HKDF(SHA256(), 32, None, _PURPOSE).derive(secret))


def public_of(key: Ed25519PrivateKey) -> bytes:
    """Its public key, raw: 32 bytes."""
    return key.public_key().public_bytes_raw()


def holds(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the signature is that key's of these bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A key to sign with, and its id."""

    key: Ed25519PrivateKey
    id: str

    @classmethod
    def of(cls, pem: bytes) -> Signer:
        """Of a file with a P-256 key and its certificate, as the platform's authority names them; raises ValueError."""
        key = derived(p256.read_key(pem))
        name, generation = holder_of(x509.load_pem_x509_certificate(pem))
        return cls(key, key_id(name, generation, public_of(key)))

    @property
    def public(self) -> bytes:
        """Its public key, raw."""
        return public_of(self.key)

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self.key.sign(data)


def holder_of(certificate: x509.Certificate) -> tuple[str, int]:
    """Name and generation in a certificate's subject; raises ValueError."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    try:
        return str(names[0].value), int(units[0].value)
    except (IndexError, ValueError) as error:
        msg = f"the certificate's subject is {certificate.subject.rfc4514_string()!r}, not CN=name,OU=generation"
        raise ValueError(msg) from error
