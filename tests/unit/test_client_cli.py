"""The command line: what it prints, for people and for programs, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from base.ids import now_us
from millrace_client import cli, utc
from millrace_client.cli import commands
from millrace_client.fake import FakePlant
from schemas.commands import CommandState, Effect, ParameterOutcome
from tests.contract import examples
from tests.unit.served import LINE, Served, batch, eventually, served


async def run(running: Served, *arguments: str) -> int:
    """Exit code of the client's command line, in a thread because it has an event loop of its own."""
    return await asyncio.to_thread(cli.main, [*arguments[:1], "--address", running.address, *arguments[1:]])


async def test_devices_and_tags_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 71.25}, quality=0x808C))
        assert await run(running, "devices") == 0
        assert re.search(rf"10\s+{LINE}/press00\s+press\s+gw-north-1", capsys.readouterr().out)
        assert await run(running, "tags", "press00") == 0
        out = capsys.readouterr().out
        assert re.search(r"press00/temperature\s+71.25\s+Cel\s+bad 0x808C", out)
        assert "never seen" in out
        assert "press01" not in out
        assert await run(running, "devices", "no/where") == 1
        assert "nothing at or under 'no/where'" in capsys.readouterr().err


def test_what_stands_in_brackets_is_text_and_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = FakePlant()
    plant.define(f"{LINE}/press00/pressure", unit="[psi]", description="P [bold] of :smile:")
    plant.set(f"{LINE}/press00/pressure", 20.5)
    monkeypatch.setattr(commands, "Client", lambda _, **more: plant.client(**more))
    assert cli.main(["tags", "--address", "nowhere:1"]) == 0
    assert re.search(r"20.5\s+\[psi\]\s+good.*P \[bold\] of :smile:", capsys.readouterr().out)


async def test_watch_prints_values_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    async with served() as running:
        running.server.values.apply(batch({100: 71.25, 101: 3.0}))
        assert await run(running, "watch", "press00", "--count", "2") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split("  ")[1:3] for line in lines] == [
            [f"{LINE}/press00/temperature", "71.25 Cel"],
            [f"{LINE}/press00/speed_setpoint", "3 Cel"],
        ]
        assert await run(running, "watch", "press00", "--count", "1", "--json") == 0
        assert json.loads(capsys.readouterr().out)["value"]["value"] == 71.25


def test_history_is_printed_as_csv_json_and_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = FakePlant()
    plant.define(f"{LINE}/press00/temperature", unit="Cel")
    at_us = now_us() - 60_000_000
    for number in range(3):
        plant.set(f"{LINE}/press00/temperature", 20.5 + number, time_us=at_us + number, code=0x4090 if number else 0)
    monkeypatch.setattr(commands, "Client", lambda _, **more: plant.client(**more))

    def shown(*arguments: str, code: int = 0) -> list[str]:
        assert cli.main(["history", "press00", "--address", "unused:1", *arguments]) == code
        return capsys.readouterr().out.splitlines()

    header, *rows = shown("--since", "1h", "--csv")
    assert header == "time,path,unit,value,quality"
    assert rows[0] == f"{utc(at_us).isoformat(timespec='microseconds')},{LINE}/press00/temperature,Cel,20.5,0"
    assert len(rows) == 3
    assert json.loads(shown("--json", "--limit", "1")[0])["value"] == 22.5
    assert json.loads(shown("--json", "--good")[0]) == {
        "time_us": at_us,
        "path": f"{LINE}/press00/temperature",
        "unit": "Cel",
        "value": 20.5,
        "quality": 0,
    }
    assert "uncertain" in shown()[-1]
    header, *rows = shown("--window-s", "1", "--csv")
    assert header.startswith("start,path,unit,window_s,count,good,mean")
    assert rows[0].split(",")[3:7] == ["1", "3", "1", "20.5"]
    assert shown("--since", "10s", code=1) == []
    with pytest.raises(SystemExit):
        cli.main(["history", "press00", "--since", "yesterday"])
    assert "'yesterday' is not a time: write 90s" in capsys.readouterr().err


async def test_anomalies_name_who_contributed(capsys: pytest.CaptureFixture[str]) -> None:
    step = examples.records()["Anomaly"] | {"device_id": 10, "phase": "OPEN", "end_us": None}
    step["contributors"] = [step["contributors"][0] | {"tag_id": 100}]
    async with served() as running:
        running.server.episodes.apply(step)
        assert await run(running, "anomalies", "--count", "1") == 0
        out = capsys.readouterr().out
        assert f"OPEN    {LINE}/press00" in out
        assert "temperature is 91.5, expected 60 to 80" in out


@pytest.mark.parametrize(
    ("outcome", "code"), [(CommandState.SUCCEEDED, 0), (CommandState.FAILED, 1), (CommandState.UNKNOWN, 1)]
)
async def test_the_exit_code_of_a_command_is_its_outcome(
    outcome: CommandState, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served() as running:
        waiting = asyncio.create_task(run(running, "command", "press01", "write", "speed_setpoint=12.5"))
        await eventually(lambda: running.requests.records)
        running.record(running.request(), CommandState.EXECUTING, 2)
        running.record(running.request(), outcome, 3, detail="as it is", readback={"speed_setpoint": 12.5})
        assert await waiting == code
        out = capsys.readouterr().out
        assert f"write speed_setpoint=12.5 on {LINE}/press01  (by local" in out
        assert f"{outcome}  as it is  read back speed_setpoint = 12.5" in out


async def test_a_command_shows_what_became_of_each_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = (
        ParameterOutcome(name="speed_setpoint", effect=Effect.APPLIED, readback=12.5),
        ParameterOutcome(name="running", effect=Effect.REFUSED, detail="BadOutOfRange"),
    )
    async with served() as running:
        arguments = ("write", "speed_setpoint=12.5", "running=on", "--reason", "shift change")
        waiting = asyncio.create_task(run(running, "command", "press01", *arguments))
        await eventually(lambda: running.requests.records)
        detail = "partly carried out: ..."
        running.record(running.request(), CommandState.FAILED, 3, detail=detail, outcomes=outcomes)
        assert await waiting == 1
        out = capsys.readouterr().out
        assert "because: shift change)" in out
        assert "    speed_setpoint  APPLIED   read back 12.5\n" in out
        assert "    running         REFUSED   BadOutOfRange\n" in out


async def test_a_command_need_not_be_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    async with served() as running:
        assert (
            await run(
                running,
                "command",
                "press01",
                "start",
                "--no-wait",
                "--json",
                "--approve",
                "--as",
                "ann",
                "--id",
                str(examples.COMMAND),
            )
            == 0
        )
        command = json.loads(capsys.readouterr().out)
        assert (command["command_id"], command["state"], command["submitted_by"]) == (
            str(examples.COMMAND),
            "PENDING_APPROVAL",
            "local:ann",
        )
        assert await run(running, "approve", str(examples.COMMAND), "--as", "ann") == 3
        assert "somebody else has to approve" in capsys.readouterr().err
        assert await run(running, "approve", str(examples.COMMAND), "--as", "bob") == 0
        assert await run(running, "get", str(examples.COMMAND)) == 0
        assert await run(running, "cancel", str(examples.COMMAND), "--reason", "no need") == 0
        assert running.requests.decoded[-1][1]["reason"] == "no need"


async def test_mistakes_are_answered_with_what_would_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    async with served() as running:
        assert await run(running, "command", "press01", "write", "temperature=1") == 2
        assert "temperature is not writable; writable there: packml_command" in capsys.readouterr().err
        assert await run(running, "command", "press77", "start") == 2
        assert "no device named 'press77'" in capsys.readouterr().err
        with pytest.raises(SystemExit) as caught:
            await run(running, "command", "press01", "write", "speed_setpoint=fast")
        assert caught.value.code == 2
        assert "not name=number" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices", "--address", "127.0.0.1:1", "--deadline-s", "0.3"]) == 3
    assert "127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a=1.5", ("a", 1.5)), ("a=true", ("a", 1.0)), ("a=OFF", ("a", 0.0)), ("a=-2e3", ("a", -2000.0))],
)
def test_parameters_are_numbers_or_truths(text: str, expected: tuple[str, float]) -> None:
    assert commands._parameter(text) == expected
