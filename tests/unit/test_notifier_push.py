"""Web Push against a push service: a browser that is wrong, slow or gone holds no other, and SENT means that somebody has it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from base.errors import UndecodableError
from base.ids import now_us
from notifier import command, outlet, push, routes_file
from notifier.channels import PartlyError, RefusedError
from notifier.message import Message, Told
from notifier.routes import Target
from notifier.settings import PushSettings
from schemas.push import PushSubscription
from tests.integration.receivers import PushServer
from tests.unit.notifying import alarm, first_told

ROUTES = routes_file.parse("""
targets:
  people: {web_push: {people: [ann, bob]}, timeout_s: 1}
routes: [{name: all, steps: [{tell: [people]}]}]
""")
TARGET = ROUTES.targets["people"]
WRONG = ["https://[x.push.apple.com/", "https://x.push.apple.com/\x01", "https://x.push.apple.com/" + "x" * 70_000]


@pytest.fixture
def server() -> Iterator[PushServer]:
    made = PushServer()
    made.open()
    yield made
    made.close()


class Place:
    """A push service, whom it knows, and which subscriptions were ended."""

    def __init__(self, server: PushServer, folder: Path) -> None:
        self.server, self.ended = server, list[PushSubscription]()
        key = folder / "push.pem"
        assert command.main(["key", str(key)]) == 0
        server.public_key = push.public_key(key.read_bytes())
        services = ("127.0.0.1", "localhost", ".push.apple.com")
        self.settings = PushSettings(key=f"file:{key}", contact="mailto:it@plant.example", services=services)
        about = alarm()
        (due,) = first_told(ROUTES, about)
        self.message = Message(message_id=uuid4(), target="people", told=(Told(notification=due, alarm=about),))

    def browser(self, principal: str = "ann", *answers: int) -> PushSubscription:
        """A new one; what its push service answers at first."""
        made = self.server.browser(principal, session_us=now_us(), renewed_us=now_us())
        self.server.answers[self.path(made)] = list(answers)
        return made

    async def send(self, *to: PushSubscription, target: Target = TARGET) -> str:
        """One attempt."""

        async def gone(one: PushSubscription) -> None:
            self.ended.append(one)

        return await push.send(target, self.message, to, self.settings, gone)

    def has_it(self) -> list[str]:
        """Where it was taken, as often as it was."""
        return [path for path, _, _ in self.server.documents]

    @staticmethod
    def path(one: PushSubscription) -> str:
        """Of its endpoint."""
        return "/" + one.endpoint.rpartition("/")[2]


@pytest.fixture
def place(server: PushServer, tmp_path: Path) -> Place:
    return Place(server, tmp_path)


def left(error: PartlyError) -> Target:
    """The target of the next attempt."""
    return outlet._left(TARGET, error)


@pytest.mark.parametrize("endpoint", WRONG)
async def test_an_endpoint_that_is_none_holds_no_other_browser(place: Place, endpoint: str) -> None:
    good, wrong = place.browser(), dataclasses.replace(place.browser(), endpoint=endpoint)
    said = await place.send(wrong, good)
    assert place.has_it() == [place.path(good)]
    assert "201" in said
    assert endpoint not in said
    with pytest.raises(RefusedError):
        await place.send(wrong)


@pytest.mark.parametrize("endpoint", [*WRONG, "", "push", "ftp://x.example/", "https:///x", "https://x.example:a/"])
def test_a_record_with_an_endpoint_that_is_none_is_not_decoded(place: Place, endpoint: str) -> None:
    good = place.browser()
    assert PushSubscription.decode(good.encode()) == good
    with pytest.raises(UndecodableError) as caught:
        PushSubscription.decode(dataclasses.replace(good, endpoint=endpoint).encode())
    assert "apple" not in str(caught.value), "it is a secret"


async def test_contact_that_nobody_can_ask_is_an_answer(place: Place) -> None:
    place.settings = dataclasses.replace(place.settings, contact="mailto:")
    with pytest.raises(RefusedError, match="VapidException"):
        await place.send(place.browser())


async def test_a_push_service_that_does_not_answer_holds_no_other_browser(place: Place) -> None:
    good = place.browser()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        slow = dataclasses.replace(place.browser(), endpoint=endpoint)
        with pytest.raises(PartlyError) as caught:
            async with asyncio.timeout(30):
                await place.send(slow, good)
        assert caught.value.left == (str(slow.subscription_id),)
    assert place.has_it() == [place.path(good)]


async def test_what_no_browser_took_is_not_sent(place: Place) -> None:
    one = place.browser("ann", 503, 410)
    with pytest.raises(PartlyError) as caught:
        await place.send(one)
    with pytest.raises(RefusedError, match="410"):
        await place.send(one, target=left(caught.value))
    assert place.ended == [one]
    # Put off, and then signed out: nobody is left.
    with pytest.raises(RefusedError, match="no browser of ann, bob"):
        await place.send(target=left(caught.value))


async def test_what_one_browser_took_is_sent_whatever_becomes_of_the_others(place: Place) -> None:
    one, other = place.browser("ann"), place.browser("bob", 503, 503, 410)
    with pytest.raises(PartlyError) as caught:
        await place.send(one, other)
    with pytest.raises(PartlyError) as again:
        await place.send(other, target=left(caught.value))
    assert "410" in await place.send(other, target=left(again.value))
    assert "the others have it" in await place.send(target=left(again.value))
    assert place.has_it() == [place.path(one)]


async def test_addresses_of_browsers_are_in_no_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = place.browser()
    await place.send(one)
    assert place.path(one) not in caplog.text
