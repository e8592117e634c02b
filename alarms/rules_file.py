"""The file of alarm rules: YAML with a list `rules`, one entry a rule, with the fields of `AlarmRule` by their names.

`defaults: true` adds the rules that definitions give (`alarms.defaults`), but those that the file has itself and those whose names are in
`without`. Enters: text. Leaves: rules, or a ConfigError that names the entry. What `load` gives is not in the file: version, validity,
retirement, and who wrote it and why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from alarms.defaults import default_rules
from base.errors import ConfigError
from schemas.alarm_rules import AlarmRule, ConditionKind
from schemas.definitions import TagDefinition
from stages.expressions.program import check_syntax

GIVEN = ("version", "valid_from_us", "retired", "author", "written_us", "reason")
"""Fields that publishing gives."""
_KNOWN = {one.name for one in dataclasses.fields(AlarmRule)} - set(GIVEN)
_KEYS = {"rules", "defaults", "without"}
_LONGEST = 8 << 20


class RulesFile(NamedTuple):
    """What a file says."""

    rules: list[AlarmRule]
    defaults: bool = False
    without: frozenset[str] = frozenset()
    lines: Mapping[tuple[str, str], int] = MappingProxyType({})
    """Where in the text a field of a rule is, by rule id and field; of one that the text does not have, that is where the rule begins."""

    def resolved(self, tags: Iterable[TagDefinition]) -> list[AlarmRule]:
        """All its rules, with the default ones for what is registered if it wants them."""
        if not self.defaults:
            return self.rules
        own = {rule.rule_id for rule in self.rules}
        given = default_rules(tags)
        if unknown := sorted(self.without - {rule.name for rule in given}):
            msg = f"without {unknown[0][:80]!r}: no default rule has that name; `alarms defaults` lists them"
            raise ConfigError(msg)
        return [*self.rules, *(one for one in given if one.rule_id not in own and one.name not in self.without)]


def read(path: Path) -> RulesFile:
    """What a file says; raises ConfigError."""
    if path.stat().st_size > _LONGEST:
        msg = f"{path} is larger than {_LONGEST >> 20} MB"
        raise ConfigError(msg)
    try:
        return parse(path.read_text())
    except ConfigError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from None


def parse(text: str) -> RulesFile:
    """What a text says; raises ConfigError for the first rule that is none, or is there twice."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"not valid YAML: {error}"
        raise ConfigError(msg) from None
    if not isinstance(document, dict) or not isinstance(document.get("rules", []), list) or document.keys() - _KEYS:
        msg = "a file of alarm rules has a list `rules`, and may have `defaults` and `without`; nothing else"
        raise ConfigError(msg)
    defaults, without = document.get("defaults", False), document.get("without", [])
    if not isinstance(defaults, bool) or not isinstance(without, list) or (without and not defaults):
        msg = "`defaults` is true or false; `without` is a list of names of default rules, with `defaults: true`"
        raise ConfigError(msg)
    entries, places = document.get("rules", []), _places(text)
    rules, lines = list[AlarmRule](), dict[tuple[str, str], int]()
    for number, entry in enumerate(entries, 1):
        where = places[number - 1] if number <= len(places) else {}
        try:
            rule = _rule(number, entry)
            _read_expression(rule)
        except ConfigError as error:
            msg = f"line {where.get('', 1)}: {error}" if where else str(error)
            raise ConfigError(msg) from None
        if (rule.rule_id, "") in lines:
            msg = f"line {where.get('', 1)}: alarm rule {rule.name!r} is there twice for {rule.place}"
            raise ConfigError(msg)
        lines |= {(rule.rule_id, key): line for key, line in where.items()} | {(rule.rule_id, ""): where.get("", 1)}
        rules.append(rule)
    return RulesFile(rules, defaults, frozenset(map(str, without)), lines)


def _places(text: str) -> list[dict[str, int]]:
    """Of each entry of `rules` the line of each of its keys, and by the empty key its own."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found: list[dict[str, int]] = []
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "rules" and isinstance(value, yaml.SequenceNode):
            for entry in value.value:
                fields = entry.value if isinstance(entry, yaml.MappingNode) else ()
                found.append(
                    {name.value: name.start_mark.line + 1 for name, _ in fields if isinstance(name, yaml.ScalarNode)}
                )
                found[-1][""] = entry.start_mark.line + 1
    return found


def _read_expression(rule: AlarmRule) -> None:
    """What is wrong with an expression wherever it may hold; types are known at devices only."""
    if rule.kind is ConditionKind.EXPRESSION:
        try:
            check_syntax(rule.expression)
        except ConfigError as error:
            msg = f"alarm rule {rule.name!r}: expression: {error}"
            raise ConfigError(msg) from None


def dump(rules: Iterable[AlarmRule]) -> str:
    """Text of a file with these rules: what differs from a field's own default."""
    fresh = {one.name: one.default for one in dataclasses.fields(AlarmRule)}
    entries = [
        {name: _plain(value) for name in fresh if (value := getattr(rule, name)) != fresh[name] and name not in GIVEN}
        for rule in rules
    ]
    return yaml.safe_dump({"rules": entries}, sort_keys=False, allow_unicode=True, width=120)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _rule(number: int, entry: Any) -> AlarmRule:
    if not isinstance(entry, dict) or "name" not in entry:
        msg = f"rule {number} is not an entry with a name"
        raise ConfigError(msg)
    if unknown := sorted(map(str, entry.keys() - _KNOWN)):
        more = " (publishing gives it)" if unknown[0] in GIVEN else ""
        msg = f"alarm rule {str(entry['name'])[:80]!r}: no field {unknown[0][:80]}{more}; known: {', '.join(sorted(_KNOWN))}"
        raise ConfigError(msg)
    return AlarmRule.from_record({key: _number(value) for key, value in entry.items()})


def _number(value: Any) -> Any:
    """YAML's whole numbers as the doubles that they are."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def missing(
    known: Iterable[AlarmRule], file: RulesFile, tags: Collection[TagDefinition], now_us: int
) -> list[AlarmRule]:
    """Versions to publish so that no rule is missing; what was ever there, changed or retired by people, stays as it is.

    Definitions give a rule for a class or for each of its devices, as these are alike or not: where there was ever a rule of that name in
    one way, they do not give it in the other.
    """
    known = list(known)
    classes = {tag.device_path: tag.device_class for tag in tags}
    there, own = {rule.rule_id for rule in known}, {rule.rule_id for rule in file.rules}
    at_places = {(rule.name, rule.place) for rule in known}
    in_classes = {(rule.name, classes.get(rule.device_path, "")) for rule in known if rule.device_path}

    def touched(rule: AlarmRule) -> bool:
        if rule.device_path:
            return not {(rule.name, rule.place), (rule.name, classes[rule.device_path])}.isdisjoint(at_places)
        return (rule.name, rule.place) in at_places | in_classes

    return [
        dataclasses.replace(rule, version=1, valid_from_us=now_us)
        for rule in file.resolved(tags)
        if rule.rule_id not in there and (rule.rule_id in own or not touched(rule))
    ]


def changes(known: Iterable[AlarmRule], wanted: Iterable[AlarmRule], now_us: int) -> list[AlarmRule]:
    """Versions to publish so that `wanted` holds from now on: what is new or different, and the retirement of what is gone."""
    newest: dict[str, AlarmRule] = {}
    for rule in known:
        if rule.rule_id not in newest or rule.version > newest[rule.rule_id].version:
            newest[rule.rule_id] = rule
    made, named = [], set()
    for rule in wanted:
        named.add(rule.rule_id)
        before = newest.get(rule.rule_id)
        version = before.version if before else 0
        if before is None or _content(before) != _content(rule):
            made.append(dataclasses.replace(rule, version=version + 1, valid_from_us=now_us))
    for rule_id, before in newest.items():
        if rule_id not in named and not before.retired:
            made.append(dataclasses.replace(before, version=before.version + 1, valid_from_us=now_us, retired=True))
    return made


def _content(rule: AlarmRule) -> AlarmRule:
    return dataclasses.replace(rule, version=0, valid_from_us=0, author="", written_us=0, reason="")
