"""Whether a text is a unit of UCUM (the Unified Code for Units of Measure), case sensitive: `kW.h`, `m3/h`, `/min`, `Cel`, `1`.

The codes are those of the UCUM specification 2.2 (https://ucum.org); the grammar is its section 2. Units are only recognised: nothing is
converted.
"""

from __future__ import annotations

import re

_PREFIXES = (
    "Y",
    "Z",
    "E",
    "P",
    "T",
    "G",
    "M",
    "k",
    "h",
    "da",
    "d",
    "c",
    "m",
    "u",
    "n",
    "p",
    "f",
    "a",
    "z",
    "y",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
)
# With a prefix or without.
_WITH_PREFIX = """
m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV pc [c] [h] [k] [eps_0] [mu_0] [e] [m_e] [m_p]
[G] [g] [ly] gf Ky Gal dyn erg P Bi St Mx G Oe Gb sb Lmb ph Ci R RAD REM cal_[15] cal_[20] cal_m cal_IT cal_th cal tex m[H2O] m[Hg] eq osm
g% kat U [iU] [IU] Np B B[SPL] B[V] B[mV] B[uV] B[10.nV] B[W] B[kW] st mho bit By Bd
"""
_WITHOUT = """
10* 10^ [pi] % [ppth] [ppm] [ppb] [pptr] gon deg ' '' min h d a_t a_j a_g a wk mo_s mo_j mo_g mo AU atm [lbf_av] [in_i] [ft_i] [yd_i]
[mi_i] [fth_i] [nmi_i] [kn_i] [sin_i] [sft_i] [syd_i] [cin_i] [cft_i] [cyd_i] [bf_i] [cr_i] [mil_i] [cml_i] [hd_i] [ft_us] [yd_us] [in_us]
[rd_us] [ch_us] [lk_us] [rch_us] [rlk_us] [fth_us] [fur_us] [mi_us] [acr_us] [srd_us] [smi_us] [sct] [twp] [mil_us] [in_br] [ft_br]
[rd_br] [ch_br] [lk_br] [fth_br] [pc_br] [yd_br] [mi_br] [nmi_br] [kn_br] [acr_br] [gal_us] [bbl_us] [qt_us] [pt_us] [gil_us] [foz_us]
[fdr_us] [min_us] [crd_us] [bu_us] [gal_wi] [pk_us] [dqt_us] [dpt_us] [tbs_us] [tsp_us] [cup_us] [foz_m] [cup_m] [tsp_m] [tbs_m] [gal_br]
[pk_br] [bu_br] [qt_br] [pt_br] [gil_br] [foz_br] [fdr_br] [min_br] [gr] [lb_av] [oz_av] [dr_av] [scwt_av] [lcwt_av] [ston_av] [lton_av]
[stone_av] [pwt_tr] [oz_tr] [lb_tr] [sc_ap] [dr_ap] [oz_ap] [lb_ap] [oz_m] [lne] [pnt] [pca] [pnt_pr] [pca_pr] [pied] [pouce] [ligne]
[didot] [cicero] [degF] [degR] [degRe] [Cal] [Btu_39] [Btu_59] [Btu_60] [Btu_m] [Btu_IT] [Btu_th] [Btu] [HP] [den] [in_i'H2O] [in_i'Hg]
[PRU] [wood'U] [diop] [p'diop] %[slope] [mesh_i] [Ch] [drp] [hnsf'U] [MET] [hp'_X] [hp'_C] [hp'_M] [hp'_Q] [hp_X] [hp_C] [hp_M] [hp_Q]
[kp_X] [kp_C] [kp_M] [kp_Q] [pH] [S] [HPF] [LPF] [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] [smgy'U]
[bdsk'U] [ka'U] [knk'U] [mclg'U] [tb'U] [CCID_50] [TCID_50] [EID_50] [PFU] [FFU] [CFU] [IR] [BAU] [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U]
[FEU] [ELU] [EU] Ao b att [psi] circ sph [car_m] [car_Au] [smoot] [m/s2/Hz^(1/2)] [NTU] [FNU] bit_s
"""
_METRIC, _PLAIN = frozenset(_WITH_PREFIX.split()), frozenset(_WITHOUT.split())
_LONGEST = 100
_SIMPLE = re.compile(r"(?:[^\[\]./(){}\s]|\[[^\]\s]*\])+")
_ANNOTATION = re.compile(r"\{[!-z|~]*\}")
_EXPONENT = re.compile(r"(.+?)[+-]?[0-9]+")


def is_ucum(text: str) -> bool:
    """Whether the text is a valid unit; `1` is the unit of numbers without one.

    >>> is_ucum("kW.h"), is_ucum("m3/h"), is_ucum("/min"), is_ucum("{cycle}/min"), is_ucum("10*3/uL"), is_ucum("1")
    (True, True, True, True, True, True)
    >>> is_ucum("°C"), is_ucum("kwh"), is_ucum("rpm"), is_ucum("m//s"), is_ucum("m^3"), is_ucum("")
    (False, False, False, False, False, False)
    """
    if not text or len(text) > _LONGEST:
        return False
    end = _term(text, 1 if text.startswith("/") else 0)
    return end == len(text)


def _term(text: str, at: int) -> int:
    """End of the term that begins at a place; -1 when there is none."""
    while True:
        at = _component(text, at)
        if at < 0 or at >= len(text) or text[at] not in "./":
            return at
        at += 1


def _component(text: str, at: int) -> int:
    if text.startswith("(", at):
        end = _term(text, at + 1)
        return end + 1 if 0 <= end < len(text) and text[end] == ")" else -1
    start = at
    if found := _SIMPLE.match(text, at):
        if not _is_simple(found[0]):
            return -1
        at = found.end()
    if found := _ANNOTATION.match(text, at):
        at = found.end()
    return at if at > start else -1


def _is_simple(unit: str) -> bool:
    if unit.isascii() and unit.isdigit():
        return True
    exponent = _EXPONENT.fullmatch(unit)
    return _is_atom(unit) or (exponent is not None and _is_atom(exponent[1]))


def _is_atom(unit: str) -> bool:
    if unit in _METRIC or unit in _PLAIN:
        return True
    return any(unit.startswith(prefix) and unit[len(prefix) :] in _METRIC for prefix in _PREFIXES)
