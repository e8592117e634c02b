"""Who sends in the place of gateways signs as they would: the job takes the frames, serving's requests are serving's."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from authority import signing_keys, telling
from base import ids
from benchmarks import workload
from benchmarks.generate import Expected, generate, signed
from schemas import command_signatures, frame
from schemas.commands import CommandRequest
from schemas.frame_signatures import MAX_BATCH
from schemas.signing_keys import SERVING, KeyBook
from stack import signing_keys as stack_keys
from stack import trust
from stack.config import StackConfig
from stack.stand_in import StandIn
from stages.intake.signatures import FrameGuard
from tests.golden.support import make_frame

GATEWAY = "gw-north-1"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """An instance whose certificates are issued, and their keys written down."""
    found = StackConfig(state=tmp_path_factory.mktemp("state"), signatures="required")
    trust.prepare(found)
    stack_keys.note_own(found)
    return found


def book_of(config: StackConfig) -> KeyBook:
    """What the topic would say."""
    issuing = trust.authority(config)
    found = KeyBook.of(issuing.root_file)
    for row in signing_keys.rows(issuing):
        found.apply(telling.as_told(row).encode(issuing.prove))
    return found


def test_frames_in_the_place_of_a_gateway_are_taken_as_its_own(config: StackConfig) -> None:
    messages = [frame.encode(make_frame([(1, 0.0, 1.0)], n, gateway_id=GATEWAY)) for n in range(MAX_BATCH + 1)]
    used = StandIn.of(config)
    used.frames(GATEWAY, messages[:1])
    stand_in: StandIn = pickle.loads(pickle.dumps(used))  # as it comes to a process of its own
    assert not stand_in._signers, "keys stay where they are"
    guard = FrameGuard(book_of(config).find)
    found = stand_in.frames(GATEWAY, messages)
    assert [guard.problem(one, frame.decode(one), ids.now_us()) for one in found] == [""] * len(messages)
    south = stand_in.frames("gw-south-1", messages[:1])[0]
    assert "would have to be of" in guard.problem(south, frame.decode(south), ids.now_us())


def test_a_request_in_the_place_of_serving_is_servings(config: StackConfig) -> None:
    request = CommandRequest(
        command_id=ids.uuid7(), device_id=1, gateway_id=GATEWAY, site="north", name="write", parameters={"x": 1.0},
        submitted_by="test", submitted_us=1, expires_us=2,
    )  # fmt: skip
    made = StandIn.of(config).command(request)
    assert command_signatures.problem(made, book_of(config).find, (SERVING,), ids.now_us()) == ""


def test_where_signatures_are_off_nothing_is_signed(tmp_path: Path) -> None:
    off: StandIn = pickle.loads(pickle.dumps(StandIn.of(StackConfig(state=tmp_path, signatures="off"))))
    assert off.frames(GATEWAY, [b"a", b"b"]) == [b"a", b"b"]


def test_what_a_gateway_of_a_workload_sends_at_the_same_moment_is_under_one_root(config: StackConfig) -> None:
    class Counting(StandIn):
        def frames(self, gateway_id: str, messages: list[bytes]) -> list[bytes]:  # type: ignore[override]
            batches.append((gateway_id, len(messages)))
            return [one + b"!" for one in messages]

    batches = list[tuple[str, int]]()
    small = workload.Workload(
        name="small", gateways=2, devices=2, tags=2, period_ms=100, frame_ms=200, frame_samples=3, windows_s=(1,)
    )
    tags = {small.gateway_id(n): np.arange(4, dtype=np.int32) + 1 + 4 * n for n in range(2)}
    made = list(
        generate(
            small,
            workload.load_dirt("none"),
            tag_ids=tags,
            seconds=0.4,
            start_us=0,
            seed=1,
            expected=Expected.of(8, 0, 1),
        )
    )
    found = list(signed(made, Counting()))
    assert [one.value for one in found] == [one.value + b"!" for one in made]
    assert batches == [(small.gateway_id(n), 3) for _ in range(2) for n in range(2)]
