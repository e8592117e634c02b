"""What the historian does not store: the historise policy of the registry, applied to the columns of a batch.

Enters: columns whose `fate` says STORED or REJECTED. Leaves: STORED turned into SUPPRESSED for tags with NONE and for
repeats of ON_CHANGE tags. Who calls: the store, in its transaction. Suppressed samples stay counted, with their
checksum.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from historian import on_change
from historian.samples import POLICIES, Columns, Fate
from schemas.definitions import Historise
from schemas.frame import Stream

Cursor = psycopg.Cursor[Any]

_ALL, _ON_CHANGE, _NONE = (POLICIES[item] for item in (Historise.ALL, Historise.ON_CHANGE, Historise.NONE))
_RELOAD_S = 30.0


class HistoryPolicy:
    """Policies by tag id, as of a registry version. A tag that is not known is stored."""

    def __init__(self) -> None:
        self._by_tag: NDArray[np.uint8] = np.zeros(1, dtype=np.uint8)
        self._version = -1
        self._loaded_s = float("-inf")

    def refresh(self, cursor: Cursor, version: int) -> None:
        """Load again when the frames know a newer registry, and every half minute."""
        if version <= self._version and time.monotonic() - self._loaded_s < _RELOAD_S:
            return
        row = cursor.execute("SELECT version FROM registry_state").fetchone()
        rows = cursor.execute("SELECT tag_id, historise FROM tags WHERE historise <> 'ALL'").fetchall()
        # One more element than tags: ids beyond are clipped to it.
        self._by_tag = np.zeros(max((tag_id for tag_id, _ in rows), default=0) + 2, dtype=np.uint8)
        for tag_id, historise in rows:
            self._by_tag[tag_id] = POLICIES[Historise(historise)]
        self._version = max(version, row[0] if row else 0)
        self._loaded_s = time.monotonic()

    def apply(self, cursor: Cursor, columns: Columns) -> None:
        """Turn STORED into SUPPRESSED where the policy says so, in place."""
        if len(self._by_tag) <= 2:
            return
        policy = np.take(self._by_tag, columns.tag_id, mode="clip")
        stored = columns.fate == Fate.STORED
        columns.fate[stored & (policy == _NONE)] = Fate.SUPPRESSED
        on_change_samples = stored & (policy == _ON_CHANGE)
        if not on_change_samples.any():
            return
        lanes: dict[tuple[str, int], list[int]] = {}
        for place, key in enumerate(columns.keys):
            if on_change_samples[columns.of(place)].any():
                lanes.setdefault((key.gateway_id, key.lane), []).append(place)
        states = _lock_states(cursor, sorted(lanes))
        updates = []
        for lane in sorted(lanes):
            state = _suppress_repeats(columns, lanes[lane], on_change_samples, on_change.read_state(states[lane]))
            updates.append((state.tobytes(), *lane))
        cursor.executemany("UPDATE on_change_state SET state = %s WHERE gateway_id = %s AND lane = %s", updates)


def _suppress_repeats(
    columns: Columns, places: list[int], chosen: NDArray[np.bool_], state: NDArray[Any]
) -> NDArray[Any]:
    """Mark the repeats of one lane; returns the state behind them."""
    index = np.concatenate([np.flatnonzero(chosen[columns.of(place)]) + columns.bounds[place] for place in places])
    live = np.zeros(len(columns.fate), dtype=np.bool_)
    for place in places:
        if columns.keys[place].stream is Stream.LIVE:
            live[columns.of(place)] = True
    repeat, state = on_change.repeats(
        columns.tag_id[index], columns.time_us[index], columns.value[index], columns.quality[index],
        (live & ~columns.late)[index], state,
    )  # fmt: skip
    columns.fate[index[repeat]] = Fate.SUPPRESSED
    return state


def _lock_states(cursor: Cursor, lanes: list[tuple[str, int]]) -> dict[tuple[str, int], bytes]:
    parameters = ([gateway_id for gateway_id, _ in lanes], [lane for _, lane in lanes])
    cursor.execute(
        """INSERT INTO on_change_state (gateway_id, lane, state) SELECT gateway_id, lane, '' FROM unnest(%s::text[], %s::integer[])
           AS k(gateway_id, lane) ORDER BY 1, 2 ON CONFLICT DO NOTHING""",
        parameters,
    )
    rows = cursor.execute(
        """SELECT s.gateway_id, s.lane, s.state FROM on_change_state s
           JOIN unnest(%s::text[], %s::integer[]) AS k(gateway_id, lane) USING (gateway_id, lane) ORDER BY 1, 2 FOR UPDATE OF s""",
        parameters,
    ).fetchall()
    return {(gateway_id, lane): bytes(state) for gateway_id, lane, state in rows}
