"""Who may do what: tokens by hash, read again when their file changes; limits by principal; addresses that need both TLS and tokens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from base.errors import ConfigError, PermissionDeniedError
from base.settings import KafkaSettings
from serving import access, config
from serving.access import Access, Permission, UnauthenticatedError
from serving.config import LimitSettings, ServingConfig, TlsSettings, is_loopback
from serving.limits import Limits, RateLimitedError

GET = "/millrace.v1.StateService/GetTag"
SUBMIT = "/millrace.v1.CommandService/SubmitCommand"
APPROVE = "/millrace.v1.CommandService/ApproveCommand"


def write_tokens(path: Path, **principals: tuple[str, list[str]]) -> Path:
    path.write_text(
        "".join(
            f'[principals.{name}]\nsha256 = "{access.hash_token(token)}"\nallow = {allow}\n'
            for name, (token, allow) in principals.items()
        )
    )
    return path


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_names_its_principal_and_its_rights(tmp_path: Path) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read", "command"]), bob=("t2", ["read"])))
    assert known.principal(bearer("t1"), SUBMIT).name == "alice"
    assert known.principal(bearer("t2"), GET).name == "bob"
    with pytest.raises(PermissionDeniedError, match=r"bob may not command; .* allows: read"):
        known.principal(bearer("t2"), SUBMIT)
    with pytest.raises(PermissionDeniedError, match="alice may not approve"):
        known.principal(bearer("t1"), APPROVE)


@pytest.mark.parametrize("metadata", [{}, bearer("wrong"), bearer(""), {"authorization": "Basic t1"}])
def test_without_a_known_token_nobody_gets_in(tmp_path: Path, metadata: dict[str, str]) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"])))
    with pytest.raises(UnauthenticatedError):
        known.principal(metadata, GET)


def test_a_name_alone_is_no_token(tmp_path: Path) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"])))
    with pytest.raises(UnauthenticatedError):
        known.principal({access.NAME_METADATA: "alice"}, GET)


def test_a_token_withdrawn_is_refused_without_a_restart(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]))
    known = Access(path)
    known.principal(bearer("t1"), GET)
    write_tokens(path, bob=("t2", ["read"]))
    os.utime(path, ns=(1, 1))
    with pytest.raises(UnauthenticatedError):
        known.principal(bearer("t1"), GET)
    assert known.principal(bearer("t2"), GET).name == "bob"


def test_a_half_written_file_locks_nobody_out(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]))
    known = Access(path)
    path.write_text("[principals.alice")
    assert known.principal(bearer("t1"), GET).name == "alice"


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text('[principals.alice]\nsha256 = "x"\nallow = ["fly"]\n')
    with pytest.raises(ConfigError, match=r"tokens.toml.*fly"):
        Access(path)


def test_on_loopback_callers_may_name_themselves() -> None:
    known = Access(None)
    assert known.principal({}, SUBMIT).name == "local"
    assert known.principal({access.NAME_METADATA: "ann"}, APPROVE).name == "local:ann"
    assert known.principal({}, SUBMIT).allow == frozenset(Permission)


def test_the_tool_makes_a_token_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert access.main(["carol", "--allow", "read", "approve"]) == 0
    captured = capsys.readouterr()
    path = tmp_path / "tokens.toml"
    path.write_text(captured.err)
    assert captured.out.strip() not in captured.err
    assert Access(path).principal(bearer(captured.out.strip()), APPROVE).name == "carol"


def test_calls_refill_with_time_and_are_counted_apart() -> None:
    now_s = [0.0]
    limits = Limits(LimitSettings(requests_per_s=10, burst=2, commands_per_s=1, commands_burst=1), lambda: now_s[0])
    limits.call("a", command=True)
    with pytest.raises(RateLimitedError, match="more than 1 commands a second") as caught:
        limits.call("a", command=True)
    assert caught.value.retry_after_s == pytest.approx(1.0)
    limits.call("b", command=True)
    now_s[0] = 0.1
    limits.call("a", command=False)
    with pytest.raises(RateLimitedError, match="more than 10 calls a second"):
        limits.call("a", command=False)
    now_s[0] = 1.2
    limits.call("a", command=True)


def test_open_streams_are_limited_and_given_back() -> None:
    limits = Limits(LimitSettings(open_streams=1))
    with limits.stream("a"):
        with pytest.raises(RateLimitedError, match="1 open streams"), limits.stream("a"):
            pass
        with limits.stream("b"):
            pass
    with limits.stream("a"):
        pass


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50", True),
        ("127.9.9.9:50", True),
        ("[::1]:50", True),
        ("localhost:50", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:50", False),
        ("[::]:50", False),
        ("10.0.0.1:50", False),
        ("example.org:50", False),
        (":50", False),
    ],
)
def test_loopback_is_told_from_the_network(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize("missing", ["tls", "tokens", "both"])
def test_the_network_needs_encryption_and_tokens(missing: str) -> None:
    given: dict[str, Any] = {"tls": TlsSettings(cert="c", key="k"), "tokens": "t"}
    for name in ("tls", "tokens") if missing == "both" else (missing,):
        del given[name]
    with pytest.raises(ValueError, match=r"reachable from the network.*listen on 127\.0\.0\.1"):
        ServingConfig(listen="0.0.0.0:50051", kafka=KafkaSettings(bootstrap_servers="k"), **given)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "serving.toml"
    path.write_text('listen = "127.0.0.1:0"\ntokens = "/nowhere/tokens.toml"\n[kafka]\nbootstrap_servers = "k"\n')
    with pytest.raises(ConfigError, match=r"tokens is /nowhere/tokens\.toml, which is not a file"):
        config.load(path)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    path = tmp_path / "serving.toml"
    path.write_text('listen = "127.0.0.1:0"\n[kafka]\nbootstrap_servers = "k"\n[tls]\ncert = "c"\n')
    with pytest.raises(ConfigError, match=r"tls\.cert and tls\.key belong together"):
        config.load(path)
