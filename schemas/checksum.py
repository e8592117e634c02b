"""Checksum of samples: the sum modulo 2^64 of a 64-bit hash of (tag, time, value bits, quality).

Sums add up in any order and over any grouping, so the gateway, the ledger and SQL (`sample_hash` in the migrations) can each compute them
on their own and compare. The hash is two multiply-xorshift rounds: about 12 vectorised operations a sample, and expressible in SQL.
It finds loss, duplication and corruption; it is not a defence against an adversary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

K1 = 0x9E3779B97F4A7C15
K2 = 0xBF58476D1CE4E5B9
K3 = 0x94D049BB133111EB
MODULUS = 1 << 64
_K1, _K2, _K3, _16, _29, _32 = map(np.uint64, (K1, K2, K3, 16, 29, 32))


def sample_hashes(
    tag_id: NDArray[np.int32], time_us: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint16]
) -> NDArray[np.uint64]:
    """Hash of each sample. Shapes (n,) each; `time_us` microseconds UTC; returns (n,) uint64."""
    h = tag_id.astype(np.uint64)
    h <<= _16
    h |= quality
    h *= _K1
    h ^= time_us.astype(np.int64, copy=False).view(np.uint64)
    h ^= h >> _32
    h *= _K2
    h ^= np.ascontiguousarray(value, dtype=np.float64).view(np.uint64)
    h ^= h >> _29
    h *= _K3
    h ^= h >> _32
    return h


def checksum(
    tag_id: NDArray[np.int32], time_us: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint16]
) -> int:
    """Sum modulo 2^64 of the samples' hashes, in [0, 2^64).

    Sums of parts add up to that of the whole, in any order:

    >>> tag, time = np.array([1, 2, 3], np.int32), np.array([10, 20, 30])
    >>> value, quality = np.array([0.5, -1.0, 7.0]), np.zeros(3, np.uint16)
    >>> whole = checksum(tag, time, value, quality)
    >>> parts = [checksum(tag[cut], time[cut], value[cut], quality[cut]) for cut in (slice(2, 3), slice(0, 2))]
    >>> sum(parts) % MODULUS == whole
    True
    """
    return int(sample_hashes(tag_id, time_us, value, quality).sum(dtype=np.uint64))


def to_signed(unsigned: int) -> int:
    """Two's complement of a checksum, as Avro's and PostgreSQL's 64-bit integers carry it.

    >>> to_signed(1), to_signed(MODULUS - 1), to_unsigned(-1) == MODULUS - 1
    (1, -1, True)
    """
    unsigned %= MODULUS
    return unsigned - MODULUS if unsigned >= 1 << 63 else unsigned


def to_unsigned(signed: int) -> int:
    """Inverse of `to_signed`."""
    return signed % MODULUS
