"""Ten thousand requests made from the contract's own structure, seeded: clean codes, no traceback, memory flat.

A request has fields of the right types, filled from what the plant has, from what is at the edges, and from what nobody should send;
one in ten is damaged bytes. So most reach a handler, and what does not is refused by name.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import grpc
import psutil
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from base.ids import uuid7
from serving.config import LimitSettings
from tests.unit.served import LINE, METHODS, batch, served

REQUESTS = 10_000
AT_ONCE = 16
# What a caller may be told of its own request. INTERNAL and UNKNOWN are defects.
CLEAN = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
REACHED = CLEAN - {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DEADLINE_EXCEEDED}
COMMAND = str(uuid7(1_700_000_000_000_000))
GOOD_TEXTS = [
    LINE,
    f"{LINE}/press00",
    f"{LINE}/press01/temperature",
    "acme",
    "acme/north*",
    "write",
    "start",
    COMMAND,
    "",
]
BAD_TEXTS = [
    "a/" * 5_000,
    "x" * 300,
    "\x00",
    "../..",
    "*",
    "//",
    "\u202e\U0001f3ed",
    "'; DROP TABLE samples; --",
    "NaN",
    str(UUID(int=0)),
]
GOOD_NUMBERS = [0, 1, 10, 11, 60, 100, 101, 1_000]
BAD_NUMBERS = [-1, 2**31 - 1, -(2**31), 7, 100_000]
FLOATS = [0.0, 1.0, 21.5, -1.0, float("nan"), float("inf"), 1e308]


def text(rng: random.Random) -> str:
    return rng.choice(GOOD_TEXTS if rng.random() < 0.85 else BAD_TEXTS)


def value(rng: random.Random, field: Any) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return text(rng)
        case FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.choice([0, 8, 400]))
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return rng.choice(FLOATS)
        case FieldDescriptor.TYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.TYPE_ENUM:
            return rng.choice([one.number for one in field.enum_type.values]) if rng.random() < 0.95 else 99
        case _:
            return rng.choice(GOOD_NUMBERS if rng.random() < 0.85 else BAD_NUMBERS)


def fill(rng: random.Random, message: Message, depth: int = 0) -> Message:
    """Set some fields of a message, those within it too."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.4:
            continue
        times = rng.choice([1, 1, 2, 3]) if rng.random() < 0.98 else 2_000
        if field.message_type and field.message_type.GetOptions().map_entry:
            held: Any = getattr(message, field.name)
            for _ in range(min(times, 50)):
                held[text(rng)] = value(rng, field.message_type.fields_by_name["value"])
        elif field.message_type:
            if field.label == FieldDescriptor.LABEL_REPEATED:
                for _ in range(times if depth < 3 else 0):
                    fill(rng, getattr(message, field.name).add(), depth + 1)
            elif depth < 3:
                fill(rng, getattr(message, field.name), depth + 1)
        elif field.label == FieldDescriptor.LABEL_REPEATED:
            getattr(message, field.name).extend(value(rng, field) for _ in range(times))
        else:
            setattr(message, field.name, value(rng, field))
    return message


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut off or put in."""
    found = bytearray(data or b"\x0a\x05abc")
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found[: rng.randint(1, len(found))]) + rng.randbytes(rng.choice([0, 0, 3]))


def requests(rng: random.Random) -> Iterator[tuple[Any, bytes]]:
    """Methods with their request as bytes. Streams are one in eight: each costs a wait."""
    streams = [one for one in METHODS if one.server_streaming]
    calls = [one for one in METHODS if not one.server_streaming]
    for _ in range(REQUESTS):
        method = rng.choice(streams if rng.random() < 0.125 else calls)
        data = fill(rng, GetMessageClass(method.input_type)()).SerializeToString()
        yield method, damaged(rng, data) if rng.random() < 0.1 else data


async def ask(channel: Any, method: Any, data: bytes) -> grpc.StatusCode:
    """Code of a call; of a stream that goes on OK."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.server_streaming:
            call = channel.unary_stream(path)(data, timeout=5)
            async with asyncio.timeout(0.03):
                await call.read()
            call.cancel()
            return grpc.StatusCode.OK
        await channel.unary_unary(path)(data, timeout=0.2 if method.name == "SubmitAndWait" else 5)
    except TimeoutError:  # nothing to tell yet, and nothing to object to
        call.cancel()
        return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.security("T-SERVING-FLOOD", "SR 3.5", "SR 7.1")
async def test_ten_thousand_requests_have_clean_answers(caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(14)
    limits = LimitSettings(
        requests_per_s=1e6, burst=10**6, commands_per_s=1e6, commands_burst=10**6, device_commands_per_s=1e6,
        device_commands_burst=10**6, open_streams=1_000, overload_lag_ms=60_000,
    )  # fmt: skip
    codes: Counter[tuple[str, grpc.StatusCode]] = Counter()
    sizes = []
    async with served(limits=limits) as running, grpc.aio.insecure_channel(running.address) as channel:
        running.server.values.apply(batch({100: 20.0, 101: 1.0}))
        with caplog.at_level(logging.ERROR):
            source = requests(rng)

            async def worker() -> None:
                for method, data in source:
                    codes[method.name, await ask(channel, method, data)] += 1
                    if codes.total() % (REQUESTS // 4) == 0:
                        sizes.append(psutil.Process().memory_info().rss)

            await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
            assert (await running.client.tag(f"{LINE}/press00/temperature")).last is not None
    assert codes.total() == REQUESTS
    assert {key: count for key, count in codes.items() if key[1] not in CLEAN} == {}
    assert not [record for record in caplog.records if record.exc_info]
    reached = sum(count for (_, code), count in codes.items() if code in REACHED)
    assert reached >= 0.3 * REQUESTS, codes
    assert sizes[-1] - sizes[0] < 48 << 20, sizes
