r"""Base64 for URLs and file names without its padding (RFC 7515, section 2): how keys, tokens and topics of Web Push are written.

>>> encode(b"\xfb\xff"), decode("-_8")
('-_8', b'\xfb\xff')
"""

from __future__ import annotations

import base64


def encode(data: bytes) -> str:
    """As text."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Back from text, with or without padding; raises ValueError. Letters outside the alphabet are passed over."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
