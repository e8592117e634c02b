"""When a call is tried again, with a clock of the test's own."""

from __future__ import annotations

import inspect

import pytest

from millrace_client import AsyncClient, Client
from millrace_client.errors import DeadlineExceededError, NotFoundError, OverloadedError, UnavailableError
from millrace_client.retry import Attempts, Contact, Deadline

GONE = UnavailableError("gone")


class Clock:
    """Seconds, moved by the test."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def attempts(clock: Clock, *, made: bool = True, for_s: float = 60.0, idempotent: bool = True) -> Attempts:
    contact = Contact(first_contact_s=5.0, made=made)
    return Attempts(contact, for_s=for_s, idempotent=idempotent, clock_s=clock, jitter=lambda: 1.0)


def waited_s(tries: Attempts, clock: Clock) -> float:
    """Time until the server is given up."""
    began_s = clock.now_s
    while True:
        tries.begin()
        try:
            clock.now_s += tries.delay_s(GONE)
        except UnavailableError:
            return clock.now_s - began_s


def test_tries_come_less_and_less_often() -> None:
    tries = attempts(Clock())
    assert [tries.delay_s(GONE) for _ in range(8)] == [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_server_that_was_reached_is_waited_for_and_another_is_not() -> None:
    clock = Clock()
    assert 58 < waited_s(attempts(clock), clock) <= 60
    assert 3 < waited_s(attempts(clock, made=False), clock) <= 5
    assert waited_s(attempts(clock, for_s=0.3), clock) <= 0.3


def test_an_answer_starts_the_patience_anew() -> None:
    clock, contact = Clock(), Contact(first_contact_s=5.0)
    tries = Attempts(contact, for_s=60.0, clock_s=clock, jitter=lambda: 1.0)
    tries.delay_s(GONE)
    clock.now_s += 4.0
    tries.worked()
    assert contact.made
    assert tries.delay_s(GONE) == 0.05
    assert 55 < waited_s(tries, clock) <= 60


def test_a_stream_that_stood_for_long_had_reached_the_server_however_silent_it_was() -> None:
    clock = Clock()
    tries = attempts(clock)
    clock.now_s += tries.delay_s(GONE)
    tries.begin()
    clock.now_s += 3_600.0
    assert tries.delay_s(GONE) == 0.05


def test_only_unavailable_is_tried_again_and_only_what_means_the_same_twice() -> None:
    for error in (NotFoundError("no"), DeadlineExceededError("late")):
        with pytest.raises(type(error)):
            attempts(Clock()).delay_s(error)
    with pytest.raises(UnavailableError):
        attempts(Clock(), idempotent=False).delay_s(GONE)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_new_client_outlasts_a_restart(kind: type[Client | AsyncClient]) -> None:
    """A server needs some seconds to start again; of the clients that were new then, some had given up before."""
    defaults = {name: one.default for name, one in inspect.signature(kind).parameters.items()}
    clock = Clock()
    contact = Contact(first_contact_s=defaults["first_contact_s"])
    tries = Attempts(contact, for_s=defaults["deadline_s"], clock_s=clock, jitter=lambda: 1.25)
    assert waited_s(tries, clock) > 25


def test_a_server_s_pause_is_kept() -> None:
    clock = Clock()
    busy = OverloadedError("slow down", retry_after_s=0.7)
    assert attempts(clock).delay_s(busy) == 0.7
    assert attempts(clock, idempotent=False).delay_s(busy) == 0.7  # it was refused: nothing was done
    assert attempts(clock).delay_s(UnavailableError("draining", retry_after_s=3.0)) == 3.0
    for error in (
        OverloadedError("too large"),
        OverloadedError("never", retry_after_s=-0.001),
        UnavailableError("never", retry_after_s=-0.001),
        OverloadedError("later than anybody waits", retry_after_s=61.0),
    ):
        with pytest.raises(type(error)):
            attempts(clock).delay_s(error)


def test_a_refusal_is_an_answer_and_silence_is_none() -> None:
    for error, made in ((NotFoundError("no"), True), (DeadlineExceededError("late"), False)):
        contact = Contact(first_contact_s=5.0)
        with pytest.raises(type(error)):
            Attempts(contact, for_s=60.0).delay_s(error)
        assert contact.made is made


def test_a_deadline_counts_down() -> None:
    clock = Clock()
    deadline = Deadline(2.0, clock_s=clock)
    clock.now_s += 0.5
    assert deadline.left_s() == 1.5
    clock.now_s += 1.5
    with pytest.raises(DeadlineExceededError):
        deadline.left_s()
    with pytest.raises(UnavailableError):  # says more than that time is over
        deadline.left_s(GONE)
    assert Deadline(None).left_s() is None
