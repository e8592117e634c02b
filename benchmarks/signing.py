"""What signatures of frames cost the telemetry job: its logic without Flink with and without them, on the same frames, in turn.

A gateway's frames come signed one by one, as those of a gateway with one lane do (a signature is verified for each), and signed
`TOGETHER` at a time, as those of one that catches up do. Time is the thread's CPU time, so a neighbour on the machine counts little.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from base import signing_key
from base.errors import MillraceError
from base.signing_key import Signer
from benchmarks.generate import Message
from schemas import frame_signatures
from schemas.signing_keys import SigningKey, gateway_holder
from stages.config import TelemetryConfig
from stages.intake.signatures import FrameGuard
from stages.telemetry.logic import Origin, TelemetryLogic

TOGETHER = 16
_FOR_EVER_US = 1 << 62
_TICK_US = 250_000


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


def in_logic(
    messages: Iterator[Message], registry: Sequence[bytes], topic: str, *, gateways: int, seconds: float
) -> dict[str, Any]:
    """CPU of a frame, in microseconds, and its ratio to that of the same frame without a signature, over `seconds` of CPU time.

    `messages` are of so many gateways, unsigned; `registry` are messages of its topic; `topic` is that of their site.
    """
    keys, samples, frames = _Gateways(), 0, 0
    ways = {"unsigned": 0, "signed": 1, f"signed_{TOGETHER}": TOGETHER}
    logics = {
        name: _Logic(registry, topic, FrameGuard(keys.find) if together else None) for name, together in ways.items()
    }
    turns = itertools.cycle(itertools.permutations(ways))  # so that none of them is always the one after another
    while sum(one.spent_s for one in logics.values()) < seconds:
        part = list(itertools.islice(messages, TOGETHER * gateways))
        if not part:
            break
        values = {
            name: keys.signed(part, together) if together else [one.value for one in part]
            for name, together in ways.items()
        }
        for name in next(turns):
            logics[name].take(part, values[name])
        frames += len(part)
        samples += sum(one.samples for one in part)
    plain_s = logics["unsigned"].spent_s
    found: dict[str, Any] = {f"logic_{name}_us_per_frame": one.spent_s / frames * 1e6 for name, one in logics.items()}
    found |= {f"logic_{name}_ratio": one.spent_s / plain_s for name, one in logics.items() if name != "unsigned"}
    return found | {"logic_signed_frames": frames, "logic_signed_frame_samples": round(samples / frames)}
