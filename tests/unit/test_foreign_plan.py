"""The plan of the foreign servers: items of all types, the same identifier in both namespaces."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks.foreign import plan


def test_all_types_and_all_kinds_of_node_ids_are_there() -> None:
    found = plan.items(240, seed=1)
    assert {item.type for item in found} == set(plan.KINDS)
    assert {item.id[:2] for item in found} == {"i=", "g=", "b=", "s="}
    assert any(item.array for item in found)
    assert any(item.writable for item in found)
    assert len({item.address for item in found}) == len(found)


def test_every_identifier_is_in_both_namespaces() -> None:
    # So a client that keeps an index across a restart reads the wrong variable.
    uses = Counter(item.id for item in plan.items(240, seed=1))
    assert set(uses.values()) == {2}


def test_a_seed_decides_all() -> None:
    assert plan.items(60, seed=3) == plan.items(60, seed=3) != plan.items(60, seed=4)


def test_an_odd_number_is_refused() -> None:
    with pytest.raises(ValueError, match="paired"):
        plan.items(3, seed=1)


def test_what_the_server_is_told_keeps_its_password_out_of_repr() -> None:
    security = plan.Security(
        policy="Basic256Sha256",
        certificate="c",
        private_key="k",
        username="u",
        password="hidden",
    )
    told = plan.ServerPlan(port=1, journal="j", items=plan.items(2, seed=1), security=security)
    assert json.loads(told.dumps())["security"]["password"] == "hidden"
    assert "hidden" not in repr(told)
