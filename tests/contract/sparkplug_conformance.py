"""The table of docs/sparkplug-conformance.md: each statement of the Sparkplug 3.0 specification with its tests, or a reason.

Tests name statements in `@pytest.mark.sparkplug("...")`. `python -m tests.contract.sparkplug_conformance` writes the table;
a test sees to it that it is the one in the page.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from tests.contract.marked import ROOT, links, put, tagged

PAGE = ROOT / "docs" / "sparkplug-conformance.md"
STATEMENTS = Path(__file__).with_name("sparkplug_statements.txt")

REASONS: tuple[tuple[str, str], ...] = (
    (
        "payloads-alias-data-cmd-requirement",
        "Data by alias is read. Commands carry the name and no alias: the compatibility kit of the specification asks for the name "
        "(operational-behavior-data-commands-dcmd-metric-name), and more nodes understand it.",
    ),
    (
        "payloads-metric-datatype-not-req",
        "A SHOULD NOT. Commands carry the data type: the compatibility kit asks for it, and nodes need it to know the sign.",
    ),
    (
        "host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet",
        "The host always sends a DISCONNECT packet behind its death.",
    ),
    ("operational-behavior-host-application-disconnect-intentional", "A MAY. The packet is sent."),
    (
        "operational-behavior-host-application-host-id",
        "The installation's: host ids are `millrace-<gateway>` unless they are set.",
    ),
    (
        "operational-behavior-data-commands-ncmd-metric-name",
        "A SHOULD. Writes of a node's metrics go by the name in its birth.",
    ),
    (
        "operational-behavior-primary-application-state-with-multiple-servers-*",
        "Of edge nodes. A host has a connection for each broker, each with its STATE.",
    ),
    (
        "operational-behavior-data-commands-rebirth-*",
        "Of edge nodes. What they answer to a rebirth request is read as any birth.",
    ),
    ("conformance-mqtt-*", "Of MQTT brokers."),
    (
        "payloads-template-*",
        "Of edge nodes. Templates are read by their members; definitions and parameters hold no values.",
    ),
    (
        "payloads-metric-propertyvalue-*",
        "Of edge nodes. Properties are read whatever their type; they reach proposals.",
    ),
    ("case-sensitivity-*", "Of edge nodes, a SHOULD NOT. Names are compared as they are."),
    ("intro-*", "Of edge nodes: how they are named."),
    ("topic-structure-*", "Of edge nodes: how they are named."),
    ("principles-*", "Of edge nodes."),
    ("message-flow-edge-node-*", "Of edge nodes."),
    ("message-flow-device-*", "Of edge nodes."),
    ("operational-behavior-edge-node-*", "Of edge nodes."),
    ("operational-behavior-data-publish-*", "Of edge nodes."),
    ("payloads-*birth*", "Of edge nodes. What a birth lacks is told, and costs nothing else."),
    ("payloads-*data*", "Of edge nodes."),
    ("payloads-*death*", "Of edge nodes."),
    ("topics-*", "Of edge nodes."),
)


def statements() -> list[str]:
    """Ids, sorted."""
    return [line for line in STATEMENTS.read_text().splitlines() if line and not line.startswith("#")]


def reason(statement: str) -> tuple[str, str] | None:
    """First pattern and reason for a statement."""
    return next((one for one in REASONS if fnmatch(statement, one[0])), None)


def table() -> str:
    """Statements with their tests, then those without, by reason."""
    tests = tagged("sparkplug")
    rows = ["| statement (tck-id-…) | tests |", "|---|---|"]
    rows += [f"| {one} | {links(tests[one])} |" for one in statements() if one in tests]
    reasons: dict[str, list[str]] = {}
    for one in statements():
        if one not in tests and (found := reason(one)) is not None:
            reasons.setdefault(found[1], []).append(one)
    rows += ["", "| not tested here, because | statements |", "|---|---|"]
    rows += [f"| {why} | {', '.join(ids)} |" for why, ids in reasons.items()]
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with the table of now."""
    return put(text, table())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
