"""Proofs in files: an entry is in a log (C2SP tlog-proof), a log is the beginning of another.

An inclusion proof is a text: `c2sp.org/tlog-proof@v1`, `index N`, hashes in base64, a blank line, the signed checkpoint. A consistency
proof here is `millrace/consistency-proof@v1`, `old N`, hashes, and stands beside the two checkpoints.
"""

from __future__ import annotations

import base64
import binascii

from millrace_verify.merkle import ProofError

INCLUSION, CONSISTENCY = "c2sp.org/tlog-proof@v1", "millrace/consistency-proof@v1"
_MOST_STEPS = 128


def inclusion(text: str) -> tuple[int, list[bytes], str]:
    """Index, hashes and checkpoint of an inclusion proof. Raises ProofError."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(lines) > 1 and lines[1].startswith("extra "):
        del lines[1]
    index, hashes = _parse(lines, INCLUSION, "index")
    return index, hashes, note


def consistency(text: str) -> tuple[int, list[bytes]]:
    """Size of the older log, and hashes. Raises ProofError."""
    return _parse(text.rstrip("\n").split("\n"), CONSISTENCY, "old")


def _parse(lines: list[str], first: str, word: str) -> tuple[int, list[bytes]]:
    name, _, number = lines[1].partition(" ") if len(lines) > 1 else ("", "", "")
    if lines[0] != first or name != word or not (number.isascii() and number.isdigit()) or len(lines) > _MOST_STEPS:
        msg = f"this is no proof: it begins with {first} and `{word} N`"
        raise ProofError(msg)
    try:
        hashes = [base64.b64decode(line, validate=True) for line in lines[2:]]
    except (ValueError, binascii.Error):
        hashes = [b""]
    if any(len(one) != 32 for one in hashes):
        msg = "a hash of the proof is none"
        raise ProofError(msg)
    return int(number), hashes
