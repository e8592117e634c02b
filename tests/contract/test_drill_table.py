"""Each key and secret has a test that replaces it while everything goes on, or a reason, and the page says which."""

from __future__ import annotations

from serving.config import SECRET_FILES
from tests.contract import drill_table


def test_every_secret_has_a_drill_or_a_reason_and_every_mark_is_known() -> None:
    assert list(drill_table.problems()) == []


def test_the_page_has_the_table_of_now() -> None:
    text = drill_table.PAGE.read_text()
    assert text == drill_table.page(text), "write it anew: python -m tests.contract.drill_table"


def test_secret_files_of_serving_are_in_the_table() -> None:
    places = " ".join(one["where"] for one in drill_table.secrets().values())

    def is_there(name: str) -> bool:
        table, _, key = name.rpartition(".")
        return name in places or f"`{key}` in `[{table}]`" in places

    assert [name for name in SECRET_FILES if not is_there(name)] == []
