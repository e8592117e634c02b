"""Streams of tags of the fake plant: update by update, and in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from millrace_client.fake import pack
from millrace_client.fake.subscriptions import Polled, Subscription
from millrace_client.results import TagBatch, TagUpdate

_MAX_UPDATES = 1000


class TagSubscription(Subscription):
    """Changes of the tags that are wanted. `current`: last value of a tag."""

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        wanted: Callable[[str], bool],
        current: Callable[[int], TagUpdate],
        period_s: float,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(wake)
        self._wanted = wanted
        self._current = current
        self._period_s = period_s
        self._clock_s = clock_s
        self._pending: dict[int, None] = {}
        self._not_before_s: dict[int, float] = {}

    def mark(self, tags: Iterable[tuple[int, str]]) -> None:
        """Note that tags (id, path) have a new value."""
        self._pending |= {tag_id: None for tag_id, path in tags if self._wanted(path)}
        if self._pending:
            self.wake()

    def _next(self) -> Polled:
        raise NotImplementedError


class UpdateSubscription(TagSubscription):
    """The newest value of each tag, at most once in `period_s`."""

    def _next(self) -> Polled:
        now_s = self._clock_s()
        waits_s = {tag_id: self._not_before_s.get(tag_id, now_s) - now_s for tag_id in self._pending}
        due = next((tag_id for tag_id, wait_s in waits_s.items() if wait_s <= 0), None)
        if due is None:
            return None, min(waits_s.values(), default=None)
        del self._pending[due]
        self._not_before_s[due] = now_s + self._period_s
        return pack.message(self._current(due)), None


class BatchSubscription(TagSubscription):
    """Batches at most once in `period_s`, the snapshot first, and an empty one after `heartbeat_s` of silence.

    `position`: where the plant is now. `omit_paths`: paths in the snapshot only.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        wanted: Callable[[str], bool],
        current: Callable[[int], TagUpdate],
        period_s: float,
        heartbeat_s: float,
        omit_paths: bool,
        notice: str,
        position: Callable[[], str],
        clock: Callable[[], int],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(wake, wanted=wanted, current=current, period_s=period_s, clock_s=clock_s)
        self._heartbeat_s = heartbeat_s
        self._omit_paths = omit_paths
        self._notice = notice
        self._position = position
        self._clock = clock
        self._sent_s = 0.0
        self._sequence = 0
        self._complete = False

    def _next(self) -> Polled:
        now_s = self._clock_s()
        if self._complete:
            due_s = self._sent_s + (self._period_s if self._pending else self._heartbeat_s)
            if now_s < due_s:
                return None, due_s - now_s
        return pack.message(self._batch(now_s)), None

    def _batch(self, now_s: float) -> TagBatch:
        some = list(self._pending)[:_MAX_UPDATES]
        for tag_id in some:
            del self._pending[tag_id]
        notice = self._notice if self._sequence == 0 else "" if some else "heartbeat"
        ends_snapshot = not self._complete and not self._pending
        batch = TagBatch(
            updates=tuple(self._update(tag_id) for tag_id in some),
            snapshot_complete=ends_snapshot,
            sequence=self._sequence + 1,
            # A position before the end would leave out the rest.
            position="" if self._pending else self._position(),
            sent_us=self._clock(),
            interval_ms=round(self._period_s * 1000),
            notice=notice,
        )
        self._sequence, self._sent_s = batch.sequence, now_s
        self._complete = self._complete or ends_snapshot
        return batch

    def _update(self, tag_id: int) -> TagUpdate:
        update = self._current(tag_id)
        hidden = self._omit_paths and self._complete
        return TagUpdate(tag_id=tag_id, path="" if hidden else update.path, value=update.value)
