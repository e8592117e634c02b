"""The table of docs/i3x-conformance.md: each check of i3X' published conformance suite with its tests, or why there is none.

The suite is CESMII's, in the repository of the specification (`conformance-tests`); its checks are listed here by their ids with what they
ask for in our words, and the tests are our own. Tests name checks in `@pytest.mark.i3x("...")`. `python -m tests.contract.i3x_conformance`
writes the table; a test sees to it that it is the one in the page.
"""

from __future__ import annotations

from tests.contract.marked import ROOT, links, put, tagged

PAGE = ROOT / "docs" / "i3x-conformance.md"

CHECKS: dict[str, tuple[str, str]] = {
    "CORE-01": ("MUST", "`GET /info` answers 200 with JSON"),
    "CORE-02": ("MUST", "`/info` needs no credentials"),
    "CORE-03": ("MUST", "`/info` has `specVersion` and every capability"),
    "CORE-04": ("MUST", "answers are gzipped for a client that takes it"),
    "CORE-05": ("SHOULD", "the endpoint is HTTPS"),
    "CORE-06": ("SHOULD", "data needs credentials"),
    "EXP-01": ("MUST", "namespaces are records with `uri` and `displayName`"),
    "EXP-02": ("MUST", "there is one namespace at least"),
    "EXP-03": ("MUST", "URIs of namespaces are unique"),
    "EXP-04": ("MUST", "object types are records with a JSON Schema"),
    "EXP-05": ("MUST", "every object type is of a namespace that is listed"),
    "EXP-06": ("MUST", "`namespaceUri` filters object types"),
    "EXP-07": ("MUST", "a bulk query of object types keeps size and order"),
    "EXP-08": ("MUST", "unknown object types are 404 each"),
    "EXP-09": ("MUST", "relationship types are complete records"),
    "EXP-10": ("MUST", "`reverseOf` is registered, and symmetric"),
    "EXP-11": ("MUST", "a bulk query of relationship types; unknown ones are 404 each"),
    "EXP-12": ("MUST", "objects are complete records"),
    "EXP-13": ("MUST", "every object's type is registered"),
    "EXP-14": ("MUST", "element ids are printable, trimmed and unique over everything"),
    "EXP-15": ("MUST", "there is a root object, without a parent"),
    "EXP-16": ("MUST", "`typeElementId` filters objects"),
    "EXP-17": ("MUST", "`includeMetadata` gives metadata with the type's provenance"),
    "EXP-18": ("MUST", "a bulk query of objects keeps order; unknown ones are 404 each"),
    "EXP-19": ("MUST", "related objects come with registered relationship types"),
    "EXP-20": ("MUST", "relationships lead back"),
    "EXP-21": ("MUST", "an object's parent is among its related objects"),
    "EXP-22": ("MUST", "`relationshipType` filters related objects"),
    "QRY-01": ("MUST", "current values have value, quality and time"),
    "QRY-02": ("MUST", "null goes with Bad and GoodNoData, and with nothing else"),
    "QRY-03": ("MUST", "values conform to the schema of their type"),
    "QRY-04": ("MUST", "a bulk query of values keeps order; unknown objects are 404 each"),
    "QRY-05": ("MUST", "`maxDepth` 0 gives the components of a composition"),
    "QRY-06": ("MUST", "`maxDepth` 1 gives none"),
    "QRY-07": ("MUST", "history answers with values of each object"),
    "QRY-08": ("MUST", "historical values are well-formed and within the range"),
    "QRY-09": ("MUST", "history of unknown objects is 404 each"),
    "UPD-01": ("MAY", "a value is written"),
    "UPD-02": ("MAY", "a written value is read back"),
    "UPD-03": ("MAY", "writes of unknown objects are 404 each"),
    "UPD-04": ("MAY", "history is written"),
    "UPD-05": ("SHOULD", "what is not offered answers 501"),
    "SUB-01": ("MUST", "a subscription is created"),
    "SUB-02": ("MUST", "it is listed by its id"),
    "SUB-03": ("MUST", "objects are registered, with a result each"),
    "SUB-04": ("MUST", "registering again succeeds"),
    "SUB-05": ("MUST", "registering unknown objects fails for them alone"),
    "SUB-06": ("MUST", "sync gives batches of well-formed updates"),
    "SUB-07": ("MUST", "acknowledged batches do not come again; numbers increase"),
    "SUB-08": ("MUST", "objects are unregistered, with a result each"),
    "SUB-09": ("MAY", "stream answers with server-sent events"),
    "SUB-10": ("MUST", "a subscription is deleted"),
    "SUB-11": ("MUST", "a deleted or unknown subscription is 404"),
    "SUB-12": ("SHOULD", "a stream that is not offered answers 501"),
    "SUB-13": ("MUST", "acknowledging -1 clears everything"),
    "SUB-14": ("MAY", "a second stream closes the first one cleanly"),
    "SUB-15": ("MUST", "without a client id: 400"),
    "SUB-16": ("MUST", "a subscription of another client: 404"),
}

REASONS: dict[str, str] = {
    **dict.fromkeys(
        ("UPD-01", "UPD-02", "UPD-03", "UPD-04"),
        "not offered, and declared so: a write is a command with an outcome, which i3X cannot tell, and history is what was measured",
    ),
    "SUB-12": "does not apply: streams are offered (SUB-09)",
}


def table() -> str:
    """Checks in their order: reached with its tests, or why it does not apply; and the sum."""
    tests = tagged("i3x")
    rows = ["| check | level | asks that | here | tests |", "|---|---|---|---|---|"]
    for check, (level, text) in CHECKS.items():
        here = "reached" if check in tests else "n.a."
        rows.append(
            f"| {check} | {level} | {text} | {here} | {links(tests[check]) if check in tests else REASONS[check]} |"
        )
    reached = sum(check in tests for check in CHECKS)
    rows += ["", f"{len(CHECKS)} checks: {reached} reached, {len(CHECKS) - reached} do not apply, none is missed."]
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with the table of now."""
    return put(text, table())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
