"""Keys on P-256: whatever is no such key is a ValueError, and a file is made once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from base import p256


def test_a_key_that_was_written_is_read_again() -> None:
    key = p256.new_key()
    assert p256.read_key(p256.key_pem(key).encode()).public_key() == key.public_key()


def _pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    password: bytes = b"",
) -> bytes:
    protected = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protected)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        _pem(ec.generate_private_key(ec.SECP384R1())),
        _pem(ed25519.Ed25519PrivateKey.generate()),
        _pem(p256.new_key(), password=b"a password"),
    ],
    ids=["nothing", "no key", "another curve", "another kind", "with a password"],
)
def test_what_is_no_key_of_this_curve_is_refused(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=r"\w"):
        p256.read_key(text)
    with pytest.raises(ValueError, match=r"\w"):
        p256.read_or_make(file)
    assert file.read_bytes() == text


def test_a_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    made = p256.read_or_make(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert p256.read_or_make(file).public_key() == made.public_key()


def test_a_signature_is_of_one_key_and_one_text() -> None:
    key = p256.new_key()
    signed = p256.sign(key, b"text")
    p256.verify(key.public_key(), signed, b"text")
    for public, text in ((p256.new_key().public_key(), b"text"), (key.public_key(), b"other"), ("no key", b"text")):
        with pytest.raises(InvalidSignature):
            p256.verify(public, signed, text)


def test_a_point_is_uncompressed() -> None:
    key = p256.new_key().public_key()
    point = p256.point(key)
    assert len(point) == 65
    assert point[0] == 4
    assert ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point) == key
