"""Units as machines say them, as UCUM codes: OPC UA's EngineeringUnits, which carry UNECE's common codes, and spellings people use.

OPC 10000-8, 5.6.3.4: `UnitId` of namespace `http://www.opcfoundation.org/UA/units/un/cefact` is the number that the characters of the UNECE
common code (Recommendation No. 20) make as bytes, most significant first. The codes were checked against the OPC Foundation's list
(UA-Nodeset, `Schema/UNECE_to_OPCUA.csv`); their UCUM equivalents are this table's.
"""

from __future__ import annotations

import re

from schemas.ucum import is_ucum

_ANNOTATION = re.compile(r"\{[^}]*\}")
CEFACT_URI = "http://www.opcfoundation.org/UA/units/un/cefact"
UCUM_URI = "http://unitsofmeasure.org"
NO_UNIT = "1"

# UNECE common code and UCUM code, by kind of quantity.
_PAIRS = """
C62 1  P1 %  59 [ppm]  Q30 [pH]  2N dB
C81 rad  C25 mrad  B97 urad  DD deg  D61 '  D62 ''  A91 gon  D27 sr  M44 {rev}
MTR m  DMT dm  CMT cm  MMT mm  4H um  C45 nm  KMT km  KTM km  INH [in_i]  FOT [ft_i]  YRD [yd_i]  SMI [mi_i]  NMI [nmi_i]  77 [mil_i]
MTK m2  DMK dm2  CMK cm2  MMK mm2  KMK km2  HAR har  INK [sin_i]  FTK [sft_i]
MTQ m3  DMQ dm3  CMQ cm3  MMQ mm3  LTR L  MLT mL  CLT cL  DLT dL  HLT hL  4G uL  K6 kL  INQ [cin_i]  FTQ [cft_i]  GLL [gal_us]  GLI [gal_br]
BLL [bbl_us]  OZA [foz_us]
SEC s  C26 ms  B98 us  C47 ns  MIN min  HUR h  DAY d  WEE wk  MON mo  ANN a
2A rad/s  E96 deg/s  M46 {rev}/min  RPM {rev}/min  RPS {rev}/s  2B rad/s2  OPM {oscillation}/min
MTS m/s  KMH km/h  C16 mm/s  2M cm/s  2X m/min  H81 mm/min  H67 mm/h  M60 m/h  M62 km/s  FR [ft_i]/min  FS [ft_i]/s  IU [in_i]/s
HM [mi_i]/h  KNT [kn_i]  M63 [in_i]/min
MSK m/s2  M39 cm/s2  M41 mm/s2  K40 [g]  A76 Gal
HTZ Hz  KHZ kHz  MHZ MHz  A86 GHz  C97 /s  C94 /min  H10 /h  C92 /m  C91 /K
KGM kg  GRM g  MGM mg  MC ug  TNE t  KTN kt  2U Mg  LBR [lb_av]  ONZ [oz_av]  STN [ston_av]  LTN [lton_av]  GRN [gr]
KMQ kg/m3  23 g/cm3  GL g/L  A93 g/m3  GP mg/m3  GQ ug/m3  M1 mg/L  H29 ug/L  B35 kg/L  B34 kg/dm3  D41 t/m3  NA mg/kg  J33 ug/kg
KL kg/m  GF g/m  GM g/m2  28 kg/m2  B32 kg.m2  B31 kg.m/s
KGS kg/s  F31 kg/min  E93 kg/h  F30 kg/d  F29 g/s  F28 g/min  F27 g/h  E18 t/h  L71 t/d  4U [lb_av]/h
MQS m3/s  G53 m3/min  MQH m3/h  G52 m3/d  G51 L/s  L2 L/min  E92 dm3/h  LD L/d  40 mL/s  41 mL/min  G55 mL/h  2J cm3/s  G49 cm3/min
2L [cft_i]/min  2K [cft_i]/h  G2 [gal_us]/min  G50 [gal_us]/h  G3 [gal_br]/min
NEW N  B47 kN  B73 MN  C20 mN  B92 uN  B37 kgf  C78 [lbf_av]  DU dyn  4P N/m  F47 N/mm  C22 mN/m  N31 kN/m
NU N.m  B48 kN.m  B74 MN.m  D83 mN.m  J72 cN.m  F88 N.cm  M92 [lbf_av].[ft_i]  F21 [lbf_av].[in_i]  C57 N.s
PAL Pa  KPA kPa  MPA MPa  A89 GPa  A97 hPa  74 mPa  BAR bar  MBR mbar  B85 ubar  KBA kbar  C55 N/m2  C56 N/mm2  PS [psi]  ATM atm  ATT att
E42 kgf/cm2  HN mm[Hg]  HP mm[H2O]  H78 cm[H2O]  N23 m[H2O]  F79 [in_i'Hg]  F78 [in_i'H2O]  H42 Pa/m
C65 Pa.s  C24 mPa.s  89 P  C7 cP  S4 m2/s  C17 mm2/s  4C cSt  91 St
JOU J  KJO kJ  3B MJ  GV GJ  D30 TJ  WHR W.h  KWH kW.h  MWH MW.h  GWH GW.h  J55 W.s  A53 eV  D70 cal_IT  E14 kcal_IT  BTU [Btu_IT]
WTT W  KWT kW  MAW MW  A90 GW  C31 mW  D80 uW  BHP [HP]  2I [Btu_IT]/h  P20 kJ/h
D46 V.A  KVA kV.A  MVA MV.A  D44 {var}  KVR k{var}  K5 k{var}
CEL Cel  KEL K  FAH [degF]  A48 [degR]  H12 Cel/h  H13 Cel/min  H14 Cel/s  F12 K/s  F11 K/min  F10 K/h
D54 W/m2  D53 W/m.K  D55 W/m2.K  D52 W/K  B21 K/W  D19 m2.K/W  JE J/K  B11 J/kg.K  B43 kJ/kg.K  J2 J/kg  B42 kJ/kg  JK MJ/kg  JM MJ/m3
AMP A  4K mA  B84 uA  C39 nA  B22 kA  AMH A.h  E09 mA.h  COU C  A8 A.s  A41 A/m2  AE A/m
VLT V  2Z mV  D82 uV  KVT kV  B78 MV  D50 V/m  D47 V/cm
OHM Ohm  B49 kOhm  B75 MOhm  E45 mOhm  B94 uOhm  C61 Ohm.m  SIE S  C27 mS  B99 uS  D10 S/m  H43 S/cm  H61 mS/cm  G42 uS/cm  G43 uS/m
FAR F  4O uF  C41 nF  4T pF  C10 mF  81 H  C14 mH  B90 uH  WEB Wb  D33 T  C29 mT  D81 uT
CDL cd  LUM lm  LUX lx  A24 cd/m2  KLX klx
C34 mol  C18 mmol  B45 kmol  C36 mol/m3  C38 mol/L  M33 mmol/L  A94 g/mol  E95 mol/s
BQL Bq  CUR Ci  A95 Gy  D13 Sv  C28 mSv  P70 Sv/h  P71 mSv/h  P72 uSv/h
"""
# UCUM has no var: reactive power is volt times ampere, annotated.
_REACTIVE = {"{var}": "V.A{reactive}", "k{var}": "kV.A{reactive}"}
# A quotient of several units in UCUM's order: everything behind a solidus is one unit only.
_QUOTIENTS = {"W/m.K": "W/(m.K)", "W/m2.K": "W/(m2.K)", "J/kg.K": "J/(kg.K)", "kJ/kg.K": "kJ/(kg.K)"}


def _table() -> dict[str, str]:
    words = _PAIRS.split()
    pairs = zip(words[::2], words[1::2], strict=True)
    return {code: _REACTIVE.get(unit, _QUOTIENTS.get(unit, unit)) for code, unit in pairs}


UNECE_TO_UCUM = _table()
"""UCUM code by UNECE common code."""

# How machines and people write units that UCUM writes otherwise.
_SPELLINGS = {
    "": NO_UNIT, "-": NO_UNIT, "°C": "Cel", "℃": "Cel", "degC": "Cel", "C°": "Cel", "°F": "[degF]", "degF": "[degF]", "°": "deg",
    "rpm": "{rev}/min", "RPM": "{rev}/min", "r/min": "{rev}/min", "1/min": "/min", "min⁻¹": "/min", "min-1": "/min", "1/s": "/s",
    "s⁻¹": "/s", "m³": "m3", "m²": "m2", "m³/h": "m3/h", "m³/s": "m3/s", "m3/hr": "m3/h", "l/min": "L/min", "l/h": "L/h",
    "l/s": "L/s", "l": "L", "ml": "mL", "kWh": "kW.h", "MWh": "MW.h", "Wh": "W.h", "Ah": "A.h", "kVA": "kV.A", "VA": "V.A",
    "var": "V.A{reactive}", "kvar": "kV.A{reactive}", "Nm": "N.m", "kNm": "kN.m", "N·m": "N.m", "kW·h": "kW.h", "µm": "um",
    "μm": "um", "µS/cm": "uS/cm", "μS/cm": "uS/cm", "mm/s²": "mm/s2", "m/s²": "m/s2", "g/cm³": "g/cm3", "kg/m³": "kg/m3",
    "mg/m³": "mg/m3", "Ω": "Ohm", "kΩ": "kOhm", "MΩ": "MOhm", "psi": "[psi]", "ppm": "[ppm]", "ppb": "[ppb]", "pH": "[pH]",
    "in": "[in_i]", "ft": "[ft_i]", "lb": "[lb_av]", "sec": "s", "hr": "h", "Liter": "L", "pcs": "{piece}", "Stk": "{piece}",
    "VAr": "V.A{reactive}", "kVAr": "kV.A{reactive}", "t/hr": "t/h", "kg/hr": "kg/h", "mbar(g)": "mbar{gauge}",
    "bar(g)": "bar{gauge}", "barg": "bar{gauge}", "bara": "bar{absolute}", "%RH": "%{RH}", "U/min": "{rev}/min", "Upm": "{rev}/min",
    "UpM": "{rev}/min", "min^-1": "/min", "Stck": "{piece}", "Stück": "{piece}",
}  # fmt: skip


def unece_code(unit_id: int) -> str:
    """UNECE common code of an OPC UA UnitId; empty when the number is none.

    >>> unece_code(4408652), unece_code(20529), unece_code(-1)
    ('CEL', 'P1', '')
    """
    if not 0 < unit_id < 1 << 32:
        return ""
    try:
        code = unit_id.to_bytes(4, "big").lstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        return ""
    return code if code.isalnum() else ""


def unit_id(code: str) -> int:
    """OPC UA UnitId of a UNECE common code.

    >>> unit_id("CEL")
    4408652
    """
    return int.from_bytes(code.encode("ascii"), "big")


def to_ucum(text: str) -> str:
    """UCUM code of a unit as it is written, itself when it is one already; empty when nothing is known.

    >>> to_ucum("°C"), to_ucum("kW.h"), to_ucum("furlongs")
    ('Cel', 'kW.h', '')
    """
    text = text.strip()
    if text in _SPELLINGS:
        return _SPELLINGS[text]
    return text if is_ucum(text) else ""


def of_opcua(namespace_uri: str, unit_id: int, display_name: str) -> str:
    """UCUM code of OPC UA's EUInformation; empty when neither its number nor its name is known."""
    if namespace_uri != UCUM_URI and (code := unece_code(unit_id)) in UNECE_TO_UCUM:
        return UNECE_TO_UCUM[code]
    return to_ucum(display_name)


_AMBIGUOUS = frozenset({"Grad"})
"""A German says it of angles and of temperatures; to UCUM it is a thousand million radians."""


def contradicts(code: str, display_name: str) -> bool:
    """Whether the name of a unit is known, and as another unit than its code; annotations do not count.

    >>> contradicts("kW.h", "l/h"), contradicts("{rev}/min", "1/min"), contradicts("Cel", "Grad")
    (True, False, False)
    """
    name = display_name.strip()
    named = to_ucum(name) if name and name not in _AMBIGUOUS else ""
    return bool(named) and _ANNOTATION.sub("", named) != _ANNOTATION.sub("", code)
