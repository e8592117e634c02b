"""The signing keys as a job knows them: read when its operator opens, followed from then on, and asked again for a key that is not known.

Who calls: the operators of telemetry and commands, on a TaskManager. A gateway signs with a key only after the topic has it, so a topic
that is read to its end after the record came has the record's key, or nobody vouches for it. That look costs a fraction of a second,
and whoever makes ids up must not make a job spend its time on it: one a second, and none for an id that was looked for within the last
minute.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from base.errors import SchemaError, UnavailableError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from schemas import topics
from schemas.signing_keys import KeyBook, SignatureSettings, SigningKey

log = logging.getLogger(__name__)

_LOOKS, _LOOK_S, _SAME_S = 20, 1.0, 60.0
_MOST_UNKNOWN = 1024
_AGAIN_S, _TRIES = 1.0, 30
"""A broker that is away is waited for: what came cannot be judged without it, and nothing more comes."""
Snapshot = Callable[[], Iterable[bytes]]


class KeyTable:
    """`find` is for one thread. `snapshot` gives what the topic has now; `follow` hands on what comes, until it is told to stop."""

    def __init__(
        self,
        book: KeyBook,
        snapshot: Snapshot,
        follow: Callable[[threading.Event], Iterable[bytes]],
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._snapshot, self._follow, self._clock_s = book, snapshot, follow, clock_s
        self._looks, self._counted_s = float(_LOOKS), clock_s()
        self._unknown: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, kafka_settings: KafkaSettings, settings: SignatureSettings) -> KeyTable:
        """Of the topic; raises ConfigError for an authority that cannot be read."""
        name = topics.SIGNING_KEYS.name

        def snapshot() -> Iterable[bytes]:
            return [message.value() or b"" for message in kafka.read_to_end(kafka_settings, name)]

        def follow(stop: threading.Event) -> Iterable[bytes]:
            for batch in kafka.Reader(kafka_settings, [re.escape(name)]).batches(stop):
                yield from (message.value() or b"" for message in batch)

        return cls(KeyBook.of(settings.authority), snapshot, follow)

    def open(self) -> None:
        """Read the topic, and follow it. Raises DeliveryError: without keys nothing could be judged, and Flink starts the job again."""
        self._read()
        self._thread = threading.Thread(target=self._run, name="signing-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def find(self, key_id: str) -> SigningKey | None:
        """The key of an id; the topic is asked for one that is not known."""
        found = self._book.find(key_id)
        if found is not None or not self._may_look(key_id):
            return found
        self._look()
        if (found := self._book.find(key_id)) is None:
            if len(self._unknown) >= _MOST_UNKNOWN:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[key_id] = self._clock_s() + _SAME_S
        return found

    def _may_look(self, key_id: str) -> bool:
        now_s = self._clock_s()
        self._looks = min(_LOOKS, self._looks + (now_s - self._counted_s) / _LOOK_S)
        self._counted_s = now_s
        if self._looks < 1 or now_s < self._unknown.get(key_id, float("-inf")):
            return False
        self._looks -= 1
        return True

    def _look(self) -> None:
        for _ in range(_TRIES):
            try:
                return self._read()
            except UnavailableError as error:
                log.warning("a signing key cannot be looked for", extra={"cause": str(error)})
                if self._stop.wait(_AGAIN_S):
                    return None
        return None

    def _read(self) -> None:
        for message in self._snapshot():
            self._apply(message)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for message in self._follow(self._stop):
                    self._apply(message)
            except UnavailableError as error:
                log.warning("signing keys are not followed", extra={"cause": str(error)})
            self._stop.wait(_AGAIN_S)

    def _apply(self, message: bytes) -> None:
        try:
            self._book.apply(message)
        except SchemaError as error:
            log.error("a signing key is not taken", extra={"cause": str(error)})


Keys = Callable[[], KeyTable | None]
"""Makes the table, on a TaskManager; None where nothing needs a signature."""


def no_keys() -> None:
    """Nothing needs a signature."""


def keys_of(kafka_settings: KafkaSettings, settings: SignatureSettings) -> Keys:
    """Of a job's configuration."""
    return partial(KeyTable.of, kafka_settings, settings) if settings.required else no_keys
