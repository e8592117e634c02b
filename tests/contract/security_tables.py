"""The tables of docs/security: threats, system requirements of IEC 62443-3-3, requirements of ASVS 5.0, each with its tests or a reason.

Tests name ids in `@pytest.mark.security("SR 1.1", "V6.5.1", "T-KAFKA-SPOOF")`. What an id is about, in our own words, and the reason of
one without a test are in `security/*.yaml`. `python -m tests.contract.security_tables` writes the tables; a test sees to it that they
are the ones in the pages, that every id is known, and that each requirement has a test or a reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.contract.marked import ROOT, links, put, tagged

DATA = Path(__file__).with_name("security")
PAGES = {
    "threats": ROOT / "docs" / "security" / "threat-model.md",
    "iec-62443-3-3": ROOT / "docs" / "security" / "iec-62443-3-3.md",
    "asvs-5.0": ROOT / "docs" / "security" / "asvs-5.0.md",
}
REASONS = {"design": "design", "n/a": "not applicable", "open": "**open**"}
STRIDE = {
    "S": "spoofing",
    "T": "tampering",
    "R": "repudiation",
    "I": "disclosure",
    "D": "denial of service",
    "E": "elevation",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """`title` in our own words; `status` of REASONS with `reason` where no test stands for it; `note` what tests do not say."""

    id: str
    title: str
    status: str
    reason: str
    note: str
    more: Mapping[str, str]


def entries(name: str) -> list[Entry]:
    """Of one file, in its order; raises ValueError for an entry that is not whole."""
    return [_entry(key, dict(fields)) for key, fields in yaml.safe_load((DATA / f"{name}.yaml").read_text()).items()]


def problems(names: Iterable[str] = PAGES) -> Iterator[str]:
    """Ids that nobody knows, and entries with neither test nor reason, or with both."""
    tests = tagged("security")
    known: set[str] = set()
    for entry in (entry for name in names for entry in entries(name)):
        known.add(entry.id)
        if entry.id in tests and entry.status:
            yield f"{entry.id} has tests and the status {entry.status}: say in `note` what the tests do not"
        if entry.id not in tests and not entry.status:
            yield f"{entry.id} has neither a test nor a status (design, n/a or open)"
    yield from (
        f"{unknown} is named by {tests[unknown]} and is in no file of {DATA.name}/"
        for unknown in sorted(tests.keys() - known)
    )


def page(name: str, text: str) -> str:
    """The page with the table of now."""
    return put(text, table(name))


def table(name: str) -> str:
    """How many of what, then a row for each."""
    tests, found = tagged("security"), entries(name)
    counts = Counter(_kind(entry, tests) for entry in found)
    rows = [f"{len(found)} in all: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) + ".", ""]
    rows += _threats(found, tests) if name == "threats" else _requirements(found, tests)
    return "\n".join(rows)


def _requirements(found: Iterable[Entry], tests: Mapping[str, list[str]]) -> Iterator[str]:
    yield from ("| id | what it asks, in our words | tests, or why there is none |", "|---|---|---|")
    for entry in found:
        level = f" (L{entry.more['level']})" if "level" in entry.more else ""
        yield f"| {entry.id}{level} | {entry.title} | {_answer(entry, tests)} |"


def _threats(found: Iterable[Entry], tests: Mapping[str, list[str]]) -> Iterator[str]:
    yield from (
        "| id | where | kind | threat | what is done | tests, or why there is none |",
        "|---|---|---|---|---|---|",
    )
    for entry in found:
        kind = STRIDE[entry.more["stride"]]
        where, done = entry.more["where"], entry.more["mitigation"]
        yield f"| {entry.id} | {where} | {kind} | {entry.title} | {done} | {_answer(entry, tests)} |"


def _answer(entry: Entry, tests: Mapping[str, list[str]]) -> str:
    said = f"{REASONS[entry.status]}: {entry.reason}" if entry.status else links(tests.get(entry.id, []), "../../")
    note = re.sub(r"\bopen\b(?=:| for )", "**open**", entry.note, flags=re.IGNORECASE)
    return f"{said}<br>{note}" if note else said


def _kind(entry: Entry, tests: Mapping[str, list[str]]) -> str:
    if entry.status:
        return {"design": "by design", "n/a": "not applicable", "open": "open"}[entry.status]
    return (
        "with tests and something open" if "open:" in entry.note.lower() or "open for" in entry.note else "with tests"
    )


def _entry(key: str, fields: dict[str, Any]) -> Entry:
    status = next((one for one in REASONS if one in fields), "")
    reason = str(fields.pop(status, ""))
    title, note = str(fields.pop("title")), str(fields.pop("note", ""))
    if status and len(reason) < 10:
        msg = f"{key}: {status} needs a reason"
        raise ValueError(msg)
    if unknown := fields.keys() - {"level", "where", "stride", "mitigation"}:
        msg = f"{key}: {', '.join(sorted(unknown))} is no field"
        raise ValueError(msg)
    return Entry(key, title, status, reason, note, {name: str(value) for name, value in fields.items()})


if __name__ == "__main__":
    for one, path in PAGES.items():
        path.write_text(page(one, path.read_text()))
