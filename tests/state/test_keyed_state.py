"""Keyed state of every released version, restored by the present operators: it goes on as it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.alarms import AlarmEventKind
from tests.state import keyed, stored
from tests.state.outcome import assert_same, differences

_TOLD = {
    *("RAISED", "RAISED_AGAIN", "RETURNED", "ACKNOWLEDGED", "RESET", "SHELVED", "UNSHELVED", "UNSUPPRESSED"),
    *("IN_SERVICE", "CHATTERING", "RULE_CHANGED", "RULE_RETIRED", "REFUSED", "FLOOD_ENDED"),
}


def state_of(version: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stored.read_json(version / f"{name}.json.xz")
    return found


@pytest.mark.parametrize(("version", "name"), stored.of(*keyed.NAMES))
def test_keyed_state_goes_on(version: Path, name: str) -> None:
    assert_same(keyed.resume(name, state_of(version, name)), stored.read_expected(version, name))


@pytest.mark.parametrize(("version", "name"), stored.of("commands", "historian", "alarms"))
def test_no_loss_goes_unnoticed(version: Path, name: str) -> None:
    """The same holds of the telemetry job's parts; `tests.state.make` sees to it, once, for it takes half a minute."""
    expected = stored.read_expected(version, name)
    losses = dict(keyed.with_losses(state_of(version, name)))
    assert len(losses) > 10
    assert [lost for lost, state in losses.items() if not list(differences(keyed.resume(name, state), expected))] == []


@pytest.mark.parametrize(("version", "name"), stored.of("telemetry"))
def test_the_telemetry_state_has_every_kind_of_part(version: Path, name: str) -> None:
    losses = dict(keyed.with_losses(state_of(version, name)))
    assert losses.keys() >= {
        "meta",
        "dedup",
        "dedup/REPLAY",
        "latest",
        "clocks",
        "window",
        "held",
        "watches",
        "detector",
    }
    assert losses.keys() >= {"memory/LIVE", "memory/BACKFILL", "memory/REPLAY", "timers", "broadcast"}


def test_the_state_of_alarms_that_the_next_release_stores_has_everything_and_no_loss_goes_unnoticed() -> None:
    """No release has stored any yet; `tests.state.make` does it with the next one."""
    state = keyed.make_alarms()
    expected = keyed.resume("alarms", state)
    losses = dict(keyed.with_losses(state))
    kinds = {name.partition("/")[0] for name in losses}
    assert kinds == {"site", "gateway", "lane", "sources", "ended", "timers", "broadcast"}
    unnoticed = [lost for lost, each in losses.items() if not list(differences(keyed.resume("alarms", each), expected))]
    assert unnoticed == []
    assert {event for row in expected["events"] for event in row if event in set(AlarmEventKind)} >= _TOLD
    assert expected["refused"] == []


def test_a_class_of_ours_in_the_state_is_refused() -> None:
    bench = keyed.commands_bench()
    bench.backend.key = "key"
    bench.backend.store("command", Path("ours"))
    with pytest.raises(TypeError, match="ties a savepoint to the name of its module"):
        keyed.kept(bench)
