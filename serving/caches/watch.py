"""What is news to one reader of last values: conflated per tag, however slow the reader.

Enters: tags, and the number of the change up to which the reader knows them (0 for nothing, or that of a stream that broke). Leaves: parts
of rows whose newest value the reader does not know, those that have waited longest first, and the position behind each part. A watch holds
two numbers for each of its tags, and no values: what is sent is the newest at that moment. Called in the event loop only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.caches.values import LastValues
from serving.caches.wakeup import Wakeup

_MANY = 500
"""More tags than this are not looked for one by one: such a watch wakes at every change."""


@dataclass(frozen=True, slots=True)
class Part:
    """News: rows of the values, and the change up to which the reader knows everything once it has them."""

    rows: NDArray[np.int64]
    position: int
    left: int
    """Rows with news that are not in this part."""


class Watch:
    """One reader's view of the changes. Close it when done."""

    def __init__(self, values: LastValues, wakeup: Wakeup, tag_ids: Iterable[int], *, since: int = 0) -> None:
        self._values = values
        self._wakeup = wakeup
        self._rows = np.zeros(0, np.int64)
        self._known = np.zeros(0, np.int64)
        self._awake = True
        self.select(tag_ids, since=since)

    def select(self, tag_ids: Iterable[int], *, since: int = 0) -> None:
        """Watch exactly these tags from now on; those that are new to the watch are news, or what changed of them since."""
        self.close()
        rows = np.sort(self._values.rows(tag_ids))
        known = np.full(len(rows), since, np.int64)
        kept = np.isin(rows, self._rows, assume_unique=True)
        known[kept] = self._known[np.searchsorted(self._rows, rows[kept])]
        self._rows, self._known = rows, known
        self.wake()

    def take(self, limit: int) -> Part:
        """The news, at most `limit` of them; they count as known from now on."""
        changed = self._values.changed[self._rows]
        news = np.flatnonzero(changed > self._known)
        taken, left = news, news[:0]
        if len(news) > limit:
            order = news[np.argsort(changed[news], kind="stable")]
            taken, left = order[:limit], order[limit:]
        self._known[taken] = changed[taken]
        position = int(changed[left].min()) - 1 if left.size else self._values.changes
        return Part(self._rows[taken], position, len(left))

    def sleep(self) -> None:
        """Set the wakeup at the next change; it is set at once when there is one already."""
        if bool((self._values.changed[self._rows] > self._known).any()):
            self._wakeup.set()
        elif self._awake:
            self._awake = False
            self._values.sleep(self, self._wakes_at)

    def wake(self) -> None:
        """There is news, perhaps."""
        self._awake = True
        self._wakeup.set()

    def close(self) -> None:
        """Be forgotten."""
        self._values.forget(self, self._wakes_at)
        self._awake = True

    @property
    def _wakes_at(self) -> list[int] | None:
        return None if len(self._rows) > _MANY else self._rows.tolist()
