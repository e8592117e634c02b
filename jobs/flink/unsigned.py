"""Which gateways send records without a signature where they have to be signed, for `status`: when the newest came, by gateway.

Enters: the gateway that a record names, whether the record was taken or refused. Leaves: the counter `unsigned_newest_s` of that gateway,
seconds since 1970. Nothing shows that the record is of the gateway it names, and who writes to a site's topics may make names up: so
there is room for some hundred of them, and one for all others.
"""

from __future__ import annotations

import re

from jobs.flink.metrics import Metrics

NAME, OTHERS = "unsigned_newest_s", "others"
MOST = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class UnsignedGateways:
    """Of one operator."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: dict[str, int] = {}

    def seen(self, gateway_id: str, now_us: int) -> None:
        """A record without a signature has come now, and names this gateway."""
        fits = gateway_id in self._told or (len(self._told) < MOST and _NAME.fullmatch(gateway_id))
        name, now_s = gateway_id if fits else OTHERS, now_us // 1_000_000
        if (later_s := now_s - self._told.get(name, 0)) > 0:
            self._metrics.count(NAME, later_s, gateway=name)
            self._told[name] = now_s
