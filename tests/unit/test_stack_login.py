"""`./millrace login`: the device flow as the terminal sees it, and the token it keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from base.errors import ConfigError, UnavailableError
from base.fetch import RefusedError
from stack import login, sign_in
from stack.config import StackConfig

AT = "http://127.0.0.1:29082"


class Issuer:
    """Answers of an issuer to a terminal, in order."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.waits: list[float] = []
        self.asked: list[Mapping[str, str]] = []

    def get(self, url: str) -> bytes:
        assert url == f"{AT}/.well-known/openid-configuration"
        found = {
            "issuer": AT,
            "device_authorization_endpoint": f"{AT}/device_authorization",
            "token_endpoint": f"{AT}/token",
        }
        return json.dumps(found).encode()

    def post(self, url: str, form: Mapping[str, str]) -> bytes:
        self.asked.append(form)
        if url == f"{AT}/device_authorization":
            made = {
                "device_code": "d1",
                "user_code": "BCDF-GHJK",
                "verification_uri": f"{AT}/device",
                "interval": 2,
                "expires_in": 600,
            }
            return json.dumps(made).encode()
        answer = self.answers.pop(0)
        if answer != "token":
            raise RefusedError(answer, code=answer)
        return json.dumps({"access_token": "a.b.c", "expires_in": 300}).encode()

    def run(self) -> Mapping[str, object]:
        said: list[str] = []
        found = login.login(AT, "millrace-cli", fetcher=self, say=said.append, wait=self.waits.append)  # type: ignore[arg-type]
        assert "BCDF-GHJK" in said[0]
        assert f"{AT}/device" in said[0]
        return found


def test_a_terminal_waits_until_somebody_has_signed_in() -> None:
    issuer = Issuer("authorization_pending", "slow_down", "token")
    assert issuer.run()["access_token"] == "a.b.c"
    assert issuer.waits == [2, 2, 7]
    assert issuer.asked[-1] == {"grant_type": login.GRANT, "device_code": "d1", "client_id": "millrace-cli"}


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_client", ""])
def test_a_refusal_ends_it(code: str) -> None:
    with pytest.raises(UnavailableError, match="did not sign you in"):
        Issuer(code).run()


def test_an_address_that_is_no_issuer_says_so() -> None:
    with pytest.raises(ConfigError, match="no issuer where a terminal can sign in"):
        login.login("http://127.0.0.1:1", "c", fetcher=Elsewhere(), say=print)  # type: ignore[arg-type]


class Elsewhere(Issuer):
    """Says that it is somebody else."""

    def get(self, url: str) -> bytes:
        del url
        return json.dumps({"issuer": AT}).encode()


def test_the_token_is_private_and_forgotten_when_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    assert login.kept() == ""
    path = login.keep({"access_token": "a.b.c", "expires_in": 300})
    assert path.stat().st_mode & 0o777 == 0o600
    assert login.kept() == "a.b.c"
    assert login.kept(now_s=4e9) == ""
    path.write_text("{")
    assert login.kept() == ""
    assert login.main(["--out"]) == 0
    assert not path.exists()


@pytest.mark.security("V6.3.2", "V6.4.1")
def test_the_stack_makes_its_people_once(tmp_path: Path) -> None:
    config = StackConfig(state=tmp_path, sign_in=True)
    sign_in.prepare(config)
    first = sign_in.people_file(config).read_text()
    sign_in.prepare(config)
    assert sign_in.people_file(config).read_text() == first
    assert sign_in.people_file(config).stat().st_mode & 0o777 == 0o600
    assert {"operator", "administrator"} <= set(json.loads(first))
    serving, issuer = sign_in.serving(config), sign_in.issuer(config)
    assert serving["issuer"] == f"http://{issuer['listen']}"
    assert {client["id"] for client in issuer["clients"]} == set(serving["clients"])
