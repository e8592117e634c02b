"""The alarms of all sites: definitions and rules on one side, records of a site on the other.

Enters: messages of `registry.tags` and of rules, and decoded records of `telemetry.latest`, `device.events.*`, `telemetry.anomalies`,
`command.states` and `alarm.actions`. Leaves: a `Step` with alarms and events. Who calls: the alarms job, and `alarms try` over history.
At-least-once, in any order between topics; of one topic in order per key. A site's state is bytes between starts (`drain_changes`,
`restore`); a site is touched for the first time with what is stored of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.errors import SchemaError
from schemas import codec
from schemas.alarm_rules import AlarmRule
from schemas.alarms import AlarmAction
from schemas.commands import CommandStateRecord
from schemas.definitions import Registry, TagDefinition
from stages.alarms.config import AlarmConfig
from stages.alarms.points import SiteTable, site_table
from stages.alarms.rule_book import RuleBook
from stages.alarms.site import SiteAlarms
from stages.alarms.site_state import clock_of
from stages.alarms.step import Step

RECORDS = ("LatestBatch", "DeviceEvent", "Anomaly", "CommandState", "AlarmAction")
"""What a site is told."""


class AlarmLogic:
    """Alarms of the sites that were touched. `opened_us` is when it began to listen, processing time."""

    def __init__(self, config: AlarmConfig, opened_us: int) -> None:
        self._config, self._opened_us = config, opened_us
        self._registry, self._rules = Registry(), RuleBook()
        self._tags: dict[str, dict[int, TagDefinition]] = {}
        self._gateways: dict[str, str] = {}
        self._generation = 0
        self._sites: dict[str, SiteAlarms] = {}
        self._followed: dict[str, tuple[int, int, int | None]] = {}
        """Generations of registry and rules that a site's table is of, and when it changes by itself."""

    # --- definitions -------------------------------------------------------------------------------------------------

    def apply_registry(self, message: bytes) -> None:
        """One message of `registry.tags`. Sites follow when a version is complete. Raises SchemaError."""
        name, record = codec.decode(message, "TagDefinition", "RegistryVersion")
        before = self._registry.tags.get(record["tag_id"]) if name == "TagDefinition" else None
        complete = self._registry.apply(message)
        if name == "TagDefinition":
            tag = self._registry.tags[record["tag_id"]]
            if before is not None and before.site != tag.site:
                self._tags[before.site].pop(tag.tag_id, None)
            self._tags.setdefault(tag.site, {})[tag.tag_id] = tag
            self._gateways[tag.gateway_id] = tag.site
        self._generation += complete

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
        if name == "LatestBatch":
            columns = (record["tag_id"], record["time_us"], record["value"], record["quality"])
            alarms.on_values(record["gateway_id"], record["lane"], record["closed_time_us"], *columns, step)
        elif name == "DeviceEvent":
            if record["kind"] == "GATEWAY_HEALTH":
                alarms.on_heard(record["gateway_id"], record["time_us"], step)
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
        return step

    def on_timer(self, site: str, now_us: int) -> Step:
        """What is due by the clock on the wall; harmless when nothing is. Once a second is often enough."""
        step = Step(now_us=now_us)
        self._site(site, step).on_timer(step)
        return step

    # --- state -------------------------------------------------------------------------------------------------------

    def restore(self, site: str, parts: Mapping[str, bytes], now_us: int) -> Step:
        """Go on from what is stored of a site; raises StateError. What changed meanwhile is told."""
        step = Step(now_us=now_us)
        self._sites[site] = alarms = SiteAlarms(site, self._config, self._opened_us)
        # Which rules hold depends on the clock, which is in the state.
        alarms.restore(self._table(site, clock_of(parts) or now_us), parts, step)
        return step

    def drain_changes(self, site: str) -> dict[str, bytes | None]:
        """Parts of a site's state that have changed since last asked; None for one that is gone."""
        return self._sites[site].state.drain_changes() if site in self._sites else {}

    def sites(self) -> list[str]:
        """Sites touched so far."""
        return sorted(self._sites)

    def problems(self, site: str) -> list[str]:
        """Rules that could not be brought to a device of the site."""
        return self._sites[site].state.table.problems if site in self._sites else []

    # --- tables ------------------------------------------------------------------------------------------------------

    def _site(self, site: str, step: Step) -> SiteAlarms:
        alarms = self._sites.get(site)
        if alarms is None:
            alarms = self._sites[site] = SiteAlarms(site, self._config, self._opened_us)
        self._follow(site, alarms, step)
        return alarms

    def _follow(self, site: str, alarms: SiteAlarms, step: Step) -> None:
        """Bring a site to the definitions and rules there are; those of a later day when its clock says so."""
        followed = self._followed.get(site)
        generations = (self._generation, self._rules.generation)
        if (
            followed is None
            or followed[:2] != generations
            or (followed[2] is not None and alarms.clock_us >= followed[2])
        ):
            alarms.follow(self._table(site, alarms.clock_us or step.now_us), step)

    def _table(self, site: str, clock_us: int) -> SiteTable:
        rules = self._rules.at(clock_us, site)
        self._followed[site] = (self._generation, self._rules.generation, rules.until_us)
        tags = self._tags.get(site, {})
        return site_table(site, (tags[tag_id] for tag_id in sorted(tags)), rules)
