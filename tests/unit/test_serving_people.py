"""People at the server: an id in the place of the issuer's subject, at every door, and names for those who may see them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from base.errors import NotFoundError, PermissionDeniedError, UnavailableError
from base.ids import now_us
from millrace_client import errors
from privacy import forgetting
from privacy.person import is_subject
from privacy.settings import PrivacySettings
from privacy.store import Store, open_store
from schemas.commands import CommandState
from schemas.sign_outs import SignOut
from serving import config as configuration
from serving.access import Access
from serving.config import ServingConfig
from serving.http import people as face
from serving.oidc.provider import Provider
from serving.oidc.settings import RoleSettings
from serving.oidc.verifier import Verifier
from serving.policies import command as access_command
from serving.policies import names
from serving.principals import Grant, Permission, Principal, UnauthenticatedError
from serving.sessions import COOKIE, Sessions, fixed
from serving.sign_outs import SignOuts
from tests.unit import issued
from tests.unit.http_served import Web, tokens, web
from tests.unit.issued import NOW_S, RSA, SETTINGS, token
from tests.unit.served import LINE, RequestList, Served, served
from tests.unit.test_serving_oidc import Documents

NOW_US = NOW_S * 1_000_000
SUB = "6f1c1d3e"


@pytest.fixture
def settings(tmp_path: Path) -> PrivacySettings:
    return PrivacySettings(folder=str(tmp_path / "people"), keys=f"file:{tmp_path / 'people.keys'}")


@pytest.fixture
def people(settings: PrivacySettings) -> Store:
    store = open_store(settings)
    assert store is not None
    store.refresh()
    return store


class Doors:
    """A server's doors, with an issuer whose keys it has."""

    def __init__(self, people: Store | None) -> None:
        self.outs = SignOuts(RequestList(), longest_s=86_400, clock=lambda: NOW_US)
        self.outs.current = True
        self.sessions = Sessions(fixed(b"k" * 32), length_s=3_600, clock=lambda: NOW_US)
        verifier = Verifier(SETTINGS, people, clock=lambda: NOW_US)
        verifier.set_keys(issued.keys(RSA))
        provider = Provider(SETTINGS, people, verifier=verifier)
        self.access = Access(None, self.sessions, provider, sign_outs=self.outs, people=people, clock=lambda: NOW_US)

    def by_token(self, **changed: object) -> Principal:
        return self.access.authenticate([("authorization", f"Bearer {token(**changed)}")])  # type: ignore[arg-type]

    def by_cookie(self, known: Principal) -> Principal:
        value = self.sessions.make(
            credential=known.credential, name=known.name, allow=map(str, known.grants), issued_us=known.issued_us
        )
        return self.access.authenticate([("cookie", f"{COOKIE}={value}")])


@pytest.mark.security("T-PEOPLE-PRIVACY")
def test_a_person_is_the_same_id_at_every_door_and_no_record_gets_the_subject(people: Store) -> None:
    doors = Doors(people)
    ann = doors.by_token(name="Ann Aalto")
    assert is_subject(ann.name)
    assert ann.allow == {Permission.READ, Permission.COMMAND}
    assert SUB not in repr(ann)
    again = doors.by_cookie(ann)
    assert (again.name, again.alias, again.grants) == (ann.name, SUB, ann.grants)
    assert again.is_called(SUB)
    assert not again.is_called("")
    assert doors.access.shown(again) == "Ann Aalto"
    assert doors.by_token(sub="somebody else").name != ann.name


def test_sessions_of_before_people_had_ids_are_over(people: Store) -> None:
    before = Doors(None).by_token()
    assert before.name == SUB
    with pytest.raises(UnauthenticatedError, match="sign in again"):
        Doors(people).by_cookie(before)


@pytest.mark.parametrize("name", ["id", "subject"])
def test_a_sign_out_ends_tokens_by_the_id_and_by_the_subject_of_before(people: Store, name: str) -> None:
    doors = Doors(people)
    ann = doors.by_token(iat=NOW_S - 60)
    out = SignOut(subject=ann.name if name == "id" else SUB, before_us=NOW_US - 30_000_000, by="admin")
    doors.outs.apply(out.encode())
    for refused in (lambda: doors.by_token(iat=NOW_S - 60), lambda: doors.access.recheck(ann, None)):
        with pytest.raises(UnauthenticatedError, match="signed out everywhere"):
            refused()
    assert doors.by_token(iat=NOW_S - 10).name == ann.name


@pytest.mark.security("T-PEOPLE-PRIVACY")
def test_somebody_who_is_forgotten_is_out_at_once_and_comes_back_as_somebody_new(people: Store) -> None:
    doors = Doors(people)
    ann = doors.by_token(iat=NOW_S - 60)
    seen = doors.access.refresh()
    forgetting.forget(people, ann.name, clock=lambda: NOW_US - 30_000_000)
    assert doors.access.refresh() != seen
    for refused in (
        lambda: doors.by_token(iat=NOW_S - 60),
        lambda: doors.by_cookie(ann),
        lambda: doors.access.recheck(ann, Permission.READ),
    ):
        with pytest.raises(UnauthenticatedError, match="sign in again"):
            refused()
    assert doors.by_token(iat=NOW_S).name != ann.name


def test_while_the_directory_cannot_be_read_it_says_so(settings: PrivacySettings) -> None:
    store = open_store(settings)
    with pytest.raises(UnavailableError, match="directory of people"):
        Doors(store).by_token()


# --- names ----------------------------------------------------------------------------------------------------------------


def known(people: Store, sub: str, name: str) -> str:
    return people.person_of({"iss": "https://id.example", "sub": sub, "name": name}).subject


async def follows(face: Web) -> None:
    store = face.served.server.gate.access.people
    assert store is not None
    store.refresh()


async def test_names_are_for_those_who_act_or_check(settings: PrivacySettings, people: Store, tmp_path: Path) -> None:
    ann, bob = known(people, "ann-1", "Ann Aalto"), known(people, "bob-1", "Bob Berg")
    forgetting.forget(people, bob)
    file = tokens(tmp_path / "tokens.toml", aud=["read", "audit"], ron=["read"])
    async with web(privacy=settings, tokens=str(file)) as face:
        await follows(face)
        face.client.headers["authorization"] = "Bearer aud-secret"
        found = await face.get("/people", params={"id": [ann, bob]})
        assert found == {"people": [{"id": ann, "name": "Ann Aalto"}, {"id": bob, "name": None}]}
        many = [f"person-{''.join(chr(97 + int(one)) for one in f'{number:016}')}" for number in range(201)]
        for wrong in (
            [],
            ["ann"],
            [ann] * 2 + ["person-"],
            many,
        ):
            await face.get("/people", 400, params={"id": wrong})
        face.client.headers["authorization"] = "Bearer ron-secret"
        refused = await face.get("/people", httpx.codes.FORBIDDEN, params={"id": [ann]})
        assert "Ann" not in json.dumps(refused)


@pytest.mark.parametrize("permission", list(Permission))
def test_reading_values_alone_shows_no_names(permission: Permission) -> None:
    who = Principal("x", frozenset({Grant(permission)}))
    if permission is Permission.READ:
        with pytest.raises(PermissionDeniedError):
            face.require(who)
    else:
        face.require(who)


# --- commands -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def trusting(submitter: str, **settings: Any) -> AsyncIterator[Served]:
    """A server that knows the issuer's keys, and a client with a token of somebody."""
    oidc = dataclasses.replace(SETTINGS, roles=(RoleSettings(name="operators", allow=("read", "command", "approve")),))
    now_s = now_us() // 1_000_000
    good = token(sub=submitter, iat=now_s, nbf=now_s, exp=now_s + 600)
    async with served(oidc=oidc, token=good, **settings) as running:
        access = running.server.gate.access
        access.issuer = known = Provider(oidc, access.people, fetcher=Documents(RSA))  # type: ignore[arg-type]
        await known.refresh()
        if access.people is not None:
            access.people.refresh()
        yield running


@pytest.mark.security("T-PEOPLE-INSIDER")
async def test_nobody_approves_an_own_command_of_before_they_had_an_id(settings: PrivacySettings) -> None:
    """Its record says the issuer's subject; whoever that is now has another name."""
    async with trusting("ann-1") as before:
        waiting = await before.client.submit(
            f"{LINE}/press00", "write", {"speed_setpoint": 1.0}, requires_approval=True
        )
        old = before.request()
    assert old.submitted_by == "ann-1"
    async with trusting("ann-1", privacy=settings) as after:
        after.record(old, CommandState.PENDING_APPROVAL, 1)
        with pytest.raises(errors.PermissionDeniedError, match="somebody else has to approve it"):
            await after.client.approve(waiting.command_id, reason="mine")
        own = await after.client.submit(f"{LINE}/press00", "write", {"speed_setpoint": 2.0}, requires_approval=True)
        assert is_subject(own.submitted_by)
        written = b"".join(value for _, _, value in (*after.requests.records, *after.events.records))
        assert b"ann-1" not in written
    async with trusting("bob-1", privacy=settings) as after:
        after.record(old, CommandState.PENDING_APPROVAL, 1)
        assert is_subject((await after.client.approve(waiting.command_id, reason="not mine")).approved_by)


def test_signing_somebody_out_by_name_means_the_id(settings: PrivacySettings, people: Store) -> None:
    ann = known(people, "ann-1", "Ann Aalto")
    config = ServingConfig.__new__(ServingConfig)
    object.__setattr__(config, "privacy", settings)
    assert access_command._subject("Ann Aalto", config) == ann
    assert access_command._subject("a-program", config) == "a-program"
    with pytest.raises(NotFoundError):
        forgetting.find(people, "a-program")


@pytest.mark.security("T-PEOPLE-INSIDER")
def test_a_policy_for_a_name_of_before_subject_ids_is_told(
    settings: PrivacySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    own = folder / "own.cedar"
    text = '@id("not-ann") forbid (principal == Principal::"{}", action, resource) unless {{ principal == Principal::"robot" }};'
    own.write_text(text.format("ann-1"))
    file = tokens(tmp_path / "tokens.toml", robot=["read"])
    base = f'listen = "127.0.0.1:0"\ntokens = "{file}"\npolicies = "{folder}"\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n'
    (tmp_path / "before.toml").write_text(base)
    (tmp_path / "after.toml").write_text(f'{base}[privacy]\nfolder = "{settings.folder}"\nkeys = "{settings.keys}"\n')

    def check(name: str) -> int:
        return access_command.main(["check", str(folder), "--config", str(tmp_path / name)])

    assert check("before.toml") == 0
    assert check("after.toml") == 1
    assert "not-ann: ann-1" in capsys.readouterr().err
    names.tell(configuration.load(tmp_path / "after.toml"))
    assert caplog.records[-1].levelname == "ERROR"
    own.write_text(text.format("person-aaaaaaaaaaaaaaaa"))
    assert check("after.toml") == 0
