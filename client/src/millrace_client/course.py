"""How a stream goes on: which call opens it, what its messages give, and what is opened after it broke. Pure; streams drive it.

A stream that broke is opened again with `call`: most begin again with what is known by then; batches go on from their last position. A
server that is older than the call refuses it, and `declined` says whether there is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from millrace_client import calls, unpack
from millrace_client.calls import Call
from millrace_client.errors import MillraceError, UnsupportedError
from millrace_client.ids import now_us
from millrace_client.results import AggregateSeries, SampleSeries, TagBatch, TagUpdate

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
C = TypeVar("C", SampleSeries, AggregateSeries)

_DEFAULT_INTERVAL_MS = 250


class Course(Protocol[T_co]):
    """What a stream needs to know."""

    def call(self) -> Call[Any]:
        """The call that opens the stream, now."""

    def results(self, message: Any) -> Iterable[T_co]:
        """What a message gives to the reader; may be nothing."""

    def declined(self, error: MillraceError) -> bool:
        """Whether another call takes the place of the one that failed like this."""


class Repeated(Generic[T]):
    """The same call again. A stream that came back repeats what was known: the same result twice in a row is given once."""

    def __init__(self, call: Call[T]) -> None:
        self._call = call
        self._last: T | None = None

    def call(self) -> Call[T]:
        """The call."""
        return self._call

    def results(self, message: Any) -> Iterable[T]:
        """One result a message."""
        if (result := self._call.unpack(message)) == self._last:
            return ()
        self._last = result
        return (result,)

    def declined(self, error: MillraceError) -> bool:  # noqa: ARG002 - as of every course
        """There is no other call."""
        return False


class Batches:
    """Batches of updates, each stream behind the last position of the one before; single updates from a server without batches."""

    def __init__(
        self,
        paths: str | Iterable[str],
        *,
        min_interval_ms: int = 0,
        resume_position: str = "",
        heartbeat_ms: int = 0,
        omit_paths: bool = False,
    ) -> None:
        self._paths = [paths] if isinstance(paths, str) else list(paths)
        self._min_interval_ms = min_interval_ms
        self._position = resume_position
        self._heartbeat_ms = heartbeat_ms
        self._omit_paths = omit_paths
        self._single = False
        self._count = 0
        self.call()  # refuses arguments that fit no request

    def call(self) -> Call[Any]:
        """The call, from the last position on."""
        if self._single:
            self._count = 0
            return calls.state.watch_tags(self._paths, 1000 / (self._min_interval_ms or _DEFAULT_INTERVAL_MS))
        return calls.state.watch_tag_batches(
            self._paths,
            self._min_interval_ms,
            resume_position=self._position,
            heartbeat_ms=self._heartbeat_ms,
            omit_paths=self._omit_paths,
        )

    def results(self, message: Any) -> Iterable[TagBatch]:
        """One batch a message."""
        if self._single:
            self._count += 1
            return (TagBatch(updates=(unpack.update(message),), sequence=self._count, sent_us=now_us()),)
        batch = unpack.batch(message)
        self._position = batch.position or self._position
        return (batch,)

    def declined(self, error: MillraceError) -> bool:
        """From a server without batches single updates are asked for."""
        if self._single or not isinstance(error, UnsupportedError):
            return False
        self._single = True
        return True


class Flat(Generic[T]):
    """The parts of the results of another course, each by itself."""

    def __init__(self, course: Course[Any], parts: Callable[[Any], Iterable[T]]) -> None:
        self._course = course
        self._parts = parts

    def call(self) -> Call[Any]:
        """The other's call."""
        return self._course.call()

    def results(self, message: Any) -> Iterable[T]:
        """Parts of the results."""
        return [part for result in self._course.results(message) for part in self._parts(result)]

    def declined(self, error: MillraceError) -> bool:
        """As of the other."""
        return self._course.declined(error)


class Chunks(Generic[C]):
    """A history chunk by chunk, each a series of one tag, tag by tag. A stream that broke is read again; what was given is left out.

    Samples of one time are never in two chunks, so the newest time that was given of a tag says where to go on.
    """

    def __init__(self, kind: type[C], call: Call[Any]) -> None:
        self._kind: type[C] = kind
        self._call = call
        self._names: dict[int, dict[str, Any]] = {}
        self._given: dict[int, int] = {}
        self._known: dict[int, int] = {}

    def call(self) -> Call[Any]:
        """The call; what has been given by now is known."""
        self._known = dict(self._given)
        return self._call

    def results(self, message: Any) -> Iterable[C]:
        """The rows of a chunk that are not known, with what the tag's first chunk calls it."""
        tag_id = message.tag_id
        names = self._names.setdefault(tag_id, unpack.names(self._kind, message))
        known_us = self._known.get(tag_id)
        chunk, newest_us = unpack.chunk(self._kind, message, names, behind_us=known_us)
        if known_us is not None and newest_us is None:
            return ()
        self._given[tag_id] = newest_us or known_us or 0
        return (chunk,)

    def declined(self, error: MillraceError) -> bool:  # noqa: ARG002 - as of every course
        """There is no other call."""
        return False


def updates(paths: str | Iterable[str], max_rate_hz: float) -> Flat[TagUpdate]:
    """Updates one by one, out of batches."""
    return Flat(Batches(paths, min_interval_ms=interval_ms(max_rate_hz)), lambda batch: batch.updates)


def interval_ms(rate_hz: float) -> int:
    """Milliseconds between messages for so many a second, within the 10 to 60,000 that servers allow; 0 (the server's choice) for 0.

    A rate that is none (negative, not finite) gives -1, which the server refuses and explains.

    >>> [interval_ms(rate) for rate in (0, 4, 1000, 0.001, -1, float("nan"))]
    [0, 250, 10, 60000, -1, -1]
    """
    if rate_hz == 0:
        return 0
    return max(10, min(round(1000 / rate_hz), 60_000)) if 0 < rate_hz < float("inf") else -1
