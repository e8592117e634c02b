"""A small seeded plant that leaves something in every part of the telemetry job's state, and the input that goes on from there.

Lane 0 of the gateway `gw-north` has a machine with limits (device 1), one machine per kind of detector, and one that says its
mode. Its first five frames are of an older epoch. Lane 1 ends with frames that wait for a registry version. Gateway `gw-south`
is a minute behind, so its frames are gathered; so is `gw-quiet`, which says one thing just before the cut and nothing then.
Times are seconds of `tests.golden.support`; a frame holds the second before its own. The first part ends at `CUT_S`, the
second at `END_S`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas import frame
from schemas.definitions import TagDefinition, encode_tag, encode_version
from schemas.frame import Stream, lane_key
from tests.golden.support import GATEWAY, make_frame, tag, us

CUT_S, END_S = 200, 240
SOUTH, QUIET = "gw-south", "gw-quiet"
BEHIND_S = 60
DETECTORS = ("default", "thorough", "gaussian", "halfspace", "relation", "drift", "robust", "seasonal", "merged")
"""Names that the plant's definitions use: the built-in detectors, and one of the configuration that merges windows."""
MODE_DEVICE = 20
_FIRST_DEVICE = 10
_MODE_CHANGES_S = (90, 175, CUT_S + 15)
_MOVED_S = 120
_BAD = 0x8000
Sample = tuple[float, ...]


def config() -> dict[str, Any]:
    """Tables of the job's configuration. Detectors are written to the state with every frame, so nothing learned is missing.

    They speak after a minute, and episodes end 5 s after their last window, or the input would be long.
    """
    kinds: dict[str, dict[str, Any]] = {name: {"kind": name, "parameters": {"grace_s": 60.0}} for name in DETECTORS}
    kinds["default"]["kind"] = kinds["merged"]["kind"] = kinds["thorough"]["kind"] = "ensemble"
    kinds["merged"]["every"] = 5
    kinds["thorough"]["parameters"] |= {"trees": 10, "window": 60}
    kinds["halfspace"]["parameters"] |= {"window": 60}
    kinds["robust"]["parameters"] = kinds["seasonal"]["parameters"] = {}
    detectors = [{"name": name, "hold_off_s": 5.0, **spec} for name, spec in kinds.items()]
    return {"telemetry": {"detection": {"snapshot_interval_s": 0.0, "detectors": detectors}}}


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Messages of one complete registry version."""

    messages: list[tuple[bytes, bytes]]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A frame on its topic, when it arrives."""

    now_us: int
    key: bytes
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`modes`: with the machine that says its mode. `open_at_cut`: an episode is open when the first part ends."""

    modes: bool = True
    open_at_cut: bool = True

    def first(self) -> Iterator[Registered | Sent]:
        """Input up to the moment when the state is kept."""
        yield _registered(1, self._plant())
        for second in range(1, CUT_S + 1):
            if second == _MOVED_S:  # tag 301 moves to lane 1 while lane 0 still sends it
                yield _registered(2, [*self._plant(), tag(301, 30, lane=1, registry_version=2)])
            yield from self._second(second)
            if second == 100:
                yield _sent(second, _corrected(0))
            if second % 40 == 0:
                yield _sent(second, _stored_before(second))
        yield from self._again([31, 32])
        quiet = make_frame([(500, CUT_S - 60.5, 5.0)], 1, gateway_id=QUIET, closed_s=CUT_S - BEHIND_S)
        yield _sent(CUT_S, quiet)

    def second(self) -> Iterator[Registered | Sent]:
        """Input that goes on from there; `first` is not needed for it."""
        yield _sent(CUT_S, _stored_before(CUT_S))  # a duplicate
        yield from self._again([CUT_S - 1, CUT_S])
        yield _sent(CUT_S, make_frame([(1, CUT_S - 0.5, 1.0)], CUT_S, epoch=2))  # an identity seen with other samples
        yield _sent(CUT_S, _corrected(0))  # seen before
        yield _sent(CUT_S, _corrected(1))  # too far from the one before
        jump = make_frame([(1, CUT_S - 599.5, 90.0)], 6, stream=Stream.BACKFILL, epoch=2, closed_s=CUT_S)
        yield _sent(CUT_S, jump)
        for second in range(CUT_S + 1, END_S + 1):
            if second == CUT_S + 3:
                yield _registered(3, [*self._plant(), *(tag(n, 30, lane=1, registry_version=3) for n in (301, 302))])
            yield from self._second(second)
        # Late for no window of device 1 but those of 1 s, and late for all.
        yield _sent(
            END_S, make_frame([(1, END_S - 14.2, 20.0), (1, CUT_S - 19.5, 20.0)], END_S + 1, epoch=2, closed_s=END_S)
        )

    def closing(self) -> Iterator[Sent]:
        """A frame on each lane that closes all windows begun before."""
        for gateway_id, lane, tags in ((GATEWAY, 0, self._tags()), (GATEWAY, 1, [300, 301, 302]), (SOUTH, 0, [400])):
            samples = [(tag_id, END_S + 8.0, 50.0) for tag_id in tags]
            yield _sent(END_S + 8, make_frame(samples, 5000, gateway_id=gateway_id, lane=lane, epoch=2))

    # --- the plant -----------------------------------------------------------------------------------------------------------

    def _plant(self) -> list[TagDefinition]:
        """Definitions of version 1."""
        calm: dict[str, Any] = {"windows_s": (1, 5), "detector": ""}
        tags = [
            tag(1, limit_low=0.0, limit_high=100.0, max_rate=50.0, **calm),
            tag(2, stuck_after_s=5.0, **calm),
            tag(3, data_type="INTEGER", eu_low=0.0, eu_high=1000.0, **calm),
            tag(4, 2, **calm),
            tag(5, 3, **calm),
            tag(300, 30, lane=1, **calm),
            tag(301, 30, **calm),
            tag(400, 40, gateway_id=SOUTH, **calm),
            tag(500, 50, gateway_id=QUIET, **calm),
        ]
        for device, name in self._devices().items():
            tags += [tag(10 * device + n, device, detector=name, eu_low=0.0, eu_high=100.0) for n in (0, 1)]
        if self.modes:
            tags.append(tag(10 * MODE_DEVICE + 2, MODE_DEVICE, name="packml_state", data_type="INTEGER"))
        return tags

    def _devices(self) -> dict[int, str]:
        """Watched devices and their detectors."""
        found = {_FIRST_DEVICE + place: name for place, name in enumerate(DETECTORS)}
        return found | ({MODE_DEVICE: "default"} if self.modes else {})

    def _tags(self) -> list[int]:
        """Tags of lane 0 that are plain numbers."""
        return [1, 2, 3, 5, *(10 * device + n for device in self._devices() for n in (0, 1))]

    # --- the data ------------------------------------------------------------------------------------------------------------

    def _second(self, second: int) -> Iterator[Sent]:
        """Frames of one second."""
        epoch = 1 if second <= 5 else 2
        version = 1 if second < _MOVED_S else 2
        yield _sent(second, make_frame(self._lane_0(second), second, epoch=epoch, registry_version=version))
        lane_1 = [(300, second - 0.5, float(second % 17)), (301, second - 0.4, 3.0)]
        if second > CUT_S - 4:  # knows of a tag that the job does not
            lane_1.append((302, second - 0.3, 4.0))
            version = 3
        yield _sent(second, make_frame(lane_1, second, lane=1, epoch=2, registry_version=version))
        south = make_frame(
            [(400, second - BEHIND_S - 0.5, second / 10)], second, gateway_id=SOUTH, closed_s=second - BEHIND_S
        )
        yield _sent(second, south)

    def _lane_0(self, second: int) -> list[Sample]:
        rng = np.random.default_rng((12, second))
        samples: list[Sample] = [
            (1, second - 0.75, 40.0 + 4.0 * np.sin(second / 9)),
            (1, second - 0.25, 90.0 if second == CUT_S + 1 else 41.0 + 4.0 * np.sin(second / 9)),
            (2, second - 0.5, 7.0 if abs(second - CUT_S) <= 3 else rng.normal(50, 1)),
            (3, second - 0.5, float(second)),
            (301, second - 0.6, float(rng.normal(10, 1))),
        ]
        if second == 50:
            samples.append((4, second - 0.5, 77.0))  # and never again
        if second <= CUT_S:
            samples.append((5, second - 0.5, 5.0))
        if second == CUT_S + 1:
            samples.append((5, CUT_S - 15.5, 6.0))  # late by what its device's clock was
        if second % 25 == 0:
            samples += [
                (1, second - 0.1, 150.0),
                (2, second - 0.1, np.nan),
                (3, second - 0.1, 1.5),
                (9, second - 0.1, 0.0),
            ]
        if second % 10 == 0:
            samples += [(1, second - 2.6, 42.0), (2, second - 0.2, 50.0, _BAD)]  # of a window that is closed
        if second == CUT_S + 4:
            samples.append((1, CUT_S - 3.5, 43.0))  # of a window that was closed when the state was kept
        samples += [sample for device in self._devices() for sample in self._watched(device, second, rng)]
        return samples

    def _watched(self, device: int, second: int, rng: np.random.Generator) -> list[Sample]:
        """Two related tags of a device, two samples each; a fault moves them apart."""
        found: list[Sample] = []
        fault = self._fault(device, second)
        for at in (second - 0.8, second - 0.3):
            level = 50.0 + 5.0 * np.sin(at / 10.0) + rng.normal(0, 0.4)
            found += [(10 * device, at, level), (10 * device + 1, at, 0.8 * level + rng.normal(0, 0.2) + fault)]
        if device == MODE_DEVICE:
            modes = 1 + sum(second >= change for change in _MODE_CHANGES_S) % 2
            found.append((10 * device + 2, second - 0.9, float(modes)))
        return found

    def _fault(self, device: int, second: int) -> float:
        early = self.open_at_cut and device % 2 == 0 and CUT_S - 5 < second <= CUT_S + 4
        return 14.0 if early or CUT_S + 15 < second <= CUT_S + 22 else 0.0

    def _again(self, seconds: list[int]) -> Iterator[Sent]:
        """Frames of the first part once more."""
        for second in seconds:
            for sent in self._second(second):
                yield Sent(now_us=us(CUT_S), key=sent.key, value=sent.value)


def _stored_before(second: int) -> frame.Frame:
    """A BACKFILL frame, of ten minutes before."""
    samples = [(1, second - 600.0, 40.0), (2, second - 599.5, 7.0), (1, second - 599.0, 95.0)]
    return make_frame(samples, second // 40, stream=Stream.BACKFILL, epoch=2, closed_s=second)


def _corrected(sequence: int) -> frame.Frame:
    """A REPLAY frame."""
    return make_frame([(1, 5.0 + sequence, 2.0 + 60.0 * sequence)], sequence, epoch=8, stream=Stream.REPLAY)


def _registered(version: int, tags: list[TagDefinition]) -> Registered:
    messages = [encode_tag(each) for each in tags]
    return Registered(messages=[*messages, encode_version(version, tags=len(tags), time_us=us(0))])


def _sent(second: float, given: frame.Frame) -> Sent:
    return Sent(
        now_us=us(second + 0.15), key=lane_key(given.gateway_id, given.lane).encode(), value=frame.encode(given)
    )
