"""UCUM codes of the units that OPC UA servers name."""

from __future__ import annotations

from connectors.opcua.space import Unit

NO_UNIT = "1"
_UCUM_URI = "http://unitsofmeasure.org"
_BY_COMMON_CODE = {
    "C62": "1", "P1": "%", "CEL": "Cel", "KEL": "K", "FAH": "[degF]", "BAR": "bar", "MBR": "mbar", "PAL": "Pa", "HPA": "hPa",
    "KPA": "kPa", "MPA": "MPa", "MTR": "m", "CMT": "cm", "MMT": "mm", "4H": "um", "KMT": "km", "MTS": "m/s", "C16": "mm/s",
    "2X": "m/min", "MSK": "m/s2", "SEC": "s", "MIN": "min", "HUR": "h", "C26": "ms", "B98": "us", "DAY": "d", "HTZ": "Hz",
    "KHZ": "kHz", "RPM": "/min", "C97": "rad/s", "AMP": "A", "4K": "mA", "VLT": "V", "2Z": "mV", "WTT": "W", "KWT": "kW", "MAW": "MW",
    "WHR": "W.h", "KWH": "kW.h", "JOU": "J", "KJO": "kJ", "NEW": "N", "B47": "kN", "NU": "N.m", "KGM": "kg", "GRM": "g", "TNE": "t",
    "LTR": "L", "MLT": "mL", "MTQ": "m3", "MTK": "m2", "MQH": "m3/h", "E32": "L/h", "L2": "L/min", "OHM": "Ohm", "DD": "deg",
    "C81": "rad", "2N": "dB", "LUX": "lx", "KMQ": "kg/m3", "E93": "kg/h",
}  # fmt: skip
"""By the common code of UNECE Recommendation 20."""


def ucum(unit: Unit) -> str:
    """UCUM code of a unit; '1' where it is not known."""
    if unit.uri == _UCUM_URI:
        return unit.text or NO_UNIT
    # OPC 10000-8, 5.6.3.3: the common code's characters are the bytes of the number.
    code = unit.unit_id.to_bytes(4, "big", signed=False).lstrip(b"\0") if 0 < unit.unit_id < 1 << 32 else b""
    return _BY_COMMON_CODE.get(code.decode("ascii", "replace"), NO_UNIT)
