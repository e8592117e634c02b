"""The README's example of a test, and that its other examples are short. Those need a server: tests/integration runs them."""

from __future__ import annotations

import client_readme


def test_the_example_of_a_test_holds() -> None:
    exec(compile(client_readme.programs()["Testing your program"], "README.md", "exec"), {})


def test_the_first_examples_are_five_lines() -> None:
    programs = client_readme.programs()
    for heading in ("Read", "Watch", "History", "Command"):
        lines = [line for line in programs[heading].splitlines() if line and "import" not in line]
        assert len(lines) <= 5, heading
