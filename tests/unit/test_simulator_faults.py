"""Every fault is visible in what is emitted, named, and gone when it is over."""

from __future__ import annotations

import math
from typing import Any

import pytest

from base.errors import ConflictError, InvalidRequestError, MillraceError, NotFoundError
from schemas import quality
from schemas.definitions import DataType
from simulator.control import fault_request
from simulator.fault_effects import BEYOND_F8
from simulator.fault_kinds import OF_DEVICE, FaultKind, FaultRequest
from simulator.packml import Command
from simulator.simulation import Sample, Simulation
from tests.unit.simulated_plant import START_US, devices, tag_of

S = 1_000_000
OPCUA, SPARKPLUG = devices()


def simulation() -> Simulation:
    return Simulation((OPCUA, SPARKPLUG), seed=5, start_us=START_US, max_lag_us=10**12)


def samples(of: Simulation, until_us: int, name: str, device: str = "north.press-01") -> list[Sample]:
    emitted = [sample for step in of.advance(until_us) for sample in step.samples]
    return [sample for sample in emitted if sample.tag.name == name and sample.tag.device == device]


def faulty(kind: FaultKind, name: str, device: str = "north.press-01", **parameters: float) -> list[Sample]:
    """Samples of a tag during 20 s with a fault, preceded by 5 s and followed by 5 s without."""
    plant = simulation()
    tag = "" if kind in OF_DEVICE else name
    plant.faults.add(
        FaultRequest(device=device, kind=kind, tag=tag, start_s=5, duration_s=20, parameters=parameters), START_US
    )
    found = samples(plant, START_US + 30 * S, name, device)
    plain = samples(simulation(), START_US + 30 * S, name, device)
    outside = [s for s in found if not s.fault]
    assert [s for s in plain if s.time_us in {o.time_us for o in outside}] == outside or kind is FaultKind.STUCK
    return [s for s in found if s.fault]


def test_drift_grows() -> None:
    changed = faulty(FaultKind.DRIFT, "force", rate_per_s=2.0)
    assert len(changed) == 40
    assert changed[-1].value == pytest.approx(80 + 2 * 19.7, abs=2)
    assert {s.fault for s in changed} == {"drift"}
    assert all(s.quality == quality.GOOD for s in changed)


def test_spikes_are_few_and_far() -> None:
    changed = faulty(FaultKind.SPIKE, "power", magnitude=100.0, probability=0.1)
    assert 8 < len(changed) < 40
    assert all(s.value == pytest.approx(145, abs=3) for s in changed)


def test_stuck_repeats_bit_for_bit_and_lets_go() -> None:
    changed = faulty(FaultKind.STUCK, "power")
    assert len(changed) == 200
    assert len({s.value for s in changed}) == 1


def test_noise_is_wider() -> None:
    changed = faulty(FaultKind.NOISE, "power", deviation=20.0)
    assert len(changed) == 200
    mean = sum(float(s.value or 0) for s in changed) / 200
    assert 15 < math.sqrt(sum((float(s.value or 0) - mean) ** 2 for s in changed) / 200) < 25


def test_offset_is_constant() -> None:
    assert all(s.value == pytest.approx(110, abs=2) for s in faulty(FaultKind.OFFSET, "force", magnitude=30.0))


def test_bad_quality_has_no_value_on_opcua_and_keeps_it_on_sparkplug() -> None:
    opcua = faulty(FaultKind.BAD_QUALITY, "force")
    assert {(s.value, s.quality) for s in opcua} == {(None, quality.BAD_SENSOR_FAILURE)}
    sparkplug = faulty(FaultKind.BAD_QUALITY, "force", "north.press-02")
    assert {s.quality for s in sparkplug} == {quality.BAD}
    assert all(s.value == pytest.approx(80, abs=2) for s in sparkplug)


def test_uncertain_quality_keeps_the_value() -> None:
    opcua = faulty(FaultKind.BAD_QUALITY, "force", quality=quality.UNCERTAIN)
    assert all(s.value == pytest.approx(80, abs=2) and s.quality == quality.UNCERTAIN for s in opcua)
    sparkplug = faulty(FaultKind.BAD_QUALITY, "force", "north.press-02", quality=quality.UNCERTAIN)
    assert {s.quality for s in sparkplug} == {quality.UNCERTAIN_LAST_USABLE}


def test_values_for_reject_tests() -> None:
    assert all(math.isnan(s.value or 0) for s in faulty(FaultKind.NAN, "force"))
    assert {s.value for s in faulty(FaultKind.INFINITE, "force")} == {math.inf}
    assert {s.value for s in faulty(FaultKind.OUT_OF_RANGE, "force")} == {226.0}
    assert {s.value for s in faulty(FaultKind.OUT_OF_RANGE, "force", value=-999)} == {-999.0}
    assert {type(s.value) for s in faulty(FaultKind.OUT_OF_RANGE, "cycle_count")} == {int}
    assert all(float(s.value or 0) % 1 == 0.5 for s in faulty(FaultKind.NOT_REPRESENTABLE, "cycle_count"))
    assert {s.value for s in faulty(FaultKind.NOT_REPRESENTABLE, "closed")} == {2.0}
    assert {s.value for s in faulty(FaultKind.BEYOND_F8, "cycle_count")} == {BEYOND_F8}


@pytest.mark.parametrize("offset_s", [-3600.0, -0.25, 0.05, 7200.0])
@pytest.mark.parametrize("device", ["north.press-01", "north.press-02"])
def test_wrong_clock_shifts_source_times_and_never_repeats_one(offset_s: float, device: str) -> None:
    plant = simulation()
    for start_s in (5, 15, 25):
        plant.faults.add(
            FaultRequest(device=device, kind=FaultKind.WRONG_CLOCK, start_s=start_s, duration_s=5,
                         parameters={"offset_s": offset_s}),
            START_US,
        )  # fmt: skip
        found = samples(plant, START_US + (start_s + 10) * S, "power", device)
        plant.faults.expire(plant.now_us)
        shifted = [s for s in found if s.fault]
        assert len(shifted) == 50
        # Within a tenth of a second: the number of the fault, and the way to a whole quantum.
        assert shifted[0].time_us == pytest.approx(START_US + start_s * S + offset_s * S, abs=200_000)
    everything = samples(simulation(), START_US + 35 * S, "power", device)
    assert len({s.time_us for s in everything}) == len(everything)


def test_all_times_are_distinct_over_changes_of_the_clock() -> None:
    plant = simulation()
    times: list[int] = []
    for round_ in range(20):
        fault = plant.faults.add(
            FaultRequest(device="north.press-02", kind=FaultKind.WRONG_CLOCK, parameters={"offset_s": -0.1 * round_}),
            plant.now_us,
        )
        times += [s.time_us for s in samples(plant, plant.now_us + S, "power", "north.press-02")]
        plant.faults.remove(fault.id)
        times += [s.time_us for s in samples(plant, plant.now_us + S, "power", "north.press-02")]
    assert len(times) == 400
    assert len(set(times)) == len(times)


def test_offline_says_so_once_and_is_silent_then() -> None:
    plant = simulation()
    plant.faults.add(FaultRequest(device="north.press-01", kind=FaultKind.OFFLINE, start_s=2, duration_s=5), START_US)
    steps = list(plant.advance(START_US + 10 * S))
    changes = [(step.time_us, device.key, online) for step in steps for device, online in step.connections]
    assert changes == [(START_US + 2 * S, "north.press-01", False), (START_US + 7 * S, "north.press-01", True)]
    gone = [s for step in steps for s in step.samples if s.fault == "offline"]
    assert {(s.value, s.quality) for s in gone} == {(None, quality.BAD_NO_COMMUNICATION)}
    assert sorted(s.tag.name for s in gone) == sorted(tag.name for tag in OPCUA.tags)
    during = [
        s for step in steps for s in step.samples
        if s.tag.device == "north.press-01" and START_US + 2 * S < s.time_us < START_US + 7 * S - 50_000 and not s.fault
    ]  # fmt: skip
    assert during == []
    assert not plant.write(tag_of(OPCUA, "speed_setpoint"), 20, START_US + 6 * S).refused


def test_an_offline_device_takes_no_writes() -> None:
    plant = simulation()
    plant.faults.add(FaultRequest(device="north.press-02", kind=FaultKind.OFFLINE), START_US)
    list(plant.advance(START_US + S))
    outcome = plant.write(tag_of(SPARKPLUG, "speed_setpoint"), 20, plant.now_us)
    assert (outcome.applied, outcome.refused, outcome.sample) == (False, "offline", None)


@pytest.mark.parametrize(("kind", "refused"), [(FaultKind.IGNORE_WRITES, ""), (FaultKind.REFUSE_WRITES, "refused")])
def test_writes_that_do_not_arrive(kind: FaultKind, refused: str) -> None:
    plant = simulation()
    plant.faults.add(FaultRequest(device="press-01", kind=kind), START_US)
    outcome = plant.write(tag_of(OPCUA, "packml_command"), Command.HOLD, START_US + 1)
    assert (outcome.applied, outcome.refused) == (False, refused)
    assert outcome.sample is not None
    assert outcome.sample.value == 0
    assert plant.machines["north.press-01"].packml.state.name == "EXECUTE"


def test_two_faults_on_one_tag_are_both_named() -> None:
    plant = simulation()
    for kind in (FaultKind.OFFSET, FaultKind.BAD_QUALITY, FaultKind.DRIFT):
        plant.faults.add(FaultRequest(device="north.press-01", tag="force", kind=kind), START_US)
    last = samples(plant, START_US + 2 * S, "force")[-1]
    assert (last.fault, last.value, last.quality) == ("offset+bad_quality+drift", None, quality.BAD_SENSOR_FAILURE)


def test_a_repeated_fault_comes_back() -> None:
    plant = simulation()
    request = FaultRequest(device="north.press-01", tag="force", kind=FaultKind.NAN, duration_s=2, repeat_s=10)
    plant.faults.add(request, START_US)
    found = samples(plant, START_US + 40 * S, "force")
    assert sum(s.fault == "nan" for s in found) == 16
    assert plant.faults.expire(plant.now_us) == []


def test_over_is_over_and_removed_is_removed() -> None:
    plant = simulation()
    kinds = (FaultKind.NAN, FaultKind.STUCK)
    first, second = (
        plant.faults.add(FaultRequest(device="north.press-01", tag="force", kind=kind, duration_s=1), START_US)
        for kind in kinds
    )
    with pytest.raises(ConflictError, match="has the fault nan already, as number 1"):
        plant.faults.add(FaultRequest(device="north.press-01", tag="force", kind=FaultKind.NAN), START_US)
    assert plant.faults.remove(second.id) is second
    with pytest.raises(NotFoundError):
        plant.faults.remove(second.id)
    assert plant.faults.expire(START_US) == []
    assert plant.faults.expire(START_US + S) == [first]
    assert plant.faults.all() == []


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in OF_DEVICE])
@pytest.mark.parametrize("name", ["force", "cycle_count", "closed"])
@pytest.mark.parametrize("device", [OPCUA, SPARKPLUG])
def test_every_fault_of_a_tag_shows_or_is_refused_by_name(kind: FaultKind, name: str, device: Any) -> None:
    plant = simulation()
    try:
        plant.faults.add(FaultRequest(device=device.key, tag=name, kind=kind), START_US)
    except InvalidRequestError as error:
        assert tag_of(device, name).data_type is not DataType.DOUBLE or kind in {  # noqa: PT017
            FaultKind.NOT_REPRESENTABLE, FaultKind.BEYOND_F8,
        }, error  # fmt: skip
        return
    found = samples(plant, START_US + 60 * S, name, device.key)
    assert any(kind in s.fault for s in found)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"device": "north.press-01", "kind": "gremlins"}, InvalidRequestError, "known: drift"),
        ({"device": "nowhere", "kind": "offline"}, NotFoundError, "no device 'nowhere'"),
        ({"device": "press-01", "kind": "nan", "tag": "colour"}, NotFoundError, "no tag 'colour'"),
        ({"device": "press-01", "kind": "nan"}, InvalidRequestError, "fault of one tag"),
        ({"device": "press-01", "kind": "offline", "tag": "force"}, InvalidRequestError, "whole device"),
        ({"device": "press-01", "kind": "nan", "tag": "closed"}, InvalidRequestError, "does not apply to closed"),
        ({"device": "press-01", "kind": "drift", "tag": "force", "speed": 1}, InvalidRequestError, "known: rate_per_s"),
        (
            {"device": "press-01", "kind": "drift", "tag": "force", "rate_per_s": "x"},
            InvalidRequestError,
            "not a number",
        ),
        ({"device": "press-01", "kind": "drift", "tag": "force", "start_s": -1}, InvalidRequestError, "not negative"),
        ({"device": "press-01", "kind": "drift", "tag": "force", "start_s": "1"}, InvalidRequestError, "start_s"),
        ({"device": "press-01", "kind": "nan", "tag": "force", "repeat_s": 5}, InvalidRequestError, "duration_s"),
        ({"device": "press-01", "kind": "wrong_clock", "offset_s": 1e12}, InvalidRequestError, "offset_s"),
        (
            {"device": "press-01", "kind": "spike", "tag": "force", "magnitude": math.nan},
            InvalidRequestError,
            "magnitude",
        ),
        ([], InvalidRequestError, "object"),
    ],
)
def test_wrong_requests_are_answered_by_name(fields: Any, error: type[MillraceError], message: str) -> None:
    plant = simulation()
    with pytest.raises(error, match=message):
        plant.faults.add(fault_request(fields), START_US)


def test_a_device_name_at_two_sites_needs_its_site() -> None:
    both = devices({"press-01": "opcua", "s-press": "opcua"})
    plant = Simulation(both, seed=1, start_us=START_US)
    assert plant.faults.add(FaultRequest(device="s-press", kind=FaultKind.OFFLINE), START_US).device.site == "south"
