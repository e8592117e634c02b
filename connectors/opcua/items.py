"""A monitored tag, what the server made of the request for it, and when one that is not there is asked for again. Pure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from connectors.opcua.address import NodeAddress
from connectors.opcua.plain import Explain, unexplained
from connectors.readings import Seen
from schemas.definitions import TagDefinition

_RETRY_MIN_S, _RETRY_MAX_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Revised:
    """What the server granted: intervals in milliseconds, samples that it queues."""

    sampling_ms: float
    queue_size: int
    publishing_ms: float

    def slow_sampling(self, period_ms: int) -> bool:
        """Whether the server looks less often than the tag changes."""
        return self.sampling_ms > period_ms

    def short_queue(self, period_ms: int) -> bool:
        """Whether samples between two publications do not fit into the queue. A queue of one loses them without an overflow bit."""
        return self.queue_size < math.floor(self.publishing_ms / max(self.sampling_ms, period_ms, 1)) + 1

    def limitation(self, period_ms: int) -> str:
        """What may be lost; empty when nothing."""
        found = []
        if self.slow_sampling(period_ms):
            found.append(f"sampled every {self.sampling_ms:g} ms, period {period_ms} ms")
        if self.short_queue(period_ms):
            found.append(
                f"queue of {self.queue_size} between publications of {self.publishing_ms:g} ms, period {period_ms} ms"
            )
        return "; ".join(found)


@dataclass(slots=True)
class Item:
    """A tag at the server. `fresh` until the first notification of a subscription; `refused` says why it has none.

    `gone`: the server said that the node is not there any more. `time_source` is where its times come from: the source, the server, or
    this gateway. `value` is the last that was told. `explain` knows the session's structures.
    """

    tag: TagDefinition
    handle: int
    address: NodeAddress | None
    last: Seen
    path: tuple[int | str, ...] = ()
    explain: Explain = unexplained
    node_id: Any = None
    fresh: bool = True
    gone: bool = False
    time_source: str = "source"
    variant_type: Any = None
    value: Any = None
    subscribed: bool = False
    refused: str = ""
    revised: Revised | None = None
    retry_s: float = 0.0
    _pause_s: float = _RETRY_MIN_S

    @property
    def of_structure(self) -> bool:
        """Whether the tag is a field."""
        return any(isinstance(step, str) for step in self.path)

    def serves(self, wanted: TagDefinition | None) -> bool:
        """Whether it goes on as it is for what is wanted at its address now: the same tag, looked at as often.

        Another tag is asked for anew, so that it has the node's value, and a last sample of its own.
        """
        mine = self.tag
        return wanted is not None and (wanted.tag_id, wanted.sampling_ms) == (mine.tag_id, mine.sampling_ms)

    def refuse(self, cause: str, now_s: float) -> None:
        """It is in no subscription; the pause before it is tried again grows."""
        self.subscribed, self.revised, self.refused = False, None, cause
        self.retry_s = now_s + self._pause_s * random.uniform(0.8, 1.2)
        self._pause_s = min(2 * self._pause_s, _RETRY_MAX_S)

    def heard(self) -> None:
        """It has delivered a value: the next pause is short again."""
        self._pause_s = _RETRY_MIN_S
