"""What a rule says that is not so: told once by the job, and an error of `alarms check`."""

from __future__ import annotations

from typing import Self

PARENT, LINE_PATH = "parent", "line_path"


class Problem(str):
    """A rule that could not be brought to a device whole, in words; `key` is the field of the rule that says what is not there."""

    __slots__ = ("key", "rule_id")

    def __new__(cls, rule_id: str, key: str, text: str) -> Self:
        """Of the words a whole sentence is made."""
        made = super().__new__(cls, f"alarm rule {rule_id}: {text}")
        made.rule_id, made.key = rule_id, key
        return made

    rule_id: str
    key: str

    @property
    def applied(self) -> bool:
        """Whether the rule holds there all the same, without its parent."""
        return self.key == PARENT
