"""Jars that Maven fetches: which they are, and the checksums that they must have.

A pin file stands beside each pom: a comment with the coordinates, then a line as `sha256sum` writes it. The start script and the image
of the jobs check the same file with `sha256sum -c` when they have fetched; here it is compared with the folder again, and the pom with
the file. `python -m assurance.pin` writes it anew. What is shaded into a jar, or comes in the wheel of apache-flink, is not seen: the
wheel has a checksum of its own in uv.lock.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from base.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
_LINE = re.compile(r"([0-9a-f]{64})  (\S+\.jar)")
_NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


@dataclass(frozen=True, slots=True)
class Jar:
    """`sha256` in hexadecimal; `file` as Maven names it."""

    group: str
    artifact: str
    version: str
    sha256: str
    file: str

    @property
    def name(self) -> str:
        """As advisories name it."""
        return f"{self.group}:{self.artifact}"


@dataclass(frozen=True, slots=True)
class Source:
    """A pom, its pins, and the folder of .millrace/jars that Maven fills from it."""

    pom: Path
    pins: Path
    folder: Path

    def jars(self) -> list[Jar]:
        """What is pinned; raises ConfigError for a file that does not hold pins."""
        return list(_pinned(self.pins))

    def problems(self) -> Iterator[str]:
        """Where pom, pins and folder do not agree."""
        jars = {jar.file: jar for jar in self.jars()}
        pinned = {(jar.name, jar.version) for jar in jars.values()}
        for missing in sorted(_named(self.pom) - pinned):
            yield f"{self.pom.name} names {':'.join(missing)}, which {self.pins.name} does not pin: python -m assurance.pin"
        found = {path.name: path for path in self.folder.glob("*.jar")}
        for file in sorted(jars.keys() - found.keys()):
            yield f"{file} is not in {self.folder.relative_to(ROOT)}: ./millrace setup fetches it"
        for file, path in sorted(found.items()):
            if file not in jars:
                yield f"{file} is in {self.folder.relative_to(ROOT)} and not pinned"
            elif digest(path) != jars[file].sha256:
                yield f"{file} has another SHA-256 than its pin: remove the folder and run ./millrace setup, and ask where it came from"


SOURCES = (
    Source(ROOT / "flink-conf" / "pom.xml", ROOT / "flink-conf" / "jars.sha256", ROOT / ".millrace" / "jars" / "flink"),
    Source(
        ROOT / "stack" / "kafka-pom.xml", ROOT / "stack" / "kafka-jars.sha256", ROOT / ".millrace" / "jars" / "kafka"
    ),
)


def digest(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pinned(pins: Path) -> Iterator[Jar]:
    coordinates: list[str] = []
    for line in pins.read_text().splitlines():
        if match := _LINE.fullmatch(line):
            if len(coordinates) != 3:
                msg = f"{pins.name}: {match[2]} has no line `# group:artifact:version` above it; python -m assurance.pin writes the file"
                raise ConfigError(msg)
            group, artifact, version = coordinates
            yield Jar(group, artifact, version, match[1], match[2])
            coordinates = []
        elif line.startswith("# "):
            coordinates = line[2:].split(":")
        elif line:
            msg = f"{pins.name}: this is no line of sha256sum: {line[:80]!r}"
            raise ConfigError(msg)


def _named(pom: Path) -> set[tuple[str, str]]:
    """Direct dependencies."""
    return {
        (f"{_text(one, 'groupId')}:{_text(one, 'artifactId')}", _text(one, "version"))
        for one in ET.parse(pom).findall(".//m:dependencies/m:dependency", _NAMESPACE)
    }


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"m:{name}", "", _NAMESPACE)
