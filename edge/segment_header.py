"""Headers of segment files: how a file says what it is, and what it may have said when it does not hold any more.

Who calls: `edge.segment`. Versions 1 and 2 are plain; version 3 is encrypted, and names its key and its own random salt.
Nothing can make a lost salt again, so such a header stands at the end of the file too. A plain one is made again from the
file's name and the epochs of its neighbours.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from zlib import crc32

from base.key_ring import Key

PLAIN = struct.Struct("<4sHHQ16sI")
SEALED = struct.Struct("<4sHHQ16s8s32sI")
MAGIC = b"MRBF"
PLAIN_VERSION, SEALED_VERSION = 2, 3
"""Version 1 had no length in its header, and its checksums were seeded with a constant: the CRC of what ends in its own CRC."""
UNIT = 1 << 14
"""Segments are a multiple of this, so that 16 bits of the header say how long the file has to be (0: not known)."""
MAX_BYTES = UNIT * 0xFFFF
_CRC_BYTES = 4
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself; `data` are its bytes. A plain one has no key."""

    data: bytes
    version: int
    units: int
    number: int
    epoch: UUID
    key_id: str = ""
    salt: bytes = b""

    @property
    def sealed(self) -> bool:
        """Whether the segment is encrypted."""
        return self.version == SEALED_VERSION

    @property
    def signed(self) -> bytes:
        """Everything in front of the CRC."""
        return self.data[:-_CRC_BYTES]


def plain(number: int, epoch: UUID, units: int, version: int = PLAIN_VERSION) -> Header:
    """Of a segment that is not encrypted."""
    return Header(_closed(PLAIN, version, units, number, epoch.bytes), version, units, number, epoch)


def sealed(number: int, epoch: UUID, units: int, key: Key) -> Header:
    """Of a segment that will be encrypted; no other has its salt."""
    salt = os.urandom(_SALT_BYTES)
    data = _closed(SEALED, SEALED_VERSION, units, number, epoch.bytes, bytes.fromhex(key.id), salt)
    return Header(data, SEALED_VERSION, units, number, epoch, key.id, salt)


def parse(data: bytes) -> Header | None:
    """The header that these bytes begin with; None when none holds."""
    for layout, versions in ((PLAIN, (1, PLAIN_VERSION)), (SEALED, (SEALED_VERSION,))):
        if len(data) < layout.size:
            continue
        own = data[: layout.size]
        magic, version, units, number, epoch, *rest = layout.unpack(own)
        if magic == MAGIC and version in versions and rest[-1] == crc32(own[:-_CRC_BYTES]):
            named = (rest[0].hex(), rest[1]) if layout is SEALED else ()
            return Header(own, version, units, number, UUID(bytes=epoch), *named)
    return None


def found(path: Path, first: bytes, last: bytes, size: int, epochs: Iterable[UUID]) -> Iterator[tuple[Header, bool]]:
    """The header of a file as it stands at its beginning, then what else it may have been, as `remade` has it."""
    if header := parse(first):
        yield header, True
    yield from remade(path, first, last, size, epochs)


def remade(path: Path, first: bytes, last: bytes, size: int, epochs: Iterable[UUID]) -> Iterator[tuple[Header, bool]]:
    """What the header may have been that does not hold at the beginning of a file, and whether that is certain.

    `first` and `last` are the file's first and last `SEALED.size` bytes. Certain is the copy at the end, and what holds once
    a single bit is turned back; of a plain header the epoch is a guess: as it stands there, a neighbour's, or with one bit turned.
    """
    number = int(path.stem.partition("-")[2])
    for data in (last, first):
        for one in (data, *_one_bit_off(data)):
            found = parse(one) if len(one) == SEALED.size else None
            if found is not None and found.sealed and found.number == number:
                yield found, True
    if len(first) >= PLAIN.size:
        _, _, units, _, epoch, _ = PLAIN.unpack(first[: PLAIN.size])
        as_number = int.from_bytes(epoch, "big")
        guesses = [UUID(int=as_number), *epochs, *(UUID(int=as_number ^ (1 << bit)) for bit in range(128))]
        for guess in guesses:
            for length in dict.fromkeys((size // UNIT if size % UNIT == 0 else 0, units, 0)):
                yield plain(number, guess, length), False


def _closed(layout: struct.Struct, *fields: object) -> bytes:
    data = layout.pack(MAGIC, *fields, 0)[:-_CRC_BYTES]
    return data + crc32(data).to_bytes(_CRC_BYTES, "little")


def _one_bit_off(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << (bit % 8)
        yield bytes(turned)
