"""Units: UCUM codes are recognised, and what machines say is made one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schemas.ucum import is_ucum
from schemas.units import _SPELLINGS, CEFACT_URI, UCUM_URI, UNECE_TO_UCUM, of_opcua, to_ucum, unece_code, unit_id

EXAMPLE = Path(__file__).parents[2] / "stack" / "plant.yaml"


def test_every_code_that_is_given_out_is_ucum() -> None:
    assert {code: unit for code, unit in UNECE_TO_UCUM.items() if not is_ucum(unit)} == {}
    assert {text: unit for text, unit in _SPELLINGS.items() if not is_ucum(unit)} == {}
    assert len(UNECE_TO_UCUM) > 250


@pytest.mark.parametrize(
    ("number", "code", "unit"),
    # Numbers as the OPC Foundation lists them.
    [(4408652, "CEL", "Cel"), (4937544, "KWH", "kW.h"), (12890, "2Z", "mV"), (5067080, "MQH", "m3/h"), (4338743, "B47", "kN"),
     (19506, "L2", "L/min"), (5394509, "RPM", "{rev}/min"), (4338993, "B51", ""), (4469813, "D45", "")],
)  # fmt: skip
def test_numbers_of_opc_ua_are_unece_codes(number: int, code: str, unit: str) -> None:
    assert (unece_code(number), unit_id(code)) == (code, number)
    assert of_opcua(CEFACT_URI, number, "?") == unit


def test_a_number_that_is_unknown_leaves_the_name() -> None:
    assert of_opcua(UCUM_URI, -1, "kW.h") == "kW.h"
    assert of_opcua("", -1, "°C") == "Cel"
    assert of_opcua(CEFACT_URI, 4338993, "kgf") == "kgf"
    assert of_opcua("", -1, "furlongs") == ""
    assert of_opcua("", 1 << 40, "") == "1"


def test_the_units_of_the_example_plant_are_ucum() -> None:
    classes = yaml.safe_load(EXAMPLE.read_text())["device_classes"]
    units = {tag["unit"] for device_class in classes.values() for tag in device_class["tags"].values()}
    assert {unit for unit in units if not is_ucum(unit)} == set()


@pytest.mark.parametrize(
    "text", ["mm[Hg]", "10*-3.mol", "m/s2", "kg.m2/(s.A)", "%{RH}", "[ft_i].[lbf_av]", "100.m", "Gibit_s"[2:], "KiBy"]
)
def test_units_are_terms_with_prefixes_exponents_and_annotations(text: str) -> None:
    assert is_ucum(text)


@pytest.mark.parametrize(
    "text",
    ["m)", "(m", "m.", "k[in_i]", "kmin", "m/s/", "m s", "{a}{b}", "W/(m.K", "x" * 200, "(" * 90 + "m" + ")" * 9],
)
def test_what_is_no_term_is_no_unit(text: str) -> None:
    assert not is_ucum(text)
    assert to_ucum(text) == ""
