"""Excursions: a fault of the simulator takes one tag of a machine beyond a limit, until somebody takes it off again.

Each machine of the example plant has one tag that is watched (`TAG`), and one rule on it without delay. An excursion goes on until its
alarm was seen and acknowledged: so there is exactly one alarm for each, whatever was killed meanwhile.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from base.errors import UnavailableError
from base.ids import uuid7
from millrace_client import Tag
from stack.config import StackConfig

TAG = "power"
RULE = "bench-power"
_BEYOND = 1.1
"""Of the end of the normal range: beyond the rule's limit, within what is believed."""
_LONG_S = 3600.0
_ANSWER_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A machine's watched tag; above `limit` its rule raises, and excursions go to `value`."""

    path: str
    tag_id: int
    limit: float
    value: float

    @property
    def machine(self) -> str:
        """Its name in the simulator."""
        parts = self.path.split("/")
        return f"{parts[1]}.{parts[-2]}"

    @property
    def site(self) -> str:
        """Its site."""
        return self.path.split("/")[1]


@dataclass(kw_only=True, slots=True)
class Excursion:
    """One, as its author saw it; microseconds since 1970, 0 for what did not happen. `wrong`: what did not come, in words."""

    number: int
    target: Target
    due_s: float
    told: bool = False
    """It is acknowledged only when somebody was told of it, not as soon as it is seen."""
    action_id: UUID = field(default_factory=uuid7)
    put_us: int = 0
    seen_us: int = 0
    sent_us: int = 0
    stream_us: int = 0
    """Seen in the page's feed."""
    alarm_id: UUID | None = None
    start_us: int = 0
    activated_us: int = 0
    priority: str = ""
    asked_us: int = 0
    answered_us: int = 0
    answer: str = ""
    tries: int = 0
    acknowledged_us: int = 0
    """When it was acknowledged, as the alarm's record says."""
    acknowledged_seen_us: int = 0
    over_us: int = 0
    normal_seen_us: int = 0
    wrong: str = ""

    @property
    def name(self) -> str:
        """For people who look it up."""
        return f"excursion {self.number} of {self.target.path} (alarm {self.alarm_id})"


def targets(tags: Iterable[Tag]) -> list[Target]:
    """The watched tag of every machine that has one, in order of their paths."""
    found = [
        Target(path=tag.path, tag_id=tag.tag_id, limit=tag.eu_high, value=round(tag.eu_high * _BEYOND, 6))
        for tag in tags
        if tag.name == TAG and tag.eu_high is not None
    ]
    return sorted(found, key=lambda one: one.path)


def rules(plant: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules of a plant's classes that have the watched tag, as a rules file has them; by turns of each priority."""
    weights = [("SEVERE", "IMMEDIATE"), ("MAJOR", "PROMPT"), ("MODERATE", "PROMPT"), ("MINOR", "LATER")]
    classes = [name for name, one in plant["device_classes"].items() if TAG in one["tags"]]
    return [
        {
            "name": RULE,
            "device_class": name,
            "kind": "LIMIT",
            "tag": TAG,
            "level": "HI",
            "limit": plant["device_classes"][name]["tags"][TAG]["eu"][1],
            "severity": weights[number % len(weights)][0],
            "response": weights[number % len(weights)][1],
            "title": "Power is high",
            "cause": "The benchmark has put a fault on.",
            "consequence": "It is measured.",
            "corrective_action": "Acknowledge it.",
        }
        for number, name in enumerate(classes)
    ]


def plan(chosen: Sequence[Target], *, count: int, rate_hz: float) -> list[Excursion]:
    """So many excursions, at a rate; machines take turns."""
    return [
        Excursion(number=number, target=chosen[number % len(chosen)], due_s=number / rate_hz) for number in range(count)
    ]


class Simulator:
    """The admin interface of the simulator. Raises UnavailableError when it does not do as it is told."""

    def __init__(self, config: StackConfig) -> None:
        self._url = f"http://{config.host}:{config.ports.simulator_admin}/faults"

    def put(self, target: Target) -> int:
        """Take a tag beyond its limit; the fault's number."""
        fault = {"device": target.machine, "tag": TAG, "kind": "out_of_range", "value": target.value}
        return int(self._call("POST", "", fault | {"duration_s": _LONG_S})["id"])

    def take_off(self, number: int) -> None:
        """Let it be."""
        self._call("DELETE", f"/{number}", None)

    def clear(self) -> None:
        """Take every fault off."""
        self._call("DELETE", "", None)

    def _call(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, method=method)
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
                return json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            msg = f"the simulator does not answer {method} {path or '/'} of faults: {error}"
            raise UnavailableError(msg) from error
