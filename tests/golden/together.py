"""All golden cases at once, for one job: each on a gateway and tags of its own, cut into three phases.

Leaves: registry and records to send in each phase, and the outputs of a case as its expected file has them. What a job on
a real cluster cannot be told is left out: `timer` and `flush` (processing time goes its own way; `closing` frames end the
windows instead), the order of emissions, and what a crash is: the test that runs the phases cuts the second one short,
restores the savepoint before it, and Kafka sends its records again, so the `again` steps behind a crash are not sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from historian.records import reject_identity
from schemas import codec, frame, topics
from schemas.definitions import TagDefinition
from schemas.frame import ClockStatus, Frame, Stream
from schemas.quality import BAD
from stages.outputs import Output
from tests.golden.runner import CASES, readable
from tests.golden.support import GATEWAY, SITE, make_frame, records, singly, tag, us

PHASES = 3
CLOSING_S = 3_000_000.0
"""Later than anything in a case: a sample of then closes every window of its device."""
_CLOSING_EPOCH = UUID(int=(7 << 76) | (2 << 62) | 0xFFFF)
_SENT = ("frame", "again", "bytes")
Step = dict[str, Any]


class Send(NamedTuple):
    """A record for the topic of frames."""

    key: bytes
    value: bytes


@dataclass(frozen=True)
class Publish:
    """Definitions for the registry, complete at a version."""

    tags: tuple[TagDefinition, ...]
    version: int


@dataclass
class PlacedCase:
    """A case on gateway `gw-<name>`, with tags and devices from `base` on; its registry steps make version `version`."""

    name: str
    base: int
    version: int
    first_tags: list[TagDefinition] = field(default_factory=list)
    tags: dict[int, TagDefinition] = field(default_factory=dict)
    phases: list[list[Send | Publish]] = field(default_factory=lambda: [[] for _ in range(PHASES)])
    originals: set[bytes] = field(default_factory=set)
    crashes: bool = False

    @property
    def gateway_id(self) -> str:
        return f"gw-{self.name}"

    def place(self) -> None:
        """Fill the phases from the case's file."""
        case = CASES.load(self.name)
        assert "windows" not in case, "all cases share one job and its settings"
        self.first_tags = [self.definition(each, 1) for each in case["tags"]]
        self.tags = {each.tag_id: each for each in self.first_tags}
        frames: list[Frame] = []
        published = False
        for phase, steps in enumerate(_cut(case["steps"])):
            for step in steps:
                if "registry" in step:
                    assert phase == PHASES - 1, (
                        "a registry read again after a crash could come before or after its frames"
                    )
                    changed = tuple(self.definition(each, self.version) for each in step["registry"]["tags"])
                    self.tags |= {each.tag_id: each for each in changed}
                    self.phases[phase].append(Publish(changed, self.version))
                    published = True
                elif "frame" in step:
                    frames.append(self.moved(make_frame(**step["frame"]), published))
                    self.phases[phase].append(_send(frames[-1]))
                elif "again" in step:
                    self.phases[phase].append(_send(frames[step["again"]]))
                elif "bytes" in step:
                    self.originals.add(bytes.fromhex(step["bytes"]))
                    self.phases[phase].append(Send(self.gateway_id.encode(), bytes.fromhex(step["bytes"])))
        self.crashes = any("crash" in step for step in case["steps"])

    def definition(self, fields: dict[str, Any], version: int) -> TagDefinition:
        """A tag of the case's file, moved."""
        known = tag(**fields)
        return dataclasses.replace(
            known,
            tag_id=known.tag_id + self.base,
            device_id=known.device_id + self.base,
            path=f"acme/{known.site}/golden/{self.name}/cell/device{known.device_id}/{known.name}",
            gateway_id=self.gateway_id if known.gateway_id == GATEWAY else known.gateway_id,
            registry_version=version,
        )

    def moved(self, given: Frame, published: bool) -> Frame:
        """A frame of the case's file, moved. Behind a registry step all frames name it, so that none overtakes it."""
        version = self.version if published or given.registry_version > 1 else 1
        moved = dataclasses.replace(
            given,
            gateway_id=self.gateway_id,
            registry_version=version,
            tag_ids=(given.tag_ids + self.base).astype(np.int32),
        )
        return dataclasses.replace(moved, checksum=moved.computed_checksum())

    def closing(self) -> Iterator[Send]:
        """A frame per lane that moves the clocks of all its devices far ahead; its samples are bad, so no check minds them."""
        mine = [
            each
            for each in self.tags.values()
            if not each.calculated and each.gateway_id == self.gateway_id and each.site == SITE
        ]
        for lane in sorted({each.lane for each in mine if not each.retired}):
            tag_ids = [each.tag_id for each in mine if each.lane == lane and not each.retired]
            built = frame.build(
                gateway_id=self.gateway_id,
                epoch=_CLOSING_EPOCH,
                lane=lane,
                stream=Stream.LIVE,
                sequence=0,
                closed_time_us=us(CLOSING_S),
                clock_status=ClockStatus.SYNCHRONISED,
                registry_version=1,
                tag_id=np.array(tag_ids, dtype=np.int32),
                time_us=np.full(len(tag_ids), us(CLOSING_S)),
                value=np.zeros(len(tag_ids)),
                quality=np.full(len(tag_ids), BAD, dtype=np.uint16),
            )
            yield _send(built)

    # --- outcome -----------------------------------------------------------------------------------------------------

    def mine(self, outputs: Iterable[Output]) -> list[Output]:
        """Outputs of this case. What a crash repeated is taken once, closing frames are left out."""
        found: dict[tuple[str, object], Output] = {}
        for number, output in enumerate(singly(outputs)):
            identity = self._identity(output, number)
            if identity is not None:
                found.setdefault((output.topic, identity), output)
        return list(found.values())

    def _identity(self, output: Output, number: int) -> object:
        """What makes an output the same one when it comes again; None when it is not of this case."""
        if output.topic == topics.REJECTED.name:
            record = codec.decode(output.value)[1]
            ours = record["gateway_id"] == self.gateway_id or (
                record["gateway_id"] is None and record["original"] in self.originals
            )
            return reject_identity(record) if ours else None
        if not output.key.startswith(self.gateway_id.encode() + b"/"):
            return None
        if output.topic == topics.VALIDATED.name:
            validated = frame.decode(output.value)
            return None if validated.epoch == _CLOSING_EPOCH else (validated.key, validated.sequence)
        return number

    def outcome(self, outputs: Sequence[Output]) -> dict[str, Any]:
        """As the expected file has it, sorted where order is the cluster's own."""
        found = readable(self.mine(outputs))
        for window in found["windows"]:
            window["tag"] -= self.base
        windows = [window for window in found["windows"] if window["start_s"] < CLOSING_S]
        latest = {str(int(tag_id) - self.base): value for tag_id, value in found["latest"].items()}
        return self.comparable({**found, "windows": windows, "latest": latest})

    def expected(self) -> dict[str, Any]:
        """The expected file, as `outcome` gives it."""
        return self.comparable(CASES.expected(self.name))

    def comparable(self, found: dict[str, Any]) -> dict[str, Any]:
        validated = sorted(([each["frame"], each["verdicts"]] for each in found["validated"]), key=str)
        if self.crashes:  # what is validated again after a crash is in the file twice
            validated = [each for number, each in enumerate(validated) if each not in validated[:number]]
        return {
            "validated": validated,
            "rejected": sorted(found["rejected"], key=str),
            **{name: found[name] for name in ("windows", "latest", "progress")},
        }


def place_all() -> list[PlacedCase]:
    """Every case, placed. Registry versions are from 2 on, and published in the order of the cases."""
    cases = [PlacedCase(name, 1000 * (number + 1), 2 + number) for number, name in enumerate(CASES.names())]
    for case in cases:
        case.place()
    return cases


def identities(outputs: Iterable[Output]) -> list[tuple[Any, ...]]:
    """Lane, epoch, stream and sequence of validated frames."""
    fields = ("gateway_id", "lane", "epoch", "stream", "sequence")
    return [tuple(record[name] for name in fields) for record in records(outputs, topics.VALIDATED)]


def _send(given: Frame) -> Send:
    return Send(given.lane_key.encode(), frame.encode(given))


def _cut(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps of each phase: cut at checkpoint and crash; or with the registry in the last; or in thirds."""
    kinds = [
        next(kind for kind in (*_SENT, "registry", "checkpoint", "crash", "timer", "flush") if kind in step)
        for step in steps
    ]
    if "crash" in kinds:
        saved, crashed = kinds.index("checkpoint"), kinds.index("crash")
        after = crashed + 1
        while kinds[after] == "again":
            after += 1
        cuts = (saved, crashed, after)
    elif "registry" in kinds:
        before = kinds.index("registry")
        cuts = ((before + 1) // 2, before, before)
    else:
        cuts = ((len(steps) + 2) // 3, (2 * len(steps) + 2) // 3, (2 * len(steps) + 2) // 3)
    first, second, third = cuts
    return [list(steps[:first]), list(steps[first:second]), list(steps[third:])]
