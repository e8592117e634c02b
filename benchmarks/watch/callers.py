"""Commands beside the readers of `bench watch`, from a process of its own: submitted at their times (open loop), until they are durable.

What the machine makes of a command is measured by `bench commands`; here it is whether readers delay the call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from base.ids import now_us
from benchmarks.watch.plan import SETPOINT, Plan
from benchmarks.watch.worker import Signals
from schemas.proto.millrace.v1 import commands_pb2, commands_pb2_grpc

_TIMEOUT_S = 30.0


@dataclass(kw_only=True, slots=True)
class Calls:
    """By command: when it was due, and milliseconds until it was durable. `failed`: by cause."""

    due_us: list[int] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)


def run(addresses: Sequence[str], plan: Plan, rate_hz: float, signals: Signals) -> Calls:
    """Submit until told to stop."""
    return asyncio.run(_run(addresses, plan, rate_hz, signals))


async def _run(addresses: Sequence[str], plan: Plan, rate_hz: float, signals: Signals) -> Calls:
    calls, under_way = Calls(), set[asyncio.Task[None]]()
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    stubs = [commands_pb2_grpc.CommandServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
    signals.ready = 1
    number, start_us = 0, now_us()
    while not signals.stopped:
        due_us = start_us + int(number * 1e6 / rate_hz)
        await asyncio.sleep(max(0.0, (due_us - now_us()) / 1e6))
        request = commands_pb2.SubmitCommandRequest(
            device_id=number % plan.machines + 1, name="write", parameters={SETPOINT: float(number)}
        )
        task = asyncio.create_task(_submit(stubs[number % len(stubs)], request, due_us, calls))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
    if under_way:
        await asyncio.wait(under_way)
    for channel in channels:
        await channel.close(None)
    return calls


async def _submit(stub: object, request: commands_pb2.SubmitCommandRequest, due_us: int, calls: Calls) -> None:
    try:
        await stub.SubmitCommand(request, timeout=_TIMEOUT_S)  # type: ignore[attr-defined]
    except grpc.aio.AioRpcError as error:
        calls.failed[f"{error.code().name}: {str(error.details())[:120]}"] += 1
        return
    calls.due_us.append(due_us)
    calls.took_ms.append((now_us() - due_us) / 1000)
