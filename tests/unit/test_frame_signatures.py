"""Signatures of frames: what a gateway signs is let in, and nothing else is, whatever was changed on the way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle as audit_merkle
from base import merkle
from base.errors import FrameError, UndecodableError
from base.signing_key import Signer
from schemas import codec, frame, frame_signatures
from schemas.frame import Frame, Stream
from schemas.signing_keys import KeyBook, SignatureSettings, SigningKey
from stages.intake.signatures import FrameGuard
from stages.telemetry.logic import Origin, TelemetryLogic
from tests.golden.support import logic_of, make_frame, tag, us
from tests.unit.signing import Trust

GATEWAY = make_frame([(1, 0.0, 1.0)]).gateway_id
ORIGIN = Origin("telemetry.frames.north", 0, 0)
NOW_US = us(1.0)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return Trust(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def signer(trust: Trust) -> Signer:
    return trust.signer(f"gateway-{GATEWAY}")


def frames(count: int = 3, **changes: object) -> list[Frame]:
    made = [
        make_frame([(1, number / 10, float(number)), (1, number / 10 + 0.05, 2.0)], number) for number in range(count)
    ]
    return [dataclasses.replace(one, **changes) for one in made]  # type: ignore[arg-type]


def batch(signer: Signer, messages: list[bytes]) -> list[bytes]:
    tails = frame_signatures.tails(messages, signer)
    return [frame_signatures.signed(*one) for one in zip(messages, tails, strict=True)]


def problem(message: bytes, book: KeyBook, *, unsigned_until_us: int = 0, now_us: int = NOW_US) -> str:
    guard = FrameGuard(book.find, unsigned_until_us=unsigned_until_us)
    return guard.problem(message, frame.decode(message), now_us)


# --- the tree -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_the_small_tree_is_the_one_of_the_audit_log(count: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(count)]
    tree = audit_merkle.Tree()
    tree.append(leaves)
    root, paths = merkle.root_and_paths(leaves)
    assert root == tree.root()
    place = data.draw(st.integers(0, count - 1))
    assert merkle.climbed(leaves[place], place, count, paths[place]) == root
    other = data.draw(st.integers(0, count))
    if other != place:
        assert merkle.climbed(leaves[place], other, count, paths[place]) != root
    assert merkle.climbed(leaves[place], place, count, [*paths[place], root]) != root
    if paths[place]:
        assert merkle.climbed(leaves[place], place, count, paths[place][:-1]) != root


# --- what is let in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_every_frame_of_a_batch_is_let_in_and_its_root_verified_once(trust: Trust, signer: Signer, count: int) -> None:
    made = frames(count)
    signed = batch(signer, [frame.encode(one) for one in made])
    guard = FrameGuard(trust.book().find)
    for message, before in zip(signed, made, strict=True):
        found = frame.decode(message)
        assert not guard.problem(message, found, NOW_US)
        assert (found.key_id, found.checksum, found.key, found.sequence) == (
            signer.id, before.checksum, before.key, before.sequence,
        )  # fmt: skip
    assert guard.roots.verified == 1


def test_a_frame_that_is_sent_again_in_another_batch_is_the_same_frame(trust: Trust, signer: Signer) -> None:
    one, two, three = [frame.encode(made) for made in frames(3)]
    first, again = batch(signer, [one, two])[1], batch(signer, [two, three])[0]
    assert first != again
    logic = guarded(trust)
    assert logic.on_frame(first, ORIGIN, NOW_US)
    assert not logic.on_frame(again, ORIGIN, NOW_US)
    assert (logic.counters["frames"], logic.counters["duplicates"], logic.counters["bad_signatures"]) == (1, 1, 0)


def test_a_replay_is_signed_by_its_gateway_or_by_the_replay_tool_and_nothing_else_is(
    trust: Trust, signer: Signer
) -> None:
    tool, book = trust.signer("replay"), trust.book
    replayed = [frame.encode(one) for one in frames(2, stream=Stream.REPLAY)]
    assert [problem(one, book()) for one in (*batch(tool, replayed), *batch(signer, replayed))] == [""] * 4
    (live,) = batch(tool, [frame.encode(frames(1)[0])])
    assert "is of replay" in problem(live, book())


# --- what is not ----------------------------------------------------------------------------------------------------------


def _altered(message: bytes, change: dict[str, object]) -> bytes:
    return frame.encode(dataclasses.replace(frame.decode(message), **change))  # type: ignore[arg-type]


def _value_of(message: bytes, at: int, by: float) -> bytes:
    """Another value, with a checksum that fits it: only the signature can tell."""
    found = frame.decode(message)
    value = found.value.copy()
    value[at] += by
    made = dataclasses.replace(found, value=value)
    return frame.encode(dataclasses.replace(made, checksum=made.computed_checksum()))


def _blob(message: bytes, change: object) -> bytes:
    blob = bytearray(frame.decode(message).signature or b"")
    return _altered(message, {"signature": bytes(change(blob))})  # type: ignore[operator]


def _flipped(at: int) -> object:
    return lambda blob: blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


CHANGED = {
    "a sample": lambda message, _: _value_of(message, 1, 0.5),
    "the last bit of a sample": lambda message, _: _value_of(message, 0, 2.0**-50),
    "its sequence": lambda message, _: _altered(message, {"sequence": 77}),
    "its stream": lambda message, _: _altered(message, {"stream": Stream.BACKFILL}),
    "its epoch": lambda message, _: _altered(message, {"epoch": UUID(int=7)}),
    "its close time": lambda message, _: _altered(message, {"closed_time_us": 1}),
    "a verdict of its own": lambda message, _: _altered(message, {"verdict": np.zeros(2, np.uint8)}),
    "a trace": lambda message, _: _altered(message, {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}),
    "the form": lambda message, _: _blob(message, _flipped(0)),
    "the place": lambda message, _: _blob(message, _flipped(1)),
    "the number of leaves": lambda message, _: _blob(message, _flipped(3)),
    "the root": lambda message, _: _blob(message, _flipped(10)),
    "the signature": lambda message, _: _blob(message, _flipped(60)),
    "the path": lambda message, _: _blob(message, _flipped(110)),
    "a path cut short": lambda message, _: _blob(message, lambda blob: blob[:-32]),
    "a path cut inside a hash": lambda message, _: _blob(message, lambda blob: blob[:-1]),
    "a longer path": lambda message, _: _blob(message, lambda blob: blob + bytes(32)),
    "an empty signature": lambda message, _: _blob(message, lambda _: b""),
    "the head alone": lambda message, _: _blob(message, lambda blob: blob[:40]),
    "the signature of another frame": lambda message, other: _altered(
        message, {"signature": frame.decode(other).signature}
    ),
    "no key": lambda message, _: _altered(message, {"key_id": None}),
    "a key that nobody knows": lambda message, _: _altered(
        message, {"key_id": f"gateway-{GATEWAY}.1.0000000000000000"}
    ),
    "no signature": lambda message, _: _altered(message, {"signature": None}),
    "neither": lambda message, _: _altered(message, {"signature": None, "key_id": None}),
}


@pytest.mark.security("T-KAFKA-FORGE")
@pytest.mark.parametrize("what", CHANGED)
def test_a_frame_that_was_changed_is_refused(trust: Trust, signer: Signer, what: str) -> None:
    first, second, _ = batch(signer, [frame.encode(one) for one in frames(3)])
    changed = CHANGED[what](first, second)  # type: ignore[no-untyped-call]
    assert problem(first, trust.book()) == ""
    assert problem(changed, trust.book())


def test_numbers_that_are_longer_than_they_have_to_be_are_refused(trust: Trust, signer: Signer) -> None:
    (message,) = batch(signer, [frame.encode(frames(1)[0])])
    name = signer.id.encode()
    short = codec.long_bytes(len(name))
    long = bytes([short[0] | 0x80, *([] if len(short) == 1 else [short[1] | 0x80]), 0])
    foreign = message[: -len(name) - len(short)] + long + name
    assert frame.decode(foreign).key_id == signer.id
    assert "not written as they have to be" in problem(foreign, trust.book())


@pytest.mark.security("T-KAFKA-FORGE")
def test_another_gateways_key_signs_nothing_of_this_one(trust: Trust) -> None:
    other = trust.signer("gateway-another")
    (message,) = batch(other, [frame.encode(frames(1)[0])])
    assert problem(message, trust.book()) == (
        f"key {other.id} is of gateway-another, and it would have to be of gateway-{GATEWAY}"
    )


def test_a_key_of_ones_own_under_anothers_name_signs_nothing(trust: Trust, signer: Signer) -> None:
    forged = Signer(Ed25519PrivateKey.generate(), signer.id)
    (message,) = batch(forged, [frame.encode(frames(1)[0])])
    assert problem(message, trust.book()) == f"key {signer.id} has not signed its root"


def test_a_revoked_key_signs_nothing_from_now_on_whatever_was_found_good_before(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    signer, book = trust.signer(f"gateway-{GATEWAY}"), trust.book()
    signed = batch(signer, [frame.encode(one) for one in frames(2)])
    guard = FrameGuard(book.find)
    assert not guard.problem(signed[0], frame.decode(signed[0]), NOW_US)
    good = trust.messages()
    trust.authority.revoke(f"gateway-{GATEWAY}")
    for message in (*trust.messages(), *good):  # what was true before comes again
        book.apply(message)
    assert "was revoked at" in guard.problem(signed[1], frame.decode(signed[1]), NOW_US)
    # Whoever has the name afterwards is somebody else.
    after = trust.signer(f"gateway-{GATEWAY}")
    (message,) = batch(after, [frame.encode(frames(1)[0])])
    assert problem(message, trust.book()) == ""
    assert "was revoked at" in problem(signed[0], trust.book())


def test_a_key_counts_until_its_end(trust: Trust, signer: Signer) -> None:
    (message,) = batch(signer, [frame.encode(frames(1)[0])])
    key = trust.book().find(signer.id)
    assert key is not None
    assert problem(message, trust.book(), now_us=key.until_us - 1) == ""
    assert "ended at" in problem(message, trust.book(), now_us=key.until_us)


def test_the_authoritys_word_alone_counts_about_keys(trust: Trust, signer: Signer, tmp_path: Path) -> None:
    somebody = Trust(tmp_path)
    somebody.signer(f"gateway-{GATEWAY}")
    book = trust.book()
    for message in somebody.messages():
        with pytest.raises(UndecodableError, match="authority has not signed"):
            book.apply(message)
    record = codec.decode(trust.messages()[0])[1]
    changed = record | {"statement": record["statement"].replace(f"gateway-{GATEWAY}", "gateway-x")}
    with pytest.raises(UndecodableError, match="authority has not signed"):
        book.apply(codec.encode("SigningKey", changed))


def test_what_is_signed_is_signed_once_and_no_more_than_fits(signer: Signer) -> None:
    message = frame.encode(frames(1)[0])
    for wrong in (batch(signer, [message]), [], [message] * (frame_signatures.MAX_BATCH + 1)):
        with pytest.raises(FrameError, match="cannot be signed together"):
            frame_signatures.tails(wrong, signer)


# --- frames from before ---------------------------------------------------------------------------------------------------


def test_unsigned_frames_are_let_in_until_the_moment_that_is_said_and_wrong_signatures_never(
    trust: Trust, signer: Signer
) -> None:
    bare = frame.encode(frames(1)[0])
    (signed,) = batch(signer, [bare])
    until = NOW_US + 1
    assert problem(bare, trust.book(), unsigned_until_us=until) == ""
    assert problem(bare, trust.book(), unsigned_until_us=until, now_us=until) == "it has no signature"
    assert problem(_value_of(signed, 0, 1.0), trust.book(), unsigned_until_us=until)


@pytest.mark.parametrize("wrong", ["tomorrow", "2027-01-31", "2027-01-31T00:00:00"])
def test_a_moment_without_its_offset_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a moment such as"):
        SignatureSettings(unsigned_until=wrong)


def test_settings_of_signatures() -> None:
    assert SignatureSettings(unsigned_until="2027-01-31T00:00:00Z").unsigned_until_us == 1_801_353_600_000_000
    assert SignatureSettings().unsigned_until_us == 0
    with pytest.raises(ValueError, match="whose word about keys counts"):
        SignatureSettings(required=True)


# --- in the telemetry logic -----------------------------------------------------------------------------------------------


def guarded(trust: Trust) -> TelemetryLogic:
    logic = logic_of([tag(1)])
    logic.guard = FrameGuard(trust.book().find)
    return logic


@pytest.mark.security("T-KAFKA-FORGE")
def test_a_forged_frame_is_kept_whole_with_its_reason_and_takes_no_place_of_the_true_one(
    trust: Trust, signer: Signer
) -> None:
    (true,) = batch(signer, [frame.encode(frames(1)[0])])
    forged = _value_of(true, 0, 40.0)
    logic = guarded(trust)
    (output,) = logic.on_frame(forged, ORIGIN, NOW_US)
    _, record = codec.decode(output.value)
    assert (record["reason"], record["original"], record["gateway_id"], record["samples"]) == (
        "BAD_SIGNATURE", forged, GATEWAY, 2,
    )  # fmt: skip
    assert "not what was signed" in record["detail"]
    assert not logic.lane_keys()  # nothing of the lane knows of it
    assert logic.on_frame(true, ORIGIN, NOW_US)
    assert [logic.counters[name] for name in ("frames", "conflicts", "bad_signatures")] == [1, 0, 1]


def test_a_validated_frame_is_as_if_it_were_encoded_with_its_signature(trust: Trust, signer: Signer) -> None:
    (message,) = batch(signer, [frame.encode(frames(1)[0])])
    found, verdict = frame.decode(message), np.array([0, 20], np.uint8)
    assert frame.with_verdicts(message, found, verdict) == frame.encode(found, verdict=verdict)


def test_without_a_guard_no_signature_is_looked_at(signer: Signer) -> None:
    (message,) = batch(signer, [frame.encode(frames(1)[0])])
    logic = logic_of([tag(1)])
    assert logic.on_frame(_value_of(message, 0, 1.0), ORIGIN, NOW_US)
    assert logic.counters["bad_signatures"] == 0


# --- golden bytes ---------------------------------------------------------------------------------------------------------


def test_a_signed_frame_is_these_bytes_for_ever() -> None:
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "gateway-gw-north-1.1.0123456789abcdef")
    messages = [frame.encode(one) for one in frames(3)]
    golden = Path(__file__).parent.parent / "contract" / "signed" / "frames.hex"
    assert [one.hex() for one in batch(signer, messages)] == golden.read_text().split()
    key = SigningKey(key_id=signer.id, holder=f"gateway-{GATEWAY}", public=signer.public, from_us=0, until_us=1 << 62)
    roots = frame_signatures.Roots()
    for line in golden.read_text().split():
        message = bytes.fromhex(line)
        assert not roots.problem(message, frame.decode(message), key)
