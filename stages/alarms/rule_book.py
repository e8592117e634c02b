"""The rules known, every version of each, and which holds where and when."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Set

from schemas.alarm_rules import AlarmRule

MAX_VERSIONS = 16
"""Versions kept of a rule: the newest."""


GATEWAYS = "gateways"
"""Place of rules of gateways."""


class RuleBook:
    """Fold rules in with `apply`, in any order and any number of times."""

    def __init__(self, rules: Iterable[AlarmRule] = ()) -> None:
        self._versions: dict[str, dict[int, AlarmRule]] = {}
        self._places: dict[str, set[str]] = {}
        """Ids of the rules of a device, a line, a class, or gateways."""
        self._lines: dict[str, set[str]] = {}
        """Lines that rules name, by site."""
        self._starts: list[int] | None = None
        self._of_all, self._of_site = 0, Counter[str]()
        """Changes so far: of what may hold anywhere, and of what holds at one site."""
        for rule in rules:
            self.apply(rule)

    def __len__(self) -> int:
        return len(self._versions)

    def apply(self, rule: AlarmRule) -> None:
        """One version of a rule."""
        versions = self._versions.setdefault(rule.rule_id, {})
        if versions.get(rule.version) == rule:
            return
        versions[rule.version] = rule
        if len(versions) > MAX_VERSIONS:
            del versions[min(versions)]
        self._places.setdefault(rule.place, set()).add(rule.rule_id)
        if rule.line_path:
            self._lines.setdefault(site_of_path(rule.line_path), set()).add(rule.line_path)
        self._changed(rule)

    def forget(self, rule_id: str, version: int) -> None:
        """A version that never was."""
        versions = self._versions.get(rule_id, {})
        if (rule := versions.pop(version, None)) is None:
            return
        if not versions:
            del self._versions[rule_id]
            self._places[rule.place].discard(rule_id)
        self._changed(rule)

    def generation(self, site: str) -> int:
        """Goes up with each change that may concern a site: with many sites, one rule is not the business of all."""
        return self._of_all + self._of_site[site]

    def has(self, place: str) -> bool:
        """Whether a place has rules of its own, or had."""
        return bool(self._places.get(place))

    def at(self, time_us: int, site: str) -> RulesAt:
        """Rules of a site at a moment."""
        return RulesAt(self, time_us, site)

    def of_place(self, place: str, time_us: int, site: str) -> Iterator[AlarmRule]:
        """Of each rule of a place the newest version that is valid by then; it may be one that retires the rule."""
        for rule_id in self._places.get(place, ()):
            valid = [
                rule
                for rule in self._versions[rule_id].values()
                if rule.valid_from_us <= time_us and rule.site in ("", site)
            ]
            if valid:
                yield max(valid, key=lambda one: one.version)

    def lines(self, site: str) -> Set[str]:
        """Lines of a site that rules name."""
        return self._lines.get(site, frozenset())

    def next_start_us(self, time_us: int) -> int | None:
        """When some version begins to hold, after a moment."""
        if self._starts is None:
            self._starts = sorted(
                {rule.valid_from_us for versions in self._versions.values() for rule in versions.values()}
            )
        at = bisect.bisect_right(self._starts, time_us)
        return self._starts[at] if at < len(self._starts) else None

    def _changed(self, rule: AlarmRule) -> None:
        self._starts = None
        if site := rule.site or site_of_path(rule.device_path or rule.line_path):
            self._of_site[site] += 1
        else:
            self._of_all += 1


def site_of_path(path: str) -> str:
    """Site of a path of a device or line, enterprise/site/...; empty for none."""
    return path.split("/")[1] if "/" in path else ""


class RulesAt:
    """The rules that hold at a site at a moment, retired ones too. Made when they are needed: those of the book change."""

    def __init__(self, book: RuleBook, time_us: int, site: str) -> None:
        self.book, self.time_us, self.site = book, time_us, site
        self._of_class: dict[str, list[AlarmRule]] = {}

    def for_device(self, device_class: str, device_path: str) -> list[AlarmRule]:
        """Rules of a device: its own stand in the place of its class's of the same name, a site's in that of the plant's."""
        if self.book.has(device_path):
            return self._nearest(device_class, device_path)
        # Nearly all devices of a class have its rules and no other: they are put in order once.
        if device_class not in self._of_class:
            self._of_class[device_class] = self._nearest(device_class)
        return self._of_class[device_class]

    def for_line(self, line_path: str) -> list[AlarmRule]:
        """Rules of a line."""
        return self._nearest(line_path)

    def lines(self) -> Set[str]:
        """Lines that rules of the site name, whether or not there are such lines."""
        return self.book.lines(self.site)

    def for_gateways(self) -> list[AlarmRule]:
        """Rules of every gateway of the site."""
        return self._nearest(GATEWAYS)

    @property
    def until_us(self) -> int | None:
        """When that changes by itself; None for not at all."""
        return self.book.next_start_us(self.time_us)

    def _nearest(self, *places: str) -> list[AlarmRule]:
        """Of each name the rule that is meant most narrowly; one that is retired gives way to one that is not."""
        rules = [rule for place in places for rule in self.book.of_place(place, self.time_us, self.site)]
        found: dict[str, AlarmRule] = {}
        for rule in sorted(rules, key=lambda one: (bool(one.device_path), bool(one.site))):
            if not (rule.retired and rule.name in found):
                found[rule.name] = rule
        return sorted(found.values(), key=lambda one: (one.priority.rank, one.name))
