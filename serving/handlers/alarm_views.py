"""What a caller sees of the alarms: those under a path, in their order, counted, as a calm list. Pure, over the cache.

A view is made once for each change of the alarms or the registry, whoever asks: a hundred pages with the same part of the plant cost one.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from base.errors import InvalidRequestError, NotFoundError
from schemas.alarms import PUT_ASIDE, Alarm, AlarmState
from schemas.priorities import Priority
from serving.caches.alarms import Alarms, Of
from serving.caches.plant import Lookups, covered
from serving.handlers.records import gateways_under
from stages.alarms.calm import STANDING, Line, calm_list

UNACKNOWLEDGED = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED})
MOST_LINES = 20
_VIEWS = 100
Place = tuple[int, int, int]
"""Rank of the priority, time of the last activation (the newest first), id: the order of alarms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmFilter:
    """Which alarms; every field that is set has to fit. No `states`: those that stand."""

    prefix: str = ""
    priorities: frozenset[Priority] = frozenset()
    states: frozenset[AlarmState] = frozenset()

    def picks(self, alarm: Alarm) -> bool:
        """Whether an alarm fits, wherever it is."""
        return (not self.priorities or alarm.priority in self.priorities) and alarm.state in (self.states or STANDING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Alarms by priority, and those that are put aside. `not_kept`: at any machine or gateway that the caller sees."""

    unacknowledged: Mapping[Priority, int]
    standing: Mapping[Priority, int]
    shelved: int
    suppressed: int
    out_of_service: int
    not_kept: int


def path_of(plant: Lookups, alarm: Alarm) -> str:
    """Present path of what the alarm is of; empty for what the caller may not see."""
    if not alarm.device_id:
        if alarm.line_path:
            sees = covered(alarm.line_path, plant.scopes)  # who sees a part of a line does not see what the rest does
        else:
            sees = bool(
                plant.site_of_gateway(alarm.gateway_id) if alarm.gateway_id else _meets(alarm.path, plant.scopes)
            )
        return alarm.path if plant.whole or sees else ""
    found = plant.device_path(alarm.device_id) if alarm.tag_id is None else plant.tag_path(alarm.tag_id)
    # Of a machine that the registry has forgotten the alarm itself knows where it was.
    return found or (alarm.path if plant.whole else "")


class Within:
    """Whether an alarm is under a path, and may be seen. A silent gateway concerns everybody whose machines it serves.

    Raises NotFoundError, which says what there is, for a path of nothing.
    """

    def __init__(self, plant: Lookups, prefix: str) -> None:
        self._plant, self._prefix, self._base = plant, prefix, prefix.rstrip("/*")
        self._version, self._gateways = plant.version, _gateways(plant, prefix)

    def __call__(self, alarm: Alarm) -> bool:
        """Whether it is."""
        if self._version != self._plant.version:
            with suppress(NotFoundError):  # what was there has moved: its gateways are those of before
                self._gateways = _gateways(self._plant, self._prefix)
            self._version = self._plant.version
        path = path_of(self._plant, alarm)
        if not path or not self._base:
            return bool(path)
        rest = self._prefix.endswith("*")
        below = path.startswith(self._base) if rest else path == self._base or path.startswith(f"{self._base}/")
        if alarm.rule == PUT_ASIDE:  # of a whole site
            return below or self._base.startswith(f"{path}/")
        return below or (not alarm.device_id and alarm.gateway_id in self._gateways)


def _meets(path: str, scopes: Iterable[str]) -> bool:
    """Whether something of a path is in one of the scopes."""
    return any(covered(path, [scope]) or covered(scope, [path]) for scope in scopes)


def _gateways(plant: Lookups, prefix: str) -> set[str]:
    tag = plant.find_tag_at(prefix.rstrip("/"))
    return {tag.gateway_id} if tag is not None else gateways_under(plant, prefix)


def _sees(plant: Lookups, of: Of) -> bool:
    """Whether a caller sees the machine, the line, or the gateway."""
    device_id, other = of
    if device_id:
        return bool(plant.device_path(device_id))
    return covered(other, plant.scopes) if "/" in other else bool(plant.site_of_gateway(other))


def place(alarm: Alarm) -> Place:
    """Where an alarm stands in the order."""
    return alarm.priority.rank, -(alarm.activated_us or alarm.updated_us), alarm.alarm_id.int


class View:
    """The alarms under a path, in their order."""

    def __init__(self, alarms: Alarms, plant: Lookups, prefix: str) -> None:
        self.alarms = sorted(filter(Within(plant, prefix), alarms.all()), key=place)
        self._not_kept = len(alarms.by_number) if plant.whole else alarms.by_number.count(lambda of: _sees(plant, of))

    @cached_property
    def put_aside(self) -> list[Alarm]:
        """Sites whose alarms are not evaluated."""
        return [alarm for alarm in self.alarms if alarm.rule == PUT_ASIDE]

    @cached_property
    def counts(self) -> Counts:
        """How many there are."""
        states = Counter(alarm.state for alarm in self.alarms)
        return Counts(
            unacknowledged=Counter(alarm.priority for alarm in self.alarms if alarm.state in UNACKNOWLEDGED),
            standing=Counter(alarm.priority for alarm in self.alarms if alarm.state in STANDING),
            shelved=states[AlarmState.SHELVED],
            suppressed=states[AlarmState.SUPPRESSED],
            out_of_service=states[AlarmState.OUT_OF_SERVICE],
            not_kept=self._not_kept,
        )

    @cached_property
    def lines(self) -> list[Line]:
        """The calm list."""
        return calm_list(self.alarms, MOST_LINES)

    def page(self, wanted: AlarmFilter, size: int, token: str) -> tuple[list[Alarm], str]:
        """Alarms behind a token, and the token of the next page."""
        start = bisect_right(self.alarms, _position(token), key=place) if token else 0
        found: list[Alarm] = []
        for alarm in self.alarms[start:]:
            if wanted.picks(alarm):
                if len(found) == size:
                    return found, _token(place(found[-1]))
                found.append(alarm)
        return found, ""


class Views:
    """Views that have been made, by what may be seen and the path."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._made: OrderedDict[tuple[tuple[str, ...], str], tuple[tuple[int, int], View]] = OrderedDict()

    def of(self, plant: Lookups, prefix: str) -> View:
        """The view of a caller, as it is now."""
        key, stamp = (plant.scopes, prefix), (self._alarms.changes, plant.version)
        made = self._made.get(key)
        if made is None or made[0] != stamp:
            made = self._made[key] = (stamp, View(self._alarms, plant, prefix))
        self._made.move_to_end(key)
        if len(self._made) > _VIEWS:
            self._made.popitem(last=False)
        return made[1]


def _token(where: Place) -> str:
    rank, time_us, number = where
    return urlsafe_b64encode(f"{rank}:{time_us}:{number:x}".encode()).decode()


def _position(token: str) -> Place:
    try:
        rank, time_us, number = urlsafe_b64decode(token.encode()).decode().split(":")
        return int(rank), int(time_us), UUID(int=int(number, 16)).int
    except (binascii.Error, ValueError) as error:
        msg = "page_token is not one that this server gave"
        raise InvalidRequestError(msg, field="page_token") from error
