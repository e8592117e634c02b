"""The alarms of all sites: definitions and rules on one side, records of a site on the other.

Enters: messages of `registry.tags` and of rules, and decoded records of `telemetry.latest`, `device.events.*`, `telemetry.anomalies`,
`command.states` and `alarm.actions`. Leaves: a `Step` with alarms and events. Who calls: the alarms job, and `alarms try` over history.
At-least-once, in any order between topics; of one topic in order per key. A site's state is bytes between starts (`drain_changes`,
`restore`); a site is touched for the first time with what is stored of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from base.errors import SchemaError
from schemas import codec
from schemas.alarm_rules import AlarmRule
from schemas.alarms import PUT_ASIDE, Alarm, AlarmAction, AlarmEventKind, AlarmState, alarm_id, source_id, source_key
from schemas.commands import CommandStateRecord
from schemas.definitions import Registry, TagDefinition
from schemas.events import DEAD_DEVICES, device_ids
from schemas.priorities import Priority
from stages.alarms.config import AlarmConfig
from stages.alarms.listening import Reachable, always
from stages.alarms.points import SiteTable, site_table
from stages.alarms.problems import Problem
from stages.alarms.published import Published
from stages.alarms.rule_book import RuleBook
from stages.alarms.site import SiteAlarms
from stages.alarms.site_state import clock_of
from stages.alarms.step import Step

RECORDS = ("LatestBatch", "DeviceEvent", "Anomaly", "CommandState", "AlarmAction")
"""What a site is told."""


_AT_ONCE_US = 1_000_000
"""Tables that need no longer wait than this need not wait at all."""


class _Followed(NamedTuple):
    """What a site's table is of: generations of registry and rules, when it changes by itself, when it was made, and of how many points."""

    generations: tuple[int, int]
    until_us: int | None
    at_us: int
    points: int


class AlarmLogic:
    """Alarms of the sites that were touched. `opened_us` is when it began to listen, processing time; `reachable` says whether it can.

    `published` is what the topic `alarms` says, where there is one.
    """

    def __init__(
        self, config: AlarmConfig, opened_us: int, reachable: Reachable = always, published: Published | None = None
    ) -> None:
        self._config, self._opened_us, self._reachable = config, opened_us, reachable
        self._published = published or Published()
        self._registry, self._rules = Registry(), RuleBook()
        self._tags: dict[str, dict[int, TagDefinition]] = {}
        self._gateways: dict[str, str] = {}
        self._generations, self._defined = Counter[str](), set[str]()
        """Of definitions, by site; sites with other ones since a version was complete."""
        self._sites: dict[str, SiteAlarms] = {}
        self._followed: dict[str, _Followed] = {}

    # --- definitions -------------------------------------------------------------------------------------------------

    def apply_registry(self, message: bytes) -> None:
        """One message of `registry.tags`. Sites follow when a version is complete. Raises SchemaError."""
        name, record = codec.decode(message, "TagDefinition", "RegistryVersion")
        before = self._registry.tags.get(record["tag_id"]) if name == "TagDefinition" else None
        complete = self._registry.fold(name, record)
        if name == "TagDefinition":
            tag = self._registry.tags[record["tag_id"]]
            if before is not None and before.site != tag.site:
                self._tags[before.site].pop(tag.tag_id, None)
                self._defined.add(before.site)
            if before != tag:
                self._defined.add(tag.site)
            self._tags.setdefault(tag.site, {})[tag.tag_id] = tag
            self._gateways[tag.gateway_id] = tag.site
        if complete:
            self._generations.update(self._defined)
            self._defined.clear()

    def apply_rule(self, rule: AlarmRule) -> None:
        """One version of a rule."""
        self._rules.apply(rule)

    def forget_rule(self, key: str) -> None:
        """The tombstone of a rule's version; what is no such key is nothing."""
        rule_id, _, version = key.rpartition("#")
        if version.isdigit():
            self._rules.forget(rule_id, int(version))

    def site_of(self, record: Mapping[str, Any]) -> str | None:
        """Site of a record that does not say it itself: of its gateway or its device. None while that is not known."""
        if "site" in record:
            return str(record["site"])
        if device_id := record.get("device_id"):
            return next((tag.site for tag in self._registry.device_tags(device_id)), None)
        return self._gateways.get(record["gateway_id"])

    # --- records -----------------------------------------------------------------------------------------------------

    def on_record(self, site: str, name: str, record: Mapping[str, Any], now_us: int) -> Step:
        """One decoded record of a site, by the name of its type."""
        step = Step(now_us=now_us)
        alarms = self._site(site, step)
        alarms.listening.read(now_us)
        if name == "LatestBatch":
            columns = (record["tag_id"], record["time_us"], record["value"], record["quality"])
            alarms.on_values(record["gateway_id"], record["lane"], record["closed_time_us"], *columns, step)
        elif name == "DeviceEvent":
            if record["kind"] == "GATEWAY_HEALTH":
                dead = device_ids(record["attributes"].get(DEAD_DEVICES, ""))
                alarms.on_health(record["gateway_id"], record["time_us"], dead, step)
            elif record["kind"] == "STATE":
                alarms.on_state(record, step)
        elif name == "Anomaly":
            alarms.on_anomaly(record, step)
        elif name == "CommandState":
            alarms.on_command(CommandStateRecord.from_record(dict(record)), step)
        elif name == "AlarmAction":
            alarms.on_action(AlarmAction.from_record(dict(record)), step)
        else:
            msg = f"{name} is no record for alarms; known: {', '.join(RECORDS)}"
            raise SchemaError(msg)
        self._follow(site, alarms, step)
        self._end(site, alarms, step)
        return step

    def on_timer(self, site: str, now_us: int) -> Step:
        """What is due by the clock on the wall; harmless when nothing is. Once a second is often enough."""
        step = Step(now_us=now_us)
        alarms = self._site(site, step)
        alarms.on_timer(step)
        wait_us = self._config.unmatched_ms * 1000
        self._published.compare(site, alarms.state, wait_us - alarms.read_for_us, step, alarms.hidden)
        self._end(site, alarms, step)
        return step

    def put_aside(self, site: str, cause: str, now_us: int) -> Step:
        """A site's state cannot be read: that is an alarm itself, once, until a start that can."""
        step, key = Step(now_us=now_us), source_key(PUT_ASIDE, 0, "")
        if self._published.standing(site, PUT_ASIDE):
            return step
        source = source_id(site, key)
        enterprise = next((tag.path.partition("/")[0] for tag in self._tags.get(site, {}).values()), "")
        alarm = Alarm(
            alarm_id=alarm_id(source, now_us),
            source_id=source,
            version=1,
            site=site,
            rule=PUT_ASIDE,
            rule_version=1,
            device_id=0,
            gateway_id="",
            path=f"{enterprise}/{site}" if enterprise else site,
            priority=Priority.HIGH,
            state=AlarmState.UNACKNOWLEDGED,
            active=True,
            start_us=now_us,
            activated_us=now_us,
            activations=1,
            detail=cause,
            title="Alarms of the site are not evaluated",
            cause="The alarms job cannot read the state that it has stored of the site, as after a version was taken back.",
            consequence="No alarm of the site is raised, and those that stand are as they were.",
            corrective_action="Start the alarms job with a version that can read its state, or without state (docs/alarms.md).",
            updated_us=now_us,
        )
        step.alarms.append(alarm)
        step.say(alarm, AlarmEventKind.RAISED, now_us, detail=cause)
        return step

    # --- state -------------------------------------------------------------------------------------------------------

    def restore(self, site: str, parts: Mapping[str, bytes], now_us: int) -> Step:
        """Go on from what is stored of a site; raises StateError, and the site is unknown then. What changed meanwhile is told."""
        step = Step(now_us=now_us)
        self._sites.pop(site, None)
        alarms = self._new(site, now_us)
        # Which rules hold depends on the clock, which is in the state.
        table = self._table(site, self._valid_us(clock_of(parts), now_us), now_us)
        alarms.restore(table, parts, step, put_aside=() if parts else self._published.put_aside(site))
        self._sites[site] = alarms
        self._end(site, alarms, step)
        return step

    def drain_changes(self, site: str) -> dict[str, bytes | None]:
        """Parts of a site's state that have changed since last asked; None for one that is gone."""
        return self._sites[site].state.drain_changes() if site in self._sites else {}

    def sites(self) -> list[str]:
        """Sites touched so far."""
        return sorted(self._sites)

    def problems(self, site: str) -> Sequence[Problem]:
        """Rules that could not be brought to a device of the site; another list when rules or definitions are others."""
        return self._sites[site].state.table.problems if site in self._sites else []

    # --- tables ------------------------------------------------------------------------------------------------------

    def _site(self, site: str, step: Step) -> SiteAlarms:
        alarms = self._sites.get(site)
        if alarms is None:
            alarms = self._sites[site] = self._new(site, step.now_us)
        self._follow(site, alarms, step)
        return alarms

    def _new(self, site: str, now_us: int) -> SiteAlarms:
        return SiteAlarms(
            site, self._config, self._opened_us, self._reachable, published=self._published, begun_us=now_us
        )

    def _end(self, site: str, alarms: SiteAlarms, step: Step) -> None:
        """What is over will be forgotten, and what was long ago is now."""
        state = alarms.state
        for alarm in step.alarms:
            self._published.said(site, alarm)
            if alarm.state is AlarmState.NORMAL:
                state.ended.note(alarm.alarm_id, step.now_us)
        if due := list(state.ended.due(step.now_us)):
            points = state.table.points
            put_aside = {
                points[key].source_id for key, source in state.sources.items() if source.put_aside and key in points
            }
            step.forgotten += [one for one in due if one not in put_aside]

    def _follow(self, site: str, alarms: SiteAlarms, step: Step) -> None:
        """Bring a site to the definitions and rules there are; those of a later day when its clock says so.

        The table is made anew as a whole, so a large one no more often than `follow_us` of each of its points: many rules that come one by
        one between records would cost their number times the number of points.
        """
        followed = self._followed.get(site)
        if followed is not None:
            others = followed.generations != self._generations_of(site)
            if not others and followed.until_us is None:
                return
            valid_us = self._valid_us(alarms.clock_us, step.now_us)
            if not others and valid_us < (followed.until_us or 0):
                return
            if 0 <= step.now_us - followed.at_us < followed.points * self._config.follow_us - _AT_ONCE_US:
                return
        alarms.follow(self._table(site, self._valid_us(alarms.clock_us, step.now_us), step.now_us), step)

    def _generations_of(self, site: str) -> tuple[int, int]:
        return self._generations[site], self._rules.generation(site)

    def _valid_us(self, clock_us: int, now_us: int) -> int:
        """Moment whose rules hold: by the site's clock, or where that stands because all gateways are silent, by that on the wall."""
        return max(clock_us or now_us, now_us - self._config.rules_wait_ms * 1000)

    def _table(self, site: str, clock_us: int, now_us: int) -> SiteTable:
        rules, tags = self._rules.at(clock_us, site), self._tags.get(site, {})
        table = site_table(site, (tags[tag_id] for tag_id in sorted(tags)), rules)
        self._followed[site] = _Followed(self._generations_of(site), rules.until_us, now_us, len(table.points))
        return table
