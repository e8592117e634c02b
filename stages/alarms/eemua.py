"""What EEMUA 191 says of new alarms per operator and 10 minutes, on average over a long time. Who calls: reports and the page's figures."""

from __future__ import annotations

from enum import StrEnum


class RateVerdict(StrEnum):
    """In the words of EEMUA 191."""

    ACCEPTABLE = "ACCEPTABLE"
    MANAGEABLE = "MANAGEABLE"
    OVER_DEMANDING = "OVER_DEMANDING"
    UNACCEPTABLE = "UNACCEPTABLE"

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self]


_WORDS = {
    RateVerdict.ACCEPTABLE: "very likely acceptable",
    RateVerdict.MANAGEABLE: "manageable",
    RateVerdict.OVER_DEMANDING: "likely over-demanding",
    RateVerdict.UNACCEPTABLE: "very likely unacceptable",
}
_MOST = ((1.0, RateVerdict.ACCEPTABLE), (2.0, RateVerdict.MANAGEABLE), (5.0, RateVerdict.OVER_DEMANDING))
"""Up to which rate."""


def rate_verdict(per_10_min: float) -> RateVerdict:
    """What a rate is."""
    return next((verdict for most, verdict in _MOST if per_10_min <= most), RateVerdict.UNACCEPTABLE)
