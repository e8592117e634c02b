"""Keyed state of every released version, restored by the present operators: it goes on as it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.state import keyed, stored
from tests.state.outcome import assert_same, differences


def state_of(version: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stored.read_json(version / f"{name}.json.xz")
    return found


@pytest.mark.parametrize(("version", "name"), stored.of(*keyed.NAMES))
def test_keyed_state_goes_on(version: Path, name: str) -> None:
    assert_same(keyed.resume(name, state_of(version, name)), stored.read_expected(version, name))


@pytest.mark.parametrize(("version", "name"), stored.of("commands", "historian"))
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


def test_a_class_of_ours_in_the_state_is_refused() -> None:
    bench = keyed.commands_bench()
    bench.backend.key = "key"
    bench.backend.store("command", Path("ours"))
    with pytest.raises(TypeError, match="ties a savepoint to the name of its module"):
        keyed.kept(bench)
