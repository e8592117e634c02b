"""The key of browsers' notifications (Web Push, VAPID) of the local stack: made once, since browsers know the installation by it.

Leaves: the file of the private half, which the notifier signs with, and the public half, which serving gives to browsers.
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from base import files
from stack.config import StackConfig
from stack.errors import StackError


def private_file(config: StackConfig) -> Path:
    """Where the private half is, as PEM."""
    return config.secrets / "push-key.pem"


def public_half(config: StackConfig) -> str:
    """The public half as browsers take it: an uncompressed point of P-256 in Base64 for URLs. Makes the key where there is none.

    Raises StackError for a file that holds no such key.
    """
    path = private_file(config)
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(path, made.private_bytes(*form), mode=files.OWNERS)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        msg = f"{path} is no private key of P-256 as PEM: remove it, and `up` makes another; browsers turn notifications on anew"
        raise StackError(msg)
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()
