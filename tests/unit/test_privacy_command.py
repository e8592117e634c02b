"""`./millrace privacy` without a broker: what it finds, what it refuses, what an export is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from base import key_ring
from base.errors import InvalidRequestError
from privacy.settings import PrivacySettings
from privacy.store import Store, open_store
from serving import tool_trail
from serving.people import command

CLAIMS = {
    "iss": "https://id.example",
    "sub": "ann-1",
    "name": "Ann Aalto",
    "email": "ann@example.org",
    "preferred_username": "ann.a",
    "iat": 100,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "serving.toml"
    file.write_text(
        f'listen = "127.0.0.1:0"\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n'
        f'[privacy]\nfolder = "{tmp_path}/people"\nkeys = "file:{tmp_path}/people.keys"\n'
    )
    return file


@pytest.fixture
def people(config: Path, tmp_path: Path) -> Store:
    store = open_store(PrivacySettings(folder=str(tmp_path / "people"), keys=f"file:{tmp_path}/people.keys"))
    assert store is not None
    store.refresh()
    return store


def run(config: Path, *words: str) -> int:
    return command.main([words[0], "--config", str(config), *words[1:]])


def test_who_is_there_and_what_is_known(config: Path, people: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ann = people.person_of(CLAIMS)
    assert run(config, "list") == 0
    assert capsys.readouterr().out == f"{ann.subject}  Ann Aalto\n"
    assert run(config, "show", "ann.a", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ann.fields()
    assert run(config, "show", ann.subject) == 0
    assert "ann@example.org" in capsys.readouterr().out
    assert run(config, "show", "nobody") == 2
    assert "nobody of the directory" in capsys.readouterr().err


def test_what_is_wrong_with_the_directory_is_its_status(
    config: Path, people: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    people.person_of(CLAIMS)
    (file,) = people.folder.glob("*.json")
    file.write_text("{half")
    assert run(config, "list", "--json") == 4
    assert json.loads(capsys.readouterr().out)["unreadable"] == [file.stem]


def test_without_a_directory_it_says_how_to_have_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "serving.toml"
    file.write_text('listen = "127.0.0.1:0"\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    assert run(file, "list") == 2
    assert "[privacy]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "  ",
        "ANN AALTO has left",
        "mail of ann@example.org",
        "ann.a wants it",
        "ann-1",
        "Mrs. Aalto has left",
        "ann's request, ticket 7",
    ],
)
def test_a_reason_that_names_the_person_is_refused_because_it_stays(people: Store, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match="stays in the audit log"):
        command._check_reason(reason, people.person_of(CLAIMS))


@pytest.mark.parametrize("reason", ["annual clean-up, ticket 7", "left the example plant", "an order of HR"])
def test_a_reason_with_other_words_is_taken(people: Store, reason: str) -> None:
    command._check_reason(reason, people.person_of(CLAIMS))


def test_what_was_put_aside_is_in_the_audit_log_and_names_nobody(
    config: Path, people: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    people.person_of(CLAIMS)
    (file,) = people.folder.glob("*.json")
    file.write_text("{half")
    noted: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(command, "_note", lambda _, action, __, **about: noted.append((action, about)))
    assert run(config, "renew", "--reason", "ticket 7") != 0
    assert "--put-aside" in capsys.readouterr().err
    noted.clear()
    assert run(config, "renew", "--put-aside", "--reason", "ticket 7") == 0
    assert [action for action, _ in noted] == ["privacy:renew", "privacy:put-aside"]
    assert noted[1][1] == {"detail": "files of 1 people, which cannot be read", "reason": "ticket 7"}
    assert file.stem in capsys.readouterr().out
    assert run(config, "list") == 0


def test_nobody_is_forgotten_without_the_audit_log(
    config: Path, people: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = people.person_of(CLAIMS)
    monkeypatch.setattr(tool_trail, "TIMEOUT_S", 0.2)
    assert run(config, "forget", "ann.a", "--yes", "--reason", "left, ticket 1") != 0
    assert capsys.readouterr().err.startswith("privacy: ")
    people.refresh()
    assert people.of_subject(ann.subject) == ann
    assert people.forgotten.unfinished == 0


def test_an_answer_that_is_not_the_id_forgets_nobody(
    config: Path, people: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = people.person_of(CLAIMS)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert run(config, "forget", "ann.a", "--reason", "left, ticket 1") == 1
    assert capsys.readouterr().out == "nothing was done\n"
    people.refresh()
    assert people.of_subject(ann.subject) == ann


def test_an_export_is_one_document_however_much_there_is(people: Store) -> None:
    ann, out = people.person_of(CLAIMS), io.StringIO()
    records = ((f"table {number}", {"who": ann.subject, "text": 'a "quoted" line\nand another'}) for number in range(3))
    assert command.write_export(out, ann, records) == 3
    found = json.loads(out.getvalue())
    assert found["person"]["name"] == "Ann Aalto"
    assert [one["where"] for one in found["records"]] == ["table 0", "table 1", "table 2"]
    empty = io.StringIO()
    assert command.write_export(empty, ann, iter(())) == 0
    assert json.loads(empty.getvalue())["records"] == []


def test_a_new_directory_is_begun_by_name(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key_ring.add(tmp_path / "people.keys")
    assert run(config, "list") == 2
    assert "`millrace privacy begin`" in capsys.readouterr().err
    assert run(config, "begin") == 0
    assert "a new directory of people" in capsys.readouterr().out
    assert run(config, "list") == 0
    assert run(config, "begin") != 0
