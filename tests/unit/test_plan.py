"""A kept plan is filled in for a submission, and one that is none is refused."""

from __future__ import annotations

import struct

import pytest

from base import plan

ID = "00112233445566778899aabbccddeeff"
RESTORE = "file:///data/flink/checkpoints/abc/chk-12345"


def string(text: str) -> bytes:
    """As Java's serialisation has it."""
    return b"t" + struct.pack(">H", len(text)) + text.encode()


def graph(*, job_id: str = plan.OPEN_ID, restore: str = "") -> bytes:
    return b"before" + bytes.fromhex(job_id) + b"between" + (string(restore) if restore else b"") + b"after"


def kept(*, job_id: str = plan.OPEN_ID, restore: str = plan.OPEN_RESTORE) -> bytes:
    return plan.kept(anew=graph(job_id=job_id), onward=graph(job_id=job_id, restore=restore))


@pytest.mark.parametrize("restore", ["", "file:///a", RESTORE, "file:///" + "long/" * 200])
def test_id_and_restore_point_are_filled_in(restore: str) -> None:
    assert plan.filled(kept(), job_id=ID, restore=restore) == graph(job_id=ID, restore=restore)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"short",
        graph(restore=plan.OPEN_RESTORE),
        plan.kept(anew=graph(), onward=2 * graph(restore=plan.OPEN_RESTORE)),
        kept(job_id=ID),
        kept(restore=RESTORE),
    ],
)
def test_what_has_not_each_place_once_is_no_plan(file: bytes) -> None:
    with pytest.raises(ValueError, match="not a plan that was kept"):
        plan.filled(file, job_id=ID, restore=RESTORE)


@pytest.mark.parametrize("file", [b"", plan.kept(anew=graph() + graph(), onward=graph(restore=plan.OPEN_RESTORE))])
def test_a_job_that_begins_anew_needs_its_part_of_the_plan(file: bytes) -> None:
    with pytest.raises(ValueError, match="not a plan that was kept"):
        plan.filled(file, job_id=ID, restore="")


def test_an_address_that_java_could_not_write_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 65535"):
        plan.filled(kept(), job_id=ID, restore="file:///" + "x" * 65536)
