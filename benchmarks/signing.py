"""`signatures`: what those of frames cost the telemetry job: its logic without Flink with and without them, the same frames in turn.

A gateway's frames come signed one by one, as those of a gateway with one lane do (a signature is verified for each), and signed
`TOGETHER` at a time, as those of one that catches up do. Time is the thread's CPU time, so a neighbour on the machine counts little.
Making the signatures is timed too; what that is of a whole gateway's work, `edge --signatures` says.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from base import ids, signing_key
from base.errors import MillraceError
from base.signing_key import Signer
from benchmarks import workload
from benchmarks.edge_process import tag
from benchmarks.generate import Expected, Message, generate
from benchmarks.workload import LIMIT, SITE, Workload
from schemas import frame_signatures, topics
from schemas.definitions import encode_tag, encode_version
from schemas.signing_keys import SigningKey, gateway_holder
from stack.reporting import Progress
from stages.config import TelemetryConfig
from stages.intake.signatures import FrameGuard
from stages.telemetry.logic import Origin, TelemetryLogic

TOGETHER = 16
_FOR_EVER_US = 1 << 62
_TICK_US = 250_000
_ENOUGH_S = 600.0
"""Event time of messages that are taken until enough CPU was used."""


class RefusedError(MillraceError):
    """Refusing a frame is another kind of work than what was to be measured."""


class _Gateways:
    """Keys of the gateways that send."""

    def __init__(self) -> None:
        self._signers: dict[str, Signer] = {}
        self._keys: dict[str, SigningKey] = {}

    def signer(self, gateway_id: str) -> Signer:
        """Made when it is asked for first."""
        found = self._signers.get(gateway_id)
        if found is None:
            private, holder = Ed25519PrivateKey.generate(), gateway_holder(gateway_id)
            public = signing_key.public_of(private)
            found = self._signers[gateway_id] = Signer(private, signing_key.key_id(holder, 1, public))
            self._keys[found.id] = SigningKey(
                key_id=found.id, holder=holder, public=public, from_us=0, until_us=_FOR_EVER_US
            )
        return found

    def find(self, key_id: str) -> SigningKey | None:
        """As the job finds it."""
        return self._keys.get(key_id)

    def signed(self, part: Sequence[Message], together: int) -> list[bytes]:
        """Kafka values of messages in their order; so many of a gateway under one root."""
        found = [one.value for one in part]
        places: dict[str, list[int]] = {}
        for place, one in enumerate(part):
            places.setdefault(one.frame.gateway_id, []).append(place)
        for gateway_id, own in places.items():
            for at in range(0, len(own), together):
                batch = own[at : at + together]
                tails = frame_signatures.tails([found[place] for place in batch], self.signer(gateway_id))
                for place, tail in zip(batch, tails, strict=True):
                    found[place] = frame_signatures.signed(found[place], tail)
        return found


class _Logic:
    """The logic under test, and the CPU time that it took."""

    def __init__(self, registry: Iterable[bytes], topic: str, guard: FrameGuard | None) -> None:
        self._logic, self._topic = TelemetryLogic(TelemetryConfig()), topic
        self._logic.guard = guard
        for definition in registry:
            self._logic.apply_registry(definition)
        self.spent_s, self._offset, self._ticked_us = 0.0, 0, 0

    def take(self, part: Sequence[Message], values: Sequence[bytes]) -> None:
        """Frames as they came, with ticks between them; raises RefusedError."""
        began_s = time.thread_time()
        for message, value in zip(part, values, strict=True):
            self._logic.on_frame(value, Origin(self._topic, 0, self._offset), message.due_us)
            self._offset += 1
            if message.due_us - self._ticked_us >= _TICK_US:
                self._logic.on_timer(None, message.due_us)
                self._ticked_us = message.due_us
            self._logic.drain_changes(message.key.decode())
        self.spent_s += time.thread_time() - began_s
        if refused := self._logic.counters["bad_signatures"]:
            msg = f"{refused} frames were refused"
            raise RefusedError(msg)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the scenario."""
    parser.add_argument("--workload", default="wide", help="of suites/workloads.yaml")
    parser.add_argument("--dirt", default="none", help="of suites/dirt.yaml")
    parser.add_argument("--seconds", type=float, default=60, help="of CPU in the logic, of all ways together")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same frames")


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """In this process: nothing is started."""
    chosen, start_us = workload.load(options.workload), ids.now_us()
    tags = {
        chosen.gateway_id(n): np.arange(chosen.lane_tags, dtype=np.int32) + 1 + n * chosen.lane_tags
        for n in range(chosen.gateways)
    }
    expected = Expected.of(chosen.gateways * chosen.lane_tags, start_us, _ENOUGH_S)
    messages = generate(
        chosen,
        workload.load_dirt(options.dirt),
        tag_ids=tags,
        seconds=_ENOUGH_S,
        start_us=start_us,
        seed=options.seed,
        expected=expected,
    )
    with progress.step("logic with and without signatures") as details:
        found = in_logic(
            messages, registry(chosen), topics.FRAMES.for_site(SITE), gateways=chosen.gateways, seconds=options.seconds
        )
        details.append(f"{found['logic_signed_ratio']:.2f} of the CPU without")
    return found


def registry(chosen: Workload) -> list[bytes]:
    """Messages of the registry's topic for a workload's tags, which are checked as those of `limits` are."""
    tags = [
        tag(
            1 + n * chosen.lane_tags + device * chosen.tags + place,
            f"t{place}",
            f"x:{place}",
            gateway_id=chosen.gateway_id(n),
            site=SITE,
            device_id=1 + n * chosen.devices + device,
            period_ms=chosen.period_ms,
            windows_s=chosen.windows_s,
            limit_low=-LIMIT,
            limit_high=LIMIT,
            max_rate=1e6,
            stuck_after_s=60.0,
        )
        for n in range(chosen.gateways)
        for device in range(chosen.devices)
        for place in range(chosen.tags)
    ]
    pairs = [*map(encode_tag, tags), encode_version(1, tags=len(tags), time_us=1)]
    return [value for _, value in pairs]


def in_logic(
    messages: Iterator[Message], registry: Sequence[bytes], topic: str, *, gateways: int, seconds: float
) -> dict[str, Any]:
    """CPU of a frame, in microseconds, and its ratio to that of the same frame without a signature, over `seconds` of CPU time.

    `messages` are of so many gateways, unsigned; `registry` are messages of its topic; `topic` is that of their site.
    """
    keys, samples, frames = _Gateways(), 0, 0
    signing_s = dict.fromkeys((1, TOGETHER), 0.0)
    ways = {"unsigned": 0, "signed": 1, f"signed_{TOGETHER}": TOGETHER}
    logics = {
        name: _Logic(registry, topic, FrameGuard(keys.find) if together else None) for name, together in ways.items()
    }
    turns = itertools.cycle(itertools.permutations(ways))  # so that none of them is always the one after another
    while sum(one.spent_s for one in logics.values()) < seconds:
        part = list(itertools.islice(messages, TOGETHER * gateways))
        if not part:
            break
        values: dict[str, list[bytes]] = {}
        for name, together in ways.items():
            began_s = time.thread_time()
            values[name] = keys.signed(part, together) if together else [one.value for one in part]
            if together:
                signing_s[together] += time.thread_time() - began_s
        for at in range(0, len(part), gateways):  # short turns: all ways see the same machine
            short = slice(at, at + gateways)
            for name in next(turns):
                logics[name].take(part[short], values[name][short])
        frames += len(part)
        samples += sum(one.samples for one in part)
    plain_s = logics["unsigned"].spent_s
    found: dict[str, Any] = {f"logic_{name}_us_per_frame": one.spent_s / frames * 1e6 for name, one in logics.items()}
    found |= {f"logic_{name}_ratio": one.spent_s / plain_s for name, one in logics.items() if name != "unsigned"}
    found |= {"sign_us_per_frame": signing_s[1] / frames * 1e6}
    found |= {f"sign_{TOGETHER}_us_per_frame": signing_s[TOGETHER] / frames * 1e6}
    return found | {"logic_signed_frames": frames, "logic_signed_frame_samples": round(samples / frames)}
