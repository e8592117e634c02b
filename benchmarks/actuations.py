"""Commands while their gateway is killed at every step, judged by the machine's own journal.

The machine is on MQTT: each `/set` is carried out at once, written down, and reported on the value's topic. Half of its tags are doses:
to carry one out twice doses twice. Every command has a value that no other has, so the journal says of each how often it was done.
A gateway is killed (-9) at a step of one command: with the request in Kafka, at DELIVERED, at EXECUTING, when the machine has done it and
not said so, when it has said so, at the outcome. Then it starts again, with what came meanwhile.

Some commands must not be carried out: outside the limits, expired, withdrawn. What a command became is the last acknowledgement in Kafka,
UNKNOWN when there is no outcome. A broker and an MQTT broker alone are started. Commands are signed as serving's, and the gateway takes no
others.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import gmqtt
from gmqtt.mqtt.constants import MQTTv311

from base import ids
from base.errors import UnavailableError
from base.settings import KafkaSettings
from benchmarks import edge_process, open_broker
from benchmarks.edge_process import START_S, Gateway, connected, publish_tags, tag
from connectors.kafka import client as kafka
from schemas import codec, topics
from schemas.commands import OUTCOMES, CommandAck, CommandControl, CommandRequest, CommandState, ControlAction
from stack import instance
from stack.config import StackConfig
from stack.reporting import Progress
from stack.stand_in import StandIn

_SITE, _GATEWAY = "drill", "gw-drill"
_DEVICES = 10
_TAGS = ("setpoint", "dose")
_MOST = 1e6
_PACE_S = 0.02
_SETTLE_S = 60.0
_MEANWHILE = 3
"""Commands that are submitted while the gateway is away."""
STEPS = ("requested", "delivered", "executing", "done", "reported", "outcome")
"""When the gateway is killed."""
SORTS = {"beyond": 20, "expired": 20, "withdrawn": 20}
"""One of so many commands is outside the limits, has no time left, is withdrawn at once."""
_MAY_BE_DONE: Mapping[CommandState, frozenset[int]] = {
    CommandState.SUCCEEDED: frozenset({1}),
    CommandState.UNKNOWN: frozenset({0, 1}),
    **dict.fromkeys(OUTCOMES - {CommandState.SUCCEEDED, CommandState.UNKNOWN}, frozenset({0})),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One command. `kill_at`: the step of it at which the gateway is killed; empty for none."""

    command_id: UUID
    device: int
    tag: str
    value: float
    sort: str = "plain"
    kill_at: str = ""


def plan(commands: int, kills: int, seed: int) -> list[Order]:
    """The commands in their order: machines, values and sorts drawn by the seed, kills spread evenly over them and over the steps."""
    rng = random.Random(seed)
    killed = {round((number + 0.5) * commands / kills): number for number in range(kills)} if kills else {}
    found = []
    for number in range(commands):
        sort = next((name for at, name in enumerate(SORTS, 1) if number % SORTS[name] == 4 * at), "plain")
        kill = killed.get(number)
        found.append(
            Order(
                command_id=ids.uuid7(),
                device=rng.randint(1, _DEVICES),
                tag=rng.choice(_TAGS),
                value=number + 1 + (_MOST if sort == "beyond" and kill is None else 0),
                sort="plain" if kill is not None else sort,
                kill_at="" if kill is None else STEPS[kill % len(STEPS)],
            )
        )
    return found


def judge(
    orders: Sequence[Order], told: Mapping[UUID, CommandState], done: Mapping[float, int], *, kills: int
) -> dict[str, Any]:
    """What became of the commands against how often each value was carried out. Pure."""
    states, wrong, plain = Counter[str](), [], Counter[str]()
    for one in orders:
        state, times = told.get(one.command_id, CommandState.UNKNOWN), done.get(one.value, 0)
        states[state.value] += 1
        if one.sort == "plain":
            plain[state.value] += 1
        if times not in _MAY_BE_DONE.get(state, frozenset({0, 1})):
            wrong.append(
                f"{one.command_id} ({one.sort}, killed at {one.kill_at or 'no step'}) is {state} and was done {times} times"
            )
        elif state not in OUTCOMES:
            wrong.append(f"{one.command_id} has no outcome, it is {state}")
        elif one.sort in {"beyond", "expired"} and times:
            wrong.append(f"{one.command_id} is {one.sort} and was done")
    strange = sorted(set(done) - {one.value for one in orders})
    wrong += [f"{value:g} was done, and no command says so" for value in strange[:10]]
    share = plain[CommandState.SUCCEEDED] / sum(plain.values()) if plain else 0.0
    unknown = states[CommandState.UNKNOWN]
    return {
        "commands": len(orders),
        "kills": kills,
        "by_state": dict(sorted(states.items())),
        "actuated": sum(done.values()),
        "twice": sum(times > 1 for times in done.values()),
        "unknown": unknown,
        "succeeded_share": share,
        "wrong": len(wrong),
        "contradictions": wrong[:20],
        "passed": not wrong and unknown <= kills and share >= 0.95,
    }


class Machine:
    """Carries writes out and writes them down; `on_step(value, step)` is called when one is done, and when it has been reported."""

    def __init__(self, config: StackConfig, on_step: Callable[[float, str], None]) -> None:
        self.done: Counter[float] = Counter()
        self._config, self._on_step = config, on_step
        self._ready, self._stop = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="machine")

    def __enter__(self) -> Machine:
        """Take writes from now on."""
        self._thread.start()
        self._ready.wait(START_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and raise what went wrong."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised again where it is stopped
            self._failure = error

    async def _serve(self) -> None:
        client = gmqtt.Client(f"machine-{uuid4().hex[:8]}")
        client.on_message = self._on_message
        await client.connect(self._config.host, self._config.ports.mosquitto, version=MQTTv311)
        client.subscribe(gmqtt.Subscription("drill/+/+/set", qos=1))
        self._ready.set()
        await asyncio.to_thread(self._stop.wait)
        await client.disconnect()

    def _on_message(self, client: Any, topic: str, data: bytes, _qos: int, _properties: Any) -> int:
        value = float(json.loads(data)["value"])
        self.done[value] += 1
        self._on_step(value, "done")
        report = json.dumps({"value": value, "timestamp_ms": ids.now_us() // 1000})
        client.publish(topic.removesuffix("/set"), report, qos=1, retain=True)
        self._on_step(value, "reported")
        return 0


@dataclass
class _Drill:
    """Kills the gateway when the command that is waited for is at its step."""

    gateway: Gateway
    told: dict[UUID, CommandState] = field(default_factory=dict)
    armed: Order | None = None
    killed: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, order: Order) -> None:
        self.killed.clear()
        self.armed = order

    def step(self, matches: Callable[[Order], bool], step: str) -> None:
        with self.lock:
            one = self.armed
            if one is not None and one.kill_at == step and matches(one):
                self.armed = None
                self.gateway.kill()
                self.killed.set()

    def on_ack(self, ack: CommandAck) -> None:
        if ack.state.rank >= self.told.get(ack.command_id, CommandState.PENDING_APPROVAL).rank:
            self.told[ack.command_id] = ack.state
        step = {CommandState.DELIVERED: "delivered", CommandState.EXECUTING: "executing"}.get(ack.state, "outcome")
        self.step(lambda one: one.command_id == ack.command_id, step)


def run(*, commands: int, kills: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Send the commands, kill the gateway meanwhile, and compare."""
    orders = plan(commands, kills, seed)
    with instance.temporary(signatures="required") as running:
        config = running.require("kafka")
        tags = [
            tag(
                2 * device + at, name, f"mqtt:drill/{device}/{name}", gateway_id=_GATEWAY, site=_SITE, device_id=device,
                path=f"acme/{_SITE}/a/l/c/d{device}/{name}", writable=True, limit_low=0.0, limit_high=_MOST,
            )
            for device in range(1, _DEVICES + 1)
            for at, name in enumerate(_TAGS)
        ]  # fmt: skip
        settings = publish_tags(config, _SITE, tags)
        endpoint = f"mqtt://{config.host}:{config.ports.mosquitto}"
        gateway = Gateway(
            config, config.state / "drill", gateway_id=_GATEWAY, site=_SITE,
            connections=[{"name": "mqtt", "protocol": "mqtt", "endpoint": endpoint, "reconnect_max_s": 1.0}],
            **edge_process.signing(config, _GATEWAY),
        )  # fmt: skip
        with progress.step("actuations") as details, open_broker.running(config):
            told, done, down_s = _drill(config, settings, gateway, orders)
            result = judge(orders, told, done, kills=len(down_s))
            details.append(
                f"{result['wrong']} wrong, {result['unknown']} unknown, {result['succeeded_share']:.0%} succeeded"
            )
    return {**result, "restart_s_max": max(down_s, default=None)}


def _drill(
    config: StackConfig, settings: KafkaSettings, gateway: Gateway, orders: Sequence[Order]
) -> tuple[dict[UUID, CommandState], Counter[float], list[float]]:
    """What was told of each command, how often each value was done, and how long each start after a kill took."""
    drill, down_s = _Drill(gateway), list[float]()
    stop = threading.Event()
    reader = threading.Thread(target=_acks, args=(settings, stop, drill), name="acks")
    producer, stand_in = kafka.producer(settings, linger_ms=0), StandIn.of(config)
    try:
        gateway.start()
        gateway.until(connected, "connected", START_S)
        reader.start()
        with Machine(config, lambda value, step: drill.step(lambda one: one.value == value, step)) as machine:
            start_at = -1
            for number, order in enumerate(orders):
                if order.kill_at:
                    _quiet(drill, orders[:number])
                    drill.arm(order)
                _submit(producer, stand_in, order)
                if order.kill_at:
                    drill.step(lambda _: True, "requested")
                    if not drill.killed.wait(_SETTLE_S):
                        msg = f"command {order.command_id} did not come to the step {order.kill_at}; {gateway.log} says why"
                        raise UnavailableError(msg)
                    start_at = number + _MEANWHILE
                if number == start_at or (number == len(orders) - 1 and start_at > number):
                    down_s.append(_start_again(gateway))
                time.sleep(_PACE_S)
            _quiet(drill, orders)
    finally:
        gateway.stop()
        stop.set()
        if reader.ident is not None:
            reader.join()
    return drill.told, machine.done, down_s


def _start_again(gateway: Gateway) -> float:
    """Start it with what waits for it; how long until it is connected."""
    began_s = time.monotonic()
    gateway.start()
    gateway.until(connected, "connected again", START_S)
    return time.monotonic() - began_s


def _quiet(drill: _Drill, orders: Sequence[Order]) -> None:
    """Wait until every command has an outcome; one that a killed gateway never saw has none, and is UNKNOWN."""
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline and any(drill.told.get(one.command_id) not in OUTCOMES for one in orders):
        time.sleep(0.02)


def _submit(producer: Any, stand_in: StandIn, order: Order) -> None:
    now = ids.now_us()
    request = CommandRequest(
        command_id=order.command_id, device_id=order.device, gateway_id=_GATEWAY, site=_SITE, name="write",
        parameters={order.tag: order.value}, submitted_by="bench", submitted_us=now,
        expires_us=now - 1 if order.sort == "expired" else now + 60_000_000,
    )  # fmt: skip
    messages = [stand_in.command(request).encode()]
    if order.sort == "withdrawn":
        control = CommandControl(
            command_id=order.command_id, device_id=order.device, action=ControlAction.CANCEL, by="bench", time_us=now
        )
        messages.append(stand_in.command(control).encode())
    key = str(order.device).encode()
    kafka.send(producer, topics.REQUESTS.for_site(_SITE), [(key, message) for message in messages])


def _acks(settings: KafkaSettings, stop: threading.Event, drill: _Drill) -> None:
    for batch in kafka.Reader(settings, [topics.ACKS.for_site(_SITE)]).batches(stop):
        for message in batch:
            _, record = codec.decode(bytes(message.value() or b""), "CommandAck")
            drill.on_ack(CommandAck.from_record(record))
