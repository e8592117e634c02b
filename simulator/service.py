"""The simulator as a service: one event loop that moves the simulation with the clock and hands samples to the protocol servers.

Enters: configuration, clock. Leaves: OPC UA and Sparkplug data, the journal. Order: samples leave in the order of their due times;
everything that changes the simulation (ticks, writes, faults) happens on this one loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from base.errors import ConflictError, UnavailableError
from base.ids import Clock, now_us
from connectors.sparkplug.payload import SEQ_MODULUS
from simulator import admin_http, past
from simulator.config import SimulatorConfig
from simulator.control import Control, fault_request
from simulator.fault_effects import Fault
from simulator.fault_kinds import FaultRequest
from simulator.journal import Journal, JournalError
from simulator.opcua_server import OpcUaServer
from simulator.packml import State
from simulator.plant import Device, Protocol, Tag, read_devices
from simulator.simulation import Sample, Simulation, Step, WriteOutcome
from simulator.sparkplug_node import SparkplugNode

logger = logging.getLogger(__name__)

SNAPSHOT_PERIOD_US = 30_000_000
STOP_TIMEOUT_S = 5.0


class Counting:
    """The journal as servers see it, counting on the way."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.emitted: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.sent_later = 0

    def record(self, sample: Sample, *, sent: bool) -> int:
        """A sample was emitted; returns its sequence number."""
        self.emitted[sample.tag.device] += 1
        self.sent[sample.tag.device] += sent
        return self._journal.record(sample, sent=sent)

    def mark_sent(self, seq: int) -> None:
        """A sample that nobody could see when it was emitted has been shown since."""
        self.sent_later += 1
        self._journal.mark_sent(seq)


class SimulatorService:
    """Everything of one simulator, wired."""

    def __init__(self, config: SimulatorConfig, clock: Clock = now_us) -> None:
        self._config = config
        self._clock = clock
        devices = read_devices(config.plant)
        self._journal = Journal(config.journal, devices, keep=config.journal_keep)
        self._recorder = Counting(self._journal)
        self._started_us = clock()
        self.simulation = Simulation(
            devices, seed=config.seed, start_us=self._started_us, rhythm=config.rhythm, tick_us=config.tick_ms * 1000
        )
        self._restore()
        self._opcua = OpcUaServer(
            config.opcua,
            [device for device in devices if device.protocol is Protocol.OPCUA],
            plant=self,
            recorder=self._recorder,
        )
        self._nodes = self._make_nodes(devices)
        self._node_tasks: list[asyncio.Task[None]] = []
        self._admin: asyncio.Server | None = None
        self._past: asyncio.Task[None] | None = None
        self._past_left = 0
        self._stop = asyncio.Event()
        self._snapshot_us = self._started_us

    @property
    def admin_port(self) -> int:
        """Port of the admin interface."""
        assert self._admin is not None
        return int(self._admin.sockets[0].getsockname()[1])

    def request_stop(self) -> None:
        """Make `run` return, gracefully. Safe in a signal handler."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until `request_stop`. Raises OSError when a port is taken, JournalError when the journal fails."""
        for settings in self._config.faults:
            fields = {"device": settings.device, "tag": settings.tag, "kind": settings.kind}
            times = {name: getattr(settings, name) for name in ("start_s", "duration_s", "repeat_s")}
            self.add_fault(fault_request(fields | times | {"parameters": settings.parameters}))
        try:
            await self._start()
            await self._loop()
        finally:
            await self._shut_down()

    def write(self, tag: Tag, value: float, via: str) -> WriteOutcome:
        """Write a tag now, for a protocol server."""
        time_us = self._clock()
        outcome = self.simulation.write(tag, value, time_us)
        extra = {"device": tag.device, "tag": tag.name, "value": value, "via": via, "detail": outcome.detail}
        if outcome.applied:
            self._journal.actuated(time_us, tag, value, via)
            logger.info("write carried out", extra=extra)
        else:
            self._journal.not_actuated(time_us, tag, value, via, outcome.detail)
            logger.warning("write not carried out", extra=extra)
        return outcome

    def health(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        wrong = [] if self._opcua.listening else ["the OPC UA server does not listen"]
        try:
            self._journal.check()
        except JournalError as error:
            wrong.append(str(error))
        return wrong

    def status(self) -> dict[str, Any]:
        """Counts and states."""
        simulation, recorder = self.simulation, self._recorder
        return {
            "started_us": self._started_us,
            "simulated_us": simulation.now_us,
            "skipped_us": simulation.skipped_us,
            "paused": simulation.paused,
            "past_left": self._past_left,
            "emitted": recorder.emitted.total(),
            "sent": recorder.sent.total() + recorder.sent_later,
            "journal": {"seq": self._journal.seq, "pending": self._journal.pending},
            "opcua": self._opcua.status(),
            "sparkplug": {node.site: node.status() for node in self._nodes},
            "devices": {device.key: self._device_status(device) for device in simulation.devices},
        }

    def faults(self) -> list[dict[str, Any]]:
        """Faults in force and to come."""
        return [fault.describe(self.simulation.now_us) for fault in self.simulation.faults.all()]

    def add_fault(self, request: FaultRequest) -> Fault:
        """Put a fault on; raises what `Faults.add` does."""
        fault = self.simulation.faults.add(request, self._clock())
        self._journal.fault(fault, "added", self._clock())
        logger.info("fault added", extra=fault.describe(fault.from_us))
        return fault

    def remove_faults(self, fault_id: int | None) -> list[Fault]:
        """Take one fault off, or all; raises NotFoundError."""
        faults = self.simulation.faults
        chosen = [fault.id for fault in faults.all()] if fault_id is None else [fault_id]
        removed = [faults.remove(number) for number in chosen]
        for fault in removed:
            self._journal.fault(fault, "removed", self._clock())
            logger.info("fault removed", extra={"id": fault.id, "device": fault.device.key, "kind": fault.kind})
        return removed

    async def pause(self) -> None:
        """Stop emitting; returns when everything emitted has been published and is in the journal."""
        self.simulation.pause()
        for node in self._nodes:
            node.flush()
        logger.info("paused")
        await self.flush()

    def resume(self) -> None:
        """Emit again."""
        self.simulation.resume()
        logger.info("resumed")

    async def send_past(self, days: int) -> dict[str, Any]:
        """Begin to send the days before this start of a line's machines, late; returns how much there is. See `simulator.week`.

        Raises ConflictError the second time, UnavailableError when the machines of that line have no session.
        """
        if self._past is not None:
            left = f"{self._past_left} samples are left" if self._past_left else "all of it"
            msg = f"the past of this line was sent already ({left}): twice would be twice in the history"
            raise ConflictError(msg)
        node = next((node for node in self._nodes if past.plays(node.devices)), None)
        if node is None or not node.born:
            msg = f"no edge node with the machines of {past.LINE} is in a session: does the plant have them, is its gateway up?"
            raise UnavailableError(msg)
        parts = await asyncio.to_thread(lambda: list(past.messages(node.devices, self._started_us, days)))
        self._past_left = total = sum(len(samples) for _, samples in parts)
        self._past = asyncio.create_task(self._send_past(node, parts), name="past")
        logger.info("sending a past", extra={"days": days, "samples": total})
        return {"samples": total, "days": days, "until_us": self._started_us}

    async def _send_past(self, node: SparkplugNode, parts: list[tuple[Device, list[Sample]]]) -> None:
        """Part by part, at a rate that its readers keep up with; a part waits for a session."""
        for device, samples in parts:
            while not node.send_past(device, samples):  # noqa: ASYNC110 - it waits for a session and for the device
                await asyncio.sleep(1.0)
            self._past_left -= len(samples)
            await asyncio.sleep(1.0 / past.MESSAGES_PER_S)
        logger.info("the past is sent")

    async def flush(self) -> None:
        """Wait until everything recorded so far is in the journal."""
        await asyncio.to_thread(self._journal.flush)

    async def _start(self) -> None:
        await self._opcua.prepare()
        self.simulation.skip(self._clock())
        await self._emit(self.simulation.prime())
        await self._opcua.listen()
        self._node_tasks = [asyncio.create_task(node.run(), name=node.node) for node in self._nodes]
        admin = self._config.admin
        self._admin = await admin_http.serve(admin.host, admin.port, Control(self))
        extra = {
            "devices": len(self.simulation.devices),
            "opcua": self._config.opcua.url,
            "admin_port": self.admin_port,
        }
        logger.info("simulating", extra=extra)

    async def _loop(self) -> None:
        tick_us = self._config.tick_ms * 1000
        while not self._stop.is_set():
            skipped_us = self.simulation.skipped_us
            for step in self.simulation.advance(self._clock()):
                await self._dispatch(step)
            if self.simulation.skipped_us > skipped_us:
                late_ms = (self.simulation.skipped_us - skipped_us) // 1000
                logger.warning("too late to catch up, time was skipped", extra={"skipped_ms": late_ms})
            self._housekeeping()
            for task in (*self._node_tasks, *filter(None, [self._past])):
                if task.done():
                    task.result()
            # A clock that was set back must not put the loop to sleep for as long.
            wait_us = min(max(self.simulation.now_us + tick_us - self._clock(), 0), tick_us)
            await asyncio.sleep(wait_us / 1e6)

    async def _dispatch(self, step: Step) -> None:
        for device, online in step.connections:
            logger.info("device back" if online else "device lost", extra={"device": device.key})
            for node in self._nodes:
                if device in node.devices:
                    node.connection(device, online=online)
        await self._emit(step.samples)

    async def _emit(self, samples: list[Sample]) -> None:
        await self._opcua.emit([sample for sample in samples if sample.tag.protocol is Protocol.OPCUA])
        for node in self._nodes:
            node.emit([sample for sample in samples if sample.tag.index in node.tag_indexes])

    def _housekeeping(self) -> None:
        self._journal.check()
        time_us = self.simulation.now_us
        for fault in self.simulation.faults.expire(time_us):
            self._journal.fault(fault, "expired", time_us)
            logger.info("fault over", extra={"id": fault.id, "device": fault.device.key, "kind": fault.kind})
        if time_us - self._snapshot_us >= SNAPSHOT_PERIOD_US:
            self._snapshot_us = time_us
            self._remember()

    async def _shut_down(self) -> None:
        if self._past is not None:
            self._past.cancel()
        for node in self._nodes:
            node.stop()
        if self._node_tasks:
            _, late = await asyncio.wait(self._node_tasks, timeout=STOP_TIMEOUT_S)
            for task in late:
                logger.warning("edge node did not leave in time", extra={"node": task.get_name()})
                task.cancel()
        if self._admin is not None:
            self._admin.close()
        await self._opcua.stop()
        self._remember()
        await asyncio.to_thread(self._journal.close)
        logger.info("stopped", extra={"emitted": self._recorder.emitted.total(), "sent": self._recorder.sent.total()})

    def _remember(self) -> None:
        self._journal.set_machines({key: machine.snapshot() for key, machine in self.simulation.machines.items()})

    def _restore(self) -> None:
        for key, snapshot in self._journal.machines().items():
            machine = self.simulation.machines.get(key)
            if machine is not None:
                machine.restore(snapshot)

    def _make_nodes(self, devices: tuple[Device, ...]) -> list[SparkplugNode]:
        ours = [device for device in devices if device.protocol is Protocol.SPARKPLUG]
        return [
            SparkplugNode(
                self._config.sparkplug,
                site,
                [device for device in ours if device.site == site],
                plant=self,
                recorder=self._recorder,
                clock=self._clock,
                next_bdseq=_bdseq_of(self._journal, site),
            )
            for site in dict.fromkeys(device.site for device in ours)
        ]

    def _device_status(self, device: Device) -> dict[str, Any]:
        machine = self.simulation.machines[device.key]
        return {
            "protocol": device.protocol,
            "state": State(machine.packml.state).name,
            "speed": round(machine.condition.speed, 3),
            "setpoint": machine.condition.setpoint,
            "online": not self.simulation.lost(device),
            "emitted": self._recorder.emitted[device.key],
            "sent": self._recorder.sent[device.key],
        }


def _bdseq_of(journal: Journal, site: str) -> Callable[[], int]:
    """Birth-death numbers of a site's node; they go on over restarts, as the standard wants."""
    key = f"bdseq/{site}"
    last = int(journal.meta(key) or -1)

    def following() -> int:
        nonlocal last
        last = (last + 1) % SEQ_MODULUS
        journal.set_meta(key, str(last))
        return last

    return following
