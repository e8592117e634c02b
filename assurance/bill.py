"""The bill of materials (CycloneDX 1.6, JSON): every Python package of uv.lock and every pinned jar, each with its checksums.

Of the lock file, so it is what an installation is made of and not what happens to be installed here. Not in it: system packages (Java,
PostgreSQL, Mosquitto, pgBackRest), the packages of web/, of which the built page holds parts, and what is shaded inside a jar or a wheel.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from assurance.advisories import Package
from assurance.jars import ROOT, SOURCES, Jar

LOCK = ROOT / "uv.lock"


def locked(lock: Path = LOCK) -> list[dict[str, Any]]:
    """Packages of the lock file that come from a registry."""
    packages = tomllib.loads(lock.read_text())["package"]
    return [one for one in packages if "registry" in one["source"]]


def jars() -> list[Jar]:
    """All that are pinned."""
    return [jar for source in SOURCES for jar in source.jars()]


def packages() -> list[Package]:
    """What advisories are looked up for, each once."""
    python = [Package("PyPI", one["name"], one["version"]) for one in locked()]
    return list(dict.fromkeys([*python, *(Package("Maven", jar.name, jar.version) for jar in jars())]))


def text() -> str:
    """The document, checked against CycloneDX' own schema; raises ValueError when it does not fit."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bom = Bom()
    bom.metadata.component = root = Component(
        type=ComponentType.APPLICATION, name=project["name"], version=project["version"], bom_ref="millrace"
    )
    components = [*_python(), *_java()]
    bom.components.update(components)
    bom.register_dependency(root, components)
    made = JsonV1Dot6(bom).output_as_string(indent=2)
    if (wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(made)) is not None:
        msg = f"the bill of materials does not fit CycloneDX 1.6: {wrong}"
        raise ValueError(msg)
    return made


def _python() -> Iterator[Component]:
    for one in locked():
        purl = PackageURL("pypi", None, one["name"], one["version"])
        files = [*([one["sdist"]] if "sdist" in one else []), *one.get("wheels", [])]
        yield Component(
            type=ComponentType.LIBRARY,
            name=one["name"],
            version=one["version"],
            purl=purl,
            bom_ref=str(purl),
            # A package has a file for each system, a component a checksum for itself alone: each file's is a property.
            properties=[Property(name=f"millrace:file:{_file(file['url'])}", value=file["hash"]) for file in files],
        )


def _java() -> Iterator[Component]:
    for jar in jars():
        purl = PackageURL("maven", jar.group, jar.artifact, jar.version)
        yield Component(
            type=ComponentType.LIBRARY,
            group=jar.group,
            name=jar.artifact,
            version=jar.version,
            purl=purl,
            bom_ref=str(purl),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=jar.sha256)],
        )


def _file(url: str) -> str:
    return url.rpartition("/")[2]
