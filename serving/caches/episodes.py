"""Anomaly episodes: those open now, and streams of their steps.

Enters: Anomaly records from the beginning of the topic, at least once, per device in order. Leaves: the newest step of
each episode. A step with a revision seen before is ignored, also after the episode closed, so that a job that repeats
its output after a restart opens nothing again. A slow reader gets the newest step of each episode; a reader so slow
that more than `MAX_PENDING` episodes wait for it is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any
from uuid import UUID

from base.errors import OverloadedError
from serving.caches.wakeup import Wakeup

Step = Mapping[str, Any]
"""An Anomaly record as decoded."""

MAX_PENDING = 10_000
_MAX_CLOSED = 200_000
_MAX_LATELY = 2_000
"""Last steps of episodes that have closed lately, for whoever labels one; older ones are in SQL."""


class Episodes:
    """The cache."""

    def __init__(self) -> None:
        self._open: dict[UUID, Step] = {}
        self._closed: OrderedDict[UUID, int] = OrderedDict()
        self._lately: OrderedDict[UUID, Step] = OrderedDict()
        self._readers: set[EpisodeReader] = set()

    def __len__(self) -> int:
        """Episodes open now."""
        return len(self._open)

    def apply(self, step: Step) -> None:
        """Fold one step in and pass it on."""
        episode, revision = step["episode_id"], step["revision"]
        known = self._open.get(episode)
        if revision <= self._closed.get(episode, -1) or (known is not None and revision <= known["revision"]):
            return
        if step["phase"] == "CLOSE":
            self._open.pop(episode, None)
            self._closed[episode] = revision
            self._lately[episode] = step
            if len(self._lately) > _MAX_LATELY:
                self._lately.popitem(last=False)
            if len(self._closed) > _MAX_CLOSED:
                self._closed.popitem(last=False)
        else:
            self._open[episode] = step
        self._offer(step)

    def get(self, episode: UUID) -> Step | None:
        """Newest step of an episode that is open, or has closed lately."""
        return self._open.get(episode) or self._lately.get(episode)

    def again(self, episode: UUID) -> None:
        """Pass the newest step of an episode on once more: something else about it has changed."""
        if (step := self.get(episode)) is not None:
            self._offer(step)

    def _offer(self, step: Step) -> None:
        for reader in self._readers:
            reader.offer(step)

    def open_now(self) -> list[Step]:
        """Newest steps of the open episodes, oldest episode first."""
        return sorted(self._open.values(), key=lambda step: (step["start_us"], step["episode_id"]))

    def open(self, wakeup: Wakeup, wanted: Callable[[Step], bool]) -> EpisodeReader:
        """A reader of the episodes that `wanted` picks: those open now, then every step. Close it when done."""
        reader = EpisodeReader(wakeup, wanted)
        for step in self.open_now():
            reader.offer(step)
        self._readers.add(reader)
        return reader

    def close(self, reader: EpisodeReader) -> None:
        """Forget a reader."""
        self._readers.discard(reader)


class EpisodeReader:
    """The steps one reader has not taken yet: the newest of each episode."""

    def __init__(self, wakeup: Wakeup, wanted: Callable[[Step], bool]) -> None:
        self._wakeup = wakeup
        self._wanted = wanted
        self._pending: dict[UUID, Step] = {}

    def offer(self, step: Step) -> None:
        """Note a step."""
        if not self._wanted(step):
            return
        if len(self._pending) >= MAX_PENDING:
            self._pending.clear()
            msg = f"this stream was read too slowly: {MAX_PENDING} anomaly episodes waited; open it again"
            self._wakeup.end(OverloadedError(msg))
            return
        self._pending[step["episode_id"]] = step
        self._wakeup.set()

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Steps as the reader takes them."""
        while True:
            while self._pending:
                yield self._pending.pop(next(iter(self._pending)))
            await self._wakeup.wait()
