"""What a service answered when it was asked for its health."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """How it answered."""

    READY = "ready"
    """It answers and can do its work."""
    NOT_READY = "not ready"
    """It answers, and says that it cannot do its work now (it starts, or something that it needs is away). A restart would not help."""
    SILENT = "silent"
    """It does not answer at all."""
    UNKNOWN = "unknown"
    """It was not asked: whoever would know does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """One answer, with what it said or how it failed to."""

    answer: Answer
    detail: str = ""


READY = Health(answer=Answer.READY)


def not_ready(detail: str) -> Health:
    """It answers but cannot work."""
    return Health(answer=Answer.NOT_READY, detail=detail)


def silent(detail: str) -> Health:
    """It does not answer."""
    return Health(answer=Answer.SILENT, detail=detail)


def unknown(detail: str) -> Health:
    """Nobody could say."""
    return Health(answer=Answer.UNKNOWN, detail=detail)
