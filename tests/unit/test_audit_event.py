"""Events: their bounds, what joins them, and that they travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import entries
from audit.tiles import MAX_ENTRY
from schemas.audit import AuditEvent, Outcome, cut, trace_of

TEXT = st.text(max_size=3_000)


def event(**fields: object) -> AuditEvent:
    given = {"service": "test", "action": "try", "outcome": Outcome.DENY, "subject": "ann"} | fields
    return AuditEvent(**given)  # type: ignore[arg-type]


@given(TEXT, TEXT, TEXT, st.lists(TEXT, max_size=30))
def test_an_event_is_bounded_and_travels_whatever_it_is_given(
    reason: str, before: str, name: str, policies: list[str]
) -> None:
    made = event(reason=reason, before=before, after=before, name=name, subject=name, policies=tuple(policies))
    assert AuditEvent.decode(made.encode()) == made
    assert len(made.reason) <= 500
    assert made.reason.isprintable()
    assert len(entries.of_message(1, made.encode())) <= MAX_ENTRY


def test_the_longest_event_fits_in_an_entry() -> None:
    everything = {
        name: "\U0001f525" * 5_000
        for name in ("reason", "before", "after", "detail", "path", "name", "subject", "second", "method")
    }
    made = event(**everything, policies=("\U0001f525" * 500,) * 50, amr=("\U0001f525" * 500,) * 50)
    assert len(entries.of_message(1, made.encode())) <= MAX_ENTRY


def test_events_of_one_operation_are_joined() -> None:
    assert event(command_id="c").operation == "c"
    alone = event()
    assert alone.operation == str(alone.event_id)
    assert event(operation=alone.operation, command_id="c").operation == alone.operation


@pytest.mark.security("V1.3.3", "V16.4.1")
def test_what_a_terminal_would_obey_is_taken_out() -> None:
    assert cut("a\nb\x1b[31mc\u202e", 100) == "a b [31mc "
    assert cut("abcdef", 4) == "abc…"


def test_a_trace_is_taken_from_its_header() -> None:
    assert trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") == "0af7651916cd43dd8448eb211c80319c"
    for wrong in (None, "", "x", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"):
        assert trace_of(wrong) == ""


def test_the_same_record_is_known_though_a_later_version_says_more() -> None:
    made = event()
    entry = entries.of_message(3, made.encode())
    assert entries.same(entry, entry.replace(b'"offset":3', b'"new":"","offset":3'))
    assert not entries.same(entry, entries.of_message(3, event().encode()))
    assert not entries.same(entries.of_message(3, b"a"), entries.of_message(3, b"b"))
