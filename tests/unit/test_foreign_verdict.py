"""The comparison of what was stored with a foreign server's journal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.foreign.recorder import GapRow, Row
from benchmarks.foreign.verdict import Line, Verdict, judge, read_journal, same
from connectors.readings import Unusable

MS = 1000


def verdict(set_ms: list[int], stored_ms: list[int], *gaps: tuple[int, int]) -> Verdict:
    journal = {1: {at * MS: at for at in set_ms}}
    rows = {1: [Row(at * MS, at, 0) for at in stored_ms]}
    return judge(journal, rows, {1: [GapRow(start * MS, end * MS, "") for start, end in gaps]})


def test_all_stored_is_good() -> None:
    found = verdict([1, 2, 3], [1, 2, 3])
    assert (found.good, found.stored, found.lost) == (True, 3, 0)


def test_a_loss_is_exact_only_with_a_gap_from_the_last_to_the_next() -> None:
    found = verdict([1, 2, 3, 4, 5], [1, 4, 5], (1, 4))
    assert (found.good, found.lost, found.exact) == (True, 2, 1)
    wide = verdict([1, 2, 3, 4, 5], [1, 4, 5], (0, 5))
    assert (wide.good, wide.inexact) == (False, 1)
    none = verdict([1, 2, 3, 4, 5], [1, 4, 5])
    assert (none.good, none.unnamed) == (False, 1)
    assert "without a gap" in none.examples[0]


def test_a_gap_in_which_nothing_was_lost_is_needless_not_wrong() -> None:
    found = verdict([1, 5], [1, 5], (1, 5))
    assert (found.good, found.needless) == (True, 1)


def test_who_reads_cannot_know_that_a_server_without_a_line_set_nothing() -> None:
    journal = {1: {at * MS: at for at in (1000, 2000, 5200, 6200)}}
    rows = {1: [Row(at, value, 0) for at, value in journal[1].items()]}

    def counted(gap: tuple[int, int], *away: tuple[int, int]) -> tuple[int, int]:
        line = Line(away=[(start * MS, end * MS) for start, end in away], period_us=1000 * MS)
        found = judge(journal, rows, {1: [GapRow(gap[0] * MS, gap[1] * MS, "")]}, line)
        assert found.good
        return found.needless, found.quiet

    assert counted((2000, 5200), (2500, 5100)) == (0, 1)
    assert counted((2000, 5200)) == (1, 0), "the line was there"
    assert counted((2000, 5200), (6300, 8000)) == (1, 0), "the line was there then"
    assert counted((1000, 2000), (1500, 1600)) == (1, 0), "it was silent for a period and no more"
    assert counted((2000, 5200), (4500, 4900)) == (1, 0), "it begins long before the line went away"
    assert counted((2000, 5200), (2100, 3000)) == (1, 0), "it ends long after the line was back"
    assert counted((2000, 5200), (4000, 4500)) == (0, 1), "two periods before are what a beat and a late one take"
    assert counted((2000, 5200), (2100, 3000), (4500, 4900)) == (1, 0), "two absences do not add up"
    assert counted((2000, 5200), (5100, 5500)) == (0, 1), "it ends with a value that was set while the line was away"


def test_what_nobody_set_and_what_came_twice() -> None:
    assert verdict([1, 2], [1, 2, 3]).wrong == 1
    assert verdict([1, 2], [1, 2, 2]).doubled == 1


def test_a_node_that_is_gone_is_told_by_a_bad_sample() -> None:
    journal = {1: {at * MS: at for at in (1, 2, 6, 7)}}
    rows = {1: [Row(1 * MS, 1, 0), Row(2 * MS, 2, 0), Row(3 * MS, None, 0x8034), Row(7 * MS, 7, 0)]}
    found = judge(journal, rows, {1: [GapRow(3 * MS, 7 * MS, "")]})
    assert (found.good, found.exact, found.wrong) == (True, 1, 0)


def test_before_the_first_sample_nobody_listened_but_the_end_must_be_heard() -> None:
    assert verdict([1, 2, 3], [3]).good
    assert verdict([1, 2, 3, 4], [1, 2]).silent == 1
    assert verdict([1, 2, 3], []).silent == 1


@pytest.mark.parametrize(
    ("said", "value", "quality", "equal"),
    [
        (1.5, 1.5, 0, True), (1.5, 1.25, 0, False), (True, True, 0, True), (None, None, 0x808C, True), (None, 1.0, 0x808C, False),
        (1.5, 1.5, 0x808C, False), ([1, 2], 2, 0, True), ([1, 2], [1, 2], 0, False), (5, 5.0, 0, True),
        ({"Weight": 1.5}, 1.5, 0, True), ({"Weight": 1.5}, None, 0, False), ("a", "a", 0, True),
    ],
)  # fmt: skip
def test_values_are_compared_as_the_journal_has_them(said: Any, value: Any, quality: int, equal: bool) -> None:
    assert same(said, Row(0, value, quality)) is equal


def test_a_value_that_is_refused_by_name_is_reported_and_not_wrong() -> None:
    journal = {key: {at * MS: {"Weight": 1.5} for at in (1, 2, 3)} for key in (1, 2)}
    refused = [Row(at * MS, Unusable("a structure"), 0) for at in (1, 2, 3)]
    found = judge(journal, {1: refused, 2: refused[:1]}, {})
    assert (found.wrong, found.refused, found.reasons) == (0, 2, ["a structure"])
    # What is missing of it is missing, and silence of another item is no refusal.
    assert (found.good, found.silent) == (False, 1)
    assert judge(journal, {1: refused}, {}).good
    absent = judge(journal, {1: [], 2: refused}, {})
    assert (absent.good, absent.silent, absent.refused) == (False, 1, 1)
    assert judge(journal, {1: [*refused, refused[0]]}, {}).doubled == 1
    assert judge(journal, {1: [*refused, Row(4 * MS, Unusable("a structure"), 0)]}, {}).wrong == 1


def test_a_torn_line_of_the_journal_is_left_out() -> None:
    lines = [json.dumps({"t": 1, "v": [[7, 1.5]]}), json.dumps({"t": 2, "w": [[7, 2.5]]}), '{"t": 3, "v": [[7, 3.']
    assert read_journal(lines) == {7: {1000: 1.5, 2000: 2.5}}
