"""Verdicts: what validation decides of each sample, and why a whole record is refused.

The number of a verdict is in the frames, the ledger and SQL for ever: append, never renumber. Below REJECT_FROM a sample is accepted.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

REJECT_FROM = 16

LATE_FLAG = 0x80
"""Set in the verdict column beside the verdict: accepted, but beyond the lateness of the stream's windows.

The historian marks those windows dirty."""
VERDICT_MASK = 0x7F


class Verdict(IntEnum):
    """Per-sample verdict, carried in the frame's `verdict` column."""

    GOOD = 0
    """Accepted."""
    DEGRADED_QUALITY = 1
    """Accepted; the source marked it uncertain or bad. Kept, and left out of means."""
    DEGRADED_CLOCK = 2
    """Accepted; the gateway's clock was not synchronised."""
    DEGRADED_RANGE = 3
    """Accepted; outside the engineering-unit range, inside the limits."""
    CORRECTED = 4
    """Put right after it was stored. Validation never says it: only a correction in SQL does."""
    CALCULATED = 5
    """Made by the telemetry job of accepted samples, by the expression of a calculated tag; no gateway sent it. Whether it has a value says
    its quality."""

    NOT_FINITE = 16
    """NaN or infinite."""
    NOT_REPRESENTABLE = 17
    """Not a value of the tag's data type: a fraction for an integer, anything but 0 and 1 for a boolean, an integer beyond 2^53."""
    OUT_OF_RANGE = 18
    """Beyond the tag's limits."""
    RATE_OF_CHANGE = 19
    """Changed faster since the last accepted sample than the tag can."""
    STUCK = 20
    """Bit-identical for longer than the tag can be."""
    FUTURE = 21
    """Source time later than the frame's close time by more than the allowed skew."""
    TOO_OLD = 22
    """Source time older than the retention of raw samples."""
    UNKNOWN_TAG = 23
    """No such tag in the registry, or it is retired."""
    GATEWAY_NOT_AUTHORISED = 24
    """The tag belongs to another gateway."""


class RecordReject(StrEnum):
    """Why a whole record is refused."""

    UNDECODABLE = "UNDECODABLE"
    """Bytes that are no message of ours, or a frame whose columns or checksum do not fit together."""
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    """A message of a schema this version does not ship."""
    IDENTITY_CONFLICT = "IDENTITY_CONFLICT"
    """A frame whose identity was seen before with another checksum."""
    FOREIGN_SITE = "FOREIGN_SITE"
    """A frame or an event about a gateway or a device of another site than that of its topic."""
    BAD_SIGNATURE = "BAD_SIGNATURE"
    """A frame or an acknowledgement without the signature of its gateway, where signatures are required, or with a wrong one."""
    PROCESSING_FAILED = "PROCESSING_FAILED"
    """The job itself failed on the record: a defect of Millrace. The record is kept whole, to be sent again when it is mended."""


def is_reject(verdict: int) -> bool:
    """Whether a sample with this verdict is refused."""
    return verdict >= REJECT_FROM
