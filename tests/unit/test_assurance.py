"""`lint --security`: what each check sees, what it does not take for an answer, and that nothing is excused that is gone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from assurance import __main__ as command
from assurance import advisories, bill, code, jars, python_packages
from assurance.advisories import Package
from base.errors import ConfigError, UnavailableError

ROOT = Path(__file__).resolve().parents[2]
OLD = {
    "id": "GHSA-0000-0000-0001",
    "modified": "2026-03-01T00:00:00Z",
    "summary": "A remote\nplace is asked for code",
    "affected": [
        {
            "package": {"ecosystem": "Maven", "name": "org.apache.logging.log4j:log4j-core"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2.0-beta9"}, {"fixed": "2.15.0"}]}],
        }
    ],
}


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.0-rc1", "1.0"),
        ("2.0-beta9", "2.0"),
        ("2.9.9", "2.10"),
        ("1.0", "1.0.1"),
        ("1.5.6-9", "1.5.6-10"),
        ("1.1.10.5", "1.1.10.7"),
        ("5.0.0", "5.0.0-2.2"),
        ("1.0-SNAPSHOT", "1.0"),
        ("1.0", "1.0-jre"),
    ],
)
def test_maven_versions_are_in_order(lower: str, higher: str) -> None:
    key = advisories.order("Maven")
    assert key(lower) < key(higher)


def test_maven_versions_that_are_the_same() -> None:
    key = advisories.order("Maven")
    assert key("1.0") == key("1.0.0") == key("1-ga") == key("1.0.Final")


@pytest.mark.security("T-SUPPLY-KNOWN")
@pytest.mark.parametrize(
    ("version", "affected"), [("2.0-beta8", False), ("2.14.1", True), ("2.15.0", False), ("2.25.3", False)]
)
def test_an_advisory_is_for_its_range(version: str, affected: bool, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.json").write_text(json.dumps(OLD))
    package = Package("Maven", "org.apache.logging.log4j:log4j-core", version)
    found, newest = advisories.read(tmp_path, [package])
    assert [(one.advisory, one.text) for one in found] == (
        [("GHSA-0000-0000-0001", "A remote place is asked for code")] if affected else []
    )
    assert newest == "2026-03-01T00:00:00Z"


def test_python_names_are_compared_as_the_index_does(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "id: PYSEC-1\nmodified: 2026-01-02\naffected:\n- package: {ecosystem: PyPI, name: Some.Thing}\n"
        "  ranges: [{type: ECOSYSTEM, events: [{introduced: '0'}, {last_affected: 1.10.0}]}]\n  versions: [7.0.dev1]\n"
    )
    versions = ("1.9", "1.10", "1.11", "7.0.dev1")
    found, _ = advisories.read(tmp_path, [Package("PyPI", "some-thing", version) for version in versions])
    assert [one.package.version for one in found] == ["1.9", "1.10", "7.0.dev1"]


def test_an_advisory_that_was_withdrawn_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({**OLD, "withdrawn": "2026-04-01T00:00:00Z"}))
    found, _ = advisories.read(tmp_path, [Package("Maven", "org.apache.logging.log4j:log4j-core", "2.14.1")])
    assert found == []


def test_a_folder_without_advisories_is_no_clean_bill(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no advisory in the OSV format"):
        advisories.read(tmp_path, [])


def test_a_service_that_is_away_is_no_clean_bill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(advisories, "SERVICE", "http://127.0.0.1:9/v1/querybatch")
    assert command.main(["advisories"]) == command.NOT_ASKED
    assert (
        "advisories: NOT CHECKED: the advisory service http://127.0.0.1:9/v1/querybatch does not answer"
        in capsys.readouterr().out
    )


@pytest.mark.security("T-SUPPLY-KNOWN")
def test_an_index_that_knows_no_advisories_is_no_clean_bill() -> None:
    known = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "description": "bad\n thing"}]}
    assert [one.advisory for one in python_packages.answered({"dependencies": [known]})] == ["PYSEC-1"]
    skipped = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
    with pytest.raises(UnavailableError, match="no advisories about b"):
        python_packages.answered({"dependencies": [known, skipped]})


@pytest.mark.security("T-SUPPLY-KNOWN", "SR 7.8", "V15.1.2")
def test_the_bill_names_every_locked_package_and_every_jar() -> None:
    document = json.loads(bill.text())
    assert document["specVersion"] == "1.6"
    purls = {one["purl"] for one in document["components"]}
    assert {f"pkg:pypi/{one['name']}@{one['version']}" for one in bill.locked()} <= purls
    maven = [one for one in document["components"] if one["purl"].startswith("pkg:maven/")]
    assert {one["hashes"][0]["content"] for one in maven} == {jar.sha256 for jar in bill.jars()}
    assert len(purls) == len(bill.packages())


def source(folder: Path, **changes: Any) -> jars.Source:
    return dataclasses.replace(jars.Source(folder / "pom.xml", folder / "jars.sha256", folder / "jars"), **changes)


@pytest.mark.security("T-SUPPLY-JAR", "SR 3.2")
def test_a_jar_with_other_bytes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "ROOT", tmp_path)
    (tmp_path / "jars").mkdir()
    for name in ("good-1.0.jar", "bad-1.0.jar", "more-1.0.jar"):
        (tmp_path / "jars" / name).write_bytes(name.encode())
    good = jars.digest(tmp_path / "jars" / "good-1.0.jar")
    (tmp_path / "jars.sha256").write_text(
        f"# g:good:1.0\n{good}  good-1.0.jar\n# g:bad:1.0\n{good}  bad-1.0.jar\n# g:gone:1.0\n{good}  gone-1.0.jar\n"
    )
    dependency = "<dependency><groupId>g</groupId><artifactId>{}</artifactId><version>1.0</version></dependency>"
    (tmp_path / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><dependencies>'
        f"{dependency.format('good')}{dependency.format('new')}</dependencies></project>"
    )
    assert [text.partition(":")[0] for text in source(tmp_path).problems()] == [
        "pom.xml names g",
        "gone-1.0.jar is not in jars",
        "bad-1.0.jar has another SHA-256 than its pin",
        "more-1.0.jar is in jars and not pinned",
    ]


@pytest.mark.parametrize("text", [f"{'0' * 64}  a.jar\n", "# a:b:1\nhello\n"])
def test_a_file_that_holds_no_pins_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "jars.sha256").write_text(text)
    with pytest.raises(ConfigError, match=r"jars\.sha256: "):
        source(tmp_path).jars()


@pytest.mark.security("T-SUPPLY-JAR", "SR 3.2", "SR 7.8")
def test_the_poms_are_pinned_and_whoever_fetches_checks_the_pins() -> None:
    for one in jars.SOURCES:
        assert not [text for text in one.problems() if "does not pin" in text]
        assert str(one.pins.relative_to(ROOT)) in (ROOT / "millrace").read_text()
    assert "sha256sum --check --strict" in (ROOT / "k8s" / "images" / "jobs.Containerfile").read_text()


def test_one_finding_more_and_one_less_are_both_told() -> None:
    found = [code.Found("B310", "a.py", 3, "urlopen"), code.Found("B310", "a.py", 9, "urlopen")]

    def told(*findings: code.Found, **counts: int) -> list[str]:
        excused = {("B310", f"{name}.py"): count for name, count in counts.items()}
        return list(code.problems(findings, code.Accepted({}, excused, frozenset({("B608", "held/*.py")}))))

    assert told(*found, a=2) == []
    assert told(*found, a=1) == ["a.py: 2 of B310, 1 accepted (lines 3, 9) urlopen"]
    assert told(a=1) == ["a.py: 0 of B310, 1 accepted (lines none)"]
    assert told(code.Found("B608", "held/a.py", 1, "sql")) == []
    assert told(code.Found("B608", "b.py", 1, "sql")) == ["b.py: 1 of B608, 0 accepted (lines 1) sql"]


def test_a_finding_is_not_accepted_without_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        code.accepted('[left_out]\n[[finding]]\nrule = "B310"\nreason = "fine"\n[finding.files]\n"a.py" = 1\n')


@pytest.mark.security("T-DB-INJECT", "V1.2.4", "V1.2.5", "V11.4.1")
@pytest.mark.timeout(900)  # the whole tree, a process for itself
def test_bandit_finds_nothing_that_has_no_reason() -> None:
    accepted = code.accepted(code.ACCEPTED.read_text())
    assert list(code.problems(code.scan(code.packages(), accepted.left_out), accepted)) == []


@pytest.mark.security("V11.5.1")
def test_what_is_secret_is_not_made_with_the_random_of_workloads() -> None:
    for package in ("issuer", "authority", "serving", "audit", "base"):
        for path in (ROOT / package).rglob("*.py"):
            assert "import random" not in path.read_text(), path


def test_a_check_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["jar"])
    assert ended.value.code == 2
    assert "there is no check jar" in capsys.readouterr().err
