"""The key of browsers' notifications (Web Push, VAPID) of the local stack: made once, since browsers know the installation by it.

Leaves: the file of the private half, which the notifier signs with, and the public half, which serving gives to browsers.
"""

from __future__ import annotations

from pathlib import Path

from stack.config import StackConfig
from stack.errors import StackError


def private_file(config: StackConfig) -> Path:
    """Where the private half is, as PEM."""
    return config.secrets / "push-key.pem"


def public_half(config: StackConfig) -> str:
    """The public half as browsers take it: an uncompressed point of P-256 in Base64 for URLs. Makes the key where there is none.

    Raises StackError for a file that holds no such key.
    """
    from base import base64url, p256  # late: `private_file` is asked for by those who make no key

    path = private_file(config)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        key = p256.read_or_make(path)
    except ValueError:
        msg = f"{path} is no private key of P-256 as PEM: remove it, and `up` makes another; browsers turn notifications on anew"
        raise StackError(msg) from None
    return base64url.encode(p256.point(key.public_key()))
