"""Keys and self-signed certificates of the foreign servers and of the client that meets them."""

from __future__ import annotations

import socket
from pathlib import Path

from asyncua.crypto import cert_gen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID


def make(folder: Path, name: str, application_uri: str) -> tuple[Path, Path]:
    """Certificate (DER) and private key (PEM) of an application of this machine."""
    key = cert_gen.generate_private_key()
    certificate = cert_gen.generate_self_signed_app_certificate(
        key, name, {},
        [x509.UniformResourceIdentifier(application_uri), x509.DNSName(socket.gethostname()), x509.DNSName("localhost")],
        extended=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], days=365,
    )  # fmt: skip
    paths = folder / f"{name}.der", folder / f"{name}.key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.DER))
    paths[1].write_bytes(cert_gen.dump_private_key_as_pem(key))
    paths[1].chmod(0o600)
    return paths
