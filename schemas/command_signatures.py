"""Signatures of commands: serving signs requests and controls, a gateway its acknowledgements, and requests of rules of its own.

What is signed is a purpose, which names the kind of record, and JSON with what the record says: all its fields but the signature
itself, and, of a request, `attempt` and `traceparent`, which change when it is sent again. Keys are sorted, nothing stands between
them, what is not ASCII is escaped, and floating-point numbers are texts in hexadecimal (C99's `%a`, Python's `float.hex`), so that the
same record has one text. The signature is Ed25519, in Base64.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

from base import signing_key
from base.signing_key import Signer
from schemas.commands import CommandAck, CommandControl, CommandRequest
from schemas.signing_keys import Find, SigningKey, refusal

R = TypeVar("R", CommandRequest, CommandControl, CommandAck)
Signed = CommandRequest | CommandControl | CommandAck
_PURPOSE = {
    CommandRequest: b"millrace command request 1\0",
    CommandControl: b"millrace command control 1\0",
    CommandAck: b"millrace command ack 1\0",
}
_LEFT_OUT = frozenset({"signature", "key_id"})
_OF_A_SENDING = frozenset({"attempt", "traceparent"})
_FLOATS = frozenset({"parameters", "readback"})


def statement(record: Signed) -> bytes:
    """What is signed."""
    left_out = _LEFT_OUT | (_OF_A_SENDING if isinstance(record, CommandRequest) else frozenset())
    said = {
        one.name: _plain(one.name, getattr(record, one.name))
        for one in dataclasses.fields(record)
        if one.name not in left_out
    }
    return _PURPOSE[type(record)] + json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def _plain(name: str, value: Any) -> Any:
    if name in _FLOATS and isinstance(value, dict):
        # An integer that was given is a floating-point number once it has travelled.
        return {key: float(number).hex() for key, number in value.items()}
    if name == "outcomes":
        return [
            {
                "name": one.name,
                "effect": one.effect.value,
                "readback": None if one.readback is None else float(one.readback).hex(),
                "detail": one.detail,
            }
            for one in value
        ]
    if isinstance(value, UUID):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def signed(record: R, signer: Signer) -> R:
    """The record with its signature."""
    signature = base64.b64encode(signer.sign(statement(record))).decode()
    return dataclasses.replace(record, signature=signature, key_id=signer.id)


def problem(record: Signed, find: Find, holders: tuple[str, ...], now_us: int, *, unsigned_until_us: int = 0) -> str:
    """Why the record is not the word of one of these holders, for people; empty when it is.

    What has no signature at all is let in until `unsigned_until_us`.
    """
    if not record.signature and not record.key_id:
        return "" if now_us < unsigned_until_us else "it has no signature"
    key = refusal(find, record.key_id, holders, now_us)
    return key if isinstance(key, str) else problem_with(record, key)


def problem_with(record: Signed, key: SigningKey) -> str:
    """The same, of a key that counts."""
    try:
        signature = base64.b64decode(record.signature, validate=True)
    except (binascii.Error, ValueError):
        return "its signature cannot be read"
    if not signing_key.holds(key.public, signature, statement(record)):
        return f"it is not what key {key.key_id} has signed"
    return ""
