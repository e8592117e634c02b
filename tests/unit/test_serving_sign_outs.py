"""Signing out everywhere: what was made for somebody before is over, at every process; what is made after it is good."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.errors import UnavailableError
from base.ids import now_us
from schemas import topics
from schemas.sign_outs import SignOut
from serving.access import Access
from serving.principals import Permission, UnauthenticatedError
from serving.sessions import COOKIE, Sessions, fixed
from serving.sign_outs import SignOuts
from tests.unit.http_served import API, Web, tokens, web
from tests.unit.served import RequestList
from tests.unit.test_http_security import signed_in

HOUR_US = 3_600_000_000


class Process:
    """A serving process at a clock of the test."""

    def __init__(self, log: RequestList, now: list[int]) -> None:
        self.outs = SignOuts(log, longest_s=3_600, clock=lambda: now[0])
        self.outs.current = True
        self.sessions = Sessions(fixed(b"k" * 32), length_s=3_600, clock=lambda: now[0])
        self.access = Access(None, self.sessions, sign_outs=self.outs, clock=lambda: now[0])

    def cookie(self, name: str) -> list[tuple[str, str]]:
        return [("cookie", f"{COOKIE}={self.sessions.make(name=name)}")]


@pytest.mark.security("V7.4.2", "V7.4.5")
async def test_what_was_made_before_is_over_at_every_process() -> None:
    log, now = RequestList(), [10 * HOUR_US]
    here, there = Process(log, now), Process(log, now)
    old, bobs = here.cookie("ann"), here.cookie("bob")
    held = there.access.authenticate(old)
    there.access.recheck(held, Permission.READ)
    before = there.access.refresh()
    now[0] += 1
    await here.outs.sign_out("ann", by="ann")
    ((topic, key, value),) = log.records
    assert (topic, key) == (topics.SIGN_OUTS.name, b"ann")
    there.outs.apply(value)
    assert there.access.refresh() != before
    for process in (here, there):
        with pytest.raises(UnauthenticatedError, match="ann signed out everywhere at 1970-01-01T10:00:00"):
            process.access.authenticate(old)
        with pytest.raises(UnauthenticatedError, match="signed out everywhere"):
            process.access.recheck(held, Permission.READ)
        assert process.access.authenticate(bobs).name == "bob"
        assert process.access.authenticate(process.cookie("ann")).name == "ann"


@pytest.mark.security("V16.5.3")
def test_nobody_who_could_have_signed_out_is_let_in_before_that_is_known() -> None:
    here = Process(RequestList(), [10 * HOUR_US])
    here.outs.current = False
    with pytest.raises(UnavailableError, match="does not know yet"):
        here.access.authenticate(here.cookie("ann"))
    assert here.access.authenticate([("millrace-principal", "ann")]).name == "local:ann"


@pytest.mark.security("V7.6.1")
async def test_a_session_is_as_old_as_the_token_that_it_was_given_for() -> None:
    """A process that has not heard of the sign-out yet exchanges an old token."""
    now = [10 * HOUR_US]
    here = Process(RequestList(), now)
    cookie = [("cookie", f"{COOKIE}={here.sessions.make(name='ann', issued_us=now[0] - 60_000_000)}")]
    here.outs.apply(SignOut(subject="ann", before_us=now[0] - 30_000_000, by="ann").encode())
    with pytest.raises(UnauthenticatedError, match="signed out everywhere"):
        here.access.authenticate(cookie)


async def test_a_call_in_between_does_not_save_the_streams(tmp_path: Path) -> None:
    """Every call looks whether something changed; whoever ends streams has to see it too."""
    path = tokens(tmp_path / "tokens.toml", ann=["read"], bob=["read"])
    async with web(tokens=str(path)) as face:
        await signed_in(face, token="ann-secret")
        lost = {"cookie": f"{COOKIE}={face.client.cookies[COOKIE]}"}
        async with face.client.stream("GET", f"{API}/watch/anomalies", headers=lost) as answer:
            parts = answer.aiter_text()
            await anext(parts)
            face.served.server.sign_outs.apply(SignOut(subject="ann", before_us=now_us(), by="root").encode())
            await face.get("/me", headers={"authorization": "Bearer bob-secret"})
            assert "signed out everywhere" in "".join([part async for part in parts])


async def test_without_a_broker_nobody_is_told_that_it_is_over() -> None:
    log, now = RequestList(), [10 * HOUR_US]
    here = Process(log, now)
    log.failure = UnavailableError("no broker")
    now[0] += 1
    with pytest.raises(UnavailableError):
        await here.outs.sign_out("ann", by="ann")
    assert here.outs.before_us("ann") == 0


def test_a_sign_out_is_forgotten_when_nothing_older_can_live() -> None:
    now = [10 * HOUR_US]
    outs = SignOuts(RequestList(), longest_s=3_600, clock=lambda: now[0])
    outs.apply(SignOut(subject="ann", before_us=now[0], by="ann").encode())
    outs.apply(SignOut(subject="ann", before_us=now[0] - 5, by="ann").encode())
    assert outs.before_us("ann") == now[0], "the newest counts, in whatever order"
    now[0] += HOUR_US
    outs.apply(SignOut(subject="bob", before_us=now[0] + HOUR_US, by="bob").encode())
    assert outs.before_us("ann") == 0
    assert outs.before_us("bob") == now[0], "a clock that is ahead keeps nobody out"


async def signed_out(face: Web, headers: dict[str, str]) -> None:
    gone = await face.client.delete(f"{API}/sessions", headers=headers)
    assert gone.status_code == 204, gone.text


@pytest.mark.security("T-SERVING-SESSION", "SR 2.6", "V7.4.1", "V7.4.3", "V7.5.2")
async def test_a_browser_ends_the_sessions_of_all_others_and_their_streams(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read"])
    async with web(tokens=str(path)) as face:
        await signed_in(face, token="ann-secret")
        other = {"cookie": f"{COOKIE}={face.client.cookies[COOKIE]}"}
        made = await signed_in(face, token="ann-secret")
        async with face.client.stream("GET", f"{API}/watch/anomalies", headers=other) as answer:
            parts = answer.aiter_text()
            await anext(parts)
            await signed_out(face, {"origin": face.origin, "x-csrf-token": made["csrf"]})
            assert "signed out everywhere" in "".join([part async for part in parts])
        await face.get("/me", 401, headers=other)
        (record,) = [value for topic, _, value in face.served.requests.records if topic == topics.SIGN_OUTS.name]
        assert SignOut.decode(record).subject == "ann"
        # The program's token is not a session: it ends when its entry is removed.
        await face.get("/me", headers={"authorization": "Bearer ann-secret"})
        await signed_in(face, token="ann-secret")


@pytest.mark.security("V3.5.1", "V10.6.2")
async def test_another_site_signs_nobody_out(tmp_path: Path) -> None:
    path = tokens(tmp_path / "tokens.toml", ann=["read"])
    async with web(tokens=str(path)) as face:
        await signed_in(face, token="ann-secret")
        gone = await face.client.delete(f"{API}/sessions", headers={"origin": "https://elsewhere.example"})
        assert gone.status_code == 403
        await face.get("/me")
