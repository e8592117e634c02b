"""Secrets are in no log, process list, error message or result: those of a running stack, and some that strangers send, are looked for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg
import pytest

from stack import postgres, render
from stack.config import StackConfig
from stack.instance import Instance
from tests.integration import planted as planted_in
from tests.integration.planted import Planted

pytestmark = pytest.mark.timeout(900)
TOOLS = (
    ("status", "--json"), ("settings",), ("settings", "--json"), ("addresses",), ("addresses", "--json"), ("certificates", "list"),
    ("backup", "list"), ("psql", "-c", "SELECT nothing FROM nowhere"), ("logs", "-n", "5000"), ("topics",), ("migrate",), ("storage",),
    ("plant", "check", "nowhere.yaml"), ("correct", "--help"), ("backup", "verify"),
)  # fmt: skip
CONFIGURED = ("topics", "migrate", "storage")
"""Those that are told where the platform's configuration is."""


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.mark.security("T-AUDIT-LEAK", "T-HOST-PROC", "V14.2.4", "V16.2.5", "SR 4.1")
def test_planted_secrets_are_in_no_log_process_list_error_or_result(
    stack: Instance, planted: Planted, tmp_path: Path
) -> None:
    config = stack.config
    planted.take(config)  # of what ran before; the rest is made by the start
    with planted.watched():
        stack.require("kafka", "postgres", "mosquitto")
        planted.take(config)
        assert {"postgres-password", "session.key"} <= planted.secrets.keys(), planted.secrets.keys()
        assert any("ca" in what for what in planted.secrets), planted.secrets.keys()
        outputs = {" ".join(words): printed(config, *words) for words in TOOLS}
        outputs["a wrong password"] = refused(config, planted)
    assert [name for name, text in outputs.items() if not text] == []
    private = (config.secrets, config.config, postgres.tls_dir(config), postgres.backup_home(config))
    found = {
        "printed": {name: whose for name, text in outputs.items() if (whose := planted.in_text(text))},
        "processes": planted.seen,
        "logs": planted.in_files(config.logs, (), tmp_path),
        "files": planted.in_files(config.state, private, tmp_path),
    }
    assert {place: what for place, what in found.items() if what} == {}


def test_a_secret_that_is_where_it_should_not_be_is_found(planted: Planted, tmp_path: Path) -> None:
    secret = planted.new("a password")
    for name, mode in (("private/good", 0o600), ("private/open", 0o644), ("log", 0o600)):
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x {secret} y")
        path.chmod(mode)
    found = planted.in_files(tmp_path / "state", [tmp_path / "state" / "private"], tmp_path)
    assert found == [str(tmp_path / "state" / "log"), str(tmp_path / "state" / "private" / "open")]
    assert planted.in_text(f"error: {secret}") == ["a password"]
    with planted_in.shown(secret):
        planted.look()
    assert {one.partition(" ")[0] for one in planted.seen} == {"cmdline", "environ"}


def printed(config: StackConfig, *words: str) -> str:
    configured = ("--config", str(render.platform_file(config))) if words[0] in CONFIGURED else ()
    return planted_in.printed(config, *words, *configured)


def refused(config: StackConfig, planted: Planted) -> str:
    """What our own connecting says of a password that is wrong, and of one that it does not send."""
    secret = planted.new("a wrong password")
    texts = []
    for address in (f"host={config.host} port={config.ports.postgres}", f"host={config.host} port=1"):
        dsn = f"{address} user=millrace dbname=millrace password={secret} sslmode=require"
        with contextlib.suppress(AssertionError), pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(dsn, connect_timeout=10).close()
        texts.append(str(caught.value))
    return "\n".join(texts)
