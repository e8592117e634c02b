"""Certificate requests, as the gateway makes them and the signer reads them. P-256 only (`base.p256`), as the authority's."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from base import p256
from base.errors import InvalidRequestError


def request_pem(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    """A certificate request for a key; the name is for people."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    made = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def requested_key(pem: str) -> ec.EllipticCurvePublicKey:
    """The public key of a request that was signed with the private one; raises InvalidRequestError."""
    msg = "the certificate request is none: a PKCS 10 request in PEM, of a key on the curve P-256, signed with that key"
    try:
        found = x509.load_pem_x509_csr(pem.encode())
        key = found.public_key()
        if not p256.is_public(key) or not found.is_signature_valid:
            raise InvalidRequestError(msg)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType):
        raise InvalidRequestError(msg) from None
    return key


def key_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo: what tells one key from another."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
