"""The example plant without faults gives validation nothing to refuse, whatever setpoints are commanded."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
import yaml

from registry.plant_file import parse_plant
from simulator.control import fault_request
from simulator.opcua_space import NAMESPACE_URI, node_id
from simulator.plant import parse_devices, simulated
from simulator.rhythm import Rhythm
from simulator.simulation import Simulation
from simulator.sparkplug_node import node_name
from stack.config import ROOT
from tests.unit.simulated_plant import START_US

S = 1_000_000
PLANT = yaml.safe_load((ROOT / "stack" / "plant.yaml").read_text())
# Shifts of two minutes, so that every machine stops and starts.
BUSY = Rhythm(shift_s=120, handover_s=10, break_s=15)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(parse_devices(PLANT), seed=1, start_us=START_US, rhythm=BUSY, max_lag_us=10**12)


def test_a_bad_day_can_be_played_and_its_values_are_believed() -> None:
    """What is beyond the limits is refused, and no alarm. A jump is refused for its rate for a while."""
    devices = parse_devices(PLANT)
    plant = Simulation(devices, seed=1, start_us=START_US, max_lag_us=10**12)
    classes = {device.key: PLANT["device_classes"][device.device_class]["tags"] for device in devices}
    for fields in yaml.safe_load((ROOT / "stack" / "bad-day.yaml").read_text())["faults"]:
        fault = plant.faults.add(fault_request(fields), START_US)
        if fault.kind in ("offset", "drift"):
            tag = classes[fields["device"]][fields["tag"]]
            low, high = tag["limits"]
            change = fields.get("magnitude", fields.get("rate_per_s", 0.0) * fields["duration_s"])
            there = tag["simulate"]["running"] + change
            assert low < there < high, fields
            assert tag["max_rate"] * fields["duration_s"] > abs(change), fields
            known = {**tag, "eu": [6, 12]} if fields["tag"] == "outlet_pressure" else tag  # by the plant's own rule
            assert not known["eu"][0] <= there <= known["eu"][1], fields


def test_no_sample_beyond_limits_or_rates_or_stuck(simulation: Simulation) -> None:
    classes = {d.key: PLANT["device_classes"][d.device_class]["tags"] for d in simulation.devices}
    spec: dict[int, dict[str, Any]] = {t.index: classes[t.device][t.name] for d in simulation.devices for t in d.tags}
    setpoints = [t for d in simulation.devices for t in d.tags if t.name == "speed_setpoint"]
    last: dict[int, tuple[int, float]] = {}
    changed_us: dict[int, int] = {}
    random, samples, wrong = Random(1), 0, []
    for step in simulation.advance(START_US + 130 * S):
        if step.time_us % S == 0:
            tag = random.choice(setpoints)
            assert tag.eu is not None
            simulation.write(tag, random.uniform(*tag.eu), step.time_us)
        for sample in step.samples:
            samples += 1
            index, time_us, value = sample.tag.index, sample.time_us, float(sample.value or 0)
            before_us, before = last.get(index, (time_us, value))
            if value != before:
                changed_us[index] = time_us
            low, high = spec[index]["limits"]
            rate, stuck_s = spec[index].get("max_rate"), spec[index].get("stuck_after_s")
            fast = rate is not None and time_us > before_us and abs(value - before) * S / (time_us - before_us) > rate
            stuck = stuck_s is not None and time_us - changed_us.setdefault(index, time_us) > stuck_s * S
            if not low <= value <= high or fast or stuck:
                wrong.append(sample)
            last[index] = time_us, value
    assert wrong == []
    assert samples > 130_000


def test_the_address_patterns_match_the_names_that_the_simulator_gives() -> None:
    plant = parse_plant(PLANT)
    by_path = {tag.path: tag for device in simulated(plant) for tag in device.tags}
    calculated = {tag.where: tag for device in plant.devices for tag in device.tags if tag.expression}
    assert len(calculated) == 2
    assert len(by_path) == sum(tag.where not in calculated for device in plant.devices for tag in device.tags)
    for device in plant.devices:
        for tag in device.tags:
            if tag.expression:
                assert device.address(tag.name) == ""
                continue
            played = by_path[f"{device.cell_path}/{device.name}/{tag.name}"]
            rule = {
                "opcua": f"opcua:nsu={NAMESPACE_URI};{node_id(played).to_string().removeprefix('ns=2;')}",
                "sparkplug": f"spb:{device.site}/{node_name(device.site)}/{device.name}/{tag.name}",
            }
            assert device.address(tag.name) == rule[device.protocol]


def test_devices_on_real_connections_are_left_alone() -> None:
    data = copy.deepcopy(PLANT)
    data["sites"][0]["gateways"][0]["connections"][0]["simulated"] = False
    assert {device.protocol for device in parse_devices(data) if device.site == "north"} == {"sparkplug"}


def test_tags_cover_both_protocols_and_every_address_is_distinct(simulation: Simulation) -> None:
    tags = [tag for device in simulation.devices for tag in device.tags]
    assert {tag.protocol for tag in tags} == {"opcua", "sparkplug"}
    assert len({(tag.device, tag.name) for tag in tags}) == len({tag.path for tag in tags}) == len(tags)
