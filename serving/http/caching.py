"""What caches may keep: validators for everything that is asked for again, a lifetime for history of a range that is closed.

Metadata is `no-cache` with an ETag: a cache keeps it and asks each time, the server checks who asks and answers 304 without the body.
History whose range ended more than an hour ago is kept for `cache_closed_s`: late samples change it seldom, and show after that time at
the latest. Answers are `private`, so a cache in front keeps none for everybody, unless `shared_cache` says that the cache asks the server
who may read (nginx: `auth_request /api/v1/me`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.http.rows import Keep

CLOSED_US = 3_600_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Caching:
    """The installation's rules."""

    closed_s: int
    shared: bool

    def headers(self, keep: Keep, values: Mapping[str, Any], now_us: int) -> list[tuple[str, str]]:
        """Headers for an answer to a request with these values."""
        if keep is Keep.NEVER:
            return [("cache-control", "no-store")]
        scope = "public" if self.shared else "private"
        if keep is Keep.HISTORY and self._closed(values, now_us):
            return [("cache-control", f"{scope}, max-age={self.closed_s}"), _VARY]
        return [("cache-control", f"{scope}, no-cache"), _VARY]

    def _closed(self, values: Mapping[str, Any], now_us: int) -> bool:
        end_us = values.get("end_us") or values.get("selection", {}).get("end_us") or 0
        return 0 < end_us < now_us - CLOSED_US


_VARY = ("vary", "accept, authorization, cookie")


def etag(body: bytes) -> str:
    """Validator of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(given: str, tag: str) -> bool:
    """Whether If-None-Match names the validator."""
    return given.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in given.split(",")}
