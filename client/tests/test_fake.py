"""The fake plant as users set it up: machines that obey or do not, failures, servers that go away."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

import pytest

from millrace_client import (
    Alarm,
    AlarmPriority,
    AlarmState,
    AnomalyPhase,
    Command,
    CommandState,
    Effect,
    InvalidRequestError,
    OverloadedError,
    PreconditionError,
    UnavailableError,
)
from millrace_client.cli.find import find_device, find_paths
from millrace_client.errors import ClosedError, NotFoundError
from millrace_client.fake import Control, FakePlant, Outcome
from millrace_client.ids import now_us

PRESS = "acme/north/press/line1/cell1/press01"


@pytest.fixture
def plant() -> FakePlant:
    made = FakePlant()
    made.define(f"{PRESS}/temperature", unit="Cel", value=71.25)
    made.define(f"{PRESS}/speed_setpoint", writable=True, eu_low=0, eu_high=20)
    made.define(f"{PRESS}/packml_command", data_type="INTEGER", writable=True)
    return made


def test_a_machine_does_as_it_is_told(plant: FakePlant) -> None:
    with plant.client() as client:
        command = client.outcome(client.submit(PRESS, "write", {"speed_setpoint": 12.5}))
        assert (command.succeeded, command.version, command.readback) == (True, 4, {"speed_setpoint": 12.5})
        last = client.tag(f"{PRESS}/speed_setpoint").last
        assert last is not None
        assert last.value == 12.5
        assert client.outcome(client.submit(PRESS, "start")).readback == {"packml_command": 2.0}
    assert [command.name for command in plant.commands] == ["write", "start"]


def test_a_machine_may_refuse_or_take_its_time(plant: FakePlant) -> None:
    def stubborn(_: FakePlant, command: Command) -> Outcome | None:
        return Outcome(state=CommandState.REJECTED, detail="door open") if command.name == "start" else None

    plant.machine = stubborn
    with plant.client() as client:
        refused = client.outcome(client.submit(PRESS, "start"))
        assert (refused.state, refused.detail) == (CommandState.REJECTED, "door open")
        waiting = client.submit(PRESS, "stop")
        assert client.command(waiting).state is CommandState.ACCEPTED
        plant.advance(waiting, CommandState.UNKNOWN, detail="no word from it")
        assert client.outcome(waiting).detail == "no word from it"


def test_what_waits_for_approval_is_carried_out_after_it_or_cancelled(plant: FakePlant) -> None:
    with plant.client("ann") as ann, plant.client("bob") as bob:
        command = ann.submit(PRESS, "start", requires_approval=True)
        bob.approve(command, "fine")
        assert ann.outcome(command).succeeded
        other = ann.submit(PRESS, "stop", requires_approval=True)
        ann.cancel(other, "not now")
        assert (ann.command(other).state, ann.command(other).detail) == (CommandState.CANCELLED, "not now")
        with pytest.raises(PreconditionError):
            bob.approve(other)
    assert plant.controls == [
        Control(action="APPROVE", command_id=command.command_id, by="local:bob", reason="fine"),
        Control(action="CANCEL", command_id=other.command_id, by="local:ann", reason="not now"),
    ]


def test_failures_are_ordered_and_given_up_or_waited_out_as_with_a_server(plant: FakePlant) -> None:
    with plant.client() as client:
        plant.fail(UnavailableError("a moment"), times=3)
        assert client.tag(f"{PRESS}/temperature").last is not None
        plant.fail(OverloadedError("slow down", retry_after_s=0.05))
        assert client.tag(f"{PRESS}/temperature").last is not None
        plant.fail(OverloadedError("slow down"))
        with pytest.raises(OverloadedError, match="slow down"):
            client.tag(f"{PRESS}/temperature")
        assert client.tag(f"{PRESS}/temperature").unit == "Cel"


def test_a_watch_is_fed_by_another_thread(plant: FakePlant) -> None:
    with plant.client() as client, client.watch(f"{PRESS}/temperature", max_rate_hz=100) as updates:
        assert next(updates).value.value == 71.25
        thread = threading.Thread(target=plant.set, args=(f"{PRESS}/temperature", 72.0))
        thread.start()
        assert next(updates).value.value == 72.0
        thread.join()


def test_an_older_server_is_asked_for_what_it_has() -> None:
    plant = FakePlant(without=("WatchTagBatches", "SubmitAndWait"))
    plant.define(f"{PRESS}/temperature", value=71.25)
    plant.define(f"{PRESS}/speed_setpoint", writable=True)
    with plant.client() as client:
        with client.watch(f"{PRESS}/temperature", max_rate_hz=100) as updates:
            assert next(updates).value.value == 71.25
            plant.set(f"{PRESS}/temperature", 72.0)
            assert next(updates).value.value == 72.0
        with client.watch_batches(PRESS) as batches:
            batch = next(batches)
            assert ([one.value.value for one in batch.updates], batch.position) == ([72.0], "")
        command = client.submit_and_wait(PRESS, "write", {"speed_setpoint": 3.0})
        assert (command.succeeded, [one.effect for one in command.outcomes]) == (True, [Effect.APPLIED])


def test_a_closed_client_says_so(plant: FakePlant) -> None:
    client = plant.client()
    client.close()
    with pytest.raises(ClosedError):
        client.tag(1)
    with pytest.raises(ClosedError):
        client.watch()


def test_what_makes_no_plant_is_refused(plant: FakePlant) -> None:
    with pytest.raises(InvalidRequestError, match="enterprise/site"):
        plant.define("temperature")
    with pytest.raises(NotFoundError):
        plant.set("no/where", 1.0)
    with pytest.raises(InvalidRequestError, match="allow has fly"):
        plant.client(allow=("read", "fly"))


def test_ids_survive_a_second_definition(plant: FakePlant) -> None:
    first = plant.device(PRESS)
    plant.define(f"{PRESS}/temperature", unit="K")
    again = plant.device(PRESS)
    assert [(tag.tag_id, tag.name) for tag in first.tags] == [(tag.tag_id, tag.name) for tag in again.tags]
    assert again.device_id == first.device_id
    assert {tag.name: tag.unit for tag in again.tags}["temperature"] == "K"


def test_phases_and_states_are_plain_words() -> None:
    assert f"{AnomalyPhase.OPEN} {CommandState.SUCCEEDED}" == "OPEN SUCCEEDED"


def test_people_may_type_ids_paths_and_names(plant: FakePlant) -> None:
    with plant.client() as client:
        assert find_device(client, "12") == 12
        assert find_device(client, PRESS) == PRESS
        assert find_device(client, "press01") == PRESS
        assert find_paths(client, ["acme", "press01", "acme/n*"]) == ["acme", PRESS, "acme/n*"]
        with pytest.raises(NotFoundError, match="no device named 'press77'"):
            find_device(client, "press77")
        plant.define("acme/south/a/l/c/press01/x")
        with pytest.raises(InvalidRequestError, match="the name of 2 devices"):
            find_device(client, "press01")


def test_when_alarms_held_is_known(plant: FakePlant) -> None:
    raised = now_us() - 60_000_000
    alarm = Alarm(
        alarm_id=uuid4(),
        source_id=uuid4(),
        version=1,
        site="north",
        rule="hot",
        path=f"{PRESS}/temperature",
        device_path=PRESS,
        device_id=1,
        priority=AlarmPriority.MEDIUM,
        state=AlarmState.UNACKNOWLEDGED,
        activations=1,
        activated_us=raised,
        active=True,
    )
    plant.raise_alarm(alarm)
    with plant.client("ann") as client:
        client.acknowledge_alarm(alarm)
        (found,) = client.alarm_activations(PRESS).activations
        assert (found.alarm_id, found.raised_us, found.returned_us) == (alarm.alarm_id, raised, None)
        assert found.acknowledged_by.endswith("ann")
        assert client.alarm_activations(PRESS, end=timedelta(hours=1)).activations == ()
        with pytest.raises(InvalidRequestError, match="start_us"):
            client.alarm_activations(start=timedelta(hours=1), end=timedelta(hours=2))
