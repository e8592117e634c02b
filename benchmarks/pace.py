"""Frames with true clocks at a given rate, written to Kafka by a process of its own, as gateways would send them.

Scenarios that watch a running line start a `Sender`, look at `progress` meanwhile, and get back what was sent (`Sent`) and exactly what
must be stored (`Expected`). A frame is made ahead of its time and sent when it is closed; gateways close theirs one after the other over
the frame period. Late frames and duplicates of the dirt table come as in `generate`. The registry version that frames name can be
raised while the sender runs.
"""

from __future__ import annotations

import multiprocessing
import queue
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from base import ids
from base.errors import MillraceError
from base.settings import KafkaSettings
from benchmarks import workload as workloads
from benchmarks.generate import Expected, Message, generate, signed
from benchmarks.workload import LIMIT, Dirt, Workload
from connectors.kafka import client as kafka
from schemas import topics
from stack.stand_in import StandIn

SOURCE_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the source times in a frame: five samples stand for all of them."""
WATCHED = 0
"""Place of the watched tag in its lane: the first tag of the first device."""
_LEAD_S = 1.0
_FIELDS = 5 + len(SOURCE_QUANTILES)


class SenderError(MillraceError):
    """The sending process failed; the message is its traceback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One row per frame, first copies only; times in microseconds since 1970. Shapes (n,), `source_us` (n, quantiles)."""

    gateway: NDArray[np.int64]
    sequence: NDArray[np.int64]
    closed_us: NDArray[np.int64]
    sent_us: NDArray[np.int64]
    late: NDArray[np.bool_]
    watched_us: NDArray[np.int64]
    """Source time of the newest accepted sample of the watched tag; 0 when the frame has none."""
    source_us: NDArray[np.int64]
    expected: Expected

    @property
    def behind_ms(self) -> NDArray[np.float64]:
        """How long after its close each frame that is not late was handed to the producer."""
        return (self.sent_us - self.closed_us)[~self.late] / 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send."""

    workload: Workload
    dirt: Dirt
    tag_ids: Mapping[str, NDArray[np.int32]]
    seconds: float
    seed: int
    registry_version: int
    stand_in: StandIn = field(default_factory=StandIn)
    """Signs for the gateways."""


class Sender:
    """Sends a plan from `start_us` on. Use it as a context: leaving it ends the process."""

    def __init__(self, plan: Plan, kafka_settings: KafkaSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self.plan = plan
        self.start_us = ids.now_us() + int(_LEAD_S * 1e6)
        self._samples = context.Value("q", 0)
        self._version = context.Value("q", plan.registry_version)
        self._results: Any = context.Queue()
        arguments = (plan, kafka_settings, self.start_us, self._samples, self._version, self._results)
        self._process = context.Process(target=_main, args=arguments, name="bench-sender", daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()

    @property
    def samples(self) -> int:
        """Distinct samples sent so far."""
        return int(self._samples.value)

    @property
    def alive(self) -> bool:
        """Whether it is still sending."""
        return self._process.is_alive()

    def set_registry_version(self, version: int) -> None:
        """Version that frames name from now on."""
        self._version.value = version

    def result(self, timeout_s: float = 120.0) -> Sent:
        """What was sent, once everything is durable; raises SenderError."""
        deadline = time.monotonic() + self.plan.seconds + timeout_s
        while True:
            try:
                found = self._results.get(timeout=0.5)
            except queue.Empty:
                if not self._process.is_alive() and self._results.empty():
                    msg = f"the sender ended with exit code {self._process.exitcode}"
                    raise SenderError(msg) from None
                if time.monotonic() > deadline:
                    msg = f"the sender was not done {timeout_s:.0f} s after its time"
                    raise SenderError(msg) from None
                continue
            if isinstance(found, str):
                raise SenderError(found)
            assert isinstance(found, Sent)
            return found


def _main(plan: Plan, settings: KafkaSettings, start_us: int, samples: Any, version: Any, results: Any) -> None:
    try:
        results.put(_send(plan, settings, start_us, samples, version))
    except Exception:  # noqa: BLE001 - carried over to the process that asked
        results.put(traceback.format_exc())


def _send(plan: Plan, settings: KafkaSettings, start_us: int, samples: Any, version: Any) -> Sent:
    largest = max(int(one.max()) for one in plan.tag_ids.values())
    expected = Expected.of(largest, start_us, plan.seconds)
    messages = generate(
        plan.workload,
        plan.dirt,
        tag_ids=plan.tag_ids,
        seconds=plan.seconds,
        start_us=start_us,
        seed=plan.seed,
        expected=expected,
        registry_version=lambda: int(version.value),
        staggered=True,
    )
    producer = kafka.producer(settings)
    topic = topics.FRAMES.for_site(workloads.SITE)
    number_of = {plan.workload.gateway_id(number): number for number in range(plan.workload.gateways)}
    outbox = kafka.Outbox(producer, topic)
    rows: list[tuple[int, ...]] = []
    scenario = multiprocessing.parent_process()
    assert scenario is not None
    for message in signed(messages, plan.stand_in):
        if not scenario.is_alive():  # killed: nobody else would end this
            msg = "the scenario is gone"
            raise SenderError(msg)
        _wait_until(message.due_us, producer)
        sent_us = ids.now_us()
        outbox.put(message.key, message.value)
        producer.poll(0)
        if not message.again:
            rows.append(row_of(message, number_of[message.frame.gateway_id], plan, sent_us))
            samples.value += message.samples
    outbox.wait(60)
    table = np.array(rows, dtype=np.int64).reshape(len(rows), _FIELDS + 1)
    gateway, sequence, closed_us, sent, late, watched_us = table[:, :6].T
    return Sent(
        gateway=gateway,
        sequence=sequence,
        closed_us=closed_us,
        sent_us=sent,
        late=late.astype(bool),
        watched_us=watched_us,
        source_us=table[:, 6:],
        expected=expected,
    )


def row_of(message: Message, gateway: int, plan: Plan, sent_us: int) -> tuple[int, ...]:
    """Row of `Sent`. Samples of devices with a clock ahead, whose source time says nothing, are left out of the quantiles."""
    made = message.frame
    time_us = made.time_us
    true_us = time_us[time_us <= made.closed_time_us]
    quantiles = np.quantile(true_us if len(true_us) else time_us, SOURCE_QUANTILES)
    watched_id = plan.tag_ids[made.gateway_id][WATCHED]
    # What is refused is not shown, and a clock ahead would make the way look shorter than it is.
    watched = (made.tag_id == watched_id) & (made.value <= LIMIT) & (time_us <= made.closed_time_us)
    watched_us = int(time_us[watched].max()) if watched.any() else 0
    return (
        gateway,
        made.sequence,
        made.closed_time_us,
        sent_us,
        int(message.late),
        watched_us,
        *(int(one) for one in quantiles),
    )


def _wait_until(due_us: int, producer: Any) -> None:
    while (ahead_us := due_us - ids.now_us()) > 0:
        # poll serves delivery reports while waiting; the last millisecond is slept, for poll may be late.
        if ahead_us > 2_000:
            producer.poll(ahead_us / 1e6 - 0.001)
        else:
            time.sleep(ahead_us / 1e6)
