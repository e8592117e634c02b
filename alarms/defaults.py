"""Rules for everybody: what definitions alone say of when a person should look.

Enters: definitions of tags. Leaves: rules. Values outside of a tag's normal range (EURange), a gateway or a machine that is silent, a
machine that has aborted (PackML), a command of which nobody knows whether it was carried out. What a machine's limits mean only its
people know: these rules are of low urgency, and a rule of the same name and place stands in the stead of each.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.alarm_rules import AlarmRule, ConditionKind, Level
from schemas.definitions import DataType, TagDefinition
from schemas.priorities import Response, Severity

GATEWAY_SILENT, SILENT, ABORTED, COMMAND_UNKNOWN = "gateway-silent", "silent", "aborted", "command-unknown"
_SILENT_GATEWAY_S, _SILENT_S = 30.0, 30.0
_DELAY_S, _BAND = 5.0, 0.02
_PACKML_STATE, _ABORTED = "packml_state", (8.0, 9.0)
_LONGEST_NAME = 48
Devices = dict[str, list[TagDefinition]]
"""Tags by path of their device."""


def default_rules(tags: Iterable[TagDefinition]) -> list[AlarmRule]:
    """Rules for what is registered and not retired; a class's when all its devices are alike in it, else each device's own."""
    classes: dict[str, Devices] = {}
    for tag in sorted(tags, key=lambda one: one.tag_id):
        if not tag.retired:
            classes.setdefault(tag.device_class, {}).setdefault(tag.device_path, []).append(tag)
    found = [_gateway_silent()] if classes else []
    for device_class, devices in sorted(classes.items()):
        wanted: dict[str, dict[str, dict[str, Any]]] = {}
        for path, members in devices.items():
            for fields in _of_device(members):
                wanted.setdefault(fields["name"], {})[path] = fields
        for by_path in wanted.values():
            first = next(iter(by_path.values()))
            if device_class and len(by_path) == len(devices) and all(each == first for each in by_path.values()):
                found.append(AlarmRule(**first, device_class=device_class))
            else:
                found += [AlarmRule(**fields, device_path=path) for path, fields in by_path.items()]
    return found


def _of_device(tags: list[TagDefinition]) -> Iterator[dict[str, Any]]:
    for tag in tags:
        if tag.data_type is DataType.DOUBLE and not tag.writable and tag.eu_low is not None and tag.eu_high is not None:
            yield _range(tag, Level.HI, tag.eu_high, tag.eu_high - tag.eu_low)
            yield _range(tag, Level.LO, tag.eu_low, tag.eu_high - tag.eu_low)
    # Only a sensor that is known to be never still can be told from one that has nothing to say.
    if noisy := [tag for tag in tags if tag.stuck_after_s and not tag.band and not tag.swinging_door]:
        yield _silent(min(noisy, key=lambda one: (one.stuck_after_s, one.period_ms, one.tag_id)))
    if any(tag.name == _PACKML_STATE for tag in tags):
        yield _aborted()
    if any(tag.writable for tag in tags):
        yield _command_unknown()


def _range(tag: TagDefinition, level: Level, limit: float, span: float) -> dict[str, Any]:
    side, where = ("high", "above") if level.upwards else ("low", "below")
    return {
        "name": f"{_slug(tag.name)}-{side}",
        "kind": ConditionKind.LIMIT,
        "tag": tag.name,
        "level": level,
        "limit": limit,
        "deadband": _BAND * span,
        "on_delay_s": _DELAY_S,
        "off_delay_s": _DELAY_S,
        "severity": Severity.MODERATE,
        "response": Response.SOON,
        "title": f"{tag.name[:100]} is {where} its normal range",
        "cause": f"The value is {where} the range that the tag's definition calls normal.",
        "consequence": "The definition does not say it. A rule of your own does.",
        "corrective_action": "Look at the trend of the value and at the machine.",
    }


def _gateway_silent() -> AlarmRule:
    return AlarmRule(
        name=GATEWAY_SILENT,
        of_gateway=True,
        kind=ConditionKind.NO_DATA,
        after_s=_SILENT_GATEWAY_S,
        severity=Severity.MAJOR,
        response=Response.PROMPT,
        title="Gateway is silent",
        cause="The gateway, its machine or the network between it and the broker is down.",
        consequence="Nobody sees the machines behind it. Their data waits in its buffer.",
        corrective_action="Look at the gateway's status page and at the network; start it again.",
    )


def _silent(tag: TagDefinition) -> dict[str, Any]:
    return {
        "name": SILENT,
        "kind": ConditionKind.NO_DATA,
        "tag": tag.name,
        "after_s": max(_SILENT_S, tag.stuck_after_s or 0.0, tag.max_silence_s or 0.0),
        "parent": GATEWAY_SILENT,
        "severity": Severity.MODERATE,
        "response": Response.PROMPT,
        "title": "Machine is silent",
        "cause": f"The machine does not answer, or each value of {tag.name[:100]}, which is never still, is refused.",
        "consequence": "Nobody sees what the machine does.",
        "corrective_action": "Look at the machine's controller and its network, then at the rejected samples.",
    }


def _aborted() -> dict[str, Any]:
    return {
        "name": ABORTED,
        "kind": ConditionKind.STATE,
        "tag": _PACKML_STATE,
        "values": _ABORTED,
        "severity": Severity.MODERATE,
        "response": Response.PROMPT,
        "title": "Machine has aborted",
        "cause": "A fault that the machine does not clear by itself, or an emergency stop.",
        "consequence": "The machine stands.",
        "corrective_action": "Clear the fault at the machine, then reset it.",
    }


def _command_unknown() -> dict[str, Any]:
    return {
        "name": COMMAND_UNKNOWN,
        "kind": ConditionKind.COMMAND,
        "severity": Severity.MODERATE,
        "response": Response.PROMPT,
        "title": "Nobody knows whether a command was carried out",
        "cause": "The gateway or the machine was lost while it wrote.",
        "consequence": "The machine runs on the old or on the new value.",
        "corrective_action": "Read the value at the machine; send the command again if it is the old one.",
    }


def _slug(name: str) -> str:
    """The tag's name as a part of a rule's; what has to be changed for it is told apart by a number of the whole name."""
    slug = re.sub(r"[^a-z0-9_-]", "_", name.lower()).lstrip("_-")[:_LONGEST_NAME] or "tag"
    return slug if slug == name else f"{slug}-{zlib.crc32(name.encode()):08x}"
