"""Structured logs: one JSON object a line on standard error, the same fields in every service.

A line has a bound, whatever somebody sent: texts are cut, a traceback loses its middle.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TEXT = 1_000
_TRACEBACK = 8_000
_FIELDS = 40


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `service`, `logger`, `message`, `error` and whatever was passed as `extra`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _bounded(record.getMessage()),
        }
        extra = [(name, value) for name, value in vars(record).items() if name not in _STANDARD]
        fields |= {name: _bounded(value) for name, value in extra[:_FIELDS]}
        if record.exc_info:
            fields["error"] = _middle_cut(self.formatException(record.exc_info))
        return json.dumps(fields, default=str)


def _bounded(value: object) -> object:
    """Numbers as they are; anything else as text of at most 1,000 characters, or itself when that is short."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    if len(text) > _TEXT:
        return f"{text[:_TEXT]}… ({len(text):,} characters)"
    return value


def _middle_cut(text: str) -> str:
    """A traceback in at most 8,000 characters: where it began, and the error itself."""
    half = _TRACEBACK // 2
    return text if len(text) <= _TRACEBACK else f"{text[:half]}\n…\n{text[-half:]}"


def configure(service: str) -> None:
    """Send this process's logs to standard error as JSON; level from MILLRACE_LOG_LEVEL (default INFO)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=os.environ.get("MILLRACE_LOG_LEVEL", "INFO").upper(), handlers=[handler], force=True)
