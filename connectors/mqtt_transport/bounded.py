"""Bounds what an MQTT client must hold of one packet: of a longer one its beginning passes, the rest is dropped as it comes.

A packet may have 256 MB, and any publisher of a topic can make one retained. The client sees a PUBLISH that is cut off: topic and packet id
are there, so that it is acknowledged, and its payload is longer than what the client takes. Pure, on the bytes of one connection.
"""

from __future__ import annotations

_LONGEST_HEADER = 5


class PacketBound:
    """State of one connection: how much of the packet under way is still to pass, and to drop."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` of a packet behind its fixed header pass."""
        self._max = max_bytes
        self._header = bytearray()
        self._pass = self._drop = 0
        self.cut = 0
        """Packets that were cut off."""

    def feed(self, data: bytes) -> bytes:
        """What the client is to see of the next bytes."""
        if not self._header and not self._drop and len(data) <= self._pass:
            self._pass -= len(data)
            return data
        out, at = bytearray(), 0
        while at < len(data):
            if self._pass:
                taken = data[at : at + self._pass]
                out += taken
                self._pass -= len(taken)
                at += len(taken)
            elif self._drop:
                dropped = min(self._drop, len(data) - at)
                self._drop -= dropped
                at += dropped
            else:
                self._header.append(data[at])
                at += 1
                out += self._fixed_header()
        return bytes(out)

    def _fixed_header(self) -> bytes:
        """The fixed header once it is whole, with the length that passes."""
        header = self._header
        if len(header) < 2 or (header[-1] & 0x80 and len(header) < _LONGEST_HEADER):
            return b""
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(header[1:]))
        self._pass, self._drop = min(length, self._max), max(0, length - self._max)
        self.cut += bool(self._drop)
        found = bytes(header) if not self._drop else bytes([header[0]]) + _length(self._pass)
        header.clear()
        return found


def _length(value: int) -> bytes:
    """Variable byte integer of MQTT, 1.5.5."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
