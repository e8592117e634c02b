"""The whole line on real components: simulated machines to SQL and gRPC, commands back, accidents in between.

One instance for the module, in the order of the file. What is counted is compared with the simulator's own journal.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from base import ids
from benchmarks import screen
from benchmarks.faults import table, trial
from benchmarks.faults.flow import FlowWatch
from benchmarks.foreign import plan
from connectors.kafka import client as kafka
from millrace_client import Client, CommandState
from schemas import checksum, codec, frame, topics
from schemas.alarms import Alarm, AlarmAction, AlarmActionKind
from schemas.definitions import TagDefinition
from schemas.frame import ClockStatus, Stream
from schemas.verdicts import Verdict
from simulator.journal_reader import Emitted
from stack import instance, lifecycle
from stack.config import Parallelism
from stack.healing.assessment import Condition
from stack.line import job_views
from stack.reporting import Progress
from stack.services import all_services
from stack.stand_in import StandIn
from tests.docs.blocks import Block
from tests.golden.calculation import oracle as oracle_of_calculated
from tests.integration import deployables, documented_line, line_doser
from tests.integration.line import Line, assert_closed
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(900)
log = logging.getLogger(__name__)

FRESH_S = 10.0  # it arrives while it happens; how soon is what `bench freshness` measures, on a machine that does nothing else


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    # Gateways, jobs, serving, maintenance and the one-shot steps run from what their images hold, not from the checkout.
    installed = tmp_path_factory.mktemp("installed")
    for name in deployables.NAMES:
        deployables.install(name, installed)
    with instance.temporary(installed=str(installed), parallelism=Parallelism()) as running:
        lifecycle.up(running.config, Progress(sink=log.info))
        after_up = {job.condition for job in job_views(running.config, watched=True) or ()}
        yield Line(running.config, after_up=after_up)


def test_up_comes_back_when_every_job_advances(line: Line) -> None:
    """A person who asks for `status` behind it is not told that the line is down."""
    assert line.after_up == {Condition.ADVANCING}


# --- what Prometheus sees -----------------------------------------------------------------------------------------------


def test_every_service_tells_prometheus_what_it_does(line: Line) -> None:
    ports = line.config.ports

    def gateway() -> dict[str, float]:
        return line.metrics(ports.gateway_admin)

    samples = "millrace_gateway_samples_total{gateway=gw-north-1,lane=0,stream=LIVE}"
    before = eventually(lambda: gateway().get(samples), timeout_s=60, what="samples of the first gateway")
    eventually(lambda: gateway()[samples] > before, timeout_s=20, what="more samples")
    assert gateway()["millrace_gateway_healthy{gateway=gw-north-1}"] == 1
    assert gateway()["millrace_gateway_connector_connected{connector=opcua,gateway=gw-north-1}"] == 1
    assert gateway()["process_resident_memory_bytes{}"] > 0

    def serving() -> dict[str, float]:
        return line.metrics(ports.serving_metrics)

    eventually(lambda: serving()["millrace_serving_ready{}"], timeout_s=60, what="serving is ready")
    eventually(lambda: serving()["millrace_serving_tags{}"] == len(line.tags), timeout_s=60, what="all last values")

    with Client(line.config.serving_address) as client:
        assert list(client.devices())
    calls = {
        name: value for name, value in serving().items() if name.startswith("millrace_serving_calls_total{code=OK")
    }
    assert sum(calls.values()) >= 1

    def maintenance() -> dict[str, float]:
        return line.metrics(ports.maintenance_metrics)

    assert maintenance()["millrace_maintenance_active{}"] == 1
    runs = "millrace_maintenance_task_seconds_count{task=repair}"
    eventually(lambda: maintenance().get(runs, 0) > 1, timeout_s=20, what="repairs run")

    def keepers() -> dict[str, float]:
        return line.metrics(ports.keeper_metrics) | line.metrics(ports.watch_metrics)

    age = "millrace_keeper_checkpoint_age_seconds{job=telemetry}"
    eventually(lambda: keepers().get(age, 1e9) < 60, timeout_s=60, what="a checkpoint that is not old")
    eventually(lambda: keepers().get("millrace_watch_line_state{state=up}"), timeout_s=60, what="the line is up")
    assert keepers()["millrace_keeper_ladder_step{job=telemetry}"] == 0
    assert keepers()["millrace_watch_service_ready{service=kafka}"] == 1
    flink = line.metrics(ports.flink_metrics)
    assert any(name.startswith("flink_jobmanager_") for name in flink)


# --- what came out against the journal -----------------------------------------------------------------------------------


def stored_by_tag(line: Line) -> dict[int, tuple[int, int]]:
    """Rows and checksum of each tag, recomputed in SQL from the samples themselves."""
    rows = line.sql(
        "SELECT tag_id, count(*), wrap64(sum(sample_hash(tag_id, time, value, quality))) FROM samples GROUP BY tag_id"
    )
    return {tag_id: (count, checksum.to_unsigned(total)) for tag_id, count, total in rows}


def emitted_by_tag(emitted: Emitted) -> dict[int, tuple[int, int]]:
    hashes = emitted.hashes()
    return {
        int(tag_id): (int((chosen := emitted.tag_id == tag_id).sum()), int(hashes[chosen].sum(dtype=np.uint64)))
        for tag_id in np.unique(emitted.tag_id)
    }


def rejects_by_tag(line: Line) -> Counter[tuple[int, str]]:
    rows = line.sql("SELECT tag_id, reason, count(*) FROM rejected WHERE tag_id IS NOT NULL GROUP BY 1, 2")
    return Counter({(tag_id, reason): count for tag_id, reason, count in rows})


# --- a clean run ---------------------------------------------------------------------------------------------------------


def test_data_arrives_fresh_in_sql_and_grpc(line: Line) -> None:
    def age_s() -> float:
        return float(line.sql("SELECT extract(epoch FROM now() - max(time)) FROM telemetry")[0][0])

    eventually(lambda: age_s() < FRESH_S, timeout_s=60, what="fresh rows")

    with Client(line.config.serving_address) as client:
        devices = list(client.devices())
        assert len(devices) == len({tag.device_id for tag in line.tags.values()})
        with client.watch(devices[0].path, deadline_s=30) as updates:
            seen: set[int] = set()
            while len(seen) < 5:
                seen.add(next(updates).tag_id)


async def test_values_come_to_a_person_s_screen(line: Line, record_property: Callable[[str, object], None]) -> None:
    """In a real browser, over the whole line. How fast is recorded with the result; `./millrace bench screen` measures it."""
    shown = await screen.look(line.config, 20)
    found = screen.ways(shown, screen.frames_of(line.config, "north", {one.path for one in shown}))
    assert found["updates"] >= 20
    assert found["unknown"] == 0, "what is on the screen is what the machine said"
    assert min(one.painted_ms - one.source_ms for one in shown) >= 0
    for name in ("closed_p50_ms", "closed_max_ms", "source_p50_ms"):
        record_property(name, found[name])
        log.info("screen: %s %s", name, found[name])


def test_clean_run_closes_against_the_journal(line: Line) -> None:
    with line.paused():
        found = assert_closed(line)
        assert found["rejected"] == 0
        assert found["undecodable"] == 0
        emitted = line.emitted()
        lost = lost_in_gaps(line, emitted)
        expected, stored = emitted_by_tag(emitted), stored_by_tag(line)
        measured = [tag for tag in line.tags.values() if not tag.calculated]
        whole = {tag.tag_id for tag in measured if tag.historise == "ALL"} - {tag_id for tag_id, _ in lost}
        assert {tag: totals for tag, totals in stored.items() if tag in whole} == {
            tag: totals for tag, totals in expected.items() if tag in whole
        }
        assert_produced(line, found, expected)


def assert_produced(line: Line, found: dict[str, Any], expected: dict[int, tuple[int, int]]) -> None:
    """Gateways have appended what the machines said; less only where gaps say so (a machine too busy to keep connections makes some)."""
    emitted = sum(count for count, _ in expected.values())
    assert found["produced"] == emitted or (found["produced"] < emitted and gaps_of(line))


# --- calculated tags -----------------------------------------------------------------------------------------------------

FORMULAS: dict[str, tuple[tuple[str, str], Callable[[float, float], float]]] = {
    "zone_difference": (("zone2_temperature", "zone1_temperature"), lambda one, other: one - other),
    "power_per_bar": (("power", "outlet_pressure"), lambda one, other: one / other if other else math.nan),
}


def assert_calculated(line: Line) -> int:
    """SQL has of every calculated tag what the oracle makes of the validated frames, once each; returns how many samples that are."""
    frames: dict[tuple[str, int], dict[tuple[object, ...], frame.Frame]] = {}
    for message in kafka.read_to_end(line.kafka, topics.VALIDATED.name):
        for one in map(frame.decode, frame.unbundle(message.value() or b"")):
            frames.setdefault((one.gateway_id, one.lane), {}).setdefault((one.key, one.sequence), one)
    tags = [tag for tag in line.tags.values() if tag.calculated]
    assert len(tags) == 8
    total = 0
    for tag in tags:
        names, formula = FORMULAS[tag.name]
        first, second = (line.tags[f"{tag.device_path}/{name}"].tag_id for name in names)
        lane = list(frames[tag.gateway_id, tag.lane].values())
        expected = oracle_of_calculated(lane, (first, second), partial(_of, formula, first, second))
        stored = line.sql(
            """SELECT (extract(epoch FROM time) * 1000000)::bigint, value, quality::integer & 65535, verdict FROM samples
               WHERE tag_id = %s ORDER BY time, value""",
            tag.tag_id,
        )
        assert {verdict for *_, verdict in stored} == {Verdict.CALCULATED}
        assert [(us, repr(value), code) for us, value, code, _ in stored] == [
            (us, repr(value), code) for us, value, code in sorted(expected)
        ], tag.path
        total += len(stored)
    return total


def _of(formula: Callable[[float, float], float], first: int, second: int, values: Mapping[int, float]) -> float:
    return formula(values[first], values[second])


def test_calculated_tags_are_what_their_inputs_say(line: Line) -> None:
    with line.paused():
        found = assert_closed(line)
        assert found["calculated"] == assert_calculated(line) > 0
    with Client(line.config.serving_address) as client:
        (tag,) = [
            tag for tag in client.tags() if tag.path.endswith("north/finishing/line-4/curing/oven-01/zone_difference")
        ]
    assert tag.expression == "tag.zone2_temperature - tag.zone1_temperature"
    assert tag.last is not None
    assert not tag.stale


# --- faults --------------------------------------------------------------------------------------------------------------

FAULTS: tuple[tuple[str, str, str, dict[str, float], int, Verdict], ...] = (
    ("north.press-02", "ram_force", "nan", {}, 3, Verdict.NOT_FINITE),
    ("south.mill-01", "coolant_pressure", "infinite", {}, 3, Verdict.NOT_FINITE),
    ("north.press-03", "bearing_temperature", "out_of_range", {}, 3, Verdict.OUT_OF_RANGE),
    ("north.press-04", "cycle_count", "not_representable", {}, 4, Verdict.NOT_REPRESENTABLE),
    ("south.mill-02", "spindle_temperature", "offset", {"magnitude": 60}, 4, Verdict.RATE_OF_CHANGE),
    ("north.mill-01", "power", "stuck", {}, 34, Verdict.STUCK),
    ("south.packer-01", "", "wrong_clock", {"offset_s": 3600}, 3, Verdict.FUTURE),
    ("south.packer-02", "", "wrong_clock", {"offset_s": -40 * 86_400}, 3, Verdict.TOO_OLD),
)


def test_rejects_are_the_injected_faults(line: Line) -> None:
    before_seq = line.journal_seq()
    before = rejects_by_tag(line)
    for device, tag, kind, parameters, duration_s, _ in FAULTS:
        body = {"device": device, "tag": tag, "kind": kind, "duration_s": duration_s, "parameters": parameters}
        line.simulator("POST", "/faults", body)
    eventually(lambda: not line.simulator("GET", "/faults"), timeout_s=90, what="faults are over")
    with line.paused():
        assert_closed(line)
        emitted = arrived(line, line.emitted())
        got = rejects_by_tag(line)
    got.subtract(before)
    expected: Counter[tuple[int, str]] = Counter()
    for definition in line.tags.values():
        found = oracle(definition, emitted, after_seq=before_seq)
        expected.update({(definition.tag_id, verdict.name): n for verdict, n in found.items()})
    assert {key: n for key, n in got.items() if n} == dict(expected)
    assert {reason for _, reason in expected} == {verdict.name for *_, verdict in FAULTS}


def oracle(tag: TagDefinition, emitted: Emitted, *, after_seq: int) -> Counter[Verdict]:
    """What the rules say of a tag's samples after `after_seq`, one after the other, in plain Python.

    Those before are looked at too: rate of change and stuck are judged against them.
    """
    chosen = np.flatnonzero(emitted.tag_id == tag.tag_id)
    chosen = chosen[np.argsort(emitted.seq[chosen], kind="stable")]
    now_us = int(np.median(emitted.time_us))
    refused: list[tuple[int, Verdict]] = []
    accepted: tuple[float, int] | None = None
    run: tuple[float, int] | None = None
    for i in chosen:
        value, time_us = float(emitted.value[i]), int(emitted.time_us[i])
        if (verdict := _static(tag, value, time_us, now_us)) is not None:
            refused.append((emitted.seq[i], verdict))
            continue
        if emitted.quality[i]:
            continue
        fast = (
            accepted is not None
            and tag.max_rate is not None
            and abs(value - accepted[0]) > tag.max_rate * abs(time_us - accepted[1]) / 1e6
        )
        if run is None or run[0] != value:
            run = (value, time_us)
        if fast:
            refused.append((emitted.seq[i], Verdict.RATE_OF_CHANGE))
        elif tag.stuck_after_s is not None and time_us - run[1] > tag.stuck_after_s * 1e6:
            refused.append((emitted.seq[i], Verdict.STUCK))
        else:
            accepted = (value, time_us)
    return Counter(verdict for seq, verdict in refused if seq > after_seq)


def _static(tag: TagDefinition, value: float, time_us: int, now_us: int) -> Verdict | None:
    checks = (
        (not math.isfinite(value), Verdict.NOT_FINITE),
        (time_us - now_us > 600e6, Verdict.FUTURE),
        (now_us - time_us > 30 * 86_400e6, Verdict.TOO_OLD),
        (
            tag.data_type != "DOUBLE" and value != round(value) if math.isfinite(value) else False,
            Verdict.NOT_REPRESENTABLE,
        ),
        (tag.limit_low is not None and value < tag.limit_low, Verdict.OUT_OF_RANGE),
        (tag.limit_high is not None and value > tag.limit_high, Verdict.OUT_OF_RANGE),
    )
    return next((verdict for wrong, verdict in checks if wrong), None)


# --- commands ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "device", ["acme/north/forming/line-1/blanking/press-01", "acme/south/packaging/line-3/packing-a/packer-01"]
)
def test_command_reaches_the_machine_once_and_is_seen_in_the_telemetry(line: Line, device: str) -> None:
    setpoint = line.tag(f"{device}/speed_setpoint")
    wanted = 21.0

    with Client(line.config.serving_address) as client:
        command_id = ids.uuid7()
        for _ in range(2):  # the same command twice is one command
            client.submit(device, "write", {"speed_setpoint": wanted}, command_id=command_id)
        outcome = client.outcome(command_id, deadline_s=30)
    assert outcome.succeeded, outcome
    assert outcome.readback == {"speed_setpoint": wanted}
    query = "SELECT count(*) FROM samples WHERE tag_id = %s AND value = %s"
    eventually(lambda: line.sql(query, setpoint.tag_id, wanted)[0][0], timeout_s=30, what="the change in the telemetry")
    name = ".".join((device.split("/")[1], device.rsplit("/", maxsplit=1)[-1]))

    def actuated() -> int:
        with sqlite3.connect(f"file:{line.journal_file}?mode=ro", uri=True) as journal:
            found = journal.execute("SELECT count(*) FROM actuated WHERE device = ? AND value = ?", (name, wanted))
            return int(found.fetchone()[0])

    # The simulator commits its journal behind what it does: the telemetry may be in SQL before.
    eventually(actuated, timeout_s=30, what="the machine's journal")
    assert actuated() == 1
    recorded = line.sql("SELECT state FROM command WHERE device_path = %s ORDER BY submitted_at DESC LIMIT 1", device)
    eventually(
        lambda: recorded or line.sql("SELECT 1 FROM command WHERE device_path = %s", device), what="the command log"
    )


async def test_a_method_of_a_foreign_server_is_a_command_with_its_outcome_on_record(line: Line, tmp_path: Path) -> None:
    query = "SELECT detail FROM command WHERE command_id = %s AND state = %s AND device_path = %s"
    async with line_doser.joined(line, tmp_path) as journal:
        with Client(line.config.serving_address) as client:

            def device() -> bool:
                return any(one.path == line_doser.DEVICE for one in client.devices())

            eventually(device, timeout_s=30, what="serving knows the machine")
            for parameters, state, detail in (
                ({"amount": 2.5, "valve": 3.0}, CommandState.SUCCEEDED, "called; it returned Total=25.0"),
                ({"hang": 1.0}, CommandState.UNKNOWN, "the method was called, its answer is lost"),
            ):
                command_id = ids.uuid7()
                client.submit(line_doser.DEVICE, "write", parameters, command_id=command_id)
                assert client.outcome(command_id, deadline_s=30).state is state
                ((recorded,),) = eventually(
                    partial(line.sql, query, command_id, state.name, line_doser.DEVICE),
                    timeout_s=60,
                    what=f"{state.name} in the command log",
                )
                assert recorded.startswith(detail)
    with journal.open() as lines:
        assert plan.called(lines) == [("Dose", [2.5, 3]), ("Hang", [])]


# --- alarms --------------------------------------------------------------------------------------------------------------


def test_an_alarm_is_raised_acknowledged_and_over(line: Line) -> None:
    """A sensor leaves its normal range, by a rule that its definition gives; a person takes note; the sensor comes back."""
    tag, rule = line.tag("south/packaging/line-3/packing-b/packer-04/drive_vibration"), "drive_vibration-high"

    def alarm() -> tuple[UUID, str, bool, str, datetime | None] | None:
        query = """SELECT alarm_id, state, active, acknowledged_by, returned_at FROM alarm
                   WHERE tag_id = %s AND rule = %s ORDER BY start_time DESC LIMIT 1"""
        return next(iter(line.sql(query, tag.tag_id, rule)), None)

    def in_state(state: str) -> tuple[UUID, str, bool, str, datetime | None] | None:
        found = alarm()
        return found if found is not None and found[1] == state else None

    assert alarm() is None
    body = {"device": "south.packer-04", "tag": tag.name, "kind": "offset", "parameters": {"magnitude": 12}}
    fault = line.simulator("POST", "/faults", body)
    alarm_id, _, active, *_ = eventually(lambda: in_state("UNACKNOWLEDGED"), timeout_s=60, what="it is raised")
    assert active
    on_topic = [
        Alarm.from_record(codec.decode(message.value() or b"", "Alarm")[1])
        for message in kafka.read_to_end(line.kafka, topics.ALARMS.name)
        if message.key() == str(alarm_id).encode()
    ]
    assert [(one.state, one.priority, one.path) for one in on_topic] == [("UNACKNOWLEDGED", "LOW", tag.path)]

    action = AlarmAction(
        action_id=ids.uuid7(),
        kind=AlarmActionKind.ACKNOWLEDGE,
        site=tag.site,
        rule=rule,
        device_id=tag.device_id,
        alarm_id=alarm_id,
        by="anna",
        time_us=ids.now_us(),
    )
    kafka.send(kafka.producer(line.kafka), topics.ALARM_ACTIONS.name, [(action.key, action.encode())] * 2)
    eventually(lambda: in_state("ACKNOWLEDGED"), timeout_s=30, what="it is acknowledged")
    line.simulator("DELETE", f"/faults/{fault['id']}")
    found = eventually(lambda: in_state("NORMAL"), timeout_s=60, what="it is over")
    assert (found[0], found[2], found[3]) == (alarm_id, False, "anna")
    assert found[4] is not None
    events = "SELECT kind, who FROM alarm_events WHERE alarm_id = %s ORDER BY version"
    eventually(
        lambda: line.sql(events, alarm_id) == [("RAISED", ""), ("ACKNOWLEDGED", "anna"), ("RETURNED", "")],
        timeout_s=30,
        what="all that happened is in history, once",
    )


# --- what was refused comes back -----------------------------------------------------------------------------------------


def rejected_values(line: Line, reason: str, tag_ids: list[int]) -> Counter[tuple[int, int, float]]:
    """Refused samples that nobody replayed: tag, microsecond, value."""
    query = """SELECT tag_id, (extract(epoch FROM time) * 1000000)::bigint, value FROM rejected
               WHERE reason = %s AND tag_id = ANY (%s) AND replayed IS NULL"""
    return Counter((tag_id, time_us, value) for tag_id, time_us, value in line.sql(query, reason, tag_ids))


def test_replayed_rejects_are_stored_once_whatever_happens_to_the_tool(line: Line) -> None:
    """A wrong clock, a wrong unit and limits that were too narrow: put right, sent again twice, once killed on the way."""
    device = "south/packaging/line-3/packing-b/packer-03"
    clock = sorted(tag.tag_id for tag in line.tags.values() if tag.device_path.endswith(device))
    unit = line.tag("north/machining/line-3/milling-a/mill-01/coolant_pressure")
    limits = line.tag("north/finishing/line-4/curing/oven-01/fan_vibration")
    faults: tuple[tuple[str, str, str, dict[str, float]], ...] = (
        ("south.packer-03", "", "wrong_clock", {"offset_s": 3600}),
        ("north.mill-01", "coolant_pressure", "out_of_range", {}),
    )
    for machine, tag, kind, parameters in faults:
        line.simulator(
            "POST", "/faults", {"device": machine, "tag": tag, "kind": kind, "duration_s": 3, "parameters": parameters}
        )
    line.registry("set", limits.path, "eu_high=0.00005", "limit_high=0.0001")
    eventually(
        lambda: rejected_values(line, "OUT_OF_RANGE", [limits.tag_id]) and not line.simulator("GET", "/faults"),
        timeout_s=60,
        what="samples are refused",
    )
    line.registry("set", limits.path, f"limit_high={limits.limit_high}", f"eu_high={limits.eu_high}")
    with line.paused():
        before = assert_closed(line)
        cases = (
            ("FUTURE", clock, ["--device", device, "--shift-seconds", "-3600"], -3_600_000_000, 1.0),
            ("OUT_OF_RANGE", [unit.tag_id], ["--tag", unit.path, "--scale", "0.5"], 0, 0.5),
            ("OUT_OF_RANGE", [limits.tag_id], ["--tag", limits.path, "--as-is"], 0, 1.0),
        )
        moved = 0
        for reason, tag_ids, how, shift_us, scale in cases:
            refused = rejected_values(line, reason, tag_ids)
            assert refused
            moved += refused.total()
            line.replay_rejected("--reason", reason, *how, "--dry-run")
            line.replay_rejected("--reason", reason, *how, kill_at_first_claim=True)
            for _ in range(2):
                line.replay_rejected("--reason", reason, *how)
            assert not rejected_values(line, reason, tag_ids)
            expected = Counter({(tag, at + shift_us, value * scale): n for (tag, at, value), n in refused.items()})
            whole = {tag.tag_id for tag in line.tags.values() if tag.historise == "ALL"}
            query = """SELECT tag_id, (extract(epoch FROM time) * 1000000)::bigint, value FROM telemetry
                       WHERE tag_id = ANY (%s) AND time BETWEEN to_time(%s) AND to_time(%s)"""
            times = [at for _, at, _ in expected]
            stored = Counter(line.sql(query, tag_ids, min(times), max(times)))
            assert {key: n for key, n in expected.items() if key[0] in whole and stored[key] != n} == {}
        after = assert_closed(line)
        assert after["produced"] == before["produced"]
        assert after["rejected"] == before["rejected"] - moved
        assert after["stored"] + after["suppressed"] == before["stored"] + before["suppressed"] + moved
        assert after["replayed"] == before["replayed"] + moved
    assert set(line.sql("SELECT DISTINCT outcome FROM replay")) == {("accepted",)}


# --- accidents -----------------------------------------------------------------------------------------------------------


def test_registry_change_in_flight_loses_nothing(line: Line) -> None:
    tag = line.tag("north/finishing/line-4/curing/oven-01/fan_vibration")
    restarts = line.restarts("telemetry")
    before = rejects_by_tag(line)[tag.tag_id, "OUT_OF_RANGE"]
    line.registry("set", tag.path, "eu_high=0.00005", "limit_high=0.0001")
    eventually(
        lambda: rejects_by_tag(line)[tag.tag_id, "OUT_OF_RANGE"] > before,
        timeout_s=60,
        what="the new limit takes effect",
    )
    line.registry("set", tag.path, f"limit_high={tag.limit_high}", f"eu_high={tag.eu_high}")
    with line.paused():
        assert_closed(line)
    assert line.restarts("telemetry") == restarts


@pytest.mark.parametrize("victim", ["taskmanager-2", "taskmanager-3", "postgres"])
def test_killed_component_loses_nothing(line: Line, victim: str) -> None:
    line.kill(victim)
    reached = line.journal_seq()
    eventually(lambda: line.journal_seq() > reached + 3000, timeout_s=60, what="the machines go on")
    with line.paused():
        found = assert_closed(line)
        emitted = line.emitted()
        lost_in_gaps(line, emitted)
        assert_produced(line, found, emitted_by_tag(emitted))
        assert_calculated(line)
    eventually(
        lambda: float(line.sql("SELECT extract(epoch FROM now() - max(time)) FROM samples")[0][0]) < FRESH_S,
        timeout_s=60,
        what="fresh rows again",
    )


def test_killed_gateway_loses_only_what_a_gap_names(line: Line) -> None:
    line.kill("gateway-gw-north-1")
    reached = line.journal_seq()
    eventually(lambda: line.journal_seq() > reached + 8000, timeout_s=60, what="the machines go on")
    with line.paused():
        assert_closed(line)
        lost = lost_in_gaps(line, line.emitted())
    assert lost, "a gateway that is down hears nothing"


def gaps_of(line: Line) -> list[tuple[int, int, int]]:
    """Device, beginning and end of every gap, microseconds UTC."""
    query = "SELECT device_id, (gap->>'from_us')::bigint, (gap->>'to_us')::bigint FROM device_events WHERE kind = 'GAP'"
    return [(device, start, end) for device, start, end in line.sql(query)]


def lost_in_gaps(line: Line, emitted: Emitted) -> list[tuple[int, int]]:
    """(tag, time) of the samples that are missing; every one of them lies in a gap of its device."""
    missing = missing_samples(line, emitted)
    tags, gaps = {tag.tag_id: tag for tag in line.tags.values()}, gaps_of(line)
    unnamed = [
        (tags[tag_id].path, time_us)
        for tag_id, time_us in missing
        if not any(device == tags[tag_id].device_id and start <= time_us <= end for device, start, end in gaps)
    ]
    assert unnamed == []
    return missing


def arrived(line: Line, emitted: Emitted) -> Emitted:
    """Without what was lost in gaps: no later sample was judged against it."""
    lost = set(lost_in_gaps(line, emitted))
    pairs = zip(emitted.tag_id.tolist(), emitted.time_us.tolist(), strict=True)
    kept = np.array([pair not in lost for pair in pairs], dtype=np.bool_)
    return Emitted(**{field.name: getattr(emitted, field.name)[kept] for field in dataclasses.fields(emitted)})


def missing_samples(line: Line, emitted: Emitted) -> list[tuple[int, int]]:
    """(tag, time) of the journal that is neither stored nor rejected, for tags whose every sample is stored."""
    whole = {tag.tag_id for tag in line.tags.values() if tag.historise == "ALL"}
    have = {
        (tag, int(us))
        for tag, us in line.sql("SELECT tag_id, (extract(epoch FROM time) * 1000000)::bigint FROM samples")
    }
    have |= {
        (tag, int(us))
        for ids_, times in line.sql("SELECT tag_ids, times_us FROM rejects WHERE tag_ids IS NOT NULL")
        for tag, us in zip(ids_, times, strict=True)
    }
    pairs = zip(emitted.tag_id.tolist(), emitted.time_us.tolist(), strict=True)
    return [pair for pair in pairs if pair[0] in whole and pair not in have]


def test_windows_count_what_was_replayed(line: Line) -> None:
    """Down here because a window is repaired when the live data has passed it by its length: by now it has."""
    if not line.sql("SELECT 1 FROM replays LIMIT 1"):
        pytest.skip("the test that replays did not run")
    query = """
        WITH replayed AS (
            SELECT p.tag_id, to_time(c.time_us - CASE r.reason WHEN 'FUTURE' THEN 3600000000 ELSE 0 END) AS time
            FROM replays p
            JOIN rejects r ON r.identity = p.reject_identity
            CROSS JOIN LATERAL unnest(r.tag_ids, r.times_us) AS c(tag_id, time_us)
            WHERE c.tag_id = p.tag_id
        ), touched AS (
            SELECT DISTINCT x.tag_id, w.window_s,
                   to_timestamp(floor(extract(epoch FROM x.time) / w.window_s) * w.window_s) AS start
            FROM replayed x JOIN tags t USING (tag_id) CROSS JOIN LATERAL unnest(t.windows_s) AS w(window_s)
            WHERE t.historise = 'ALL'
        )
        SELECT count(*), count(*) FILTER (WHERE a.count IS DISTINCT FROM (
            SELECT count(*) FROM samples s
            WHERE s.tag_id = w.tag_id AND s.time >= w.start AND s.time < w.start + make_interval(secs => w.window_s)))
        FROM touched w LEFT JOIN aggregates a USING (tag_id, window_s, start)"""

    def repaired() -> bool:
        ((windows, wrong),) = line.sql(query)
        return windows > 0 and not wrong

    eventually(repaired, timeout_s=180, period_s=1.0, what="windows are repaired")


# --- healing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [("jobmanager", "pause15"), pytest.param("jobmanager+taskmanager", "kill", marks=pytest.mark.campaign)],
)
def test_line_heals_without_a_person(line: Line, name: str, kind: str) -> None:
    """Faults of `./millrace bench faults`, as the campaign carries them out: 20 commands under way, accounting and journal compared."""
    suite, services = table.load(), [service.name for service in all_services(line.config)]
    (fault,) = table.schedule(suite, services, seed=7, rounds=1, only=[name], kinds=[kind])
    with FlowWatch(line.config) as watch:
        running = trial.Line(config=line.config, suite=suite, watch=watch, progress=Progress(sink=log.info))
        found = trial.run(running, fault)
    assert found.healed, (found.problems, found.status)
    assert found.exact, found.accounting
    assert found.commands_wrong == []
    assert sum(found.commands.values()) + found.commands_unacknowledged == 20


# --- records nobody should send ------------------------------------------------------------------------------------------


def test_bad_samples_and_bad_records_restart_nothing(line: Line) -> None:
    """10,000 frames with one bad sample each, 1,000 records that are no frames, a conflict and an unknown schema, in one go."""
    good, foreign = (
        line.tag("forming/line-1/blanking/press-01/ram_force"),
        line.tag("south/machining/line-1/milling-a/mill-01/power"),
    )
    epoch, restarts = ids.uuid7(), line.restarts("telemetry")
    topic = topics.FRAMES.for_site("north")
    bad = (
        (good.tag_id, math.nan, Verdict.NOT_FINITE),
        (10**6, 1.0, Verdict.UNKNOWN_TAG),
        (foreign.tag_id, 1.0, Verdict.GATEWAY_NOT_AUTHORISED),
    )

    def one(sequence: int, *, base: float = 100.0) -> bytes:
        tag_id, value, _ = bad[sequence % len(bad)]
        now_us = ids.now_us()
        return frame.encode(
            frame.build(
                gateway_id=good.gateway_id, epoch=epoch, lane=good.lane, stream=Stream.BACKFILL, sequence=sequence,
                closed_time_us=now_us, clock_status=ClockStatus.SYNCHRONISED, registry_version=1,
                tag_id=np.array([good.tag_id, tag_id], np.int32), time_us=np.array([now_us - 1_800_000_000 + sequence * 100_000, now_us]),
                value=np.array([base + sequence % 10, value]), quality=np.zeros(2, np.uint16),
            )
        )  # fmt: skip

    stand_in = StandIn.of(line.config)
    frames = stand_in.frames(good.gateway_id, [one(sequence) for sequence in range(10_000)])
    junk = [
        b"\xc3\x01" + bytes([n % 251]) * 8 + str(n).encode() if n % 2 else f"no frame {n}".encode()
        for n in range(1_000)
    ]
    # Signed like the others, for what is forged is no conflict. The job remembers the checksums of the newest frames only.
    (conflict,) = stand_in.frames(good.gateway_id, [one(9_999, base=200.0)])
    key = good.gateway_id.encode() + b"/" + str(good.lane).encode()
    producer = kafka.producer(line.kafka)
    started = time.monotonic()
    kafka.send(producer, topic, ((key, value) for value in [*frames, *junk, conflict, frames[1]]))
    query = "SELECT frames, stored, rejected FROM ledger WHERE epoch = %s"
    eventually(
        lambda: line.sql(query, epoch) == [(10_000, 10_000, 10_000)], timeout_s=180, what="all frames are in the ledger"
    )
    log.info("bad frames took %.1f s", time.monotonic() - started)
    query = "SELECT reason, count(*) FROM rejects WHERE epoch = %s AND samples > 0 AND original IS NULL GROUP BY 1"
    refused = Counter(bad[n % len(bad)][2].name for n in range(10_000))
    # They come by a topic of their own, and may be stored after the frames they are of.
    eventually(lambda: Counter(dict(line.sql(query, epoch))) == refused, timeout_s=60, what="every reject, once")
    eventually(
        lambda: (
            line.sql("SELECT count(*) FROM rejects WHERE reason IN ('UNDECODABLE', 'UNKNOWN_SCHEMA')")[0][0] == 1_000
        ),
        timeout_s=60,
        what="junk is in the rejects",
    )
    originals = Counter(
        bytes(row[0])
        for row in line.sql("SELECT original FROM rejects WHERE reason IN ('UNDECODABLE', 'UNKNOWN_SCHEMA')")
    )
    assert originals == Counter(junk)
    eventually(
        lambda: (
            [bytes(row[0]) for row in line.sql("SELECT original FROM rejects WHERE reason = 'IDENTITY_CONFLICT'")]
            == [conflict]
        ),
        what="the conflict with its original bytes",
    )
    assert line.restarts("telemetry") == restarts
    assert line.accounting()["undecodable"] == 1_000
    assert codec.schema_of(frames[0]).name == "TelemetryFrame"


# --- the documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", documented_line.blocks(), ids=str)
def test_what_the_documents_say_works(line: Line, block: Block) -> None:
    documented_line.wait_until_up(line.config)
    documented_line.run(block, line.config)
