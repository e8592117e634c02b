"""The plant: what lies under a path, in pages, and what people are told when nothing does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import NotFoundError
from schemas import definitions
from schemas.definitions import TagDefinition
from serving.caches.plant import Plant, under
from serving.handlers.alarm_figures import places
from tests.unit.served import LINE, definition, presses

PATHS = sorted(["a", "a/b", "a/b/c", "a/b-c", "a/b0", "ab/c"])


def plant_of(tags: list[TagDefinition], version: int = 1) -> Plant:
    plant = Plant()
    for tag in tags:
        plant.apply(definitions.encode_tag(tag)[1])
    plant.apply(definitions.encode_version(version, tags=len(tags), time_us=0)[1])
    return plant


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", PATHS),
        ("a/b", ["a/b", "a/b/c"]),
        ("a/b/", ["a/b", "a/b/c"]),
        ("a/b*", ["a/b", "a/b-c", "a/b/c", "a/b0"]),
        ("a*", PATHS),
        ("x", []),
    ],
)
def test_a_path_means_itself_and_what_lies_under_it(prefix: str, found: list[str]) -> None:
    assert under(PATHS, prefix) == found


@given(
    st.lists(st.text("ab/-0", min_size=1, max_size=5), unique=True),
    st.sampled_from(["", "a", "a/", "a*", "a/b", "b"]),
    st.integers(1, 4),
)
def test_pages_hold_everything_once_and_in_order(paths: list[str], prefix: str, size: int) -> None:
    paths.sort()
    everything, after = [], ""
    while page := under(paths, prefix, after=after, limit=size):
        everything += page
        after = page[-1]
    assert everything == under(paths, prefix)


def test_devices_are_made_of_their_tags() -> None:
    plant = plant_of(presses())
    device = plant.device_at(f"{LINE}/press01")
    assert device == plant.device(11)
    assert [tag.name for tag in device.tags] == ["packml_command", "running", "speed_setpoint", "temperature"]
    assert [found.path for found in plant.devices_under(LINE)] == [f"{LINE}/press0{i}" for i in range(3)]


def test_a_retired_tag_is_found_but_not_listed() -> None:
    plant = plant_of(
        [*presses(1), definition(tag_id=7, device_id=10, path=f"{LINE}/press00/old", name="old", retired=True)]
    )
    assert plant.tag_at(f"{LINE}/press00/old").retired
    assert plant.tag(7).retired
    assert 7 not in {tag.tag_id for tag in plant.tags_under("")}


def test_a_tag_that_moved_is_known_at_its_new_path_only() -> None:
    plant = plant_of(presses(1))
    for tag in presses(1):
        moved = definition(tag_id=tag.tag_id, device_id=10, path=tag.path.replace("line1", "line2"), name=tag.name)
        plant.apply(definitions.encode_tag(moved)[1])
    with pytest.raises(NotFoundError):
        plant.device_at(f"{LINE}/press00")
    assert plant.device(10).path == f"{LINE.replace('line1', 'line2')}/press00"


def test_an_unknown_path_is_answered_with_what_there_is() -> None:
    plant = plant_of(presses())
    with pytest.raises(NotFoundError, match=r"under '.*/cell1' there are: press00, press01, press02"):
        plant.device_at(f"{LINE}/press77")
    with pytest.raises(NotFoundError, match="paths start with acme"):
        plant.tag_at("else/where")
    with pytest.raises(NotFoundError, match="registry is empty"):
        Plant().tag_at("a/b")


def test_listeners_hear_of_complete_versions_only() -> None:
    plant, heard = plant_of(presses(1)), []
    stop = plant.on_version(lambda: heard.append(plant.version))
    plant.apply(definitions.encode_tag(definition(tag_id=1))[1])
    assert heard == []
    plant.apply(definitions.encode_version(2, tags=1, time_us=0)[1])
    stop()
    plant.apply(definitions.encode_version(3, tags=1, time_us=0)[1])
    assert heard == [2]


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [
        (f"{LINE}/press*", [f"{LINE}/press00", f"{LINE}/press01"]),
        (f"{LINE}/press00*", [f"{LINE}/press00"]),
        (f"{LINE}/*", [f"{LINE}/press00", f"{LINE}/press01"]),
        (f"{LINE}*", [LINE]),
        (f"{LINE}/", [LINE]),
        ("*", [""]),
        ("", [""]),
    ],
)
def test_figures_of_alarms_are_of_the_nodes_that_a_star_stands_for(prefix: str, paths: list[str]) -> None:
    plant = plant_of(presses(2))
    assert places(plant, prefix)[0] == paths
    seen = plant.part((f"{LINE}/press00",))
    assert places(seen, prefix)[0] == [f"{LINE}/press00"]


def test_figures_of_alarms_are_of_something() -> None:
    with pytest.raises(NotFoundError):
        places(plant_of(presses(2)), f"{LINE}/x*")
