"""Every statement of the Sparkplug specification has a test or a reason, and the page says which."""

from __future__ import annotations

from fnmatch import fnmatch

from tests.contract import sparkplug_conformance as conformance
from tests.contract.marked import tagged


def test_every_statement_has_a_test_or_a_reason() -> None:
    tests = tagged("sparkplug")
    assert [one for one in conformance.statements() if one not in tests and conformance.reason(one) is None] == []


def test_tests_name_statements_that_exist() -> None:
    assert tagged("sparkplug").keys() - set(conformance.statements()) == set()


def test_reasons_stand_for_statements_without_tests() -> None:
    tests = tagged("sparkplug")
    untested = [one for one in conformance.statements() if one not in tests]
    assert [pattern for pattern, _ in conformance.REASONS if not any(fnmatch(one, pattern) for one in untested)] == []


def test_the_page_has_the_table_of_now() -> None:
    text = conformance.PAGE.read_text()
    assert text == conformance.page(text), "write it anew: python -m tests.contract.sparkplug_conformance"
