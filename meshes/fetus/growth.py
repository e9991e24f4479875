"""Fetal size against gestational age: the INTERGROWTH-21st fetal growth standards.

Means and standard deviations in mm, age in exact weeks: Papageorghiou et al., "International standards for fetal
growth based on serial ultrasound measurements", Lancet 2014;384:869–879. Transcerebellar diameter: Rodriguez-Sibaja
et al., Ultrasound Obstet Gynecol 2021;57:614–623. Diameters of the head are outer to outer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

from meshes.errors import SettingError

WEEKS_RANGE = (16.0, 36.0)


@dataclass(frozen=True)
class Growth:
    """Sizes of one fetus in mm.

    Attributes:
        weeks: gestational age.
        bpd_mm, ofd_mm: biparietal (outer to outer) and occipito-frontal diameter of the skull.
        hc_mm, ac_mm, fl_mm: head circumference, abdominal circumference, ossified femur length.
        tcd_mm: transverse diameter of the cerebellum.
        crl_mm: crown–rump length in the usual flexed attitude.
    """

    weeks: float
    bpd_mm: float
    ofd_mm: float
    hc_mm: float
    ac_mm: float
    fl_mm: float
    tcd_mm: float
    crl_mm: float


def check_weeks(weeks: float) -> float:
    """The age as a float.

    Raises:
        SettingError: it is not a number from 16 to 36.
    """
    low, high = WEEKS_RANGE
    try:
        value = float(weeks)
    except (TypeError, ValueError):
        value = float("nan")
    if not low <= value <= high:
        raise SettingError("weeks", weeks, f"a gestational age from {low:g} to {high:g} weeks")
    return value


def chart(measure: str, weeks: float) -> tuple[float, float]:
    """Mean and standard deviation in mm of "bpd", "ofd", "hc", "ac", "fl" or "tcd" at `weeks`."""
    w = check_weeks(weeks)
    w2, w3, ln = w**2, w**3, log(w)
    if measure == "bpd":
        mean = 5.60878 + 0.158369 * w2 - 0.00256379 * w3
        return mean, exp(0.101242 + 0.00150557 * w3 - 0.000771535 * w3 * ln + 0.0000999638 * w3 * ln**2)
    if measure == "ofd":
        mean = -12.4097 + 0.626342 * w2 - 0.148075 * w2 * ln
        return mean, exp(-0.880034 + 0.0631165 * w2 - 0.0317136 * w2 * ln + 0.00408302 * w2 * ln**2)
    if measure == "hc":
        mean = -28.2849 + 1.69267 * w2 - 0.397485 * w2 * ln
        return mean, 1.98735 + 0.0136772 * w3 - 0.00726264 * w3 * ln + 0.000976253 * w3 * ln**2
    if measure == "ac":
        mean = -81.3243 + 11.6772 * w - 0.000561865 * w3
        return mean, -4.36302 + 0.121445 * w2 - 0.0130256 * w3 + 0.00282143 * w3 * ln
    if measure == "fl":
        mean = -39.9616 + 4.32298 * w - 0.0380156 * w2
        return mean, exp(0.605843 - 42.0014 / w2 + 0.00000917972 * w3)
    if measure == "tcd":
        return 6.9519 + 0.03327 * w2, -0.5177 + 0.0772 * w
    raise SettingError("measure", measure, "bpd, ofd, hc, ac, fl or tcd")


def grow(weeks: float, head_z: float = 0.0, abdomen_z: float = 0.0, femur_z: float = 0.0) -> Growth:
    """Sizes at `weeks`, so many standard deviations from the mean.

    Raises:
        SettingError: the age is outside 16–36 weeks.
    """
    w = check_weeks(weeks)

    def size(measure: str, z: float) -> float:
        mean, deviation = chart(measure, w)
        return mean + z * deviation

    return Growth(
        weeks=w,
        bpd_mm=size("bpd", head_z),
        ofd_mm=size("ofd", head_z),
        hc_mm=size("hc", head_z),
        ac_mm=size("ac", abdomen_z),
        fl_mm=size("fl", femur_z),
        tcd_mm=size("tcd", 0.5 * head_z),
        crl_mm=194.0 * (w / 22.0) ** 1.12,  # estimate: no chart of the curled length beyond 14 weeks
    )
