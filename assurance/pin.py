"""Writes the pins of the jars: `python -m assurance.pin`, after a change of a pom and `./millrace setup`.

Maven says the coordinates, the folder has the bytes. Look at the difference before you commit it: a checksum that changed without its
version is somebody else's jar.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from assurance.jars import SOURCES, Source, digest

_RESOLVED = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:(?:([\w.-]+):)?([\w.-]+):(?:compile|runtime)", re.MULTILINE)


def main() -> int:
    """One file a pom."""
    for source in SOURCES:
        source.pins.write_text(text(source))
        sys.stdout.write(f"{source.pins.name}: {len(source.jars())} jars\n")
    return 0


def text(source: Source) -> str:
    """The file, by the names of the jars."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "resolved"
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:list"
        subprocess.run(
            ["mvn", "-B", "-q", "-f", source.pom, plugin, "-DincludeScope=runtime", f"-DoutputFile={listed}"],
            check=True,
        )
        found = sorted(_RESOLVED.findall(listed.read_text()), key=lambda one: one[1])
    lines = []
    for group, artifact, classifier, version in found:
        file = f"{artifact}-{version}{f'-{classifier}' if classifier else ''}.jar"
        lines += [f"# {group}:{artifact}:{version}", f"{digest(source.folder / file)}  {file}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
