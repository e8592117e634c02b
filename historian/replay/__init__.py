"""Sends refused samples back once what was wrong has been put right: `python -m historian.replay`.

Enters: `rejects` (the copy of `telemetry.rejected` in PostgreSQL), a selection and a correction. Leaves: REPLAY frames on
the topic the refused ones came from, and a row of `replays` for each. Samples of one tag that one frame was refused for
one reason make one frame. Its identity is derived from the refused frame, the reason, the tag and the correction, and the
row is written before the frame is sent: a run that is repeated, or was killed half way, sends the same frames again, and
deduplication and the ledger take each once. See docs/adr/0011.
"""
