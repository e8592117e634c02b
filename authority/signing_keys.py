"""Which signing key belongs to which certificate: `signing.json` in the authority's folder, one row for each key.

Enters: public keys, from whoever makes the certificate's key (`base.signing_key`). Leaves: rows, with when each key was revoked, which the
list of certificates says. A key stays in the file after its certificate has ended, for as long as records that it signed may be read;
then it is forgotten. Whoever changes the file holds the authority's lock.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from authority.book import Book, Entry
from base import files, signing_key

AFTER = timedelta(days=7)
"""A key counts so long after its certificate's end: what it signed stays in Kafka for as long."""
_KEPT = timedelta(days=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One key. `public` is raw, hexadecimal; times in UTC."""

    name: str
    generation: int
    public: str
    since: datetime
    until: datetime
    revoked: datetime | None = None

    @property
    def key_id(self) -> str:
        """As records name it."""
        return signing_key.key_id(self.name, self.generation, bytes.fromhex(self.public))


def note(book: Book, entry: Entry, public: bytes, now: datetime) -> bool:
    """Write down that the holder of a certificate signs with this key; whether it was not known."""
    return note_all(book, ((entry, public),), now) > 0


def note_all(book: Book, keys: Iterable[tuple[Entry, bytes]], now: datetime) -> int:
    """The same of many keys, in one pass over the file; how many were not known. A file in which all are known stays as it is."""
    with book.held():
        found = {one.key_id: one for one in _read(book)}
        new = dict[str, Row]()
        for entry, public in keys:
            row = Row(
                name=entry.name,
                generation=entry.generation,
                public=public.hex(),
                since=now,
                until=entry.expires + AFTER,
            )
            if row.key_id not in found:
                new[row.key_id] = row
        if new:
            kept = [one for one in found.values() if now < one.until + _KEPT]
            rows = [dataclasses.asdict(one) for one in (*kept, *new.values())]
            for one in rows:
                del one["revoked"]
            text = json.dumps(rows, indent=1, default=datetime.isoformat) + "\n"
            files.replace_durably(book.folder / _FILE, text, mode=files.OWNERS)
        return len(new)


def rows(book: Book) -> list[Row]:
    """Every key, with when its generation was revoked."""
    with book.held():
        revoked = {(one.name, one.generation): one.revoked for one in book.entries()}
        return [dataclasses.replace(one, revoked=revoked.get((one.name, one.generation))) for one in _read(book)]


_FILE = "signing.json"


def _read(book: Book) -> list[Row]:
    try:
        found = json.loads((book.folder / _FILE).read_text())
    except FileNotFoundError:
        return []
    times = ("since", "until")
    return [Row(**row | {name: datetime.fromisoformat(row[name]) for name in times}) for row in found]
