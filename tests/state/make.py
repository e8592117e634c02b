"""`python -m tests.state.make VERSION`: stores what the present code leaves behind, for every later version to be held against.

Run it when VERSION is released, from the commit that is released, and commit what it writes. What is stored is never overwritten:
a run makes what is missing. `--only keyed,gateway` leaves the savepoints out, which need a cluster (about five minutes). See
docs/how-to/prove-state-compatibility.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from schemas import codec, topics
from schemas.events import DeviceEvent, EventKind, Gap, LaneHealth
from schemas.frame import Stream
from stack.config import ROOT as REPOSITORY
from stages.outputs import Output
from tests.contract import golden_files
from tests.golden.support import GATEWAY, SITE, us
from tests.state import command_scenarios, gateway, keyed, savepoints, stored
from tests.state.outcome import differences
from tests.state.workload import CUT_S

KINDS = ("keyed", "gateway", "savepoints")
_HISTORY_S = 12
"""So much of the telemetry job's output, on either side of the cut, is the historian's input."""
Record = tuple[str, bytes, bytes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.state.make", description=__doc__)
    parser.add_argument("version", help="the version in pyproject.toml, which is being released")
    parser.add_argument("--only", default=",".join(KINDS), help=f"some of {','.join(KINDS)}")
    args = parser.parse_args(arguments)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    if args.version != project["version"]:
        parser.error(
            f"the code is version {project['version']}, not {args.version}: state is stored by the code that makes it"
        )
    kinds = args.only.split(",")
    folder = stored.ROOT / args.version
    made_by = folder / "manifest.json"
    if made_by.exists() and (known := json.loads(made_by.read_text())["commit"]) != commit():
        parser.error(
            f"the state of {args.version} was made by commit {known}: what is missing is made there, or it proves nothing"
        )
    folder.mkdir(exist_ok=True)
    telemetry, first = keyed.make_telemetry()
    _, second = keyed.resume_telemetry(telemetry)
    messages = historian_input(first, second)
    if "keyed" in kinds:
        made = {
            "telemetry": telemetry,
            "commands": keyed.make_commands(),
            "historian": keyed.make_historian(*messages),
            "alarms": keyed.make_alarms(),
        }
        for name, value in made.items():
            store_keyed(folder, name, value)
    if "gateway" in kinds:
        for name in gateway.MAKE:
            store_gateway(folder, name)
    if "savepoints" in kinds:
        store_savepoints(folder, messages)
    if not made_by.exists():
        made_by.write_text(json.dumps(manifest(args.version), indent=1) + "\n")
    return 0


def commit() -> str:
    """The commit that is checked out."""
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()


def manifest(version: str) -> dict[str, Any]:
    """What made the fixtures, and the golden message of every schema version that it knew."""
    schemas = [schema for versions in codec.all_schemas().values() for schema in versions]
    golden = {f"{s.name}.v{s.version}": sha256(golden_files.load_message(s)).hexdigest() for s in schemas}
    return {"version": version, "commit": commit(), "golden_messages": golden}


def store_keyed(folder: Path, name: str, value: dict[str, Any]) -> None:
    """Keyed state of one job, and what comes of it."""
    path = folder / f"{name}.json.xz"
    if not path.exists():
        stored.write_json(path, value)
        say(path)
    expect(folder, name, lambda: keyed.resume(name, stored.read_json(path)))
    expected = stored.read_expected(folder, name)
    for lost, without in keyed.with_losses(stored.read_json(path)):
        if next(differences(keyed.resume(name, without), expected), None) is None:
            sys.exit(
                f"{name}: the outcome is the same without {lost}; extend the workload, so that its loss is noticed"
            )


def store_gateway(folder: Path, name: str) -> None:
    """Files of a gateway, and what comes of them."""
    path = folder / f"{name}.tar.xz"
    with tempfile.TemporaryDirectory() as scratch:
        if not path.exists():
            gateway.MAKE[name](Path(scratch) / "made")
            stored.pack(Path(scratch) / "made", path)
            say(path)
        stored.unpack(path, Path(scratch) / "again")
        expect(folder, name, lambda: gateway.RESUME[name](Path(scratch) / "again"))


def store_savepoints(folder: Path, messages: tuple[list[Record], list[Record]]) -> None:
    """Savepoints of the jobs, and what comes of them."""
    for job in savepoints.NAMES:
        path = folder / f"savepoint-{job}.tar.xz"
        if not path.exists():
            savepoints.take(job, path, messages)
            say(path)
    if all(stored.expected_file(folder, f"savepoint-{job}").exists() for job in savepoints.NAMES):
        return
    found = savepoints.resume(folder)
    for name in found:
        expect(folder, name, partial(found.__getitem__, name))


def expect(folder: Path, name: str, resume: Callable[[], dict[str, Any]]) -> None:
    """Write the outcome of `resume`, unless it is there."""
    path = stored.expected_file(folder, name)
    if not path.exists():
        stored.write_expected(folder, name, resume())
        say(path)


def say(path: Path) -> None:
    """Tell of a file."""
    sys.stderr.write(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size} bytes\n")


def historian_input(first: list[Output], second: list[Output]) -> tuple[list[Record], list[Record]]:
    """Messages of every kind that the historian reads: from before the cut, and from behind it with some of the others again."""
    states = keyed.command_states()
    before = [*_near_the_cut(first), *_events(0), *states[0]]
    return before, [*before[:20], *_near_the_cut(second), *_events(1), *states[1]]


def _near_the_cut(outputs: list[Output]) -> list[Record]:
    """Outputs of about the time of the cut; bundles and anomalies, which have another time or none, from the end."""
    found: list[Record] = []
    rare: dict[str, list[Record]] = {"Anomaly": [], "FrameBundle": []}
    for topic, key, value in outputs:
        name, record = codec.decode(value)
        time_us = record.get("closed_time_us", record.get("rejected_time_us", record.get("time_us", 0)))
        if name in rare:
            rare[name].append((topic, key, value))
        elif abs(time_us - us(CUT_S)) < _HISTORY_S * 1_000_000:
            found.append((topic, key, value))
    return [*found, *rare["Anomaly"], *rare["FrameBundle"][-2:]]


def _events(number: int) -> list[Record]:
    """A birth, a gap, and the gateway's health. The first birth is of the device that speaks once."""
    common: dict[str, Any] = {"gateway_id": GATEWAY, "time_us": us(CUT_S + number)}
    epoch = command_scenarios.SCENARIOS[0].command_id
    gap = Gap(lane=0, epoch=epoch, stream=Stream.LIVE, first_sequence=3, last_sequence=4 + number, samples=9,
              from_us=us(1), to_us=us(2), cause="the buffer's size limit")  # fmt: skip
    health = LaneHealth(lane=0, epoch=epoch, stream=Stream.LIVE, next_sequence=200 + number, produced_samples=4000,
                        produced_checksum=-5, delivered_sequence=190, buffered_samples=12, dropped_samples=9)  # fmt: skip
    made = [
        DeviceEvent(
            kind=EventKind.BIRTH,
            device_id=(int(keyed.SPEAKS_ONCE), 10)[number],
            text="born",
            attributes={"by": "test"},
            **common,
        ),
        DeviceEvent(kind=EventKind.GAP, device_id=0, text="lost", gap=gap, **common),
        DeviceEvent(kind=EventKind.GATEWAY_HEALTH, device_id=0, lanes=(health,), **common),
    ]
    return [(topics.EVENTS.for_site(SITE), event.key, event.encode()) for event in made]


if __name__ == "__main__":
    sys.exit(main())
