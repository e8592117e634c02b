"""Keys of data at rest, in memory: a stand-in for the place where they are kept."""

from __future__ import annotations

from base.key_ring import Key, MissingKeyError, refuse_damaged
from edge.at_rest import AtRest


class KeptKeys:
    """Implements `base.key_ring.Keys`."""

    reference = "memory:"
    problem = ""

    def __init__(self) -> None:
        self.kept = [Key.new()]

    def newest(self) -> Key:
        return self.kept[-1]

    def key(self, key_id: str) -> Key:
        for one in self.kept:
            if one.id == key_id:
                return one
        refuse_damaged(key_id, [one.id for one in self.kept])
        msg = f"key {key_id} is missing"
        raise MissingKeyError(msg)

    def known(self) -> list[Key]:
        return list(self.kept)

    def claim(self) -> None:
        """Nobody else has them."""

    def release(self) -> None:
        """Nobody waits for them."""

    def rotate(self) -> Key:
        self.kept.append(Key.new())
        return self.kept[-1]


def at_rest(keys: KeptKeys | None = None) -> AtRest:
    """Encrypted with such keys."""
    return AtRest(keys or KeptKeys(), encrypt=True)
