"""The issuer's public keys by their id, out of its JWKS document (RFC 7517). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from base.errors import ConfigError

Key = RSAKey | ECKey | OKPKey
MAX_KEYS = 100
_LEAST_RSA_BITS = 2_048
_CURVES = {"EC": ("P-256",), "OKP": ("Ed25519",)}


def read_jwks(document: bytes) -> Mapping[str, Key]:
    """Keys for signatures by `kid`. What is for something else, or of a kind we do not take, is left out; ConfigError for no JWKS."""
    try:
        entries = json.loads(document)["keys"]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        msg = "the issuer's jwks_uri holds no JWKS document"
        raise ConfigError(msg) from None
    found: dict[str, Key] = {}
    for entry in entries[:MAX_KEYS]:
        kid = entry.get("kid")
        if not isinstance(kid, str) or not kid or entry.get("use", "sig") != "sig" or not _ours(entry):
            continue
        try:
            key = import_key({name: value for name, value in entry.items() if name in _PUBLIC})
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            found[kid] = key
    return found


_PUBLIC = frozenset({"kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"})
"""A private part that an issuer publishes by mistake is not read."""


def _ours(entry: Mapping[str, object]) -> bool:
    kind = entry.get("kty")
    if kind == "RSA":  # base64 of the modulus: four characters hold three bytes
        return isinstance(entry.get("n"), str) and len(str(entry["n"])) * 6 >= _LEAST_RSA_BITS
    return kind in _CURVES and entry.get("crv") in _CURVES[str(kind)]
