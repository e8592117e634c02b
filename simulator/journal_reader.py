"""Reading the journal: counts and checksums per tag and lane, to compare with what gateways and the historian say.

Enters: the journal's file, which may be in use, and a mapping of tag paths to registry ids. Leaves: numpy columns and totals. Used by
tests and by accounting; imports neither the simulator's servers nor their libraries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from schemas.checksum import MODULUS, sample_hashes
from simulator.journal_schema import Flag


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Number of samples and the sum modulo 2^64 of their hashes."""

    samples: int = 0
    checksum: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(samples=self.samples + other.samples, checksum=(self.checksum + other.checksum) % MODULUS)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Emitted:
    """Emitted samples as columns of shape (n,), in the order of emission. `tag_id` are the registry's."""

    seq: NDArray[np.int64]
    tag_id: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]
    flags: NDArray[np.uint8]

    def hashes(self) -> NDArray[np.uint64]:
        """`schemas.checksum` hash of each sample."""
        return sample_hashes(self.tag_id, self.time_us, self.value, self.quality)


class JournalReader:
    """Read-only view of a journal. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def last_seq(self) -> int:
        """Sequence number of the newest committed sample: a point to count from or up to."""
        return int(self._db.execute("SELECT coalesce(max(seq), 0) FROM samples").fetchone()[0])

    def trimmed(self) -> int:
        """Samples that were deleted to bound the file; counts and checksums do not contain them."""
        return int(self._db.execute("SELECT coalesce(sum(trimmed), 0) FROM tags").fetchone()[0])

    def unknown(self, tag_ids: Mapping[str, int]) -> dict[str, int]:
        """Number of samples of each tag that the mapping does not name."""
        rows = self._db.execute("SELECT tag_path, count(*) FROM samples JOIN tags USING (tag_no) GROUP BY tag_path")
        return {path: count for path, count in rows if path not in tag_ids}

    def emitted(
        self, tag_ids: Mapping[str, int], *, after_seq: int = 0, up_to_seq: int | None = None, sent: bool = True
    ) -> Emitted:
        """Samples of the tags named in `tag_ids` (path to id).

        By default those that became samples at a subscriber: sent, and exact in a double (`Flag.INEXACT` are refused by gateways before
        that). With `sent=False`, everything.
        """
        ids = np.full(self._tags() + 1, -1, dtype=np.int32)
        for path, no in self._db.execute("SELECT tag_path, tag_no FROM tags"):
            ids[no] = tag_ids.get(path, -1)
        mask, wanted = (Flag.SENT | Flag.INEXACT, Flag.SENT) if sent else (0, 0)
        rows = self._db.execute(
            "SELECT seq, tag_no, time_us, value_bits, quality, flags FROM samples"
            " WHERE seq > ? AND seq <= ? AND flags & ? = ? ORDER BY seq",
            (after_seq, (1 << 62) if up_to_seq is None else up_to_seq, int(mask), int(wanted)),
        ).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(-1, 6)
        tag_id = ids[table[:, 1]]
        table, tag_id = table[tag_id >= 0], tag_id[tag_id >= 0]
        return Emitted(
            seq=table[:, 0],
            tag_id=tag_id,
            time_us=table[:, 2],
            value=np.ascontiguousarray(table[:, 3]).view(np.float64),
            quality=table[:, 4].astype(np.uint16),
            flags=table[:, 5].astype(np.uint8),
        )

    def by_tag(
        self, tag_ids: Mapping[str, int], *, after_seq: int = 0, up_to_seq: int | None = None, sent: bool = True
    ) -> dict[int, Totals]:
        """Totals of each tag id."""
        columns = self.emitted(tag_ids, after_seq=after_seq, up_to_seq=up_to_seq, sent=sent)
        hashes = columns.hashes()
        found: dict[int, Totals] = {}
        for tag_id in np.unique(columns.tag_id):
            chosen = columns.tag_id == tag_id
            count, checksum = int(chosen.sum()), int(hashes[chosen].sum(dtype=np.uint64))
            found[int(tag_id)] = Totals(samples=count, checksum=checksum)
        return found

    def by_lane(
        self,
        tag_ids: Mapping[str, int],
        lanes: Mapping[str, str],
        *,
        after_seq: int = 0,
        up_to_seq: int | None = None,
        sent: bool = True,
    ) -> dict[str, Totals]:
        """Totals of each lane, given each tag path's lane key."""
        lane_of = {tag_ids[path]: lane for path, lane in lanes.items() if path in tag_ids}
        found: dict[str, Totals] = {}
        for tag_id, totals in self.by_tag(tag_ids, after_seq=after_seq, up_to_seq=up_to_seq, sent=sent).items():
            if tag_id in lane_of:
                found[lane_of[tag_id]] = found.get(lane_of[tag_id], Totals()) + totals
        return found

    def _tags(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(tag_no), 0) FROM tags").fetchone()[0])
