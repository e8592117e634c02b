"""`./millrace audit`: what it finds and proves, what a SIEM gets, and what the verifier says to what it wrote."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
import trustme

from audit import siem
from audit.command import main
from audit.copies import Copies
from audit.search import Wanted
from audit.writer import LogWriter, Record
from millrace_verify import cli as verify
from schemas.audit import AuditEvent, Outcome

ORIGIN, T0_US = "plant.example/audit", 1_767_600_000_000_000
EVENTS: list[dict[str, Any]] = [
    {
        "action": "command:submit",
        "outcome": Outcome.ALLOW,
        "subject": "ann",
        "path": "acme/north/p1",
        "command_id": "c1",
    },
    {
        "action": "command:submit",
        "outcome": Outcome.DENY,
        "subject": "eve",
        "path": "acme/north/p10",
        "detail": "no=way|out",
    },
    {
        "action": "command:approve",
        "outcome": Outcome.ALLOW,
        "subject": "ben",
        "second": "ann",
        "path": "acme/north/p1",
        "command_id": "c1",
    },
    {
        "action": "sign-in",
        "outcome": Outcome.DONE,
        "subject": "ann",
        "amr": ("pwd", "otp"),
        "peer": "ipv4:10.0.0.7:51000",
    },
    {"action": "read", "outcome": Outcome.DENY, "subject": "", "count": 41, "peer": "10.0.0.9:5"},
    {
        "action": "storage:policy",
        "outcome": Outcome.DONE,
        "subject": "kim",
        "before": "{}",
        "after": '{"keep": "1 day"}',
    },
]


class Plant:
    """A log with six events, its settings, and the program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "audit.toml"
        self.config.write_text(
            f'origin = "{ORIGIN}"\nfolder = "{folder}/log"\nkeys = "{folder}/keys"\ncopies = "{folder}/copies"\n'
            '[kafka]\nbootstrap_servers = "unused"\n'
        )
        self.written = 0
        self.write(EVENTS)

    def write(self, events: list[dict[str, Any]]) -> None:
        writer = LogWriter(self.folder / "log", ORIGIN, self.folder / "keys", Copies(self.folder / "copies", every_s=1))
        writer.start("audit.log", {0: (0, 100)})
        records = []
        for fields in events:
            made = AuditEvent(service="serving", time_us=T0_US + self.written * 60_000_000, **fields)
            records.append(Record(self.written, made.encode()))
            self.written += 1
        writer.take(records)
        writer.close()

    def run(self, *arguments: object) -> int:
        return main([*map(str, arguments), "--config", str(self.config)])


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.mark.security("SR 6.1")
@pytest.mark.parametrize(
    ("arguments", "indexes"),
    [
        ((), [6, 5, 4, 3, 2, 1, 0]),
        (("--limit", 2), [6, 5]),
        (("--person", "ann"), [4, 3, 1]),
        (("--path", "acme/north/p1"), [3, 1]),
        (("--action", "command"), [3, 2, 1]),
        (("--action", "command:approve"), [3]),
        (("--outcome", "DENY"), [5, 2]),
        (("--since", "2026-01-05T08:02", "--until", "2026-01-05T08:04"), [4, 3]),
        (("--person", "nobody"), []),
    ],
)
def test_entries_are_found(
    plant: Plant, arguments: tuple[object, ...], indexes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert plant.run("list", "--json", *arguments) == 0
    assert [json.loads(line)["index"] for line in capsys.readouterr().out.splitlines()] == indexes
    assert plant.run("list", *arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(indexes)


@pytest.mark.security("V16.2.1", "V16.2.2")
def test_a_line_says_who_what_where_and_how_often(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant.run("list")
    lines = capsys.readouterr().out.splitlines()
    assert "ben with ann" in lines[3]
    assert "(not known)" in lines[1]
    assert "(41 times)" in lines[1]


def test_an_entry_is_shown_with_its_operation(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert plant.run("show", 3) == 0
    shown = capsys.readouterr().out
    assert '"subject": "ben"' in shown
    assert "command:submit" in shown.splitlines()[-1]
    assert plant.run("show", "c1") == 0
    assert capsys.readouterr().out.count('"command_id": "c1"') == 2
    assert plant.run("show", 7) == 2
    assert plant.run("show", "c2") == 2


def test_what_it_proves_the_verifier_holds(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    out = plant.folder / "proof"
    assert plant.run("keys") == 0
    (plant.folder / "trusted").write_text(capsys.readouterr().out)
    keys = ("--keys", str(plant.folder / "trusted"))
    for index in range(7):
        assert plant.run("prove", index, "--out", out) == 0
        assert verify.main(["inclusion", str(out / f"{index}.proof"), str(out / f"{index}.json"), *keys]) == 0
    assert verify.main(["inclusion", str(out / "1.proof"), str(out / "2.json"), *keys]) == 1
    old = plant.folder / "old.checkpoint"
    old.write_text((plant.folder / "log" / "checkpoint").read_text())
    plant.write(EVENTS)
    capsys.readouterr()
    assert plant.run("prove", "--since", old, "--out", out) == 0
    words = capsys.readouterr().out.split()
    assert verify.main([*words[1:5], *keys]) == 0
    copies = ["--copies", str(plant.folder / "copies")]
    assert verify.main(["log", str(plant.folder / "log"), *copies, *keys]) == 0
    assert plant.run("prove") == 2
    assert plant.run("prove", 99) == 2


def test_keys_are_added_and_removed_but_not_the_last_one(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant.run("keys")
    old = capsys.readouterr().out.split("+")[1]
    assert plant.run("keys", "remove", old) == 1
    assert "only key" in capsys.readouterr().err
    assert plant.run("keys", "add") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert plant.run("keys", "remove", "00000000") == 2
    capsys.readouterr()
    plant.write(EVENTS[:1])  # the writer signs with both
    assert plant.run("keys", "remove", old) == 0
    assert old not in capsys.readouterr().out
    plant.write(EVENTS[:1])


@pytest.mark.security("SR 6.2", "V16.2.4")
def test_ocsf_has_its_classes_and_what_has_no_place(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    file = plant.folder / "events.jsonl"
    assert plant.run("export", "ocsf", file, "--from", 1) == 0
    assert "--from 7" in capsys.readouterr().err
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["metadata"]["sequence"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert [one["type_uid"] for one in found] == [600301, 600301, 600303, 300201, 600302, 600303]
    assert [one["status_id"] for one in found] == [1, 2, 1, 1, 2, 1]
    assert found[2]["unmapped"]["second"] == "ann"
    assert found[3]["src_endpoint"] == {"ip": "10.0.0.7", "port": 51000}
    assert found[3]["is_mfa"] is True
    assert found[4]["count"] == 41
    assert plant.run("export", "ocsf", file, "--from", 7) == 0  # added to
    assert len(file.read_text().splitlines()) == 6


@pytest.mark.security("V1.2.1", "V16.4.1")
def test_cef_escapes_what_would_be_another_field(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert plant.run("export", "cef", "--outcome", "DENY") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("CEF:0|Millrace|Millrace|1|command:submit|command:submit DENY|4|rt=1767600060000 ")
    assert r"msg=no\=way|out" in first
    assert "cnt=41" in second
    odd = {"index": 1, "action": "a|b\\", "reason": "x=1\ny"}
    assert siem.cef(odd).startswith("CEF:0|Millrace|Millrace|1|a\\|b\\\\|")
    assert "reason=x\\=1\\ny" in siem.cef(odd)


@pytest.mark.security("SR 6.1")
def test_every_entry_can_be_exported_what_is_no_event_too() -> None:
    fields = {"index": 4, "offset": 9, "undecodable": "anVuaw==", "bytes": 4, "sha256": "ab", "detail": "not Avro"}
    assert json.loads(siem.ocsf(fields))["unmapped"]["undecodable"] == "anVuaw=="
    assert siem.cef(fields).startswith("CEF:0|Millrace|Millrace|1|undecodable|")


@dataclass
class Syslog:
    """A syslog server over TLS: address, authority, what it got, and that it got it."""

    address: str
    authority: Path
    got: list[bytes]
    done: threading.Event


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[Syslog]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    got: list[bytes] = []
    done = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with context.wrap_socket(self.request, server_side=True) as connection:
                data = b""
                while chunk := connection.recv(65_536):
                    data += chunk
            while data:
                length, _, rest = data.partition(b" ")
                got.append(rest[: int(length)])
                data = rest[int(length) :]
            done.set()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Syslog(f"127.0.0.1:{server.server_address[1]}", tmp_path / "ca.pem", got, done)
        server.shutdown()
        thread.join()


@pytest.mark.security("SR 6.2", "V16.4.3")
def test_a_syslog_server_gets_framed_messages_over_tls(plant: Plant, syslog: Syslog) -> None:
    assert plant.run("export", "cef", "--syslog", syslog.address, "--ca", syslog.authority) == 0
    assert syslog.done.wait(10)
    got = syslog.got
    assert len(got) == 7
    assert got[1].startswith(b"<109>1 20")
    assert b" plant.example millrace - audit - CEF:0|Millrace|" in got[1]


@pytest.mark.security("V12.3.2")
def test_a_syslog_server_that_nobody_vouches_for_gets_nothing(
    plant: Plant, syslog: Syslog, capsys: pytest.CaptureFixture[str]
) -> None:
    other = plant.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    assert plant.run("export", "cef", "--syslog", syslog.address, "--ca", other) == 3
    assert "does not take events" in capsys.readouterr().err
    assert plant.run("export", "cef", "--syslog", "nowhere", "--ca", other) == 2
    assert not syslog.got


def test_no_log_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant(tmp_path)
    (tmp_path / "log" / "checkpoint").unlink()
    assert plant.run("list") == 1
    assert "holds no audit log" in capsys.readouterr().err


def test_an_old_event_of_the_database_ends_no_search() -> None:
    """Maintenance may have been away: what it brings late stands among what is new."""
    wanted = Wanted(since_us=10 * 86_400_000_000)
    assert wanted.over({"service": "serving", "time_us": 1})
    assert not wanted.over({"service": "database", "time_us": 1})
