"""Streams of values as their readers see them: batches, positions, heartbeats, readers that are slow or do not read; commands beside."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from base.errors import OverloadedError
from schemas.proto.millrace.v1 import commands_pb2, state_pb2
from serving.config import LimitSettings
from serving.handlers import pace as paces
from serving.handlers.pace import Pace
from serving.load import Load, Turn
from tests.unit.served import LINE, Served, batch, command_stub, definition, eventually, served, state_stub

GOOD, BAD = state_pb2.QUALITY_GOOD, state_pb2.QUALITY_BAD


@contextlib.asynccontextmanager
async def watched(running: Served, **fields: Any) -> AsyncIterator[Any]:
    """A stream of batches."""
    async with grpc.aio.insecure_channel(running.address) as channel:
        call = state_stub(channel).WatchTagBatches(state_pb2.WatchTagBatchesRequest(**fields))
        yield call
        call.cancel()


async def read_to_the_end(stream: Any) -> None:
    while True:
        await stream.read()


def values_of(message: state_pb2.TagBatch) -> dict[int, float]:
    return {update.tag_id: update.value.value for update in message.updates}


async def test_a_stream_of_batches_begins_with_a_snapshot_that_ends() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.0, 110: 2.0}))
        running.server.values.apply(batch({120: 3.0}, quality=0x8000))
        async with watched(running, prefixes=[LINE], min_interval_ms=10) as stream:
            first = await stream.read()
            assert values_of(first) == {100: 1.0, 110: 2.0, 120: 3.0}
            assert (first.sequence, first.snapshot_complete, first.interval_ms, first.notice) == (1, True, 10, "")
            assert first.updates[0].path == f"{LINE}/press00/temperature"
            assert [update.value.quality for update in first.updates] == [GOOD, GOOD, BAD]
            assert abs(first.sent_us - time.time_ns() // 1000) < 5_000_000
            running.server.values.apply(batch({110: 2.5, 120: 3.5}))
            second = await stream.read()
            assert (second.sequence, second.snapshot_complete) == (2, False)
            assert values_of(second) == {110: 2.5, 120: 3.5}
            assert second.updates[0].path


async def test_a_snapshot_of_nothing_is_told_too() -> None:
    async with served() as running, watched(running, prefixes=[LINE]) as stream:
        first = await stream.read()
        assert (len(first.updates), first.snapshot_complete) == (0, True)


async def test_a_long_snapshot_comes_in_parts_the_last_of_which_is_marked() -> None:
    plant = [definition(tag_id=i, device_id=1, path=f"acme/south/a/l/c/d/t{i}", name=f"t{i}") for i in range(1, 601)]
    async with served() as running:
        running.know(plant, version=9)
        running.server.values.apply(batch({i: float(i) for i in range(1, 601)}))
        async with watched(running, prefixes=["acme/south"], omit_paths=True) as stream:
            parts = [await stream.read() for _ in range(3)]
            assert [len(part.updates) for part in parts] == [250, 250, 100]
            assert [part.snapshot_complete for part in parts] == [False, False, True]
            assert all(update.path for part in parts for update in part.updates)
            running.server.values.apply(batch({7: 0.5}))
            assert [update.path for update in (await stream.read()).updates] == [""]


async def test_changes_within_the_interval_are_one_update() -> None:
    async with served() as running, watched(running, prefixes=[LINE], min_interval_ms=200) as stream:
        running.server.values.apply(batch({100: 0.0}))
        await stream.read()
        for number in range(50):
            running.server.values.apply(batch({100: float(number)}))
            await asyncio.sleep(0)
        seen = values_of(await stream.read())
        if seen != {100: 49.0}:  # the first message may have come before the first value
            seen = values_of(await stream.read())
        assert seen == {100: 49.0}


async def test_silence_has_a_heartbeat() -> None:
    async with served() as running, watched(running, prefixes=[LINE], heartbeat_ms=1000) as stream:
        first = await stream.read()
        began_s = time.monotonic()
        beat = await stream.read()
        assert (len(beat.updates), beat.notice, beat.sequence) == (0, "heartbeat", 2)
        assert time.monotonic() - began_s > 0.8  # not sooner than it was asked for
        assert beat.position == first.position


async def test_a_stream_goes_on_from_its_position() -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.0, 110: 2.0}))
        async with watched(running, prefixes=[LINE]) as stream:
            position = (await stream.read()).position
        running.server.values.apply(batch({110: 2.5}))
        async with watched(running, prefixes=[LINE], resume_position=position) as stream:
            first = await stream.read()
            assert values_of(first) == {110: 2.5}
            assert (first.snapshot_complete, first.notice) == (True, "resumed")


@pytest.mark.parametrize("change", ["server", "paths", "registry", "nonsense", "future"])
async def test_a_position_of_something_else_gives_the_whole_snapshot(change: str) -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 1.0, 110: 2.0}))
        async with watched(running, prefixes=[LINE]) as stream:
            position = (await stream.read()).position
        paths = [LINE]
        if change == "server":
            position = "00000000" + position[8:]
        elif change == "paths":
            paths = [f"{LINE}/press00", f"{LINE}/press01"]
        elif change == "registry":
            running.know([definition(tag_id=900, device_id=90, path=f"{LINE}/press90/x", name="x")], version=9)
        elif change == "future":
            position = position.rpartition(".")[0] + ".99999999999999999999"
        else:
            position = "nonsense"
        async with watched(running, prefixes=paths, resume_position=position) as stream:
            first = await stream.read()
            assert values_of(first) == {100: 1.0, 110: 2.0}
            assert first.notice == "the position is not known here: this is the whole snapshot"


@pytest.mark.parametrize(
    "fields",
    [
        {"min_interval_ms": 5},
        {"min_interval_ms": -1},
        {"heartbeat_ms": 10},
        {"min_interval_ms": 10**9},
        {"prefixes": ["a"] * 1001},
    ],
)
async def test_a_stream_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    async with served() as running, watched(running, **fields) as stream:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert next(iter(fields)) in (caught.value.details() or "")


async def test_a_reader_that_never_reads_is_cut_off_and_told_when_it_does() -> None:
    plant = [definition(tag_id=i, device_id=1, path=f"acme/south/a/l/c/d/t{i}", name=f"t{i}") for i in range(1, 2001)]
    async with served() as running:
        # A busy machine may hold any write up for a second: that is not what is meant, and would cut before the buffers are full.
        running.server.rpc_gate.stuck_s = 3.0
        running.know(plant, version=9)
        async with watched(running, prefixes=["acme/south"], min_interval_ms=10) as stream:
            await eventually(lambda: len(running.server.streams) == 1)
            # How much fits into the buffers on the way is the machine's affair: values change until nothing more is taken.
            async with asyncio.timeout(60):
                for number in itertools.count():
                    if not len(running.server.streams):
                        break
                    running.server.values.apply(batch({i: float(number) for i in range(1, 2001)}))
                    await asyncio.sleep(0.002)
            assert running.server.gate.limits.streams == 1  # until it has heard why
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read_to_the_end(stream)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "was not read for 3 s" in (caught.value.details() or "")
            await eventually(lambda: running.server.gate.limits.streams == 0)


def test_a_reader_that_is_behind_gets_time_then_fewer_messages_and_is_cut_off_in_the_end() -> None:
    pace = Pace(0.25)
    assert not pace.wrote(0.01, 1000)
    assert pace.interval_s(1.0) == 0.25
    assert pace.interval_s(4.0) == 1.0
    assert pace.wrote(3.0, 8 * 1024)
    assert (pace.interval_s(1.0), pace.pause_s) == (0.5, 0.0)  # it paused, perhaps
    assert pace.wrote(0.5, 8 * 1024)
    assert (pace.interval_s(1.0), pace.pause_s) == (1.0, 4.0)  # eight messages of half a second are on their way
    for _ in range(60):
        assert not pace.wrote(0.01, 1000)
    assert pace.interval_s(1.0) == 0.25
    for strike in range(paces.STRIKES):
        assert not pace.lost
        assert pace.wrote(1.0, 1000), strike
    assert pace.lost
    assert pace.interval_s(1.0) <= paces.MAX_INTERVAL_S


async def test_a_slow_reader_is_told_and_then_reads_fresh_values() -> None:
    plant = [definition(tag_id=i, device_id=1, path=f"acme/south/a/l/c/d/t{i}", name=f"t{i}") for i in range(1, 251)]
    options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535))
    async with served() as running, grpc.aio.insecure_channel(running.address, options=options) as channel:
        running.know(plant, version=9)
        request = state_pb2.WatchTagBatchesRequest(prefixes=["acme/south"], min_interval_ms=10)
        stream = state_stub(channel).WatchTagBatches(request)
        await eventually(lambda: len(running.server.streams) == 1)

        async def machines() -> None:
            while True:
                running.server.values.apply(batch({i: time.monotonic() for i in range(1, 251)}))
                await asyncio.sleep(0.01)

        moving = asyncio.create_task(machines())
        notices: list[str] = []
        ages_s: list[float] = []
        try:
            async with asyncio.timeout(50):
                while not notices or len(ages_s) < 5:
                    await asyncio.sleep(0.4)
                    message = await stream.read()
                    if message.notice:
                        notices.append(message.notice)
                        ages_s = []
                    ages_s.append((time.time_ns() // 1000 - message.sent_us) / 1e6)
        finally:
            moving.cancel()
            stream.cancel()
        assert "this reader is behind" in notices[0]
        assert message.interval_ms > 10
        assert ages_s[-1] < 5.0


# --- commands beside streams -----------------------------------------------------------------------------------------


async def test_turns_let_others_pass() -> None:
    load = Load(overload_s=0.1)
    order: list[str] = []

    async def stream(number: int) -> None:
        with Turn(load) as turn:
            for message in range(3):
                await turn.take()
                order.append(f"stream {number}, {message}")

    async def command() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        order.append("command")

    streams = [asyncio.create_task(stream(number)) for number in range(500)]
    await asyncio.sleep(0)
    await command()
    assert len(order) < 40
    await asyncio.gather(*streams)
    assert len(order) == 1501


async def test_a_stream_alone_lets_others_pass_before_each_message() -> None:
    load = Load(overload_s=0.1)
    passed = 0

    async def other() -> None:
        nonlocal passed
        while True:
            await asyncio.sleep(0)
            passed += 1

    beside = asyncio.create_task(other())
    with Turn(load) as turn:
        for _ in range(10):
            await turn.take()
    assert passed >= 9
    beside.cancel()


async def test_messages_that_are_not_written_yet_are_few() -> None:
    load = Load(overload_s=0.1, clock_s=lambda: 0.0)
    writing, most = 0, 0

    async def stream() -> None:
        nonlocal writing, most
        with Turn(load) as turn:
            await turn.take()
            writing += 1
            most = max(most, writing)
            for _ in range(5):  # rounds of the loop until gRPC tells of it
                await asyncio.sleep(0)
            writing -= 1

    await asyncio.gather(*(stream() for _ in range(500)))
    assert most <= 8


async def test_readers_that_never_read_hold_up_nobody() -> None:
    load = Load(overload_s=0.1)

    async def never() -> None:
        with Turn(load) as turn:
            await turn.take()
            await asyncio.Event().wait()

    stuck = [asyncio.create_task(never()) for _ in range(50)]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        with Turn(load) as turn:
            for _ in range(3):
                await turn.take()
    for task in stuck:
        task.cancel()


async def test_turns_of_streams_that_ended_are_passed_over() -> None:
    load = Load(overload_s=0.1)

    async def stream() -> None:
        with Turn(load) as turn:
            await turn.take()
            await asyncio.Event().wait()

    gone = [asyncio.create_task(stream()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    async with asyncio.timeout(10):
        with Turn(load) as turn:
            await turn.take()


@pytest.mark.security("SR 7.2", "V15.2.2")
def test_a_late_loop_refuses_bulk_and_stretches_intervals() -> None:
    load = Load(overload_s=0.1)
    load.require_room()
    load.note(0.9)
    load.require_room()  # once is no overload
    for _ in range(100):
        load.note(0.5)
    with pytest.raises(OverloadedError, match="500 ms late"):
        load.require_room()
    assert load.stretch > 5
    for _ in range(400):
        load.note(0.0)
    load.require_room()
    assert load.stretch == 1.0


async def test_an_overloaded_server_refuses_new_streams_with_pushback_and_takes_commands() -> None:
    async with served() as running, grpc.aio.insecure_channel(running.address) as channel:
        running.server.gate.load.turn_s = 10_000.0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await state_stub(channel).WatchTagBatches(state_pb2.WatchTagBatchesRequest()).read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailers: Any = caught.value.trailing_metadata() or ()
        assert ("grpc-retry-pushback-ms", "2000") in [(key, value) for key, value in trailers]
        submit = commands_pb2.SubmitCommandRequest(device_id=11, name="start")
        assert (await command_stub(channel).SubmitCommand(submit)).provisional


@pytest.mark.security("T-SERVING-FLOOD", "SR 7.1", "V15.2.2")
@pytest.mark.parametrize("method", ["WatchTags", "WatchTagBatches"])
async def test_500_streams_do_not_make_a_command_wait(method: str) -> None:
    plant = [definition(tag_id=1000 + i, device_id=1, path=f"acme/south/a/l/c/d/t{i}", name=f"t{i}") for i in range(20)]
    limits = LimitSettings(
        open_streams=1000,
        requests_per_s=10_000,
        burst=10_000,
        commands_per_s=1000,
        commands_burst=1000,
        overload_lag_ms=60_000,
    )
    async with served(limits=limits) as running, contextlib.AsyncExitStack() as stack:
        running.know(plant, version=9)
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(running.address, options=options))
            for _ in range(6)
        ]
        request = getattr(state_pb2, f"{method}Request")(prefixes=["acme/south"])
        load = running.server.gate.load
        running.server.values.apply(batch({1000 + i: 0.0 for i in range(20)}))
        calls = [getattr(state_stub(channels[i % 5]), method)(request) for i in range(500)]
        await asyncio.gather(*(call.read() for call in calls))

        # Readers in this process would make the loop late themselves: from here on the transport takes what they do not read.
        # What a command waits for is counted in messages of streams that went before it: seconds depend on the machine.
        async def machines() -> None:
            number = 0.0
            while True:
                number += 1
                running.server.values.apply(batch({1000 + i: number for i in range(20)}))
                await asyncio.sleep(0.05)

        moving = asyncio.create_task(machines())
        passed = []
        for _ in range(40):
            before = load.turns
            await command_stub(channels[5]).SubmitCommand(commands_pb2.SubmitCommandRequest(device_id=11, name="start"))
            passed.append(load.turns - before)
        moving.cancel()
        for call in calls:
            call.cancel()
        assert max(passed) > 0
        assert sorted(passed)[30] < 200, passed
