"""What a Sparkplug host tells the gateway besides what every connector does: proposals, and what it refuses.

Refusals are told at once, and again at most once a minute for the same topic and cause, with how many there were: a node
that sends something unreadable every second says so once a minute. What is kept for that is bounded.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from base.ids import Clock
from connectors.device_notices import LONGEST_ADDRESS, DeviceNotices
from connectors.readings import Sink
from connectors.sparkplug.payload import Metric
from schemas.events import EventKind

log = logging.getLogger(__name__)

_REFUSALS_EVERY_US = 60_000_000
_REFUSALS_KEPT = 1000
_TEXT = 200
_PROPERTIES = 20
_TELLING = frozenset({"engUnit", "engLow", "engHigh", "documentation"})
"""Properties that make a definition: they are told whatever others there are."""
_OTHERS = ("other topics", "too many to name")


@dataclass(slots=True)
class _Told:
    at_us: int
    untold: int = 0


class Notices(DeviceNotices):
    """Makes notices of one connector. `refusals` counts them all."""

    def __init__(self, sink: Sink, clock: Clock, *, connector: str, endpoint: str) -> None:
        super().__init__(sink, clock, connector=connector, endpoint=endpoint, born={})
        self._told: dict[tuple[str, str], _Told] = {}
        self.refusals = 0

    def proposal(self, address: str, metric: Metric) -> None:
        """A birth named a metric that the registry does not know."""
        if len(address) > LONGEST_ADDRESS:
            self.refuse(address, f"no tag has an address of more than {LONGEST_ADDRESS} characters")
            return
        said = {key: value for key, value in metric.properties.items() if value is not None}
        shown = sorted(said, key=lambda key: (key not in _TELLING, key))[:_PROPERTIES]
        attributes = {key[:_TEXT]: str(said[key])[:_TEXT] for key in shown}
        # A property may be called anything; what it is must stay what it is.
        attributes |= {"address": address, "name": metric.name, "data_type": metric.data_type.name}
        attributes.pop("refused", None)
        attributes |= {"refused": metric.refused[:_TEXT]} if metric.refused else {}
        self.tell(EventKind.PROPOSAL, 0, f"{address[:_TEXT]} is not in the registry", attributes)

    def refuse(self, topic: str, cause: str, device_id: int = 0) -> None:
        """Something of a topic is not read."""
        self.refusals += 1
        topic, cause = topic[:_TEXT], cause[:_TEXT]
        now = self._clock()
        told = self._told.get((topic, cause))
        if told is None and len(self._told) >= _REFUSALS_KEPT:
            self._told = {key: one for key, one in self._told.items() if now - one.at_us < _REFUSALS_EVERY_US}
            if len(self._told) >= _REFUSALS_KEPT:
                topic, cause = _OTHERS
                told = self._told.get(_OTHERS)
        if told is not None and now - told.at_us < _REFUSALS_EVERY_US:
            told.untold += 1
            return
        count = 1 + (told.untold if told is not None else 0)
        self._told[topic, cause] = _Told(now)
        log.warning("not read", extra={"topic": topic, "cause": cause, "count": count})
        attributes = {"topic": topic, "cause": cause, "count": str(count)}
        self.tell(EventKind.REFUSED, device_id, f"{topic}: {cause}", attributes)
