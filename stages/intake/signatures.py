"""Whether a frame is its gateway's: asked before its identity is, so that a forged frame takes no place of a true one.

Enters: a frame as it came and decoded, the time, and the keys there are (`find`). Leaves: why it is refused, in words.
`stages.telemetry.logic` calls it once for each frame that comes. A frame that was let in and then waits is not asked again.

The claimed gateway has to be the holder of the key. Frames of the stream REPLAY may be signed by the platform's replay tool instead, which
sends corrected samples in the name of their gateways.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas.frame import Frame, Stream
from schemas.frame_signatures import Roots
from schemas.signing_keys import REPLAY, Find, SigningKey, gateway_holder, refusal


class FrameGuard:
    """One for each subtask. `unsigned_until_us`: until then, by the job's clock, frames without any signature are let in.

    `on_unsigned` is told of each of these, before and after: the gateway that it names, and the time.
    """

    def __init__(
        self, find: Find, *, unsigned_until_us: int = 0, on_unsigned: Callable[[str, int], None] = lambda *_: None
    ) -> None:
        self._find, self._unsigned_until_us, self._on_unsigned = find, unsigned_until_us, on_unsigned
        self.roots = Roots()
        self.unsigned = 0
        """Frames that were let in without a signature."""

    def problem(self, message: bytes, frame: Frame, now_us: int) -> str:
        """Why the frame is refused; empty when it is let in."""
        if frame.signature is None and frame.key_id is None:
            self._on_unsigned(frame.gateway_id, now_us)
            if now_us < self._unsigned_until_us:
                self.unsigned += 1
                return ""
            return "it has no signature"
        holders: tuple[str, ...] = (gateway_holder(frame.gateway_id),)
        if frame.stream is Stream.REPLAY:
            holders += (REPLAY,)
        found = refusal(self._find, frame.key_id, holders, now_us)
        return self.roots.problem(message, frame, found) if isinstance(found, SigningKey) else found
