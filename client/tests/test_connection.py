"""Where a connection comes from, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace_client import AsyncClient, Client, ConfigError, Connection


def test_what_is_given_goes_before_the_environment() -> None:
    environ = {"MILLRACE_GRPC": "host:2", "MILLRACE_GRPC_CA": "ca.pem", "MILLRACE_TOKEN": "secret"}
    assert Connection.from_environment(environ) == Connection("host:2", ca="ca.pem", token="secret")
    assert Connection.from_environment(environ, address="host:3", name="ann").address == "host:3"
    assert Connection.from_environment({"MILLRACE_GRPC": "a:1", "MILLRACE_GRPC_TLS": "1"}).encrypted
    assert not Connection.from_environment({"MILLRACE_GRPC": "a:1", "MILLRACE_GRPC_TLS": "0"}).encrypted
    with pytest.raises(ConfigError, match="MILLRACE_GRPC_TLS is 'maybe'"):
        Connection.from_environment({"MILLRACE_GRPC": "a:1", "MILLRACE_GRPC_TLS": "maybe"})


def test_a_client_without_a_connection_asks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_GRPC", raising=False)
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigError, match="set MILLRACE_GRPC to host:port"):
            kind()


def test_a_token_never_travels_in_the_clear_nor_in_a_log() -> None:
    with pytest.raises(ConfigError, match="only sent over TLS"):
        Connection("plant.example.com:1", token="secret")
    assert Connection("127.0.0.1:1", token="secret").metadata == (("authorization", "Bearer secret"),)
    with pytest.raises(ConfigError, match="only shown over TLS"):
        Connection("127.0.0.1:1", cert="cert.pem", key="key.pem")
    connection = Connection("127.0.0.1:1", tls=True, token="secret", name="ann")
    assert connection.metadata == (("authorization", "Bearer secret"), ("millrace-principal", "ann"))
    assert "secret" not in repr(connection)


def test_files_are_named_when_they_cannot_be_used(tmp_path: Path) -> None:
    missing = str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match=r"ca\.pem cannot be read: No such file"):
        Client(Connection("127.0.0.1:1", ca=missing))
    with pytest.raises(ConfigError, match="belong together"):
        Connection("127.0.0.1:1", tls=True, cert="cert.pem")
    with pytest.raises(ConfigError, match="needs an address"):
        Connection("")
