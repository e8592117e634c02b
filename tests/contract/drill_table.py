"""The table of keys and secrets in docs/security/README.md: how each is replaced, and which test does it while everything goes on.

Tests name a secret in `@pytest.mark.drill("session-key")`. What there is to say of each is in `security/secrets.yaml`; one without a test
has a reason there. `python -m tests.contract.drill_table` writes the table; a test sees to it that it is the one in the page.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tests.contract.marked import ROOT, links, put, tagged

DATA = ROOT / "tests" / "contract" / "security" / "secrets.yaml"
PAGE = ROOT / "docs" / "security" / "README.md"
_FIELDS = ("title", "algorithm", "lives", "where", "replaced")
_REASONS = {"n/a": "not applicable", "open": "**open**"}


def secrets() -> dict[str, dict[str, str]]:
    """Of the file, in its order."""
    return dict(yaml.safe_load(DATA.read_text()))


def problems() -> Iterator[str]:
    """What is not whole: entries without a field, with neither test nor reason or with both, and marks that nobody knows."""
    tests, known = tagged("drill"), secrets()
    for name, entry in known.items():
        reasons = [one for one in _REASONS if one in entry]
        if wrong := {*_FIELDS, *_REASONS} ^ {*entry, *_REASONS}:
            yield f"{name}: {', '.join(sorted(wrong))} is missing or no field"
        if (name in tests) == bool(reasons) or len(reasons) > 1:
            yield f"{name} has to have a test or one reason (n/a or open), and not both"
    yield from (f"{name} is named by {tests[name]} and is not in {DATA.name}" for name in sorted(tests.keys() - known))


def page(text: str) -> str:
    """The page with the table of now."""
    return put(text, "\n".join(_rows()))


def _rows() -> Iterator[str]:
    tests = tagged("drill")
    yield "| key | algorithm | lives | where | replaced | while everything goes on |"
    yield "|---|---|---|---|---|---|"
    for name, entry in secrets().items():
        reason = next((f"{said}: {entry[one]}" for one, said in _REASONS.items() if one in entry), "")
        cells = [entry[one] for one in _FIELDS]
        yield f"| {' | '.join(cells)} | {reason or links(tests.get(name, []), '../../')} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
