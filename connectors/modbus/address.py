"""Where a value is in a Modbus device, and what its registers mean. Pure functions; no protocol library.

An address is `<unit>/<place>[?<option>=<value>&…]`.

- unit: 0 to 255, the device behind a gateway to a serial bus; a device on its own usually answers to 1 (or 255).
- place, either of:
  - `<table>/<number>`: `coil`, `discrete`, `input` or `holding`, and the number as it is sent, from 0 to 65535;
  - a reference as manuals print it, from 1: `00001` to `09999` coils, `10001` discrete inputs, `30001` input registers, `40001`
    holding registers; with six digits (`400001` to `465536`) all 65536.
  - `.0` to `.15` behind a register is one of its bits; 0 is the least significant.
- `type`: int16, uint16 (default), int32, uint32, int64, uint64, float32 or float64.
- `order`: of the bytes of a value in its registers, as they are read: `abcd` (default: high word first, high byte first), `badc` (bytes of
  each word swapped), `cdab` (low word first), `dcba` (both). A 64-bit value follows the same rule with its four words.
- `scale`, `offset`: value = number · scale + offset.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from connectors.readings import Value

HIGHEST = 0xFFFF
_LONGEST = 200
_FORMATS = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_ORDERS = ("abcd", "badc", "cdab", "dcba")
_OPTIONS = frozenset({"type", "order", "scale", "offset"})
_NUMBER = re.compile(r"[0-9]{1,6}")
_FORM = "an address is <unit>/<table>/<number> or <unit>/<reference>, such as 1/holding/0?type=float32 or 1/40001"


class Table(StrEnum):
    """One of the four tables of a device."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"

    @property
    def of_bits(self) -> bool:
        """Whether an entry is one bit; else it is a register of 16."""
        return self in {Table.COIL, Table.DISCRETE}

    @property
    def writable(self) -> bool:
        """Whether a client may write it."""
        return self in {Table.COIL, Table.HOLDING}


_REFERENCES = {"0": Table.COIL, "1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A parsed address. `start` and `count` are entries of the table; `bit` is -1 for whole registers."""

    unit: int
    table: Table
    start: int
    count: int = 1
    type: str = "uint16"
    order: str = "abcd"
    scale: float = 1.0
    offset: float = 0.0
    bit: int = -1

    @property
    def end(self) -> int:
        """The first entry behind it."""
        return self.start + self.count

    @property
    def is_scaled(self) -> bool:
        """Whether the number at the machine is another one than the tag's value."""
        return self.scale != 1.0 or self.offset != 0.0

    def decode(self, entries: Sequence[int]) -> Value:
        """Value of the point's entries: bits (0 or 1), or registers (0 to 65535)."""
        if self.table.of_bits:
            return bool(entries[0])
        if self.bit >= 0:
            return bool(entries[0] >> self.bit & 1)
        number: int | float = struct.unpack(f">{_FORMATS[self.type]}", self._turned(_packed(entries)))[0]
        return number * self.scale + self.offset if self.is_scaled else number

    def encode(self, value: float) -> tuple[int, ...]:
        """Entries that hold the value; raises ValueError when they cannot."""
        if not math.isfinite(value):
            msg = f"{value} is no number that can be written"
            raise ValueError(msg)
        if self.table.of_bits or self.bit >= 0:
            if value not in {0, 1}:
                msg = f"{value:g} is neither 0 nor 1"
                raise ValueError(msg)
            return (int(value),)
        number = (value - self.offset) / self.scale if self.is_scaled else value
        if self.type.startswith("float"):
            return self._entries(number)
        whole = round(number)
        if not self.is_scaled and whole != number:
            msg = f"{value:g} is not a whole number, and the registers hold {self.type}"
            raise ValueError(msg)
        return self._entries(whole)

    def _entries(self, number: float) -> tuple[int, ...]:
        try:
            data = struct.pack(f">{_FORMATS[self.type]}", number)
        except (struct.error, OverflowError):
            msg = f"{number:g} is outside of {self.type}"
            raise ValueError(msg) from None
        return struct.unpack(f">{self.count}H", self._turned(data))

    def _turned(self, data: bytes) -> bytes:
        """Bytes in the order of the machine -> high byte first, and back: each order is its own inverse."""
        words = [data[at : at + 2] for at in range(0, len(data), 2)]
        if self.order in {"cdab", "dcba"}:
            words.reverse()
        if self.order in {"badc", "dcba"}:
            words = [word[::-1] for word in words]
        return b"".join(words)


def _packed(registers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(registers)}H", *registers)


def parse(text: str) -> Point:
    """Point of an address; raises ValueError with the cause."""
    if len(text) > _LONGEST:
        msg = f"an address of {len(text)} characters is longer than {_LONGEST}"
        raise ValueError(msg)
    place, _, query = text.partition("?")
    options = _options(query)
    parts = place.split("/")
    if len(parts) not in {2, 3} or not all(parts):
        msg = f"{place!r}: {_FORM}"
        raise ValueError(msg)
    unit = _number(parts[0], "unit", 255)
    number, dot, bit_text = parts[-1].partition(".")
    table, start = _reference(number) if len(parts) == 2 else _named(parts[1], number)
    bit = _number(bit_text, "bit", 15) if dot else -1
    if (table.of_bits or bit >= 0) and options:
        msg = f"{place!r} is a single bit: it has no {next(iter(options))}"
        raise ValueError(msg)
    if table.of_bits and bit >= 0:
        msg = f"{place!r}: a {table.value} is a bit already; `.{bit}` is for registers"
        raise ValueError(msg)
    return _point(unit, table, start, bit, options)


def check(text: str) -> None:
    """Raise ValueError with the cause unless the text is an address."""
    parse(text)


def _point(unit: int, table: Table, start: int, bit: int, options: dict[str, str]) -> Point:
    kind, order = options.get("type", "uint16").lower(), options.get("order", "abcd").lower()
    if kind not in _FORMATS:
        msg = f"type is {kind!r}, not one of {', '.join(_FORMATS)}"
        raise ValueError(msg)
    if order not in _ORDERS:
        msg = f"order is {order!r}, not one of {', '.join(_ORDERS)}"
        raise ValueError(msg)
    count = 1 if table.of_bits else struct.calcsize(_FORMATS[kind]) // 2
    if start + count - 1 > HIGHEST:
        msg = f"{kind} at {start} ends behind the last register, {HIGHEST}"
        raise ValueError(msg)
    return Point(
        unit=unit,
        table=table,
        start=start,
        count=count,
        type=kind,
        order=order,
        scale=_real(options.get("scale", "1"), "scale"),
        offset=_real(options.get("offset", "0"), "offset", zero=True),
        bit=bit,
    )


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if key not in _OPTIONS or not equals:
            msg = f"{part!r} is no option; known: {', '.join(f'{one}=' for one in sorted(_OPTIONS))}"
            raise ValueError(msg)
        if key in options:
            msg = f"{key} is given twice"
            raise ValueError(msg)
        options[key] = value
    return options


def _named(table: str, number: str) -> tuple[Table, int]:
    if table not in {one.value for one in Table}:
        msg = f"{table!r} is no table; the tables are {', '.join(one.value for one in Table)}"
        raise ValueError(msg)
    return Table(table), _number(number, "number", HIGHEST)


def _reference(text: str) -> tuple[Table, int]:
    table = _REFERENCES.get(text[:1])
    if table is None or len(text) not in {5, 6} or not _NUMBER.fullmatch(text) or not 1 <= int(text[1:]) <= HIGHEST + 1:
        msg = f"{text!r} is no reference of five or six digits, such as 40001 or 400001; {_FORM}"
        raise ValueError(msg)
    return table, int(text[1:]) - 1


def _number(text: str, what: str, highest: int) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > highest:
        msg = f"{what} is {text!r}, not a number from 0 to {highest}"
        raise ValueError(msg)
    return int(text)


def _real(text: str, what: str, *, zero: bool = False) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (number == 0 and not zero):
        msg = f"{what} is {text!r}, not a number{'' if zero else ' other than 0'}"
        raise ValueError(msg)
    return number
