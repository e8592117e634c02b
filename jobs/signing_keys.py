"""The signing keys as a job knows them: read when its operator opens, looked at every second from then on, and for a key that is not known.

Who calls: the operators of telemetry and commands, on a TaskManager. A gateway signs with a key only after the topic has it, so a topic
that is read to its end after the record came has the record's key, or nobody vouches for it. A look asks the broker where the topic
ends, a matter of milliseconds, and reads it only if that has moved: whoever makes ids up makes a job ask, and no more.

A look that fails is no answer: nothing is refused for it. It is repeated for half a minute and then fails the task, which Flink starts
again from its checkpoint, so what came is judged later. The same goes for keys that were not looked at for minutes: one of them may have
been revoked since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from base.errors import SchemaError, UnavailableError, cause_of
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.kafka.offsets import TopicEnd
from schemas import topics
from schemas.signing_keys import KeyBook, SignatureSettings, SigningKey

log = logging.getLogger(__name__)

_EVERY_S, _STALE_S = 1.0, 300.0
_ANSWER_S = 10.0
_AGAIN_S, _TRIES = 1.0, 30


class KeyTable:
    """`find` is for one thread. `snapshot` gives what the topic has now; `ends` where it ends, which is equal while nothing has come."""

    def __init__(
        self,
        book: KeyBook,
        snapshot: Callable[[], Iterable[bytes]],
        ends: Callable[[], object] = object,
        *,
        close: Callable[[], None] = lambda: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._snapshot, self._ends, self._close, self._clock_s = book, snapshot, ends, close, clock_s
        self._looking = threading.Lock()
        self._read_to: object = None
        self._looked_s = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, kafka_settings: KafkaSettings, settings: SignatureSettings) -> KeyTable:
        """Of the topic; raises ConfigError for an authority that cannot be read."""
        name, book = topics.SIGNING_KEYS.name, KeyBook.of(settings.authority)
        source = kafka.consumer(kafka_settings)

        def snapshot() -> Iterable[bytes]:
            found = kafka.read_to_end(kafka_settings, name, timeout_s=_ANSWER_S)
            return [message.value() or b"" for message in found]

        return cls(book, snapshot, TopicEnd(source, name, timeout_s=_ANSWER_S).look, close=source.close)

    def open(self) -> None:
        """Read the topic, and go on looking. Raises DeliveryError: without keys nothing could be judged, and Flink starts the job again."""
        self._look()
        self._thread = threading.Thread(target=self._run, name="signing-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._close()

    @property
    def age_s(self) -> int:
        """Seconds since the keys were as the topic has them."""
        return int(min(self._clock_s() - self._looked_s, 1e9))

    def find(self, key_id: str) -> SigningKey | None:
        """The key of an id; None when nobody vouches for it. Raises UnavailableError when that cannot be known."""
        found = self._book.find(key_id)
        if found is None or self.age_s > _STALE_S:
            self._look_patiently()
            found = self._book.find(key_id)
        return found

    def _look_patiently(self) -> None:
        for tries in range(1, _TRIES + 1):
            try:
                return self._look()
            except UnavailableError as error:
                log.warning("a signing key cannot be looked for", extra={"cause": str(error)})
                if tries == _TRIES or self._stop.wait(_AGAIN_S):
                    raise
        return None

    def _look(self) -> None:
        with self._looking:
            now_s, ends = self._clock_s(), self._ends()
            if ends != self._read_to:
                for message in self._snapshot():
                    self._apply(message)
                self._read_to = ends
            self._looked_s = now_s

    def _run(self) -> None:
        said = ""
        while not self._stop.wait(_EVERY_S):
            try:
                self._look()
                said = ""
            except Exception as error:  # whatever it is, a key that is revoked has to be heard of
                if (cause := cause_of(error)) != said:
                    foreseen = isinstance(error, UnavailableError)
                    log.error("signing keys are not read", extra={"cause": cause}, exc_info=None if foreseen else error)
                    said = cause

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
