"""Who may do what: tokens by hash, read again when their file changes; limits by principal; addresses that need both TLS and tokens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from base.errors import ConfigError, PermissionDeniedError, UnavailableError
from base.ids import now_us
from base.settings import KafkaSettings
from serving import access, config, tokens
from serving.access import Access
from serving.config import HttpSettings, LimitSettings, ServingConfig, TlsSettings, is_loopback
from serving.limits import Limits, RateLimitedError
from serving.principals import Permission, UnauthenticatedError
from serving.sessions import COOKIE, Sessions, fixed

READ, COMMAND, APPROVE = Permission.READ, Permission.COMMAND, Permission.APPROVE
Headers = list[tuple[str, str]]
END_US = 1_803_859_200_000_000
"""2027-03-01, 00:00 UTC."""


def write_tokens(path: Path, **principals: tuple[str, list[str]]) -> Path:
    path.write_text(
        "".join(
            f'[principals.{name}]\nsha256 = "{tokens.hash_token(token)}"\nallow = {allow}\n'
            for name, (token, allow) in principals.items()
        )
    )
    return path


def bearer(token: str) -> Headers:
    return [("authorization", f"Bearer {token}")]


def test_a_token_names_its_principal_and_its_rights(tmp_path: Path) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read", "command"]), bob=("t2", ["read"])))
    alice, bob = known.authenticate(bearer("t1")), known.authenticate(bearer("t2"))
    assert (alice.name, bob.name) == ("alice", "bob")
    alice.require(COMMAND)
    with pytest.raises(PermissionDeniedError, match=r"bob may not command; allowed: read"):
        bob.require(COMMAND)
    with pytest.raises(PermissionDeniedError, match="alice may not approve"):
        alice.require(APPROVE)


@pytest.mark.parametrize(
    "name", ["machine: otto", "machine:otto", "machine", "Machine : otto", "\uff2dachine\uff1aotto"]
)
def test_no_token_is_of_who_acts_at_a_machine(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (path := tmp_path / "tokens.toml").write_text(
        f'[principals."{name}"]\nsha256 = "{tokens.hash_token("t1")}"\nallow = ["alarm"]\n'
    )
    with pytest.raises(ConfigError, match=r"tokens\.toml: nobody is let in as .*names that begin with machine:"):
        Access(path)
    with pytest.raises(SystemExit):
        tokens.main([name])
    said = capsys.readouterr()
    assert "names that begin with machine:" in said.err
    assert said.out == ""


def test_who_names_itself_on_the_loopback_is_local_whatever_it_says() -> None:
    assert Access(None).authenticate([(access.NAME_METADATA, "machine: otto")]).name == "local:machine: otto"


def test_names_that_only_sound_like_it_are_good(tmp_path: Path) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", machines=("t1", ["read"]), machine_park=("t2", ["read"])))
    assert [known.authenticate(bearer(token)).name for token in ("t1", "t2")] == ["machines", "machine_park"]


@pytest.mark.security("SR 1.1", "V6.3.2")
@pytest.mark.parametrize("headers", [[], bearer("wrong"), bearer(""), [("authorization", "Basic t1")]])
def test_without_a_known_token_nobody_gets_in(tmp_path: Path, headers: Headers) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"])))
    with pytest.raises(UnauthenticatedError):
        known.authenticate(headers)


@pytest.mark.security("SR 1.4")
@pytest.mark.parametrize(
    "headers", [bearer("t1") + bearer("t2"), bearer("t1") + bearer("t1"), bearer("x") + bearer("t1")]
)
def test_of_two_tokens_none_counts(tmp_path: Path, headers: Headers) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]), bob=("t2", ["read"])))
    with pytest.raises(UnauthenticatedError, match="2 headers authorization; send one"):
        known.authenticate(headers)


def test_a_name_alone_is_no_token(tmp_path: Path) -> None:
    known = Access(write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"])))
    with pytest.raises(UnauthenticatedError):
        known.authenticate([(access.NAME_METADATA, "alice")])


@pytest.mark.security("SR 1.3")
@pytest.mark.drill("tokens")
def test_a_token_withdrawn_is_refused_without_a_restart(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]))
    known = Access(path)
    alice = known.authenticate(bearer("t1"))
    known.recheck(alice, READ)
    write_tokens(path, bob=("t2", ["read"]))
    os.utime(path, ns=(1, 1))
    with pytest.raises(UnauthenticatedError):
        known.authenticate(bearer("t1"))
    assert known.authenticate(bearer("t2")).name == "bob"
    with pytest.raises(UnauthenticatedError, match="withdrawn"):
        known.recheck(alice, READ)


@pytest.mark.security("T-SERVING-TOKEN", "SR 1.3")
def test_a_token_ends_and_what_it_opened_ends_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]), bob=("t2", ["read"]))
    path.write_text(path.read_text().replace("[principals.bob]", "until = 2027-03-01T01:00:00+01:00\n[principals.bob]"))
    now = [END_US - 1]
    made = Sessions(fixed(b"k" * 32), length_s=3600, clock=lambda: now[0])
    known = Access(path, made, clock=lambda: now[0])
    assert "a token ends soon" in caplog.text
    alice = known.authenticate(bearer("t1"))
    assert alice.until_us == END_US, "whoever opens a stream ends it there"
    cookie = [("cookie", f"{COOKIE}={made.make(name=alice.name, credential=alice.credential)}")]
    assert known.authenticate(cookie).until_us == END_US
    known.recheck(alice, READ)
    now[0] = END_US
    for shown in (bearer("t1"), cookie):
        with pytest.raises(UnauthenticatedError, match=r"this token ended at 2027-03-01T00:00:00\+00:00"):
            known.authenticate(shown)
    with pytest.raises(UnauthenticatedError, match="ended"):
        known.recheck(alice, READ)
    assert known.authenticate(bearer("t2")).until_us == 0


@pytest.mark.parametrize("until", ["2027-03-01T00:00:00", "2027-03-01", '"2027-03-01T00:00:00Z"', "7"])
def test_an_end_has_a_zone(tmp_path: Path, until: str) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]))
    path.write_text(path.read_text() + f"until = {until}\n")
    with pytest.raises(ConfigError, match="no time with a zone"):
        Access(path)


@pytest.mark.security("SR 1.3")
def test_a_right_taken_away_is_noticed(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read", "command"]))
    known = Access(path)
    alice, before = known.authenticate(bearer("t1")), known.refresh()
    assert known.refresh() == before
    write_tokens(path, alice=("t1", ["command"]))
    assert known.refresh() != before
    with pytest.raises(UnavailableError, match="connect again"):
        known.recheck(alice, COMMAND)
    with pytest.raises(PermissionDeniedError, match="alice may not read"):
        known.recheck(alice, READ)


@pytest.mark.security("V16.5.3")
def test_a_half_written_file_locks_nobody_out(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", alice=("t1", ["read"]))
    known = Access(path)
    path.write_text("[principals.alice")
    assert known.authenticate(bearer("t1")).name == "alice"


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text('[principals.alice]\nsha256 = "x"\nallow = ["fly"]\n')
    with pytest.raises(ConfigError, match=r"tokens.toml.*fly"):
        Access(path)


@pytest.mark.security("V15.3.3")
def test_on_loopback_callers_may_name_themselves() -> None:
    known = Access(None)
    assert known.authenticate([]).name == "local"
    assert known.authenticate([(access.NAME_METADATA, "ann")]).name == "local:ann"
    assert known.authenticate([]).allow == frozenset(Permission)


@pytest.mark.parametrize("name", ["a" * 65, "a\nb", "\x00"])
def test_a_name_of_ones_own_is_short_and_printable(name: str) -> None:
    with pytest.raises(UnauthenticatedError, match="at most 64 printable characters"):
        Access(None).authenticate([(access.NAME_METADATA, name)])


@pytest.mark.security("V6.4.1")
def test_the_tool_makes_a_token_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokens.main(["carol", "--allow", "read", "approve"]) == 0
    captured = capsys.readouterr()
    path = tmp_path / "tokens.toml"
    path.write_text(captured.err)
    assert captured.out.strip() not in captured.err
    carol = Access(path).authenticate(bearer(captured.out.strip()))
    assert carol.name == "carol"
    assert carol.allow == {READ, APPROVE}
    assert 364 < (carol.until_us - now_us()) / 86_400e6 <= 365
    tokens.main(["carol", "--days", "0"])
    assert "until" not in capsys.readouterr().err


@pytest.mark.security("SR 7.2")
def test_calls_refill_with_time_and_are_counted_apart() -> None:
    now_s = [0.0]
    limits = Limits(LimitSettings(requests_per_s=10, burst=2, commands_per_s=1, commands_burst=1), lambda: now_s[0])
    limits.call("a", command=True)
    with pytest.raises(RateLimitedError, match="more than 1 commands a second for a") as caught:
        limits.call("a", command=True)
    assert caught.value.retry_after_s == pytest.approx(1.0)
    limits.call("b", command=True)
    now_s[0] = 0.1
    limits.call("a", command=False)
    with pytest.raises(RateLimitedError, match="more than 10 calls a second for a"):
        limits.call("a", command=False)
    now_s[0] = 1.2
    limits.call("a", command=True)


@pytest.mark.security("SR 2.7")
def test_open_streams_are_limited_and_given_back() -> None:
    limits = Limits(LimitSettings(open_streams=1))
    with limits.stream("a"):
        with pytest.raises(RateLimitedError, match="1 open streams"), limits.stream("a"):
            pass
        with limits.stream("b"):
            pass
    with limits.stream("a"):
        pass


def test_streams_and_reads_have_a_limit_in_total() -> None:
    limits = Limits(LimitSettings(open_streams=2, total_streams=3, total_reads=1))
    with limits.stream("a"), limits.stream("a"), limits.stream("b"):
        with pytest.raises(RateLimitedError, match="3 streams are open here") as caught, limits.stream("c"):
            pass
        assert caught.value.retry_after_s >= 1
    assert limits.streams == 0
    with limits.under_way(), pytest.raises(RateLimitedError, match="1 reads are under way"), limits.under_way():
        pass


@pytest.mark.security("V2.3.2")
def test_a_device_gets_only_so_many_commands_from_all_together() -> None:
    limits = Limits(LimitSettings(device_commands_per_s=1, device_commands_burst=1), lambda: 0.0)
    limits.device(7)
    limits.device(8)
    with pytest.raises(RateLimitedError, match="more than 1 commands a second for device 7"):
        limits.device(7)


def test_names_of_callers_do_not_stay() -> None:
    now_s = [0.0]
    limits = Limits(LimitSettings(), lambda: now_s[0])
    for number in range(50_000):
        now_s[0] += 0.001
        limits.call(f"local:{number}", command=True)
    assert len(limits._calls) <= 10_000
    assert len(limits._commands) <= 10_000


@pytest.mark.security("SR 1.13")
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


@pytest.mark.security("SR 1.13", "V4.4.1", "V12.2.1")
@pytest.mark.parametrize("missing", ["tls", "tokens", "both"])
def test_the_network_needs_encryption_and_tokens(missing: str) -> None:
    given: dict[str, Any] = {"tls": TlsSettings(cert="c", key="k"), "tokens": "t"}
    for name in ("tls", "tokens") if missing == "both" else (missing,):
        del given[name]
    with pytest.raises(ValueError, match=r"reachable from the network.*listen on 127\.0\.0\.1"):
        ServingConfig(listen="0.0.0.0:50051", kafka=KafkaSettings(bootstrap_servers="k"), **given)


@pytest.mark.parametrize(
    ("given", "over_tls"),
    [
        ({}, False),
        ({"tls": TlsSettings(cert="c", key="k")}, True),
        ({"http": HttpSettings(origins=("https://plant.example.com",))}, True),
        ({"http": HttpSettings(origins=("https://plant.example.com", "http://127.0.0.1:8080"))}, False),
    ],
)
def test_browsers_come_over_tls_to_this_process_or_to_a_proxy_before_it(given: dict[str, Any], over_tls: bool) -> None:
    made = ServingConfig(listen="127.0.0.1:0", kafka=KafkaSettings(bootstrap_servers="k"), **given)
    assert made.browsers_over_tls is over_tls


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "serving.toml"
    path.write_text('listen = "127.0.0.1:0"\ntokens = "/nowhere/tokens.toml"\n[kafka]\nbootstrap_servers = "k"\n')
    with pytest.raises(ConfigError, match=r"serving\.toml: tokens is the name of no file"):
        config.load(path)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    path = tmp_path / "serving.toml"
    path.write_text('listen = "127.0.0.1:0"\n[kafka]\nbootstrap_servers = "k"\n[tls]\ncert = "c"\n')
    with pytest.raises(ConfigError, match=r"tls\.cert and tls\.key belong together"):
        config.load(path)


def test_who_makes_a_token_as_before_is_told_how_it_is_made_now() -> None:
    found = subprocess.run([sys.executable, "-m", "serving.access", "ann"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "python -m serving.tokens" in found.stderr
