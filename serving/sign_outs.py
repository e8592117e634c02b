"""Signing out everywhere: what somebody was signed in with before a time is over, at every process of the installation.

Enters: records of the topic `sign.outs`, which every process follows from its beginning, and people who ask for it. Leaves: whether
what a caller shows was made before its sign-out. A sign-out is forgotten once nothing can be left that was made before it.
"""

from __future__ import annotations

import logging

from base.ids import Clock, now_us
from schemas import topics
from schemas.sign_outs import SignOut
from serving.record_log import RecordLog

log = logging.getLogger(__name__)

LONGEST_S = 28 * 86_400.0
"""No session and no token of a person lives longer: the topic keeps sign-outs for 30 days."""


class SignOuts:
    """Who has signed out everywhere, and when."""

    def __init__(self, records: RecordLog, *, longest_s: float, clock: Clock = now_us) -> None:
        """`longest_s`: how long a session or a token of a person can live."""
        self._records, self._clock = records, clock
        self._longest_us = int(longest_s * 1e6)
        self._before_us: dict[str, int] = {}
        self.current = False
        """Whether the topic has been read: before that nobody who could have signed out is let in."""
        self.generation = 0
        """Another number whenever `before_us` may answer otherwise than before."""

    def apply(self, message: bytes) -> None:
        """Take a record of the topic; raises SchemaError."""
        self._take(SignOut.decode(message))

    async def sign_out(self, subject: str, *, by: str) -> None:
        """End all that `subject` is signed in with. It is over everywhere a moment after this returns, and here when it does.

        Raises UnavailableError or OverloadedError; then nothing is over.
        """
        made = SignOut(subject=subject, before_us=self._clock(), by=by)
        await self._records.send(topics.SIGN_OUTS.name, made.key, made.encode())
        self._take(made)
        log.info("signed out everywhere", extra={"subject": subject, "by": by})

    def before_us(self, subject: str) -> int:
        """What was made for somebody before this time is over; 0 for nothing."""
        return self._before_us.get(subject, 0)

    def _take(self, made: SignOut) -> None:
        if made.before_us <= self.before_us(made.subject):
            return
        oldest_us = self._clock() - self._longest_us
        self._before_us = {name: time_us for name, time_us in self._before_us.items() if time_us > oldest_us}
        # A record of the future would keep somebody out until then.
        self._before_us[made.subject] = min(made.before_us, self._clock())
        self.generation += 1
