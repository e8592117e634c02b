"""Checkpoints: what a note has to be, and whose signatures count."""

from __future__ import annotations

import base64

import pytest

import small_log
from millrace_verify.note import Key, KeyTextError, NoteError, open_note
from small_log import ORIGIN

ENTRIES = [b"one", b"two", b"three"]


@pytest.mark.security("V11.6.1")
def test_a_note_of_a_trusted_key_is_opened() -> None:
    key = small_log.Key()
    found = open_note(small_log.note(ENTRIES, key), [Key.parse(key.text)])
    assert (found.origin, found.size, found.root) == (ORIGIN, 3, small_log.mth(ENTRIES))
    assert found.signed_by == (f"{ORIGIN}+{key.key_id.hex()}",)


def test_the_example_of_the_specification() -> None:
    """The checkpoint and key that Go's checksum database is known by (sum.golang.org)."""
    key = Key.parse("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
    assert (key.name, key.key_id.hex()) == ("sum.golang.org", "033de0ae")


def test_while_a_key_is_rotated_either_one_is_enough() -> None:
    old, new = small_log.Key(), small_log.Key()
    note = small_log.note(ENTRIES, old, new)
    for trusted in ([old], [new], [old, new]):
        found = open_note(note, [Key.parse(key.text) for key in trusted])
        assert len(found.signed_by) == len(trusted)


def test_signatures_of_others_do_not_count() -> None:
    with pytest.raises(NoteError, match="no key that you trust"):
        open_note(small_log.note(ENTRIES, small_log.Key()), [Key.parse(small_log.Key().text)])


def test_the_key_of_another_log_signs_nothing_of_this_one() -> None:
    other = small_log.Key("other.example/audit")
    with pytest.raises(NoteError, match="no key that you trust"):
        open_note(small_log.note(ENTRIES, other), [Key.parse(other.text)])


@pytest.mark.parametrize("changed", ["size", "root", "origin"])
def test_a_changed_checkpoint_is_told(changed: str) -> None:
    key = small_log.Key()
    origin, size, root, rest = small_log.note(ENTRIES, key).split("\n", 3)
    lines = {
        "origin": (f"{origin}x", size, root),
        "size": (origin, "2", root),
        "root": (origin, size, base64.b64encode(small_log.mth(ENTRIES[:2])).decode()),
    }[changed]
    with pytest.raises(NoteError, match="no key that you trust" if changed == "origin" else "does not fit"):
        open_note("\n".join([*lines, rest]), [Key.parse(key.text)])


@pytest.mark.parametrize("note", ["", "x\n", "a\n1\n\n", "a\n\n1\nx\n\n\u2014 a b\n", "a\x001\n", "a\n" * 40_000])
def test_what_is_no_note_is_told(note: str) -> None:
    with pytest.raises(NoteError):
        open_note(note, [Key.parse(small_log.Key().text)])


@pytest.mark.parametrize("size", ["-1", "01", "1e3", "\u0663", "x"])
def test_a_size_is_digits(size: str) -> None:
    key = small_log.Key()
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n"
    signature = base64.b64encode(key.key_id + key.private.sign(text.encode())).decode()
    with pytest.raises(NoteError, match="its size"):
        open_note(f"{text}\n\u2014 {ORIGIN} {signature}\n", [Key.parse(key.text)])


@pytest.mark.parametrize("text", ["", "a", "a+b+c", "a+00000000+AA==", "plant+00000000+" + "A" * 44])
def test_what_is_no_key_is_told(text: str) -> None:
    with pytest.raises(KeyTextError):
        Key.parse(text)


def test_a_key_that_was_copied_wrongly_is_told() -> None:
    name, _, data = small_log.Key().text.split("+", 2)
    with pytest.raises(KeyTextError, match="copied wrongly"):
        Key.parse(f"{name}+00000000+{data}")
