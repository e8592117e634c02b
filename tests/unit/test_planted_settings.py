"""What is wrong with a configuration is said without its secrets: planted ones are in no error, however the file is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from base.errors import MillraceError
from connectors.catalogue import Connection
from connectors.postgres import transport
from jobs import config as jobs_config
from registry.plant_file import examine
from serving import config as serving_config

SECRET = "planted-2f1c9a7e"
KAFKA = '[kafka]\nbootstrap_servers = "k:9092"\n'
SERVING = 'listen = "127.0.0.1:0"\n'
DSNS = {
    "spaces that nothing quotes": f"host=127.0.0.1 user=u password=two {SECRET}",
    "a quote that does not end": f"host=127.0.0.1 password='{SECRET}",
    "an address with a bad escape": f"postgresql://u:{SECRET}%zz@127.0.0.1/db",
    "an address without its bracket": f"postgresql://u:{SECRET}@[::1/db",
    "a keyword that there is none": f"host=127.0.0.1 pasword={SECRET} {SECRET}=x",
    "another machine without TLS": f"host=db.example.com user=u password={SECRET}",
    "an address of another machine": f"postgresql://u:{SECRET}@db.example.com/db",
}


def job(path: Path) -> object:
    """As a job is submitted."""
    return jobs_config.from_arguments("historian", ["--config", str(path)])


def written(folder: Path, text: str) -> Path:
    path = folder / "service.toml"
    path.write_text(text)
    return path


def said(work: Callable[[], object]) -> str:
    """The error, with its causes: a traceback shows them too."""
    with pytest.raises(MillraceError) as caught:
        work()
    texts: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        texts.append(f"{error} {error!r}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)


@pytest.mark.security("T-AUDIT-LEAK", "V16.2.5", "V16.5.1", "SR 3.7")
@pytest.mark.parametrize("case", DSNS)
def test_a_connection_string_that_is_wrong_is_not_shown(case: str) -> None:
    text = said(lambda: transport.check(DSNS[case]))
    assert "postgres.dsn" in text
    assert SECRET not in text


@pytest.mark.security("T-AUDIT-LEAK", "V16.2.5", "V16.5.1", "SR 3.7")
@pytest.mark.parametrize(
    ("load", "text", "named"),
    [
        (serving_config.load, f'{SERVING}{KAFKA}[postgres]\ndsn = ["password={SECRET}"]\n', "dsn"),
        (serving_config.load, f'{SERVING}{KAFKA}[postgres]\ndsn = {{ password = "{SECRET}" }}\n', "dsn"),
        (serving_config.load, f'{SERVING}{KAFKA}[postgres]\npassword = "{SECRET}"\n', "password"),
        (serving_config.load, f'{SERVING}{KAFKA}[postgres]\ndsn = "password={SECRET}\n', "not valid TOML"),
        (serving_config.load, f'{SERVING}{KAFKA}[http]\nlisten = "127.0.0.1:0"\nsession_key = "{SECRET}"\n', "http.session_key"),
        (serving_config.load, f'{SERVING}{KAFKA}[tls]\ncert = "/etc/hosts"\nkey = "{SECRET}"\n', "tls.key"),
        (serving_config.load, f'tokens = "{SECRET}"\n{SERVING}{KAFKA}', "tokens"),
        (job, f'{KAFKA}[postgres]\ndsn = ["password={SECRET}"]\n', "dsn"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_told_by_its_keys(
    load: Callable[[Path], object], text: str, named: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    found = said(lambda: load(path))
    assert named in found
    assert SECRET not in found


CONNECTIONS: dict[str, dict[str, Any]] = {
    "mqtt": {"endpoint": "mqtt://127.0.0.1:1883", "username": "u"},
    "sparkplug": {"endpoint": "mqtt://127.0.0.1:1883", "group_id": "g", "username": "u"},
    "opcua": {"endpoint": "opc.tcp://127.0.0.1:4840", "username": "u"},
}


@pytest.mark.security("T-AUDIT-LEAK", "V16.2.5", "V16.5.1", "SR 3.7")
@pytest.mark.parametrize("protocol", CONNECTIONS)
@pytest.mark.parametrize("password", [SECRET, [SECRET], {"value": SECRET}])
def test_a_connection_with_its_password_in_clear_is_refused_without_it(protocol: str, password: object) -> None:
    table = {"name": "c", "protocol": protocol, **CONNECTIONS[protocol], "password": password}
    found = Connection.from_table(table, where="connections").problem
    assert "password" in found
    assert SECRET not in found


@pytest.mark.security("T-AUDIT-LEAK", "V16.2.5", "V16.5.1", "SR 3.7")
@pytest.mark.parametrize("protocol", CONNECTIONS)
@pytest.mark.parametrize("password", [SECRET, [SECRET], {"value": SECRET}])
def test_a_plant_file_with_a_password_in_clear_is_refused_without_it(protocol: str, password: object) -> None:
    entry = {"name": "c", "protocol": protocol, **CONNECTIONS[protocol], "password": password}
    gateway = {"id": "gw-1", "connections": [entry]}
    plant, problems = examine({"enterprise": "acme", "sites": [{"name": "north", "gateways": [gateway]}]})
    text = "\n".join(map(str, problems))
    assert plant is None
    assert "password" in text
    assert SECRET not in text
