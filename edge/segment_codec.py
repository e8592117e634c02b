"""How a record stands in a segment file: behind a checksum, or encrypted.

Who calls: `edge.segment`, which knows what a record means; here it is a head of `HEAD_BYTES` bytes and a body. A record that
does not hold is none: it is never a wrong one, and where the next one begins can be found without it.

Plain (segments of versions 1 and 2, and where encryption is switched off): CRC-32, body length, head, body. The CRC covers
everything behind itself and is seeded with the segment's header, so neither a flipped bit nor a record of another segment is
ever taken for one.

Encrypted (version 3): mark, length, nonce, then AES-256-GCM of head and body with its tag of 16 bytes.
- The file's key is HKDF-SHA-256 of the key that the header names, with the file's random salt; the info is the whole header.
  So each file has a key of its own, and a header that was changed opens nothing.
- Nonce: 8 random bytes drawn each time a process begins to write to the file, then a count of 4 bytes that goes up with each
  record. What was packed once and did not get to the disk, or was torn there, has used its count up, and the next process
  has other random bytes: no nonce serves twice, whatever a crash left behind. A segment has fewer than 2²⁴ records.
- The associated data is the record's place in the file: moved, exchanged or copied elsewhere it does not open.
- The mark, the first bytes of the salt, says where a record may begin. It is looked for where one does not hold, and
  believed nowhere.
"""

from __future__ import annotations

import itertools
import os
import struct
from typing import Protocol
from zlib import crc32

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from base.key_ring import KEY_BYTES, Key
from edge.segment_header import Header

HEAD_BYTES = 64
KINDS, STREAMS = 5, 2
"""Highest numbers of a record's kind and stream, the first two bytes of its head."""
_CRC = struct.Struct("<II")
_SEED_1 = 0x2144DF1C
_SEALED = struct.Struct("<4sI8sI")
_TAG_BYTES = 16
_SEARCH = 1 << 20

Found = tuple[int, bytes, bytes]
"""End of a record in the data, its head and its body."""


class Codec(Protocol):
    """Records of one file. `least` is the length of the shortest; `base` is where `data` begins in the file."""

    least: int

    def pack(self, head: bytes, body: bytes, at: int) -> bytes:
        """A record that will stand at that offset of the file."""

    def unpack(self, data: bytes, at: int, base: int) -> Found | None:
        """The record at that place in `data`; None when there is none that holds."""

    def next(self, data: bytes, at: int, base: int) -> int:
        """Where in `data` the next record that holds begins, from `at` on; -1 when there is none."""


class PlainCodec:
    """With a checksum."""

    least = _CRC.size + HEAD_BYTES

    def __init__(self, header: Header) -> None:
        self._seed = _SEED_1 if header.version == 1 else crc32(header.signed)

    def pack(self, head: bytes, body: bytes, at: int) -> bytes:  # noqa: ARG002 - stands anywhere
        """See `Codec`."""
        rest = len(body).to_bytes(4, "little") + head
        return crc32(body, crc32(rest, self._seed)).to_bytes(4, "little") + rest + body

    def unpack(self, data: bytes, at: int, base: int) -> Found | None:  # noqa: ARG002 - stands anywhere
        """See `Codec`."""
        if at + self.least > len(data):
            return None
        crc, length = _CRC.unpack_from(data, at)
        behind: int = at + self.least + length
        if not length or behind > len(data) or crc32(memoryview(data)[at + 4 : behind], self._seed) != crc:
            return None
        return behind, data[at + _CRC.size : at + self.least], data[at + self.least : behind]

    def next(self, data: bytes, at: int, base: int) -> int:
        """See `Codec`. What cannot be a head of a record is passed over by numpy."""
        view, last = np.frombuffer(data, dtype=np.uint8), len(data) - self.least
        for start in range(at, last, _SEARCH):
            stop = min(start + _SEARCH, last)
            # Kind and stream are small, and the highest bytes of length, sequence, samples and times are zero.
            plausible = view[start + 8 : stop + 8] - np.uint8(1) <= KINDS - 1
            plausible &= view[start + 9 : stop + 9] <= STREAMS
            for zero in (7, 18, 19, 39, 55, 63, 71):
                plausible &= view[start + zero : stop + zero] == 0
            for offset in (np.flatnonzero(plausible) + start).tolist():
                if self.unpack(data, offset, base):
                    return int(offset)
        return -1


class SealedCodec:
    """Encrypted."""

    least = _SEALED.size + HEAD_BYTES + _TAG_BYTES

    def __init__(self, header: Header, key: Key) -> None:
        derived = HKDF(SHA256(), KEY_BYTES, header.salt, b"millrace segment" + header.signed).derive(key.secret)
        self._cipher = AESGCM(derived)
        self._mark = header.salt[:4]
        self._writer = b""
        self._count = itertools.count()

    def pack(self, head: bytes, body: bytes, at: int) -> bytes:
        """See `Codec`."""
        self._writer = self._writer or os.urandom(8)
        lead = _SEALED.pack(
            self._mark, HEAD_BYTES + len(body) + _TAG_BYTES, self._writer, next(self._count)
        )  # a count that is too big is an error here, and no nonce
        return lead + self._cipher.encrypt(lead[8:], head + body, at.to_bytes(8, "little"))

    def unpack(self, data: bytes, at: int, base: int) -> Found | None:
        """See `Codec`."""
        if at + self.least > len(data):
            return None
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        start, behind = at + _SEALED.size, at + _SEALED.size + length
        if length < HEAD_BYTES + _TAG_BYTES or behind > len(data):
            return None
        nonce = data[at + 8 : start]
        try:
            content = self._cipher.decrypt(nonce, memoryview(data)[start:behind], (base + at).to_bytes(8, "little"))
        except InvalidTag:
            return None
        return behind, content[:HEAD_BYTES], content[HEAD_BYTES:]

    def next(self, data: bytes, at: int, base: int) -> int:
        """See `Codec`."""
        while (at := data.find(self._mark, at)) >= 0:
            if self.unpack(data, at, base):
                return at
            at += 1
        return -1


def codec(header: Header, key: Key | None) -> Codec:
    """Of the file with that header."""
    if not header.sealed:
        return PlainCodec(header)
    assert key is not None
    return SealedCodec(header, key)
