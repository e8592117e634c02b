"""When a call is tried again, and when it is given up. Pure: clock and randomness are parameters, waiting is the caller's.

UNAVAILABLE is tried again, if the call means the same when it is said twice: whether it was carried out is not known. A call waits until
its deadline, a stream for `reconnect_s`; a client that has never heard from its server gives up after `first_contact_s`, because then the
address is probably wrong. RESOURCE_EXHAUSTED, with which nothing was done, is tried again when the server says after how long
(`grpc-retry-pushback-ms`), and after that long; the same pause holds for UNAVAILABLE that comes with one.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from millrace_client.errors import DeadlineExceededError, MillraceError, OverloadedError, UnavailableError

_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(kw_only=True, slots=True)
class Contact:
    """What a client knows of its server. `made`: it has answered at least once."""

    first_contact_s: float
    made: bool = False

    def limit_s(self, wanted_s: float) -> float:
        """How long UNAVAILABLE is waited out, for somebody who would wait `wanted_s`."""
        return wanted_s if self.made else min(wanted_s, self.first_contact_s)


class Deadline:
    """A point in time, `seconds` from now; None for never."""

    def __init__(self, seconds: float | None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._end_s = None if seconds is None else clock_s() + seconds

    def left_s(self, last: MillraceError | None = None) -> float | None:
        """Seconds left, None for no end; raises when there are none: the last failure, or DeadlineExceededError."""
        if self._end_s is None:
            return None
        left_s = self._end_s - self._clock_s()
        if left_s <= 0:
            if last is not None:
                raise last
            msg = "no answer before the deadline"
            raise DeadlineExceededError(msg)
        return left_s


class Attempts:
    """Tries of one call, or of one stream between two messages.

    `for_s`: how long UNAVAILABLE is waited out, from the first failure. `worked` starts anew.
    """

    def __init__(
        self,
        contact: Contact,
        *,
        for_s: float,
        idempotent: bool = True,
        clock_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.75, 1.25),
    ) -> None:
        self._contact = contact
        self._for_s = for_s
        self._idempotent = idempotent
        self._clock_s = clock_s
        self._jitter = jitter
        self._try_s = clock_s()
        self._since_s = math.inf
        self._tries = 0

    def begin(self) -> None:
        """A try begins."""
        self._try_s = self._clock_s()

    def worked(self) -> None:
        """The server answered."""
        self._contact.made = True
        self._start_anew()

    def delay_s(self, error: MillraceError) -> float:
        """Seconds to wait after a try that failed; raises `error` when it is not tried again."""
        if not isinstance(error, UnavailableError | DeadlineExceededError):
            self._contact.made = True  # a refusal is an answer as well
        if not self._again(error):
            self._start_anew()
            raise error
        if self._clock_s() - self._try_s > self._for_s:
            self._start_anew()  # a stream that stood for so long, however silent, had reached the server
        self._since_s = min(self._since_s, self._clock_s())
        backoff_s = _BACKOFF_S[min(self._tries, len(_BACKOFF_S) - 1)] * self._jitter()
        delay_s = backoff_s if error.retry_after_s is None else error.retry_after_s * max(1.0, self._jitter())
        if self._clock_s() + delay_s - self._since_s > self._contact.limit_s(self._for_s):
            self._start_anew()
            raise error
        self._tries += 1
        return delay_s

    def _again(self, error: MillraceError) -> bool:
        if isinstance(error, OverloadedError):
            return error.retry_after_s is not None and error.retry_after_s >= 0
        return self._idempotent and isinstance(error, UnavailableError) and (error.retry_after_s or 0) >= 0

    def _start_anew(self) -> None:
        self._tries = 0
        self._since_s = math.inf
