"""What the repository says of itself to people and to tools: licence, hooks, forms."""

from __future__ import annotations

import hashlib
import tomllib
from typing import Any

import pytest
import yaml

from stack.config import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the licence's standard text, as the Apache Software Foundation publishes it."""


def test_the_licence_is_the_standard_text_and_in_the_metadata() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])


def test_hooks_call_the_recipes_of_continuous_integration() -> None:
    recipes = {tuple(line.split()) for line in (ROOT / ".ci" / "run").read_text().splitlines() if "millrace " in line}
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert {tuple(hook["entry"].split()[:2]) for hook in hooks} == recipes
    for hook in hooks:
        assert hook["pass_filenames"] is False, hook["id"]
        assert all((ROOT / path).is_dir() for path in hook["entry"].split()[2:]), hook["id"]


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_whole(form: Any) -> None:
    found = yaml.safe_load(form.read_text())
    assert found["name"]
    assert found["description"]
    fields = [field for field in found["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids) > 0
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
