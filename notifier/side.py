"""One topic that the notifier follows beside alarms. What ends the reading is tried again: it ends nobody else.

Enters: records. Leaves: batches to `take`, whether it was read to its end once, and why it is not read.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

from confluent_kafka import Message as Record

from base.settings import KafkaSettings
from connectors.kafka.follow import Follower
from schemas.topics import Topic

log = logging.getLogger(__name__)

_AGAIN_S = 5.0
"""Between a reading that has ended and the next one."""
_STEADY_S = 3 * _AGAIN_S
"""How long a reading holds before what ended the last one is past: a denied topic without records looks read for a moment."""


class Side:
    """`run` it until cancelled. A reading that begins again begins with the first record: `take` may get all of them once more."""

    def __init__(self, kafka: KafkaSettings, topic: Topic, take: Callable[[list[Record]], None]) -> None:
        self.topic = topic
        self.known = asyncio.Event()
        """Set once it has been read to its end."""
        self._kafka, self._take = kafka, take
        self._follower: Follower | None = None
        self._failure, self._failed_at = "", 0.0

    @property
    def problem(self) -> str:
        """Why it is not read; empty when it is."""
        follower = self._follower
        steady = asyncio.get_running_loop().time() - self._failed_at >= _STEADY_S
        if self._failure and not (steady and follower is not None and follower.caught_up.is_set()):
            return self._failure
        problem = follower.problem if follower is not None else "not yet connected"
        return f"{self.topic.name}: {problem}" if problem else ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._follower = Follower(self._kafka, [re.escape(self.topic.name)], self._take)
            noting = asyncio.create_task(self._note(self._follower))
            try:
                await self._follower.run()
            except Exception as error:  # whatever ends the reading of this topic ends nothing else
                failure = f"{self.topic.name}: {error}"
                if failure != self._failure:
                    log.exception("a topic is not read; it is tried again", extra={"topic": self.topic.name})
                self._failure, self._failed_at = failure, asyncio.get_running_loop().time()
            finally:
                noting.cancel()
            await asyncio.sleep(_AGAIN_S)

    async def _note(self, follower: Follower) -> None:
        await follower.caught_up.wait()
        self.known.set()
