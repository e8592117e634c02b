"""`./millrace gateway enrol`, `revoke` and `list`, and what the stack does with gateways that make their keys; no broker runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authority.book import Usage
from base import p256
from base.errors import UnavailableError
from connectors.enrolment.code import Code
from connectors.kafka import acls
from edge import enrol
from enrolment.ledger import CodeState
from schemas.audit import AuditEvent
from stack import certificates, gateways, mosquitto, postgres, render, trust
from stack.config import StackConfig
from stack.health.answer import silent
from stack.services import all_services

PLANT = """
enterprise: acme
tag_classes: {}
device_classes: {}
sites:
  - {name: north, gateways: [{id: gw-1}, {id: gw-2}], areas: []}
  - {name: south, gateways: [{id: gw-3}], areas: []}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackConfig:
    plant = tmp_path / "plant.yaml"
    plant.write_text(PLANT)
    monkeypatch.setattr(postgres, "system_user", lambda: None)
    found = StackConfig(state=tmp_path / "state", plant=plant)
    for key, value in render.instance_environment(found).items():
        monkeypatch.setenv(key, value)
    found.config.mkdir(parents=True)
    trust.prepare(found)
    monkeypatch.setattr(acls, "apply", lambda *_: 0)
    monkeypatch.setattr(mosquitto, "health", lambda _: silent("away"))
    return found


def noted(config: StackConfig) -> list[tuple[str, str, str]]:
    found: list[AuditEvent] = []
    trust.outbox(config).forward(found.extend)
    return [(one.action, one.name, one.path) for one in found]


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    capsys.readouterr()
    assert gateways.main(["list", "--json"]) == 0
    return {one["id"]: (one["key"], one["state"]) for one in json.loads(capsys.readouterr().out)["gateways"]}


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["west"], "has no site 'west' with a gateway; there are north, south"),
        (["north"], "site north has 2 gateways: name one of them, or a new one, with --name; there are gw-1, gw-2"),
        (["south"], "this stack runs gateway gw-3 itself: with --hand-over"),
        (["south", "--name", "gw-1"], "gateway gw-1 is of site north, and a gateway never changes its site"),
        (["south", "--name", "../x"], "letters, digits"),
        (["south", "--name", "x" * 57], "up to 56"),
        (["south", "--name", "gw-9", "--minutes", "0"], "not between 1 and 1440"),
        (["south", "--name", "gw-9", "--minutes", "1441"], "not between 1 and 1440"),
    ],
)
def test_what_cannot_enrol_says_why(
    config: StackConfig, capsys: pytest.CaptureFixture[str], arguments: list[str], cause: str
) -> None:
    assert gateways.main(["enrol", *arguments]) == 2
    assert cause in capsys.readouterr().err
    assert trust.ledger(config).read().codes == {}


def test_without_an_authority_the_stack_is_to_be_started_first(
    config: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    trust.authority(config).root_file.unlink()
    assert gateways.main(["enrol", "north", "--name", "new"]) == 1
    assert "start the stack with `./millrace up`" in capsys.readouterr().err


def test_a_gateway_that_enrols_is_no_service_and_has_no_key_here(
    config: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(capsys) == dict.fromkeys(("gw-1", "gw-2", "gw-3"), ("this stack's", "good"))
    assert gateways.main(["enrol", "north", "--name", "gw-1", "--hand-over"]) == 0
    shown = capsys.readouterr()
    assert "--gateway gw-1 --site north --folder" in shown.out
    assert "`./millrace up` starts it" in shown.err
    assert "gateway-gw-1" not in trust.holders(config)
    services = {one.name for one in all_services(config)}
    assert {"gateway-gw-2", "gateway-gw-3", "enrolment", "signer"} <= services
    assert "gateway-gw-1" not in services
    # Those that stay keep their ports.
    assert [index for index, _ in trust.gateways_here(config)] == [1, 2]
    key, state = rows(capsys)["gw-1"]
    assert (key, state[:16]) == ("its own", "good, waits unti")
    assert noted(config) == [("gateway:code", "gw-1", "acme/north")]


def test_a_new_gateway_and_the_only_one_of_a_site_need_no_more_words(
    config: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gateways.main(["enrol", "south", "--name", "gw-9", "--json"]) == 0
    code = Code.parse(json.loads(capsys.readouterr().out)["code"])
    assert list(trust.ledger(config).read().codes) == [code.handle.hex()]
    assert gateways.main(["enrol", "north", "--name", "gw-8"]) == 0
    assert gateways.main(["enrol", "south", "--hand-over"]) == 2  # there are two now
    assert set(rows(capsys)) == {"gw-1", "gw-2", "gw-3", "gw-8", "gw-9"}


def test_revoking_withdraws_codes_and_a_revoked_one_may_come_back_to_the_stack(
    config: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gateways.main(["revoke", "gw-7"]) == 2
    assert "there is no gateway 'gw-7'; there are gw-1, gw-2, gw-3" in capsys.readouterr().err
    gateways.main(["enrol", "north", "--name", "gw-1", "--hand-over"])
    authority = trust.authority(config)
    authority.revoke("gateway-gw-1")
    authority.sign("gateway-gw-1", Usage.CLIENT, p256.new_key().public_key())
    for verb in ("issue", "renew"):  # it would make a key here for somebody who has one
        assert certificates.main([verb, "gateway-gw-1"]) == 2
        assert "makes its keys itself" in capsys.readouterr().err
    noted(config)
    assert gateways.main(["revoke", "gateway-gw-1", "--why", "stolen"]) == 0
    assert "CN=gateway-gw-1,OU=2" in capsys.readouterr().out
    assert {one.state(one.made) for one in trust.ledger(config).read().codes.values()} == {CodeState.WITHDRAWN}
    assert rows(capsys)["gw-1"] == ("its own", "revoked")
    assert certificates.main(["issue", "gateway-gw-1"]) == 0
    assert rows(capsys)["gw-1"] == ("this stack's", "good")
    assert [action for action, _, _ in noted(config)] == ["gateway:revoke", "gateway:take-back"]


def test_a_revocation_that_a_broker_did_not_hear_of_is_written_down(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: object) -> int:
        msg = "the broker is away"
        raise UnavailableError(msg)

    monkeypatch.setattr(acls, "apply", away)
    assert gateways.main(["revoke", "gw-1"]) == 3
    assert "counts there with the next `./millrace up`" in capsys.readouterr().err
    assert rows(capsys)["gw-1"][1] == "revoked"
    assert noted(config) == [("gateway:revoke", "gw-1", "acme/north")]


@pytest.mark.parametrize(
    ("changes", "status", "cause"),
    [
        ({"--server": "http://x"}, 2, "not https://host:port"),
        ({"--gateway": "../x"}, 2, "--gateway is not made of letters"),
        ({"--code": "ABCD"}, 2, "never the code itself"),
        ({"--code": "env:NO_SUCH"}, 2, "the variable is not set"),
        ({"--code": "env:WRONG"}, 2, "64 letters and digits"),
        ({}, 3, "cannot be reached"),
    ],
)
def test_what_is_wrong_at_the_gateway_s_side_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    changes: dict[str, str], status: int, cause: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("WRONG", "ABCD")
    monkeypatch.setenv("CODE", Code.new(b"root").text)
    given = {"--server": "https://127.0.0.1:1", "--gateway": "gw-1", "--site": "north", "--code": "env:CODE"} | changes
    folder = tmp_path / "gateway"
    assert enrol.main([word for pair in given.items() for word in pair] + ["--folder", str(folder)]) == status
    assert cause in capsys.readouterr().err
    assert not (folder / "identity.pem").exists()


def test_a_folder_of_another_gateway_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gateway.toml").write_text('gateway_id = "gw-2"\nsite = "north"\n')
    where = ["--server", "https://127.0.0.1:1", "--gateway", "gw-1", "--site", "north", "--folder", str(tmp_path)]
    assert enrol.main(where) == 2
    assert "is of another gateway" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["gateway.toml"]


@pytest.mark.parametrize("there", ["buffer", "commands.sqlite"])
def test_the_state_of_a_gateway_that_exists_is_not_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    (tmp_path / there).mkdir()
    where = ["--server", "https://127.0.0.1:1", "--gateway", "gw-1", "--site", "north", "--folder", str(tmp_path)]
    assert enrol.main(where) == 2
    assert "the state of a gateway that exists" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == [there]
