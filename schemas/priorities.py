"""How urgent an alarm is: by what happens when nobody acts, and by how long there is until then (ISA-18.2)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

MOST_SEVERE = 1000
"""Highest severity of an event in OPC UA; the lowest is 1."""

_MOST_DIGITS = 20


class Priority(StrEnum):
    """How soon a person turns to an alarm. Given by severity and time to respond, never by taste."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return list(Priority).index(self)


class Severity(StrEnum):
    """What happens when nobody does anything."""

    SEVERE = "SEVERE"
    """Somebody is hurt, something is released, a main machine is destroyed."""
    MAJOR = "MAJOR"
    """A machine is damaged, or a line stands for a shift."""
    MODERATE = "MODERATE"
    """A machine stands, a batch is scrapped."""
    MINOR = "MINOR"
    """It costs some minutes or some pieces."""


class Response(StrEnum):
    """How much time a person has until then."""

    IMMEDIATE = "IMMEDIATE"
    """Less than 3 minutes."""
    PROMPT = "PROMPT"
    """3 to 10 minutes."""
    SOON = "SOON"
    """10 to 30 minutes."""
    LATER = "LATER"
    """More than 30 minutes."""


_C, _H, _M, _L = Priority
_MATRIX = {
    Severity.SEVERE: (_C, _C, _H, _H),
    Severity.MAJOR: (_C, _H, _M, _M),
    Severity.MODERATE: (_H, _M, _L, _L),
    Severity.MINOR: (_M, _L, _L, _L),
}


def priority_of(severity: Severity, response: Response) -> Priority:
    """Priority by the matrix."""
    return _MATRIX[severity][list(Response).index(response)]


def severity_of(text: str) -> int:
    """Severity of an event as its server says it, from 1 to 1000; the least where it is no number."""
    return max(1, min(MOST_SEVERE, number_of(text)))


def number_of(text: str) -> int:
    """A whole number from 0 on in ASCII digits, 20 at most; 0 for every other text, as another program may send it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0


class SeverityStep(NamedTuple):
    """From which severity of a server on a condition is how urgent."""

    at_least: int
    severity: Severity
    response: Response

    @property
    def priority(self) -> Priority:
        """By the matrix."""
        return priority_of(self.severity, self.response)


def severity_steps(by_severity: Iterable[tuple[str, str]]) -> list[SeverityStep]:
    """Steps of a rule, the highest first, from texts as `700` and `MAJOR PROMPT`. Raises ValueError with the cause."""
    found = []
    for text, urgency in by_severity:
        number = number_of(text)
        severity, _, response = urgency.partition(" ")
        if not 0 < number <= MOST_SEVERE or severity not in list(Severity) or response not in list(Response):
            msg = (
                f"by_severity: {text[:20]!r} and {urgency[:40]!r} are no severity of a server, 1 to {MOST_SEVERE}, and an urgency,"
                " as 700: MAJOR PROMPT"
            )
            raise ValueError(msg)
        found.append(SeverityStep(number, Severity(severity), Response(response)))
    return sorted(found, reverse=True)
