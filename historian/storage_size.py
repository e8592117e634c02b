"""What history takes on disk: rows and bytes of each resolution, compressed and not.

Enters: a connection. Leaves: `Size` values, and rows of `storage_size` for whoever must not wait for a measurement. Who calls:
maintenance measures, `status` and `./millrace storage` read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """One resolution; `rows` and `bytes` are of what is not compressed. Days without TimescaleDB take nothing and are not here."""

    resolution: str
    rows: int
    bytes: int
    compressed_rows: int
    compressed_bytes: int
    measured_at: datetime

    @property
    def bytes_per_row(self) -> float | None:
        """Of both kinds together, with indexes; None without rows."""
        rows = self.rows + self.compressed_rows
        return (self.bytes + self.compressed_bytes) / rows if rows else None


def measure(connection: Connection) -> tuple[Size, ...]:
    """Measure and remember."""
    with connection.transaction():
        connection.execute("DELETE FROM storage_size")
        connection.execute("INSERT INTO storage_size SELECT * FROM measure_storage()")
    return read(connection)


def read(connection: Connection) -> tuple[Size, ...]:
    """What was measured last; empty before maintenance has run."""
    rows = connection.execute(
        """SELECT resolution, rows, bytes, compressed_rows, compressed_bytes, measured_at FROM storage_size
           ORDER BY array_position(ARRAY['samples', 'windows', 'hours', 'days'], resolution)"""
    ).fetchall()
    return tuple(
        Size(
            resolution=resolution,
            rows=count,
            bytes=size,
            compressed_rows=compressed_rows,
            compressed_bytes=compressed_bytes,
            measured_at=measured_at,
        )
        for resolution, count, size, compressed_rows, compressed_bytes, measured_at in rows
    )


def table(sizes: Sequence[Size]) -> list[str]:
    """The same for people; empty without a measurement."""
    if not sizes:
        return []
    lines = [f"{'resolution':<12}{'rows':>16}{'bytes':>18}{'bytes a row':>13}{'compressed':>12}{'bytes a row':>13}"]
    for size in sizes:
        rows = size.rows + size.compressed_rows
        each = f"{size.bytes_per_row:.1f}" if size.bytes_per_row is not None else ""
        share = f"{size.compressed_rows / rows:.0%}" if rows else ""
        packed = f"{size.compressed_bytes / size.compressed_rows:.1f}" if size.compressed_rows else ""
        total = f"{size.bytes + size.compressed_bytes:,}"
        lines.append(f"{size.resolution:<12}{rows:>16,}{total:>18}{each:>13}{share:>12}{packed:>13}")
    # What came since is not in it: a fresh line would look as if it stored nothing.
    oldest = min(size.measured_at for size in sizes)
    return [*lines, f"measured at {oldest.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z, and every ten minutes again"]
