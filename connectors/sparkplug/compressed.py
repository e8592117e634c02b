"""Compressed Sparkplug payloads: the body of a payload whose uuid says so, as Eclipse Tahu and its relatives send them.

The specification leaves `uuid` and `body` to applications; this convention is the one in use. The algorithm is a metric of
that name, GZIP or DEFLATE (the default). Output is bounded while it is made: a few kilobytes can hold gigabytes.
"""

from __future__ import annotations

import zlib

from base.errors import UndecodableError

UUID = "SPBV1.0_COMPRESSED"
ALGORITHM_METRIC = "algorithm"
_GZIP, _ZLIB, _RAW = 31, 15, -15


def decompress(body: bytes, algorithm: str, max_bytes: int) -> bytes:
    """The payload inside; raises UndecodableError for another algorithm, damaged data, or more than `max_bytes`."""
    name = algorithm.upper() or "DEFLATE"
    if name == "GZIP":
        return _inflate(body, _GZIP, max_bytes)
    if name == "DEFLATE":
        # RFC 1950 in practice (Java's Deflater, Node's deflateSync); the name also stands for RFC 1951 without a header.
        has_header = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflate(body, _ZLIB if has_header else _RAW, max_bytes)
    msg = f"compressed by {algorithm[:20]!r}, not by GZIP or DEFLATE"
    raise UndecodableError(msg)


def _inflate(body: bytes, wbits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits)
    try:
        data = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        msg = f"the compressed body of {len(body)} bytes is damaged: {error}"
        raise UndecodableError(msg) from error
    if len(data) > max_bytes:
        msg = f"the compressed body of {len(body)} bytes holds more than {max_bytes} bytes"
        raise UndecodableError(msg)
    if not inflater.eof:
        msg = f"the compressed body of {len(body)} bytes ends too early"
        raise UndecodableError(msg)
    return data
