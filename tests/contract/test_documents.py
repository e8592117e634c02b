"""The documents name only what exists: files, commands, modules, topics, settings and ports."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.settings import KafkaSettings
from benchmarks import recorded, summary
from cli.tree import COMMANDS, COMPLETION
from connectors.catalogue import PROTOCOLS
from edge.config import GatewayConfig
from schemas import topics
from stack.config import ROOT, StackConfig
from tests.docs import settings_tables
from tests.docs.blocks import DOCUMENTS, blocks_of

TOP_LEVEL = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(text: str) -> Iterator[str]:
    """Inline code, and the lines of fenced blocks."""
    for block in FENCE.findall(text):
        yield from block.splitlines()
    yield from CODE.findall(FENCE.sub("", text))


def every_document() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


@every_document()
def test_links_lead_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", text)
    broken = []
    for target in targets:
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (path.parent / file).resolve() if file else path
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


def anchors(document: Path) -> set[str]:
    """GitHub's anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document()
def test_files_exist(path: Path) -> None:
    missing = []
    made = {block.words[1] for block in blocks_of(path) if block.words[:1] == ("new",)}  # by following the page
    made |= {str(Path(name).parent) for name in made}
    for code in code_of(path.read_text()):
        for word in re.findall(rf"(?<![\w./-])(?:{'|'.join(TOP_LEVEL)})/[\w./*-]+", code):
            candidate = word.rstrip(".,:")
            found = any(ROOT.glob(candidate)) if "*" in candidate else (ROOT / candidate).exists()
            if not found and "<" not in code and candidate not in made:
                missing.append(candidate)
    assert missing == []


@every_document()
def test_commands_exist(path: Path) -> None:
    used = {
        match
        for code in code_of(path.read_text())
        for match in re.findall(r"(?:\./millrace|\bjust) ([a-z][a-z-]*)", code)
    }
    assert used <= {*COMMANDS, COMPLETION}


@every_document()
def test_modules_exist(path: Path) -> None:
    for code in code_of(path.read_text()):
        for module in re.findall(r"python -m ([\w.]+)", code):
            assert importlib.util.find_spec(module) is not None, module


@every_document()
def test_topics_exist(path: Path) -> None:
    first = "|".join({topic.name.partition(".")[0] for topic in topics.TOPICS})
    for code in CODE.findall(FENCE.sub("", path.read_text())):
        if match := re.fullmatch(rf"((?:{first})\.(?!(?:py|yaml|toml|md)\b)[a-z]+)(?:\.(?:<site>|[a-z]+))?", code):
            assert topics.find(match[1]), code


@every_document()
def test_nothing_of_one_machine_is_named(path: Path) -> None:
    assert re.findall(r"(?<!\w)/(?:work|root|home)/", path.read_text()) == []


HOUSE_WORDS = re.compile(r"\b(?:judg(?:e|es|ed|ing)|settles?|settled|guests?|doubts|the news)\b", re.IGNORECASE)
"""Words that only the code's authors understood; the field's are validate, confirm, reconcile, micro-batch."""


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_words_are_the_fields(path: Path) -> None:
    text = re.sub(r"\]\([^)]*\)|`[^`\n]*`", "", FENCE.sub("", path.read_text()))
    assert HOUSE_WORDS.findall(text) == []


def table(document: Path, heading: str) -> Iterator[tuple[str, ...]]:
    """Rows of the tables under a heading, first column without code marks."""
    text = document.read_text()
    section = text[text.index(f"## {heading}\n") :]
    section = section[: section.index("\n## ", 3)]
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        if line.startswith("| `") and len(cells) > 1:
            yield tuple(cells)


def test_the_table_of_benchmarks_is_made_from_the_results() -> None:
    text = summary.DOCUMENT.read_text()
    table = summary.table(recorded.newest(recorded.load()), relative_to=summary.DOCUMENT.parent)
    assert summary.put(table, text) == text, "run `./millrace bench table --write`"


def test_kept_results_are_where_they_say_and_name_no_machine() -> None:
    for path, result in recorded.load().items():
        recorded.check(result)
        assert path.parent.name == recorded.folder_of(result), path.name
        assert path.name.startswith(recorded.name_of(result)), path.name
        assert path.read_text() == recorded.dumps(result), path.name
        assert re.findall(r"(?<!\w)/(?:work|root|home|tmp)/", path.read_text()) == [], path.name


OPERATIONS = ROOT / "docs" / "operations.md"


def test_the_table_of_a_gateway_has_keys_that_exist_with_their_defaults() -> None:
    config = GatewayConfig(
        gateway_id="gw", site="north", state_dir=Path("state"), kafka=KafkaSettings(bootstrap_servers="k")
    )
    for key, default, *_ in table(ROOT / "docs" / "connect-your-plant.md", "3. Run a gateway"):
        first, *others = re.findall(r"`([\w.]+)`", key)
        name = first.partition(".")[0]
        node = getattr(config, name)
        values = [getattr(node, one.rpartition(".")[2]) for one in (first, *others)]
        for value, shown in zip(values, default.split(", "), strict=False):
            if isinstance(value, bool):
                assert shown == str(value).lower(), key
            elif shown.replace(".", "").isdigit():
                assert float(shown) == float(value), key
            elif shown == "none":
                assert value == "", key


def test_every_protocol_has_a_table_of_its_settings() -> None:
    assert settings_tables.documented(settings_tables.DOCUMENT.read_text()) == PROTOCOLS.keys()


def test_the_tables_of_the_protocols_settings_are_those_of_the_code() -> None:
    text = settings_tables.DOCUMENT.read_text()
    assert settings_tables.put(text) == text, "run `python -m tests.docs.settings_tables`"


def test_the_table_of_ports_is_the_configuration() -> None:
    ports = StackConfig().ports
    documented = {
        row[0].strip("`"): int(row[1]) for row in table(OPERATIONS, "Settings") if row[0].startswith("`ports.")
    }
    assert documented == {f"ports.{spec.name}": getattr(ports, spec.name) for spec in dataclasses.fields(ports)}


def test_the_table_of_settings_is_the_configuration() -> None:
    config = StackConfig()
    documented: set[str] = set()
    for key, default, *_ in table(OPERATIONS, "Settings"):
        names = re.findall(r"`([\w.]+)`", key)
        table_name = names[0].partition(".")[0]
        for name in names:
            full = f"{table_name}{name}" if name.startswith(".") else name
            documented.add(full)
            node, _, leaf = full.rpartition(".")
            value = getattr(getattr(config, node) if node else config, leaf)
            shown = name_of(value) if isinstance(value, Path) else str(value)
            assert full == "taskmanagers" or default.strip("`") == shown, full
    tables = {"ports", "memory", "parallelism", "backup"}
    expected = {spec.name for spec in dataclasses.fields(config) if spec.name not in tables}
    expected |= {f"{name}.{spec.name}" for name in tables for spec in dataclasses.fields(getattr(config, name))}
    assert documented == expected - {"host", "owner_pid"}  # fixed to loopback; for test sessions
