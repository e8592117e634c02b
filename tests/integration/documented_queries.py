"""Which queries of the documents ask about the simulated week: those of its line, its lots and its batches."""

from __future__ import annotations

_OF_WEEK = ("acme/south/machining/line-1", "'PAL-", "'BAR-", "'B-3'")


def of_week(query: str) -> bool:
    """Whether a query is for the week, and not for the two hours of `documented_history`."""
    return any(words in query for words in _OF_WEEK)
