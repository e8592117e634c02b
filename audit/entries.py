"""Entries of the log: a JSON object each, the event of one record of `audit.log` with its offset there. Pure.

The same record always makes the same bytes, so what was read again after a kill is written as it was. `offset` says how far the topic has
been taken: the log is its own position. What is no event of ours has its place too, as `undecodable`; and what the writer itself has to
say (a hole in the topic, another topic, a key that came or went) is an event with `own`, which no record of the topic can have, under the
offset of the entry before it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from uuid import UUID

from base.errors import SchemaError
from schemas.audit import AuditEvent, Outcome

SERVICE, OWN = "audit", "own"
_SHOWN_BYTES = 512


def of_message(offset: int, value: bytes | None) -> bytes:
    """Entry of a record of the topic."""
    try:
        record = AuditEvent.decode(value or b"").record()
    except SchemaError as error:
        data = value or b""
        record = {
            "undecodable": base64.b64encode(data[:_SHOWN_BYTES]).decode(),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "detail": str(error)[:300],
        }
    return _packed(record | {"offset": offset})


def of_writer(offset: int, action: str, *, before: str = "", after: str = "", detail: str = "") -> bytes:
    """Entry of something that the writer has to say."""
    event = AuditEvent(
        service=SERVICE, action=action, outcome=Outcome.DONE, subject=SERVICE, before=before, after=after, detail=detail
    )
    return _packed(event.record() | {"offset": offset, OWN: True})


def fields_of(entry: bytes) -> dict[str, Any]:
    """What an entry says. Raises ValueError for bytes that are no entry."""
    found = json.loads(entry)
    if not isinstance(found, dict) or not isinstance(found.get("offset"), int):
        msg = "an entry is a JSON object with an offset"
        raise ValueError(msg)
    return found


def offset_of(entry: bytes) -> int:
    """How far the topic has been taken with this entry."""
    return int(fields_of(entry)["offset"])


def same(entry: bytes, other: bytes) -> bool:
    """Whether two entries are of one record: the newer one may have been made by a later version, which says more."""
    return _identity(fields_of(entry)) == _identity(fields_of(other))


def digest(entry: bytes) -> int:
    """64 bits of which record an entry is; never 0."""
    identity = json.dumps(_identity(fields_of(entry)), default=str).encode()
    return int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), "big") or 1


def _identity(fields: dict[str, Any]) -> tuple[object, object]:
    return fields.get("event_id"), fields.get("sha256")


def _packed(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_text).encode()


def _text(value: object) -> str:
    if isinstance(value, UUID):
        return str(value)
    msg = f"{type(value).__name__} in an entry"
    raise TypeError(msg)
