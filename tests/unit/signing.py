"""Certificates, keys and books of signing keys for tests: an authority in a folder, as the local stack has it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from authority import signing_keys
from authority.authority import Authority
from authority.book import Usage
from base.signing_key import Signer
from schemas.signing_keys import KeyBook, SigningKey


class Trust:
    """Issues certificates and keeps the book of their signing keys, as everybody knows it."""

    def __init__(self, folder: Path, *, at_us: int = 0) -> None:
        """`at_us`: the authority's clock stands there; 0: it goes."""
        self._at_us = at_us
        self.authority = Authority(folder, clock=self.now)

    def now(self) -> datetime:
        """The authority's clock."""
        return datetime.fromtimestamp(self._at_us / 1e6, UTC) if self._at_us else datetime.now(UTC)

    def signer(self, name: str) -> Signer:
        """Another certificate for a name, with its signing key written down."""
        entry = self.authority.issue(name, Usage.CLIENT)
        found = Signer.of(self.authority.file(name).read_bytes())
        signing_keys.note(self.authority, entry, found.public, self.now())
        return found

    def messages(self) -> list[bytes]:
        """Records of the topic."""
        return [one.encode(self.authority.prove) for one in self.keys()]

    def keys(self) -> list[SigningKey]:
        """All keys."""
        return [
            SigningKey(
                key_id=row.key_id,
                holder=row.name,
                public=bytes.fromhex(row.public),
                from_us=int(row.since.timestamp() * 1e6),
                until_us=int(row.until.timestamp() * 1e6),
                revoked_us=None if row.revoked is None else int(row.revoked.timestamp() * 1e6),
            )
            for row in signing_keys.rows(self.authority)
        ]

    def book(self) -> KeyBook:
        """What the topic says now."""
        found = KeyBook.of(self.authority.root_file)
        for message in self.messages():
            found.apply(message)
        return found
