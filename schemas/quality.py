"""Sample quality: the high 16 bits of an OPC UA StatusCode (OPC 10000-4, 7.39): severity in the top two bits, then the sub-code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GOOD = 0x0000
UNCERTAIN = 0x4000
UNCERTAIN_LAST_USABLE = 0x4090
BAD = 0x8000
BAD_RESOURCE_UNAVAILABLE = 0x8004
BAD_NO_COMMUNICATION = 0x8031
BAD_OUT_OF_RANGE = 0x803C
BAD_DEVICE_FAILURE = 0x808B
BAD_SENSOR_FAILURE = 0x808C
BAD_OUT_OF_SERVICE = 0x808D
BAD_INVALID_INPUTS = 0x80D6
"""BadAggregateInvalidInputs: the value could not be derived, because data that it is made of is bad."""
SEVERITY_MASK = 0xC000


def from_status_code(status_code: int) -> int:
    """Quality of a 32-bit OPC UA StatusCode."""
    return (status_code >> 16) & 0xFFFF


def from_sparkplug(code: int) -> int:
    """Quality of a Sparkplug B `Quality` property: 192 good, 500 stale, anything else bad."""
    return {192: GOOD, 500: UNCERTAIN_LAST_USABLE}.get(code, BAD)


def is_good(quality: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """True where the severity is good. Shape (n,) in and out."""
    good: NDArray[np.bool_] = (quality & SEVERITY_MASK) == GOOD
    return good


def is_bad(quality: int) -> bool:
    """Whether the severity of one sample is bad."""
    return quality & SEVERITY_MASK == BAD


def name(quality: int) -> str:
    """`good`, `uncertain` or `bad`."""
    return {0x0000: "good", 0x4000: "uncertain"}.get(quality & SEVERITY_MASK, "bad")
