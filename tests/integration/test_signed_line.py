"""A whole line with signatures: what gateways and serving sign goes the whole way, what others write does not.

The plant is two presses, one at each site, and a boiler whose server is of another maker and has conditions (OPC UA Part 9). Only the
services on the way run: the rest of the platform signs and verifies nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from base import ids
from base.machine_names import is_machines
from base.signing_key import Signer
from benchmarks.foreign import plan
from benchmarks.foreign.plan import LEVEL, ServerPlan
from benchmarks.foreign.process import NODE_OPCUA, Foreign
from connectors.kafka import client as kafka
from millrace_client import (
    Alarm,
    AlarmPriority,
    AlarmState,
    Client,
    Connection,
    MachineAcknowledgementState,
    MillraceError,
    PreconditionError,
)
from schemas import codec, frame, topics
from schemas.commands import CommandAck, CommandRequest, CommandState
from schemas.frame import ClockStatus, Frame, Stream
from schemas.frame_signatures import signed, tails
from stack import gateway_trust, instance, lifecycle, postgres, render, trust, unsigned
from stack.config import ROOT, Parallelism, StackConfig
from stack.mqtt_access import gateway_name
from stack.plant import read_gateways
from stack.reporting import Progress
from tests.integration.gateway_support import free_port
from tests.integration.line import Line
from tests.integration.planted import Planted, at_rest_keys, printed
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(1_800)
log = logging.getLogger(__name__)


SERVICES = ("owner-watch", "kafka", "postgres", "flink", "simulator", "gateway", "serving", "signer")
PATIENCE_S = 180
"""For what takes a second on a machine that does nothing else."""


class Boiler:
    """A server of another maker with a condition, and what was acknowledged there."""

    def __init__(self, folder: Path) -> None:
        self.port, self._journal = free_port(), folder / "journal.jsonl"
        self._loop, self._server = asyncio.Runner(), Foreign(NODE_OPCUA, folder)

    def start(self) -> None:
        given = ServerPlan(port=self.port, journal=str(self._journal), items=(), conditions=True)
        self._loop.run(self._server.start(given.dumps()))

    def order(self, what: str, **details: Any) -> None:
        self._loop.run(self._server.order(what, **details))

    def acknowledged(self) -> list[tuple[str, str]]:
        """Branch (empty: the condition as it is now) and comment."""
        return plan.acknowledged(self._journal.read_text().splitlines())

    def kill(self) -> None:
        self._loop.run(self._server.kill())
        self._loop.close()


RULES = {
    "rules": [
        {
            "name": "machine",
            "device_class": "boiler",
            "kind": "CONDITION",
            "condition_type": "*LimitAlarmType",
            "severity": "MINOR",
            "response": "LATER",
            "by_severity": {900: "MAJOR PROMPT"},
            "title": "Boiler",
        }
    ]
}


def _plant(boiler_port: int) -> dict[str, Any]:
    """Of the example plant one press at each site; and a boiler."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "stack" / "plant.yaml").read_text())
    for site in found["sites"]:
        (gateway,) = site["gateways"]
        gateway["connections"] = [one for one in gateway["connections"] if one["protocol"] == "opcua"]
        press = {"name": "press-01", "class": "press", "gateway": gateway["id"], "connection": "opcua"}
        cell = {"name": "blanking", "devices": [press]}
        site["areas"] = [{"name": "forming", "lines": [{"name": "line-1", "cells": [cell]}]}]
    north = found["sites"][0]
    endpoint: dict[str, Any] = {"protocol": "opcua", "endpoint": f"opc.tcp://127.0.0.1:{boiler_port}", "alarms": True}
    north["gateways"][0]["connections"].append({"name": "boiler", **endpoint})
    boiler = {"name": "boiler-01", "class": "boiler", "gateway": north["gateways"][0]["id"], "connection": "boiler"}
    north["areas"][0]["lines"][0]["cells"].append(
        {"name": "steam", "devices": [{**boiler, "addresses": {"level": LEVEL}}]}
    )
    level: dict[str, Any] = {
        "tag_class": "process",
        "data_type": "DOUBLE",
        "unit": "1",
        "description": "Level",
        "eu": [0, 1],
    }
    level |= {"limits": [0, 2], "period_ms": 1000}
    classes = {"press": found["device_classes"]["press"], "boiler": {"tags": {"level": level}}}
    return found | {"device_classes": classes}


@pytest.fixture(scope="module")
def boiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boiler]:
    made = Boiler(tmp_path_factory.mktemp("boiler"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, boiler: Boiler) -> Iterator[Line]:
    plant: Path = tmp_path_factory.mktemp("plant") / "plant.yaml"
    plant.write_text(yaml.safe_dump(_plant(boiler.port)))
    (plant.parent / "alarms.yaml").write_text(yaml.safe_dump(RULES))
    with instance.temporary(signatures="required", plant=plant, parallelism=Parallelism()) as running:
        lifecycle.up(running.config, Progress(sink=log.info), names=SERVICES)
        yield Line(running.config)


def _forged(line: Line, sequence: int, epoch: object) -> Frame:
    tag = line.tag("north/forming/line-1/blanking/press-01/energy")
    now_us = ids.now_us()
    return frame.build(
        gateway_id=tag.gateway_id, epoch=epoch, lane=tag.lane, stream=Stream.LIVE, sequence=sequence,  # type: ignore[arg-type]
        closed_time_us=now_us, clock_status=ClockStatus.SYNCHRONISED, registry_version=1,
        tag_id=np.array([tag.tag_id], np.int32), time_us=np.array([now_us]), value=np.array([100.0 + sequence]),
        quality=np.zeros(1, np.uint16),
    )  # fmt: skip


def _named(line: Line, record: str) -> list[str]:
    """Gateways that `status` names for records of a kind."""
    return [one["gateway"] for one in unsigned.collect(line.config)["gateways"] if one["record"] == record]


def _bad(line: Line, epoch: object) -> list[tuple[int, bytes]]:
    found = line.sql("SELECT sequence, original FROM rejects WHERE reason = 'BAD_SIGNATURE' AND epoch = %s", epoch)
    return sorted((sequence, bytes(original)) for sequence, original in found)


def test_frames_of_gateways_are_signed_and_stored_and_forged_ones_are_refused(line: Line) -> None:
    # `up` has proved that data arrives; here, that it came signed.
    tag, topic = line.tag("north/forming/line-1/blanking/press-01/energy"), topics.FRAMES.for_site("north")
    newest = [frame.decode(one.value() or b"") for one in kafka.read_to_end(line.kafka, topic, last=5)]
    assert newest
    assert all(one.signature and one.key_id and one.key_id.startswith(f"gateway-{one.gateway_id}.") for one in newest)
    refused = "SELECT count(*) FROM rejects WHERE reason = 'BAD_SIGNATURE' AND gateway_id = %s"
    assert line.sql(refused, tag.gateway_id) == [(0,)]

    epoch = ids.uuid7()
    own = Signer.of(trust.book(line.config).file(gateway_name(tag.gateway_id)).read_bytes())
    other = Signer.of(trust.book(line.config).file(gateway_name("gw-south-1")).read_bytes())
    messages = [frame.encode(_forged(line, sequence, epoch)) for sequence in range(3)]
    good = signed(messages[0], tails([messages[0]], own)[0])
    value = frame.decode(good)
    altered = dataclasses.replace(value, value=value.value + 1, sequence=3)
    altered = dataclasses.replace(altered, checksum=altered.computed_checksum())
    wrong = [messages[1], signed(messages[2], tails([messages[2]], other)[0]), frame.encode(altered)]
    kafka.send(kafka.producer(line.kafka), topic, ((value.lane_key.encode(), one) for one in [*wrong, good]))
    eventually(
        lambda: line.sql("SELECT frames, stored FROM ledger WHERE epoch = %s", epoch) == [(1, 1)],
        timeout_s=PATIENCE_S, what="the one that its gateway's key has signed is stored",
    )  # fmt: skip
    eventually(
        lambda: _bad(line, epoch) == list(zip((1, 2, 3), wrong, strict=True)),
        timeout_s=PATIENCE_S,
        what="the others are refused, and kept",
    )
    eventually(
        lambda: tag.gateway_id in _named(line, "frames"), timeout_s=PATIENCE_S, period_s=1.0, what="`status` names it"
    )


def test_a_command_of_serving_is_carried_out_and_one_that_somebody_writes_is_refused(line: Line) -> None:
    device = "acme/north/forming/line-1/blanking/press-01"
    with Client(line.config.serving_address) as client:
        command_id = client.submit(device, "write", {"speed_setpoint": 21.0}).command_id
        assert client.outcome(command_id, deadline_s=PATIENCE_S).succeeded
    topic, acks = topics.REQUESTS.for_site("north"), topics.ACKS.for_site("north")
    asked = [codec.decode(one.value() or b"") for one in kafka.read_to_end(line.kafka, topic)]
    (true,) = [
        record for name, record in asked if name == "CommandRequest" and str(record["command_id"]) == str(command_id)
    ]
    assert true["signature"]
    assert true["key_id"].startswith("serving.")

    # The same, in serving's name: with another value, and with no signature at all.
    altered = CommandRequest.from_record(true | {"parameters": {"speed_setpoint": 29.0}, "command_id": ids.uuid7()})
    altered = dataclasses.replace(altered, expires_us=ids.now_us() + 600_000_000, submitted_us=ids.now_us())
    bare = dataclasses.replace(altered, command_id=ids.uuid7(), signature="", key_id="")
    producer, key = kafka.producer(line.kafka), str(altered.device_id).encode()
    kafka.send(producer, topic, [(key, one.encode()) for one in (altered, bare)])
    query = "SELECT state FROM command WHERE command_id = %s"
    kept = "SELECT original FROM rejects WHERE reason = 'BAD_SIGNATURE' AND original IS NOT NULL"

    def is_kept(record: CommandRequest | CommandAck) -> bool:
        return record.encode() in [bytes(row[0]) for row in line.sql(kept)]

    # Neither becomes a command of the record, and the gateway says nothing of them.
    for one in (altered, bare):
        eventually(partial(is_kept, one), timeout_s=PATIENCE_S, what="the forged request is refused, and kept")
        assert not line.sql(query, one.command_id)

    # An acknowledgement that its gateway has not signed changes nothing, and is kept.
    forged = CommandAck(
        command_id=bare.command_id, attempt=1, device_id=bare.device_id, gateway_id=bare.gateway_id,
        state=CommandState.SUCCEEDED, time_us=ids.now_us(), detail="forged",
    )  # fmt: skip
    kafka.send(producer, acks, [(str(bare.command_id).encode(), forged.encode())])
    eventually(partial(is_kept, forged), timeout_s=PATIENCE_S, what="the forged acknowledgement is refused, and kept")
    eventually(
        lambda: _named(line, "acknowledgements") == [bare.gateway_id],
        timeout_s=PATIENCE_S,
        period_s=1.0,
        what="`status` names the gateway that would not have signed it",
    )
    assert not line.sql(query, bare.command_id)


def _alarm(client: Client, fits: Callable[[Alarm], bool]) -> Alarm:
    """The boiler's alarm as a caller sees it, once it fits."""
    return eventually(
        lambda: next((one for one in client.alarms() if one.condition and fits(one)), None),
        timeout_s=PATIENCE_S,
        period_s=0.2,
        what="the alarm of the condition",
    )


def _on(client: Client) -> bool:
    """Whether the alarms job has completed a checkpoint."""
    try:
        client.alarms()
    except PreconditionError:
        return False
    return True


def _over(client: Client) -> None:
    eventually(
        lambda: not any(one.condition for one in client.alarms()),
        timeout_s=PATIENCE_S,
        period_s=0.2,
        what="no alarm of a condition stands",
    )


def _has_heard(alarm: Alarm) -> bool:
    """Its AckedState, as the server says it by an event of its own: no command is named then."""
    there = alarm.at_machine
    return there is not None and there.state is MachineAcknowledgementState.ACKNOWLEDGED and there.command_id is None


def _machine_is(state: MachineAcknowledgementState, alarm: Alarm) -> bool:
    return alarm.at_machine is not None and alarm.at_machine.state is state


def test_a_condition_of_a_machine_is_acknowledged_by_signed_commands_and_at_the_machine(
    line: Line, boiler: Boiler
) -> None:
    with Client(Connection(line.config.serving_address, name="alice")) as client:
        eventually(lambda: _on(client), timeout_s=PATIENCE_S, period_s=0.2, what="alarms are on")
        boiler.order("level", value=0.85)
        raised = _alarm(client, lambda one: one.state is AlarmState.UNACKNOWLEDGED)
        assert (raised.title, raised.priority, raised.at_machine) == ("Boiler: 4:Level: Level", AlarmPriority.LOW, None)
        client.acknowledge_alarm(raised, "on my way")
        there = _alarm(client, _has_heard)
        assert (there.state, there.acknowledged_by) == (AlarmState.ACKNOWLEDGED, "local:alice")
        assert boiler.acknowledged() == [("", "local:alice: on my way")]

        # More urgent, though its AckedState stays true: it asks again, and no command has anything to say there.
        boiler.order("severity", value=950)
        again = _alarm(client, lambda one: one.state is AlarmState.UNACKNOWLEDGED)
        assert (again.alarm_id, again.priority, again.activations) == (raised.alarm_id, AlarmPriority.HIGH, 2)
        client.acknowledge_alarm(again)
        taken = _alarm(client, lambda one: one.state is AlarmState.ACKNOWLEDGED)
        assert _has_heard(taken)
        boiler.order("level", value=0.5)
        _over(client)

        # Over before somebody looks: it stands until the server has heard of the acknowledgement.
        boiler.order("level", value=0.85)
        _alarm(client, lambda one: one.state is AlarmState.UNACKNOWLEDGED)
        boiler.order("level", value=0.5)
        over = _alarm(client, lambda one: one.state is AlarmState.RETURNED_UNACKNOWLEDGED)
        client.acknowledge_alarm(over)
        _over(client)
        assert boiler.acknowledged()[1:] == [("branch", "local:alice")]

        boiler.order("level", value=0.95)
        third = _alarm(client, lambda one: one.state is AlarmState.UNACKNOWLEDGED)
        boiler.order("acknowledge", comment="seen by the fitter")
        there = _alarm(client, lambda one: one.state is AlarmState.ACKNOWLEDGED)
        assert there.alarm_id == third.alarm_id
        # With the user of the last session that called a method of the condition, which node-opcua leaves there.
        assert is_machines(there.acknowledged_by)
        assert _has_heard(there)

    asked = [
        codec.decode(one.value() or b"") for one in kafka.read_to_end(line.kafka, topics.REQUESTS.for_site("north"))
    ]
    commands = [record for name, record in asked if name == "CommandRequest" and record["name"] == "acknowledge"]
    assert len(commands) == 2, "none is made of what the machine did itself"
    assert all(one["signature"] and one["key_id"].startswith("serving.") for one in commands)
    eventually(
        lambda: line.sql("SELECT state FROM command WHERE name = 'acknowledge'") == [("SUCCEEDED",)] * 2,
        timeout_s=PATIENCE_S,
        what="both commands in history",
    )
    query = "SELECT kind, state, detail FROM alarm_events WHERE alarm_id = %s ORDER BY version, recorded_at"
    eventually(
        lambda: any(kind == "RESET" for kind, *_ in line.sql(query, over.alarm_id)),
        timeout_s=PATIENCE_S,
        what="its end in history",
    )
    # It is raised so often here that it is chattering as well.
    course = [row for row in line.sql(query, over.alarm_id) if row[0] != "CHATTERING"]
    assert [kind for kind, *_ in course] == ["RAISED", "RETURNED", "ACKNOWLEDGED", "RESET"], course
    assert course[-1][2] == "acknowledged at the machine"


def test_an_acknowledgement_that_the_server_refuses_is_seen_in_the_alarm_and_can_be_given_again(
    line: Line, boiler: Boiler
) -> None:
    before = boiler.acknowledged()
    with Client(Connection(line.config.serving_address, name="alice")) as client:
        boiler.order("refuse", on=True)
        boiler.order("level", value=0.85)
        raised = _alarm(client, lambda one: one.state is AlarmState.UNACKNOWLEDGED)
        client.acknowledge_alarm(raised, "on my way")
        refused = _alarm(client, partial(_machine_is, MachineAcknowledgementState.FAILED))
        assert refused.state is AlarmState.ACKNOWLEDGED, "the person's own acknowledgement stands"
        assert refused.at_machine is not None
        assert "BadUserAccessDenied" in refused.at_machine.detail
        assert boiler.acknowledged() == before
        query, command_id = "SELECT state FROM command WHERE command_id = %s", refused.at_machine.command_id
        eventually(
            lambda: line.sql(query, command_id) == [("FAILED",)],
            timeout_s=PATIENCE_S,
            what="the refusal in history",
        )

        boiler.order("refuse", on=False)
        client.acknowledge_alarm(refused, "once more")
        taken = _alarm(client, _has_heard)
        assert taken.alarm_id == raised.alarm_id
        assert boiler.acknowledged() == [*before, ("", "local:alice: once more")]
        boiler.order("level", value=0.5)
        _over(client)


def test_a_revoked_gateways_key_signs_nothing_seconds_later(line: Line) -> None:
    gateway, topic, epoch = "gw-south-1", topics.FRAMES.for_site("south"), ids.uuid7()
    signer = Signer.of(trust.book(line.config).file(gateway_name(gateway)).read_bytes())
    gateway_trust.revoke(line.config, gateway)
    tag = next(one for one in line.tags.values() if one.gateway_id == gateway)
    producer, sequence = kafka.producer(line.kafka), iter(range(10_000))

    def refused() -> bool:
        made = dataclasses.replace(
            _forged(line, next(sequence), epoch),
            gateway_id=gateway,
            lane=tag.lane,
            tag_ids=np.array([tag.tag_id], np.int32),
        )
        message = frame.encode(dataclasses.replace(made, checksum=made.computed_checksum()))
        kafka.send(producer, topic, [(made.lane_key.encode(), signed(message, tails([message], signer)[0]))])
        return bool(_bad(line, epoch))

    eventually(refused, timeout_s=PATIENCE_S, period_s=0.5, what="its key is refused")
    details = line.sql("SELECT detail FROM rejects WHERE reason = 'BAD_SIGNATURE' AND epoch = %s", epoch)
    assert all(f"key {signer.id} was revoked at" in detail for (detail,) in details)


# --- secrets --------------------------------------------------------------------------------------------------------------


def _flink_says(config: StackConfig) -> dict[str, str]:
    """What Flink shows to whoever can open its page: configurations, environments and logs of its processes and of the jobs."""
    jobs = [one["id"] for one in _json(config, "/jobs")["jobs"]]
    managers = [one["id"] for one in _json(config, "/taskmanagers")["taskmanagers"]]
    assert jobs
    assert managers
    paths = ["/jobmanager/config", "/jobmanager/environment", "/jobmanager/log", "/jobmanager/stdout"]
    paths += [f"/jobs/{job}{page}" for job in jobs for page in ("", "/config", "/plan", "/exceptions", "/checkpoints")]
    paths += [f"/taskmanagers/{one}/{page}" for one in managers for page in ("log", "stdout")]
    return {path: _page(f"{config.flink_url}{path}") for path in paths}


def _page(url: str, **headers: str) -> str:
    """Body of a page, whatever its status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(errors="replace")


def _json(config: StackConfig, path: str) -> Any:
    return json.loads(_page(f"{config.flink_url}{path}"))


def _strangers(line: Line, planted: Planted) -> dict[str, str]:
    """What is answered to somebody who shows a secret where none is wanted, or a wrong one."""
    token, url = planted.new("a token"), line.config.page_url.rstrip("/")
    answers = {
        "a token": _page(f"{url}/api/v1/tags", Authorization=f"Bearer {token}"),
        "a cookie": _page(f"{url}/api/v1/tags", Cookie=f"millrace_session={planted.new('a cookie')}"),
        "a query": _page(f"{url}/api/v1/tags?access_token={planted.new('a query')}"),
    }
    with Client(Connection(line.config.serving_address, token=token)) as client:
        try:
            answers["over gRPC"] = str(client.devices_page())
        except MillraceError as error:
            answers["over gRPC"] = f"{error!r} {error}"
    return answers


@pytest.mark.security("T-AUDIT-LEAK", "T-HOST-PROC", "V14.2.4", "V16.2.5", "SR 4.1")
def test_no_secret_of_running_jobs_and_gateways_is_seen(line: Line, tmp_path: Path) -> None:
    config, planted = line.config, Planted()
    planted.take(config)
    gateways = [gateway.id for gateway in read_gateways(config.plant)]
    assert {f"at rest of {one}" for one in gateways} <= planted.secrets.keys()
    assert {
        "postgres-historian-password",
        "serving.pem",
        *(f"gateway-{one}.pem" for one in gateways),
    } <= planted.secrets.keys()
    with planted.watched():
        texts = _strangers(line, planted) | _flink_says(config)
        for index, gateway in enumerate(gateways):
            port = render.gateway_admin_port(config, index)
            texts |= {
                f"{gateway} {page}": _page(f"http://{config.host}:{port}{page}") for page in ("/status", "/metrics")
            }
        texts |= {" ".join(words): printed(config, *words) for words in (("status", "--json"), ("gateway", "status"))}
    private = (
        config.secrets,
        config.config,
        postgres.tls_dir(config),
        postgres.backup_home(config),
        *at_rest_keys(config),
    )
    found = {
        "printed": {name: whose for name, text in texts.items() if (whose := planted.in_text(text))},
        "processes": planted.seen,
        "files": planted.in_files(config.state, private, tmp_path),
    }
    assert {place: what for place, what in found.items() if what} == {}
