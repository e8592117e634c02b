"""What the topic `alarms` says of a site, held against its state once all that came before a start has been read again.

What was published behind the last checkpoint is not in the state that a start goes on from. Most of it comes about again, under the same
id and versions, because the same records are read again. Not all: silence runs by the clock on the wall, topics and lanes are read in
another order, definitions are newer, last values have been compacted. What did not come again would stand for ever, and an alarm that the
topic has in a higher version would be heard no more. So each record of the topic is compared when there was time for it to come again:
what nobody remembers is over, with a reason, and ends where nobody had to acknowledge it; of what is another the state's own view is
told, in a version above. What is the same, nearly always all, costs nothing.

An alarm's id has its start in it, and the sample of that moment may be gone when it is read again. So a condition that is found to hold
within the time of an alarm that the topic has goes on with that alarm (`since`): the same episode has the same id.

Enters: the topic from its beginning to its end when the operator opens (`fold`, `forget`, `complete`). Who calls: `stages.alarms.logic`.
Bounded by the topic: standing alarms whole, others by id and version, and of each source the newest alarm's time, until they have been
compared; what is of others' sites is let go (`keep_only`). A site that has no state takes over what people have put aside (`put_aside`);
its alarms it has to raise again itself.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, TypeAlias
from uuid import UUID

from schemas.alarms import PUT_ASIDE, Alarm, AlarmEventKind, AlarmState, OverrideKind
from stages.alarms.points import Point
from stages.alarms.site_state import SiteState
from stages.alarms.source import ENDED_ALARMS, Episode, Source
from stages.alarms.step import OF_EPISODE, Step, alarm_of

GONE = "its rule, tag or device is defined no more"
NOT_AGAIN = "it was not raised again after a restart"
READ_AGAIN = "the state of the site can be read again"
_SEEN = (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED)
"""States that nothing hides."""
AT_ONCE = 500
"""So many are compared in a tick."""
UNHEARD_US = 3_600_000_000
"""An alarm of a tag of which nothing is known waits for its next value for so long: until then nobody could have raised it again."""

Told: TypeAlias = Alarm | int
"""The newest record of an alarm; of one that is normal the version alone."""


class Was(NamedTuple):
    """The newest alarm of a source on the topic: when its condition held, and what was seen when it began."""

    start_us: int
    until_us: int | None
    """None while it holds."""
    activated_us: int
    value: float | None
    detail: str
    late: bool
    normal: bool
    """It has ended."""


class Own(NamedTuple):
    """What the state has of an id: an episode, or the source itself."""

    point: Point
    source: Source
    episode: Episode | None


class Published:
    """Records of the topic, by site, until they have been compared. Ids are their bytes: there may be a hundred thousand."""

    def __init__(self) -> None:
        self._sites: dict[str, dict[bytes, Told]] = {}
        self._site_of: dict[bytes, str] = {}
        """Of each id, while the topic is read."""
        self._was: dict[str, dict[bytes, Was]] = {}
        """By site and source."""

    def fold(self, alarm: Alarm) -> None:
        """A record of the topic."""
        key, site = alarm.alarm_id.bytes, sys.intern(alarm.site)
        told = self._sites.setdefault(site, {})
        known = told.get(key)
        if known is None or alarm.version > _version(known):
            told[key] = alarm.version if alarm.state is AlarmState.NORMAL else alarm
            self._site_of[key] = site
            if alarm.start_us is not None:
                self._note(alarm, alarm.start_us, self._was.setdefault(site, {}))

    @staticmethod
    def _note(alarm: Alarm, start_us: int, was: dict[bytes, Was]) -> None:
        before = was.get(alarm.source_id.bytes)
        if before is None or start_us >= before.start_us:
            until_us = None if alarm.active else alarm.updated_us if alarm.returned_us is None else alarm.returned_us
            was[alarm.source_id.bytes] = Was(
                start_us=start_us,
                until_us=until_us,
                activated_us=alarm.activated_us or start_us,
                value=alarm.value,
                detail=alarm.detail,
                late=alarm.late,
                normal=alarm.state is AlarmState.NORMAL,
            )

    def since(self, site: str, source_id: UUID, time_us: int) -> Was | None:
        """The alarm of a source in whose time a moment is, in event time; None once the site has been compared."""
        found = self._was.get(site, {}).get(source_id.bytes)
        if found is None or time_us < found.start_us:
            return None
        # Silence begins at the moment at which the one before was over.
        over = found.until_us is not None and time_us >= found.until_us and time_us > found.start_us
        return None if over else found

    def over(self, site: str, source_id: UUID, time_us: int) -> None:
        """A condition that nobody remembers was found not to hold, later than it came last: what holds later is another alarm."""
        if not (was := self._was.get(site)):
            return
        if (found := was.get(source_id.bytes)) is not None and found.until_us is None and time_us > found.activated_us:
            was[source_id.bytes] = found._replace(until_us=time_us)

    def forget(self, key: bytes) -> None:
        """A tombstone; what is no such key is nothing."""
        try:
            alarm_id = UUID(key.decode(errors="replace")).bytes
        except ValueError:
            return
        if (site := self._site_of.pop(alarm_id, None)) is not None:
            del self._sites[site][alarm_id]

    def complete(self) -> None:
        """The topic has been read to its end. Of two alarms of a source the newer is compared first: one can be kept."""
        self._site_of = {}
        for site, told in self._sites.items():
            self._sites[site] = dict(sorted(told.items(), key=_newest_first))

    def keep_only(self, sites: Collection[str]) -> None:
        """Other sites are others'."""
        self._sites = {site: told for site, told in self._sites.items() if site in sites}
        self._was = {site: was for site, was in self._was.items() if site in sites}

    def take(self, site: str, other: Published) -> None:
        """One site of another reading."""
        if told := other._sites.get(site):
            self._sites[site], self._was[site] = told, other._was.get(site, {})

    def waiting(self, sites: Collection[str]) -> int:
        """How many of these sites have not been compared whole."""
        return sum(bool(self._sites.get(site)) for site in sites)

    def said(self, site: str, alarm: Alarm) -> None:
        """The site has come to a newer version by itself."""
        told, key = self._sites.get(site), alarm.alarm_id.bytes
        if told and (known := told.get(key)) is not None and alarm.version > _version(known):
            del told[key]

    def standing(self, site: str, rule: str) -> bool:
        """Whether an alarm of a rule stands."""
        return any(isinstance(each, Alarm) and each.rule == rule for each in self._sites.get(site, {}).values())

    def put_aside(self, site: str) -> list[Alarm]:
        """Records of the sources that people have put aside."""
        told = (each for each in self._sites.get(site, {}).values() if isinstance(each, Alarm))
        return [each for each in told if each.start_us is None and each.rule != PUT_ASIDE]

    def compare(self, site: str, state: SiteState, left_us: int, step: Step, hidden: Callable[[Point], str]) -> None:
        """Hold what there was time for against the state.

        `left_us`: how much of that time is left, below 0 when it is over. `hidden`: why design hides what stands at a point, or nothing.
        """
        told = self._sites.get(site)
        if not told and left_us <= 0:
            self._was.pop(site, None)
        if not told or (left_us > 0 and not self.standing(site, PUT_ASIDE)):
            return
        own = dict(_own(state))
        compared = []
        for key, known in told.items():
            alarm = known if isinstance(known, Alarm) else None
            point = state.table.points.get(alarm.source) if alarm is not None else None
            # Silence of a gateway takes its time again: nobody knows of what was before.
            takes_us = point.on_delay_us if point is not None and not point.of_values and not point.device_id else 0
            if left_us + takes_us > 0 and (alarm is None or alarm.rule != PUT_ASIDE):
                continue
            mine = own.get(key)
            if mine is None and alarm is not None and left_us + UNHEARD_US > 0 and _may_come(alarm, point, state):
                continue
            if mine is not None:
                _agree(known, mine, state, step)
            elif alarm is not None and point is not None and _is_asked_for(alarm, point, state) and not hidden(point):
                _keep(alarm, point, state, step)
            elif alarm is not None:
                _close(alarm, point, state, step)
                self._was.get(site, {}).pop(alarm.source_id.bytes, None)
            else:
                state.ended.note(UUID(bytes=key), step.now_us)
            compared.append(key)
            if len(compared) == AT_ONCE:
                break
        for key in compared:
            del told[key]
        if not told:
            del self._sites[site]


def _newest_first(item: tuple[bytes, Told]) -> int:
    return -(item[1].start_us or 0) if isinstance(item[1], Alarm) else 0


def _version(told: Told) -> int:
    return told.version if isinstance(told, Alarm) else told


def _may_come(alarm: Alarm, point: Point | None, state: SiteState) -> bool:
    """Whether an alarm that nobody remembers may be raised again: something of its condition has not been heard, or its delay runs."""
    if alarm.condition and point is None and alarm.start_us is not None:
        return True  # its gateway tells of it when it changes, or when the gateway starts
    if point is None or not point.of_values or alarm.start_us is None:
        return False
    source = state.sources.get(point.key)
    if source is not None and (source.episode is not None or str(alarm.alarm_id) in source.ended_alarms):
        return False
    return _unheard(point, state) or (source is not None and source.raw and not source.active)


def _unheard(point: Point, state: SiteState) -> bool:
    """Whether a tag has not been heard, or a window is not known yet."""
    tags = [point.tag] if point.tag is not None else [] if point.bound is None else point.bound.tags
    windows = () if point.bound is None else point.bound.windows
    for tag in tags:
        lane = state.lane_of(tag.tag_id)
        if lane is None or lane.last(tag.tag_id) is None:
            return True
        asked = (key for key in windows if key.tag_id == tag.tag_id)
        if any(state.windows[key].at(lane.known_us) is None for key in asked):
            return True
    return False


def _own(state: SiteState) -> Iterator[tuple[bytes, Own]]:
    for key, source in state.sources.items():
        if (point := state.table.points.get(key)) is not None:
            yield point.source_id.bytes, Own(point, source, None)
            if source.episode is not None:
                yield source.episode.alarm_id.bytes, Own(point, source, source.episode)


def _agree(told: Told, own: Own, state: SiteState, step: Step) -> None:
    """The state's view stands: where the topic has another of the same version or above, it is told once more, above that."""
    point, source, episode = own
    holder = source if episode is None else episode
    before, version = holder.version, _version(told)
    if version < before:
        return
    holder.version = version
    time_us = max(told.updated_us, _clock_us(point, state)) if isinstance(told, Alarm) else step.now_us
    now = alarm_of(point, source, episode, time_us)
    if isinstance(told, Alarm):
        like = {name: getattr(told, name) for name in ("version", "updated_us", "late")}
        same = dataclasses.replace(now, **like) == told
    else:
        same = now.state is AlarmState.NORMAL
    if same:
        holder.version = version
    else:
        step.notes.append("alarm_told_once_more")
        step.alarms.append(now)
    if holder.version != before:
        state.touch(point.key)


def _is_asked_for(alarm: Alarm, point: Point, state: SiteState) -> bool:
    """Whether somebody still has to do something about an alarm that nobody remembers, as if its condition were over."""
    source = state.source(point.key)
    if alarm.start_us is None or alarm.condition or source.episode is not None or source.overridden:
        return False
    if alarm.state not in _SEEN or str(alarm.alarm_id) in source.ended_alarms or alarm.alarm_id in state.ended:
        return False
    latched = _latched_us(alarm) is not None or (alarm.active and point.rule.latch)
    return alarm.acknowledged_us is None or latched


def _latched_us(alarm: Alarm) -> int | None:
    return next((one.since_us for one in alarm.overrides if one.kind is OverrideKind.LATCHED), None)


def _keep(alarm: Alarm, point: Point, state: SiteState, step: Step) -> None:
    """It was raised and was over in what cannot be read again: it stays until it is acknowledged, and reset where it latches."""
    step.notes.append("alarm_of_before_kept")
    source = state.source(point.key)
    source.episode = episode = Episode(
        rule_id=point.rule.rule_id,
        rule_version=alarm.rule_version,
        latched_us=_latched_us(alarm),
        uncounted=True,
        **{name: getattr(alarm, name) for name in OF_EPISODE},
    )
    source.started_us = max(source.started_us, episode.start_us)
    if alarm.active:
        time_us = max(alarm.updated_us, _clock_us(point, state))
        episode.returned_us = time_us
        episode.latched_us = time_us if point.rule.latch else None
        step.tell(point, source, episode, AlarmEventKind.RETURNED, time_us, detail=NOT_AGAIN)
    state.touch(point.key)


def _close(alarm: Alarm, point: Point | None, state: SiteState, step: Step) -> None:
    """Nobody remembers it: it ends."""
    step.notes.append("alarm_of_before_closed")
    source = _source_of(alarm, point, state)
    ended = source is not None and str(alarm.alarm_id) in source.ended_alarms
    clock_us = step.now_us if point is None else _clock_us(point, state)
    time_us, of_source = max(alarm.updated_us, clock_us), alarm.start_us is None
    closed = dataclasses.replace(
        alarm,
        version=alarm.version + 1,
        state=AlarmState.NORMAL,
        active=False,
        overrides=(),
        returned_us=None if of_source else alarm.returned_us or time_us,
        updated_us=time_us,
    )
    step.alarms.append(closed)
    if source is not None and of_source:
        source.version = max(source.version, closed.version)
    elif source is not None and not ended:
        # Its id is not used again.
        source.started_us = max(source.started_us, alarm.start_us or 0)
        source.ended_alarms = [*source.ended_alarms, str(alarm.alarm_id)][-ENDED_ALARMS:]
    if alarm.rule == PUT_ASIDE:
        step.say(closed, AlarmEventKind.RETURNED, time_us, detail=READ_AGAIN)
    elif point is None:
        step.say(closed, AlarmEventKind.RULE_RETIRED, time_us, detail=GONE)
    elif not ended and not of_source:
        step.say(closed, AlarmEventKind.RETURNED, time_us, detail=NOT_AGAIN)


def _source_of(alarm: Alarm, point: Point | None, state: SiteState) -> Source | None:
    if point is not None:
        return state.source(point.key)
    return state.source(alarm.source) if alarm.source in state.sources else None


def _clock_us(point: Point, state: SiteState) -> int:
    gateway = state.gateways.get(point.clock)
    return 0 if gateway is None else gateway.clock_us
