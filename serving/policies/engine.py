"""Decides about commands, alarms and labels by Cedar policies: the built-in ones, and those of the installation beside them.

Enters: who, what, at which device, and what is known at that moment. Leaves: a `Decision` with the policies that made it and their advice.
Deny by default; a policy that cannot be evaluated denies, because a forbid that is skipped would be an open door. Every policy has an `@id`
that is its name in errors and logs, and may have an `@advice`, which tells the caller what would help.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cedarpy

from base import files
from base.errors import ConfigError, PermissionDeniedError, shown
from base.files import Stamp
from serving.principals import Permission, Principal

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
SCHEMA, BUILT_IN = HERE / "schema.cedarschema", HERE / "built-in.cedar"
COMMAND, CANCEL, APPROVE, ACT_ALONE = "command", "cancel", "approve", "actAlone"
_NEVER_S = 10**12
ACKNOWLEDGE, SHELVE = "acknowledge", "shelve"
OF_ALARMS = (ACKNOWLEDGE, SHELVE)
LABEL = "label"
ACTIONS = (COMMAND, CANCEL, APPROVE, ACT_ALONE, *OF_ALARMS, LABEL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The device that a command is for. `packml_state`: the last known one, empty for none."""

    path: str
    device_class: str
    site: str
    packml_state: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What is asked. `age_ms`: of the oldest last value of the tags that it writes, -1 when one has none."""

    name: str
    tags: Sequence[str] = ()
    reason: str = ""
    submitter: str = ""
    age_ms: int = -1

    @property
    def context(self) -> dict[str, Any]:
        """As policies see it."""
        return {
            "name": self.name,
            "tags": list(self.tags),
            "reason": self.reason,
            "submitter": self.submitter,
            "ageMs": self.age_ms,
        }


NO_END_S = 10**12
"""Longer than whatever a policy allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmAsk:
    """What is asked of an alarm. `for_s`: how long it is put aside, seconds; NO_END_S for what has no end."""

    name: str
    rule: str
    priority: str
    reason: str = ""
    for_s: int = 0

    @property
    def context(self) -> dict[str, Any]:
        """As policies see it."""
        names = {"for_s": "forS"}
        return {names.get(name, name): getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelAsk:
    """What is said of an anomaly episode. `name` is not_a_fault, fault or withdraw."""

    name: str
    detector: str
    reason: str = ""

    @property
    def context(self) -> dict[str, Any]:
        """As policies see it."""
        return {"name": self.name, "detector": self.detector, "reason": self.reason}


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`policies` are the ids of those that decided; none: nothing permits it. `failed`: those that could not be evaluated.

    `version` is the SHA-256 of all that were in force.
    """

    allowed: bool
    policies: tuple[str, ...]
    advice: tuple[str, ...]
    failed: tuple[str, ...] = ()
    version: str = ""


class Policies:
    """The policies in force. They are read again when a file of the folder changes."""

    def __init__(
        self, folder: Path | None = None, told: Callable[[str, str, str], object] = lambda _before, _after, _cause: None
    ) -> None:
        """`told` hears of a folder that changed: the version before and after, and why it was not taken."""
        self._folder, self._told = folder, told
        self._schema = cedarpy.Schema.from_str(SCHEMA.read_text())
        self._stamp = self._stamped()
        self._set, self._advice, self.version = self._read()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the policies in force."""
        return tuple(self._advice)

    def refresh(self) -> bool:
        """Read the folder again when it has changed; whether it has. A bad file leaves the last good policies in force."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = self.version
        try:
            self._set, self._advice, self.version = self._read()
        except ConfigError as error:
            log.error("policies cannot be used, the last good ones stay in force", extra={"cause": str(error)})
            self._told(before, before, str(error))
            return False
        self._told(before, self.version, "")
        log.info("policies read again", extra={"policies": len(self._advice)})
        return True

    def decide(
        self, who: Principal, action: str, place: Place, ask: Ask | AlarmAsk | LabelAsk, *, now_us: int | None = None
    ) -> Decision:
        """Whether somebody may do something now."""
        return self.decide_all(who, (action,), place, ask, now_us=now_us)[0]

    def decide_all(
        self,
        who: Principal,
        actions: Sequence[str],
        place: Place,
        ask: Ask | AlarmAsk | LabelAsk,
        *,
        now_us: int | None = None,
    ) -> list[Decision]:
        """The same of several actions, in their order. Half of the cost is to tell who asks and where: it is told once here."""
        now_us = int(time.time() * 1e6) if now_us is None else now_us
        requests = [
            {
                "principal": {"type": "Principal", "id": who.name},
                "action": {"type": "Action", "id": action},
                "resource": {"type": "Device", "id": place.path},
                "context": ask.context,
            }
            for action in actions
        ]
        found = cedarpy.is_authorized_batch(requests, self._set, _entities(who, place, now_us), self._schema)
        return [self._decision(action, one) for action, one in zip(actions, found, strict=True)]

    def _decision(self, action: str, found: cedarpy.AuthzResult) -> Decision:
        failed = tuple(str(error) for error in found.diagnostics.errors)
        decided = tuple(sorted(found.diagnostics.reasons))
        if failed:
            log.error(
                "a policy could not be evaluated, so it denies", extra={"action": action, "causes": "; ".join(failed)}
            )
        return Decision(
            allowed=found.allowed and not failed,
            policies=decided,
            advice=tuple(self._advice[one] for one in decided if self._advice.get(one)),
            failed=failed,
            version=self.version,
        )

    def denied(self, who: Principal, action: str, place: Place, found: Decision) -> PermissionDeniedError:
        """The error of a decision that denies; it says what would help."""
        grants = ", ".join(sorted(map(str, who.grants))) or "nothing"
        if found.failed:
            why = "a policy could not be evaluated; the server's log says which"
        elif found.policies:
            why = "; ".join(found.advice) or "forbidden"
            why += f" (policy {', '.join(found.policies)})"
        else:
            why = f"nothing permits it; allowed: {grants}"
        return PermissionDeniedError(f"{who.name} may not {action} at {shown(place.path)}: {why}")

    def _read(self) -> tuple[cedarpy.PolicySet, dict[str, str], str]:
        sources = [BUILT_IN, *self._files()]
        try:
            version = version_of([SCHEMA, *sources])
        except OSError as error:
            msg = f"policies cannot be read: {error}"
            raise ConfigError(msg) from error
        return *compile_policies(sources), version

    def _files(self) -> list[Path]:
        if self._folder is None:
            return []
        if not self._folder.is_dir():
            msg = f"policies is {self._folder}, which is not a folder"
            raise ConfigError(msg)
        return sorted(self._folder.glob("*.cedar"))

    def _stamped(self) -> tuple[tuple[str, Stamp], ...]:
        try:
            return tuple((file.name, files.stamp(file)) for file in self._files())
        except OSError:  # a file that goes while it is looked at: the next look tells
            return ()


def version_of(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files, hex."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def compile_policies(files: Iterable[Path]) -> tuple[cedarpy.PolicySet, dict[str, str]]:
    """The policies of some files, each under its `@id`, and their advice by id. Raises ConfigError that names file and policy."""
    policies: dict[str, Any] = {}
    for file in files:
        try:
            text = file.read_text()
            found = json.loads(cedarpy.policies_to_json_str(text))
        except (OSError, ValueError) as error:
            msg = f"{file.name} holds no policies: {error}"
            raise ConfigError(msg) from error
        problems = cedarpy.validate_policies(text, SCHEMA.read_text())
        if not problems.validation_passed:
            msg = f"{file.name}: {'; '.join(str(one) for one in problems.errors)}"
            raise ConfigError(msg)
        for policy in found["staticPolicies"].values():
            name = policy.get("annotations", {}).get("id")
            if not name or name in policies:
                msg = f"{file.name} has a policy {'twice: ' + name if name else 'without @id'}; every policy has an id of its own"
                raise ConfigError(msg)
            policies[name] = policy
        if found.get("templates"):
            msg = f"{file.name} has a template; write policies without ?principal and ?resource"
            raise ConfigError(msg)
    made = cedarpy.PolicySet.from_json_str(
        json.dumps({"templates": {}, "staticPolicies": policies, "templateLinks": []})
    )
    return made, {name: policy["annotations"].get("advice", "") for name, policy in policies.items()}


def _entities(who: Principal, place: Place, now_us: int) -> list[dict[str, Any]]:
    """The caller, the device, and the nodes it lies in."""
    parts = place.path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    attributes = {
        "name": who.name,
        "everywhere": [str(permission) for permission in Permission if "" in who.scopes(permission)],
        "command": _nodes(who.scopes(Permission.COMMAND)),
        "approve": _nodes(who.scopes(Permission.APPROVE)),
        "alarm": _nodes(who.scopes(Permission.ALARM)),
        "amr": sorted(who.amr),
        "signedInS": max(0, (now_us - who.signed_in_us) // 1_000_000) if who.signed_in_us else _NEVER_S,
    }
    device = {
        "path": place.path,
        "deviceClass": place.device_class,
        "site": place.site,
        "packmlState": place.packml_state,
    }
    # A grant may name the device itself, or a tag of it; as a node above it, it is found like any other.
    return [
        {"uid": {"type": "Principal", "id": who.name}, "attrs": attributes, "parents": []},
        {"uid": {"type": "Device", "id": place.path}, "attrs": device, "parents": [_node(place.path)]},
        {"uid": _node(place.path), "attrs": {}, "parents": [_node(path) for path in above[-1:]]},
        *(
            {"uid": _node(path), "attrs": {}, "parents": [_node(up)] if (up := path.rpartition("/")[0]) else []}
            for path in above
        ),
    ]


def _node(path: str) -> dict[str, str]:
    return {"type": "Node", "id": path}


def _nodes(scopes: Iterable[str]) -> list[dict[str, Any]]:
    return [{"__entity": _node(scope)} for scope in scopes if scope]
