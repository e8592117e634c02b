"""The page about i3X names every check of the published suite once, with its tests or with why it does not apply."""

from __future__ import annotations

from tests.contract import i3x_conformance as conformance
from tests.contract.marked import tagged


def test_every_check_has_a_test_or_a_reason_and_only_known_ones_are_named() -> None:
    tests = tagged("i3x")
    assert set(tests) <= set(conformance.CHECKS)
    assert set(tests) ^ set(conformance.REASONS) == set(conformance.CHECKS)
    assert all(conformance.CHECKS[check][0] != "MUST" for check in conformance.REASONS)


def test_the_page_has_the_table_of_now() -> None:
    text = conformance.PAGE.read_text()
    assert text == conformance.page(text), "run `python -m tests.contract.i3x_conformance`"
