"""The fake plant, held to the conformance suite; nothing but the client is needed for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

import client_conformance as suite
from client_conformance.plant import LINE, PRESSES
from millrace_client import (
    Aggregate,
    Alarm,
    AlarmPriority,
    AlarmState,
    Anomaly,
    AnomalyLot,
    BatchDeviation,
    CommandState,
    ControlChart,
    ControlLimits,
    ControlPoint,
    DeviceState,
    DowntimeCause,
    Event,
    Gateway,
    JobOrderStatus,
    LotRelation,
    LotValue,
    Material,
    NotFoundError,
    OeeFigures,
    PlannedProduction,
    Reason,
    Reject,
    Reliability,
    StateInterval,
    uuid7,
)
from millrace_client.fake import FakePlant, Recipe


class FakeRun:
    """A fake plant as the suite wants it: presses, and commands that are moved on by hand."""

    def __init__(self, *, threads: bool) -> None:
        self.fake = FakePlant(machine=None)
        self.clients: list[Any] = []
        self._threads = threads
        for number, press in enumerate(suite.PRESSES):
            for place, (name, kind, writable) in enumerate(suite.TAGS):
                self.fake.define(
                    f"{press}/{name}",
                    tag_id=100 + 10 * number + place,
                    device_id=10 + number,
                    device_class="press",
                    unit="Cel",
                    data_type=kind,
                    writable=writable,
                    eu_low=0.0,
                    eu_high=150.0,
                )

    def client(self, name: str = "", *, allow: Collection[str] = suite.EVERYTHING, **options: Any) -> Any:
        make = self.fake.client if self._threads else self.fake.async_client
        self.clients.append(suite.face(make(name, allow=allow, **options)))
        return self.clients[-1]

    def define(self, path: str, *, tag_id: int, device_id: int) -> object:
        return self.fake.define(path, tag_id=tag_id, device_id=device_id)

    def set(self, tag_id: int, value: float, *, code: int = 0, time_us: int | None = None) -> None:
        self.fake.set(tag_id, value, code=code, time_us=time_us)

    def publish(self, step: Anomaly) -> None:
        self.fake.publish(step)

    def set_state(self, device_id: int, *, heard: bool) -> None:
        self.fake.set_state(device_id, DeviceState.ONLINE if heard else DeviceState.OFFLINE)

    def close_window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        return self.fake.close_window(tag_id, start_us, window_s)

    def tell(self, event: Event) -> None:
        self.fake.tell(event)

    def reject(self, reject: Reject) -> None:
        self.fake.reject(reject)

    def worked(self, figures: OeeFigures) -> None:
        self.fake.worked(figures)

    def was(self, state: StateInterval) -> None:
        self.fake.was(state)

    def report(self, gateway: Gateway) -> None:
        self.fake.report(gateway)

    def know_work(self) -> None:
        self.fake.know(Material(material="cap"), Material(material="coil"), Recipe("brew", "2", "cap", {"heat": 600.0}))
        stops = [Reason(reason="jam"), Reason(reason="setup", planned=True)]
        self.fake.know_reasons(downtime=stops, scrap=[Reason(reason="crack")])

    async def settle(self) -> None:
        return None

    def advance(self, command_id: UUID, state: CommandState, *, provisional: bool = False, **more: Any) -> None:
        self.fake.advance(command_id, state, provisional=provisional, **more)

    def overheat(self, number: int, *, over: bool = False) -> None:
        path = suite.PRESSES[number]
        known = next((one for one in self.fake.alarms if one.device_path == path), None)
        if known is not None and over:
            state = AlarmState.NORMAL if known.acknowledged else AlarmState.RETURNED_UNACKNOWLEDGED
            self.fake.raise_alarm(replace(known, active=False, state=state))
            return
        if known is not None and known.state is not AlarmState.NORMAL:
            again = replace(known, active=True, state=AlarmState.UNACKNOWLEDGED, activations=known.activations + 1)
            self.fake.raise_alarm(replace(again, acknowledged_us=None, acknowledged_by=""))
            return
        self.fake.raise_alarm(
            Alarm(
                alarm_id=uuid7(),
                source_id=uuid7(),
                version=1,
                site="north",
                rule="hot",
                path=f"{path}/temperature",
                device_path=path,
                device_id=10 + number,
                priority=AlarmPriority.MEDIUM,
                state=AlarmState.UNACKNOWLEDGED,
                activations=1,
                active=True,
                value=200.0,
            )
        )

    def switch_alarms_off(self) -> None:
        self.fake.switch_alarms(on=False)

    @property
    def submitted(self) -> list[UUID]:
        return [command.command_id for command in self.fake.commands]

    @property
    def controls(self) -> list[tuple[str, UUID, str, str]]:
        return [(one.action, one.command_id, one.by, one.reason) for one in self.fake.controls]

    async def stop(self) -> None:
        self.fake.stop()

    async def start(self) -> None:
        self.fake.start()


@pytest.fixture(params=["threads", "asyncio"])
async def plant(request: pytest.FixtureRequest) -> AsyncIterator[suite.Plant]:
    run = FakeRun(threads=request.param == "threads")
    yield run
    for client in run.clients:
        await client.close()


class TestFakeState(suite.StateCases): ...


class TestFakeAlarms(suite.AlarmCases): ...


class TestFakeCommands(suite.CommandCases): ...


class TestFakeCommandLists(suite.CommandListCases): ...


class TestFakeOutcomes(suite.OutcomeCases): ...


class TestFakeBatches(suite.BatchCases): ...


class TestFakeFilters(suite.FilterCases): ...


class TestFakeHistory(suite.HistoryCases):
    """Beside the suite: a real plant makes OEE and states of samples, the fake one is told them."""

    async def test_oee_is_by_group_and_states_by_machine(self, plant: FakeRun) -> None:
        client = plant.client()
        at_us = (uuid7().int >> 80) * 1000 - 60_000_000
        whole = OeeFigures(
            pbt_s=28_800.0, apt_s=20_000.0, pq=900.0, gq=880.0, ideal_s=18_000.0, oee=0.61, shift="early"
        )
        plant.worked(whole)
        plant.worked(replace(whole, path=PRESSES[1], ideal_s=None, oee=None))
        plant.was(
            StateInterval(
                device_id=11, device_path=PRESSES[1], packml_state="EXECUTE", start_us=at_us - 9, end_us=at_us
            )
        )
        await plant.settle()
        assert await client.oee(LINE) == (whole,)
        (press,) = await client.oee(LINE, by=["device", "shift"])
        assert (press.path, press.shift, press.oee, press.start) == (PRESSES[1], "early", None, None)
        (state,) = await client.states(LINE)
        assert (state.packml_state, state.end_us - state.start_us) == ("EXECUTE", 9)

    async def test_answers_are_those_that_the_test_gave(self, plant: FakeRun) -> None:
        client = plant.client()
        cause = DowntimeCause(reason="jam", stops=2, downtime_s=60.0, share=1.0, cumulative=1.0)
        machine = Reliability(path=PRESSES[0], failures=0, operating_s=3600.0, repair_s=0.0)
        order = PlannedProduction(
            job_order="J1", material="cap", status=JobOrderStatus.RUNNING, quantity=10.0, planned_start_us=1, planned_end_us=2,
            good=3.0, declared=3.0, expected=4.0, ahead=-1.0,
        )  # fmt: skip
        relation = LotRelation(direction="back", depth=1, lot="C7", material="coil", trail=("L1", "C7"))
        lot = AnomalyLot(lot="L1", material="cap", use="PRODUCED", depth=0)
        value = LotValue(
            lot="L1", depth=0, device_path=PRESSES[0], start_us=1, end_us=2, name="temperature", unit="Cel", mean=70.0,
            min=69.0, max=71.0, out_of_range_s=0.0,
        )  # fmt: skip
        point = ControlPoint(number=1, start_us=1, end_us=2, mean=70.0, range=2.0, rules=(1, 4))
        chart = ControlChart(limits=ControlLimits(subgroups=1, mean=70.0), points=(point,))
        deviation = BatchDeviation(
            golden_batch="B1", phase="heat", name="temperature", unit="Cel", duration_s=9.0, golden_duration_s=8.0,
            mean_deviation=0.5, rms_deviation=0.6, max_deviation=1.0,
        )  # fmt: skip
        for of, row in (
            (LINE, cause), (LINE, machine), (LINE, order), ("L1", relation), ("L1", value), ("E1", lot), ("B2", deviation),
            (f"{PRESSES[0]}/temperature", chart),
        ):  # fmt: skip
            plant.fake.answered(of, row)
        assert await client.downtime_pareto(LINE) == (cause,)
        assert await client.reliability(LINE) == (machine,)
        assert await client.production(LINE) == (order,)
        assert await client.genealogy("L1") == (relation,)
        assert await client.genealogy("L1", direction="forward") == ()
        assert await client.lot_values("L1") == (value,)
        assert await client.anomaly_lots("E1") == (lot,)
        assert await client.batch_deviation("B2") == (deviation,)
        assert await client.control_chart(f"{PRESSES[0]}/temperature") == chart
        with pytest.raises(NotFoundError, match="there is no lot 'L2'"):
            await client.genealogy("L2")


class TestFakeWork(suite.WorkCases): ...


class TestFakeLine(suite.LineCases): ...


class TestFakeRestarts(suite.RestartCases): ...


class TestFakeAccess(suite.AccessCases): ...
