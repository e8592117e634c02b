"""Tables of the journal, and the flags of an emitted sample. Shared by writer (`journal`) and reader (`journal_reader`).

SQLite turns NaN into NULL and may lose the sign of zero, so each value is kept twice: as REAL for people, and as its 64 bits for machines.
"""

from __future__ import annotations

import math
import struct
from enum import IntFlag

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    tag_no INTEGER PRIMARY KEY, device TEXT NOT NULL, tag_path TEXT NOT NULL UNIQUE,
    trimmed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS samples (
    seq INTEGER PRIMARY KEY, tag_no INTEGER NOT NULL, time_us INTEGER NOT NULL,
    value REAL, value_bits INTEGER NOT NULL, quality INTEGER NOT NULL, flags INTEGER NOT NULL, fault TEXT
);
CREATE TABLE IF NOT EXISTS actuated (
    id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, device TEXT NOT NULL, tag TEXT NOT NULL,
    value REAL NOT NULL, via TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS not_actuated (
    id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, device TEXT NOT NULL, tag TEXT NOT NULL,
    value REAL, via TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY, fault_id INTEGER NOT NULL, time_us INTEGER NOT NULL, action TEXT NOT NULL,
    device TEXT NOT NULL, tag TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS machines (device TEXT PRIMARY KEY, snapshot TEXT NOT NULL) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS emitted AS
    SELECT seq, device, tag_path, time_us, value, value_bits, quality, fault,
           flags & 1 AS sent, (flags >> 1) & 1 AS is_null, (flags >> 2) & 1 AS inexact
    FROM samples JOIN tags USING (tag_no);
"""


class Flag(IntFlag):
    """Bits of `samples.flags`."""

    SENT = 1
    """A subscriber could have seen it: handed to a subscription (OPC UA) or to a live session with the broker (Sparkplug)."""
    NULL = 2
    """Sent without a value (bad status on OPC UA); `value_bits` are those of NaN."""
    INEXACT = 4
    """An integer that a double cannot hold: gateways refuse it by name, so it never becomes a sample. `value_bits` are its rounding's."""


_F8 = struct.Struct("<d")
_I8 = struct.Struct("<q")


def value_bits(value: float | int | bool | None) -> tuple[float | None, int, int]:
    """(REAL, bits as a signed 64-bit integer, flags) of a value."""
    if value is None:
        return None, _I8.unpack(_F8.pack(math.nan))[0], Flag.NULL
    real = float(value)
    flags = Flag.INEXACT if isinstance(value, int) and int(real) != value else 0
    return (None if math.isnan(real) else real), _I8.unpack(_F8.pack(real))[0], flags
