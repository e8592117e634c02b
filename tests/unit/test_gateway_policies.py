"""Local policies: what an interlock refuses, when a rule fires, and that everything that cannot be said is safe."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from base.errors import ConfigError
from edge import policy_command, policy_file
from edge.expression import MAX_DEPTH, Expression, ExpressionError
from edge.policies import MAX_WRITES, Fired, Policies
from edge.policy_file import PolicyFile
from schemas import quality
from schemas.commands import CommandRequest
from schemas.definitions import DataType
from stages.expressions.bounds import MAX_LENGTH
from tests.integration.gateway_support import tag

pytestmark = pytest.mark.unit

GUARD = tag(1, "x:1", name="guard_open", data_type=DataType.BOOLEAN)
TEMPERATURE = tag(2, "x:2", name="temperature")
OTHER = tag(3, "x:3", name="temperature", device_id=2, device_class="fan")
FILE = """
[[interlocks]]
name = "guard"
device_class = "pump"
commands = ["start", "write"]
when = "tag.guard_open"
text = "the guard is open"

[[interlocks]]
name = "not too fast"
devices = ["d1"]
when = "has(command.values.speed) && command.values.speed > 50 && command.by != 'ann'"

[[rules]]
name = "hot"
device_class = "pump"
when = "tag.temperature > 80"
for_s = 5
event = "too hot"
write = { speed = 10 }
every_s = 60

[[rules]]
name = "silent"
devices = ["acme/north/*/d1"]
when = "age_s.temperature > 30"
event = "no temperature any more"

[[cases]]
policy = "guard"
tags = { guard_open = true }
command = { name = "start" }
expect = "refused"

[[cases]]
policy = "guard"
tags = { guard_open = true }
command = { name = "reset" }
expect = "allowed"

[[cases]]
policy = "guard"
expect = "refused"

[[cases]]
policy = "not too fast"
command = { name = "write", values = { speed = 60 } }
expect = "refused"

[[cases]]
policy = "hot"
tags = { temperature = 81 }
expect = "fires"

[[cases]]
policy = "silent"
tags = { temperature = 1 }
age_s = { temperature = 31 }
expect = "fires"

[[cases]]
policy = "silent"
expect = "error"
"""


def request(**changes: Any) -> CommandRequest:
    values: dict[str, Any] = {
        "command_id": UUID(int=1), "device_id": 1, "gateway_id": "gw1", "site": "north", "name": "write",
        "parameters": {}, "submitted_by": "bob", "submitted_us": 0, "expires_us": 10,
    }  # fmt: skip
    return CommandRequest(**(values | changes))


class Plant:
    """Policies over two devices, and a clock."""

    def __init__(self, folder: Path, text: str = FILE) -> None:
        self.now_us = 1_000_000_000
        self.said: list[tuple[int, str]] = []
        self.policies = Policies(clock=lambda: self.now_us, say=self._say)
        self.file = folder / "policies.toml"
        self.file.write_text(text)
        self.policies.use(policy_file.load(self.file))
        self.policies.update([GUARD, TEMPERATURE, OTHER])

    def _say(self, device_id: int, text: str, _attributes: Mapping[str, str]) -> None:
        self.said.append((device_id, text))

    def hear(self, tag_id: int, value: float, status: int = 0) -> list[Fired]:
        return self.policies.observe([tag_id], [self.now_us], [value], [status])

    def pass_s(self, seconds: float) -> list[Fired]:
        self.now_us += int(seconds * 1e6)
        return self.policies.tick()

    def refusal(self, values: Mapping[str, float] | None = None, **changes: Any) -> str:
        return self.policies.refusal(request(**changes), values or {})


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def test_an_interlock_refuses_while_its_condition_is_true(plant: Plant) -> None:
    plant.hear(1, 1.0)
    assert plant.refusal() == "interlock guard: the guard is open"
    assert plant.refusal(name="reset") == ""
    assert plant.refusal(device_id=2) == ""
    plant.hear(1, 0.0)
    assert plant.refusal() == ""
    assert plant.refusal({"speed": 60.0}).startswith("interlock not too fast: has(")
    assert plant.refusal({"speed": 60.0}, submitted_by="ann") == ""


def test_an_interlock_that_cannot_be_evaluated_refuses(plant: Plant) -> None:
    assert plant.refusal() == "interlock guard cannot be evaluated: guard_open is not known"
    plant.hear(1, 0.0, quality.BAD_NO_COMMUNICATION)
    assert "cannot be evaluated" in plant.refusal()
    plant.hear(1, float("nan"))
    assert "cannot be evaluated" in plant.refusal()
    plant.hear(1, 0.0)
    assert plant.refusal() == ""


def test_a_rule_fires_once_its_condition_has_lasted_and_again_after_it_was_false(plant: Plant) -> None:
    assert plant.hear(2, 81.0) == []
    assert plant.pass_s(4) == []
    (fired,) = plant.pass_s(2)
    assert (fired.rule.name, fired.device_id, fired.write) == ("hot", 1, {"speed": 10.0})
    plant.hear(2, 82.0)
    assert plant.pass_s(10) == []
    plant.hear(2, 70.0)
    plant.hear(2, 81.0)
    assert plant.pass_s(6) == []  # every_s
    plant.now_us += 60_000_000
    (again,) = plant.hear(2, 81.0)
    assert again.rule.name == "hot"


def test_a_dip_begins_the_time_anew(plant: Plant) -> None:
    plant.hear(2, 81.0)
    plant.pass_s(4)
    plant.hear(2, 79.0)
    plant.hear(2, 81.0)
    assert plant.pass_s(4) == []
    assert len(plant.pass_s(1.5)) == 1


def test_time_alone_makes_a_rule_of_age_fire(plant: Plant) -> None:
    plant.hear(2, 20.0)
    assert plant.pass_s(29) == []
    (fired,) = plant.pass_s(2)
    assert (fired.rule.name, fired.write) == ("silent", {})


def test_rules_that_set_each_other_off_come_to_rest(tmp_path: Path) -> None:
    rules = "\n".join(
        f'[[rules]]\nname = "r{n}"\nwhen = "tag.temperature {sign} 50"\nwrite = {{ temperature = {target} }}\nevery_s = 1\n'
        for n, (sign, target) in enumerate(((">", 40), ("<", 60)))
    )
    plant = Plant(tmp_path, rules)
    plant.now_us += 1
    pending, written, held = plant.hear(2, 60.0), 0, 0
    for _ in range(100):
        plant.now_us += 2_000_000
        value = next((one.write["temperature"] for one in pending if one.write), None)
        written += value is not None
        held += sum(bool(one.held_back) for one in pending)
        pending = plant.hear(2, value if value is not None else 60.0)
    assert written == MAX_WRITES
    assert held > 0


def test_a_rule_that_cannot_be_evaluated_says_so_once(tmp_path: Path) -> None:
    plant = Plant(tmp_path, '[[rules]]\nname = "r"\nwhen = "tag.temperature * 2 > 5"\nevent = "e"\n')
    plant.policies.update([TEMPERATURE])
    for _ in range(3):
        assert plant.hear(2, 9.0) == []
    ((device_id, text),) = plant.said
    assert device_id == 1
    assert text.startswith("rule r cannot be evaluated: ")
    assert list(plant.policies.status()["errors"]) == ["r at device 1"]


def test_values_and_what_rules_did_outlive_a_new_registry(plant: Plant) -> None:
    plant.hear(1, 1.0)
    plant.hear(2, 90.0)
    assert len(plant.pass_s(6)) == 1
    plant.policies.update([replace(GUARD, registry_version=2), TEMPERATURE])
    assert "guard is open" in plant.refusal()
    assert plant.pass_s(1) == []


# --- the file --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('[[interlocks]]\nname = "a"\nwhen = "1 +"\n', "policy a: when: it cannot be read"),
        (
            '[[interlocks]]\nname = "a"\nwhen = "tags.x"\n',
            "policy a: when: there is no 'tags'; known: age_s, command, tag",
        ),
        ('[[rules]]\nname = "a"\nwhen = "command.name == \'x\'"\nevent = "e"\n', "there is no 'command'"),
        ('[[rules]]\nname = "a"\nwhen = "true"\n', "neither event nor write"),
        ('[[rules]]\nname = "a"\nwhen = "true"\nevent = "e"\nevery_s = 0.1\n', "less than 1"),
        ('[[rules]]\nname = "a"\nwhen = "true"\nwrite = { x = "fast" }\n', "write.x is not a number"),
        ('[[interlocks]]\nname = "a"\nwhen = "true"\n' * 2, "two policies are called 'a'"),
        ('[[cases]]\npolicy = "b"\nexpect = "fires"\n', "there is no such policy"),
        ('[[interlocks]]\nname = "a"\nwhen = "true"\nunless = "x"\n', "unknown key 'unless'"),
        ("[[interlocks", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_policy_s_name(tmp_path: Path, text: str, cause: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        policy_file.load(file)
    assert cause in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("x" * (MAX_LENGTH + 1), "characters"),
        ("1" + "+1" * 20_000, "characters"),  # brings the library down
        ("(" * (MAX_DEPTH + 1) + "true" + ")" * (MAX_DEPTH + 1), "nested"),
        ("true?" * (MAX_DEPTH + 1) + "true" + ":true" * (MAX_DEPTH + 1), "nested"),
        ("[1, 2].all(a, a > 0)", "the macro all"),
        ("[1, 2] . map (a, a)", "the macro map"),
        ("'a'.matches('b')", "the function matches"),
        ("timestamp('2026-01-01T00:00:00Z') > timestamp('2026-01-01T00:00:00Z')", "the function timestamp"),
        ("  ", "empty"),
    ],
)
def test_expressions_are_bounded_before_they_are_read(text: str, cause: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Expression(text, ["tag"])
    assert cause in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["!" * 900 + "true", "true" + "||true" * 160, "tag" + ".a" * 400 + " == 1", "1" + "+1" * 490 + " > 0"]
)
def test_the_longest_expressions_do_no_harm(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert Expression(text, ["tag"]).holds({"tag": {}}) in {True, False}


@pytest.mark.parametrize("text", ["1 / 0 > 1", "'a'", "tag.x > 1", "tag.text > 1", "1.5 * 2 > 1"])
def test_what_cannot_be_evaluated_is_an_error_with_a_cause(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"\w"):
        Expression(text, ["tag"]).holds({"tag": {"text": "a"}})


def test_a_macro_s_name_in_a_text_is_a_text() -> None:
    assert Expression("tag.x != '.all('", ["tag"]).holds({"tag": {"x": "b"}})


def test_cases_are_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.toml"
    file.write_text(FILE)
    assert policy_command.main(["test", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["guard", "refused", "refused"]
    file.write_text(FILE.replace('"fires"', '"silent"', 1))
    assert policy_command.main(["test", str(file)]) == 1
    assert policy_command.main(["test", str(tmp_path / "none.toml")]) == 2
    file.write_text('[[interlocks]]\nname = "untried"\nwhen = "true"\n')
    assert policy_command.main(["test", str(file)]) == 0
    assert "no case tries untried" in capsys.readouterr().out


def test_no_file_no_policies() -> None:
    policies = Policies(clock=lambda: 0, say=lambda *_: None)
    policies.use(PolicyFile())
    policies.update([GUARD])
    assert not policies.wanted
    assert policies.refusal(request(), {}) == ""
