"""Advisories in the OSV format: which of them name what we ship. From the service that keeps them, or from a folder of files.

A folder is any clone or dump in that format (JSON or YAML, a file an advisory): pypa/advisory-database, github/advisory-database, osv.dev's
dumps. A folder is as old as its newest advisory, and that is said beside the result.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from base.errors import ConfigError, UnavailableError

SERVICE = "https://api.osv.dev/v1/querybatch"
_ANSWER_S = 20.0
_MAX_BYTES = 16 << 20
_QUALIFIERS = {
    "alpha": -5,
    "beta": -4,
    "milestone": -3,
    "rc": -2,
    "cr": -2,
    "snapshot": -1,
    "ga": 0,
    "final": 0,
    "release": 0,
}


@dataclass(frozen=True, slots=True)
class Package:
    """`ecosystem` PyPI or Maven; `name` as advisories have it."""

    ecosystem: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Finding:
    """An advisory that names this version."""

    package: Package
    advisory: str
    text: str


def ask(packages: Sequence[Package]) -> list[Finding]:
    """What the service knows; raises UnavailableError when it does not answer."""
    queries = [{"package": {"ecosystem": one.ecosystem, "name": one.name}, "version": one.version} for one in packages]
    request = urllib.request.Request(
        SERVICE, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            results = json.loads(answer.read(_MAX_BYTES))["results"]
            pairs = list(zip(packages, results, strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"the advisory service {SERVICE} does not answer: {error}"
        raise UnavailableError(msg) from error
    return [Finding(package, one["id"], "") for package, result in pairs for one in result.get("vulns", ())]


def read(folder: Path, packages: Iterable[Package]) -> tuple[list[Finding], str]:
    """What a folder knows, and the newest date in it; raises ConfigError when it holds no advisory."""
    wanted: dict[tuple[str, str], list[Package]] = {}
    for package in packages:
        wanted.setdefault((package.ecosystem, _normal(package.ecosystem, package.name)), []).append(package)
    found, newest = [], ""
    for advisory in _advisories(folder):
        newest = max(newest, str(advisory.get("modified", "")))
        found += list(_findings(advisory, wanted))
    if not newest:
        msg = f"{folder} holds no advisory in the OSV format (JSON or YAML files with `id`, `modified` and `affected`)"
        raise ConfigError(msg)
    return found, newest


def affects(affected: Mapping[str, Any], ecosystem: str, version: str) -> bool:
    """Whether an entry of `affected` names a version, by its list or by its ranges."""
    if version in {str(one) for one in affected.get("versions", ())}:
        return True
    key = order(ecosystem)
    ranges = (one for one in affected.get("ranges", ()) if one.get("type") in {"ECOSYSTEM", "SEMVER"})
    return any(_within(one.get("events", ()), key, key(version)) for one in ranges)


def order(ecosystem: str) -> Callable[[str], Any]:
    """What sorts versions of an ecosystem."""
    return _python if ecosystem == "PyPI" else _maven


def _within(events: Iterable[Mapping[str, Any]], key: Callable[[str], Any], version: Any) -> bool:
    """Events of one range, oldest first: the last that lies at or before the version says."""
    inside = False
    for event in events:
        if (introduced := event.get("introduced")) is not None:
            inside = inside or str(introduced) == "0" or key(str(introduced)) <= version
        fixed, last = event.get("fixed"), event.get("last_affected")
        if (fixed is not None and key(str(fixed)) <= version) or (last is not None and key(str(last)) < version):
            inside = False
    return inside


def _findings(advisory: Mapping[str, Any], wanted: Mapping[tuple[str, str], list[Package]]) -> Iterator[Finding]:
    if advisory.get("withdrawn"):
        return
    for affected in advisory.get("affected", ()):
        named = affected.get("package", {})
        ecosystem = str(named.get("ecosystem", ""))
        for package in wanted.get((ecosystem, _normal(ecosystem, str(named.get("name", "")))), ()):
            if affects(affected, ecosystem, package.version):
                text = str(advisory.get("summary") or advisory.get("details") or "")
                yield Finding(package, str(advisory["id"]), " ".join(text.split())[:160])


def _advisories(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".yaml", ".yml"} and path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
                found = json.loads(text) if path.suffix == ".json" else yaml.load(text, _LOADER)
            except (ValueError, yaml.YAMLError) as error:
                msg = f"{path} cannot be read: {error}"
                raise ConfigError(msg) from error
            if isinstance(found, dict) and "id" in found and "affected" in found:
                yield found


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _normal(ecosystem: str, name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "PyPI" else name


def _python(version: str) -> tuple[int, Version]:
    try:
        return 1, Version(version)
    except InvalidVersion:
        return 0, Version("0")


def _maven(version: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers by value, known qualifiers before the release, others behind it; zeros that end a number count for nothing."""
    parts: list[tuple[int, int, str]] = []
    for token in re.findall(r"\d+|[a-z]+", version.lower()):
        if token.isdecimal():
            parts.append((2, int(token), ""))
            continue
        _without_zeros(parts)
        rank = _QUALIFIERS.get(token)
        if rank is None:
            parts.append((1, 1, token))
        elif rank:
            parts.append((0, rank, ""))
    _without_zeros(parts)
    # What ends here is the release itself: above its release candidates, below what goes on.
    return (*parts, (1, 0, ""))


def _without_zeros(parts: list[tuple[int, int, str]]) -> None:
    while parts and parts[-1] == (2, 0, ""):
        parts.pop()
