"""Keys on the curve P-256 (secp256r1): made, written, read, signed with, in one place.

librdkafka, Java, libpq, Mosquitto and browsers all take them, and TLS 1.3 has to. Keys come from PEM and go to PEM (PKCS 8, which Java asks
for), without a password: files are for their owner alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from base import files


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The key as text, PKCS 8."""
    made = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode()


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The key of a text that has one, before whatever else is in it; raises ValueError."""
    try:
        found = serialization.load_pem_private_key(pem, None)
    except (TypeError, UnsupportedAlgorithm) as error:  # it has a password; it is of a kind that nobody knows
        raise ValueError(str(error)) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        msg = "the key is not on the curve P-256"
        raise ValueError(msg)
    return found


def read_or_make(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of a file; where there is no file, a new key, which is in it (mode 0600) and outlasts a loss of power.

    Raises ValueError for a file without a key of this curve, OSError. The folder is there.
    """
    try:
        return read_key(path.read_bytes())
    except FileNotFoundError:
        made = new_key()
        files.replace_durably(path, key_pem(made), mode=files.OWNERS)
        return made


def is_public(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Whether it is a public key on this curve."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """The public key as an uncompressed point (X9.62): 65 bytes, of which the first is 4. Web Push has keys in this form."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """The signature of `data`: ECDSA with SHA-256, in DER."""
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def verify(key: object, signature: bytes, data: bytes) -> None:
    """Raise InvalidSignature unless it is what `sign` made of `data` with this public key's private one."""
    if not is_public(key):
        raise InvalidSignature
    key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
