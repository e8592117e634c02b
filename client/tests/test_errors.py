"""Statuses to exceptions."""

from __future__ import annotations

import grpc
import pytest

from millrace_client import errors


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_has_an_exception_with_the_servers_words(code: grpc.StatusCode) -> None:
    error = errors.from_status(code, "words", address="host:1")
    assert isinstance(error, errors.MillraceError)
    assert "words" in str(error)
    assert str(errors.from_status(code, None))


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, errors.UnauthenticatedError, "MILLRACE_TOKEN"),
        (
            grpc.StatusCode.UNAVAILABLE,
            errors.UnavailableError,
            "host:1: words (UNAVAILABLE); check that the server runs",
        ),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceededError, "give more time"),
        (grpc.StatusCode.UNIMPLEMENTED, errors.UnsupportedError, "no Millrace server"),
        (grpc.StatusCode.INTERNAL, errors.ServerError, "words"),
        (grpc.StatusCode.NOT_FOUND, errors.NotFoundError, "words"),
    ],
)
def test_what_a_caller_can_mend_comes_with_how(
    code: grpc.StatusCode, kind: type[errors.MillraceError], hint: str
) -> None:
    error = errors.from_status(code, "words", address="host:1")
    assert type(error) is kind
    assert hint in str(error)


def test_overload_says_when_the_next_try_is_welcome() -> None:
    trailing = (("other", "x"), ("grpc-retry-pushback-ms", "250"))
    error = errors.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", trailing=trailing)
    assert isinstance(error, errors.OverloadedError)
    assert error.retry_after_s == 0.25
    silent = errors.from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
    assert isinstance(silent, errors.OverloadedError)
    assert silent.retry_after_s is None
