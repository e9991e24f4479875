"""Fetal size against gestational age.

Medians of the INTERGROWTH-21st fetal growth standards (Papageorghiou et al., Lancet 2014;384:869–879), in mm with
the age in exact weeks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from meshes.errors import SettingError

WEEKS_RANGE = (16.0, 36.0)


@dataclass(frozen=True)
class Growth:
    """Sizes of one fetus in mm.

    Attributes:
        weeks: gestational age.
        bpd_mm, ofd_mm: biparietal (outer to outer) and occipito-frontal diameter of the skull.
        hc_mm, ac_mm, fl_mm: head circumference, abdominal circumference, ossified femur length.
        crl_mm: crown–rump length in the usual flexed attitude.
    """

    weeks: float
    bpd_mm: float
    ofd_mm: float
    hc_mm: float
    ac_mm: float
    fl_mm: float
    crl_mm: float


def median_growth(weeks: float) -> Growth:
    """Median sizes at `weeks`.

    Raises:
        SettingError: the age is outside 16–36 weeks.
    """
    low, high = WEEKS_RANGE
    if not low <= weeks <= high:
        raise SettingError("weeks", weeks, f"a gestational age from {low:g} to {high:g} weeks")
    w = float(weeks)
    return Growth(
        weeks=w,
        bpd_mm=5.60878 + 0.158369 * w**2 - 0.00256379 * w**3,
        ofd_mm=-12.4097 + 0.626342 * w**2 - 0.148075 * w**2 * log(w),
        hc_mm=-28.2849 + 1.69267 * w**2 - 0.397485 * w**2 * log(w),
        ac_mm=-81.3243 + 11.6772 * w - 0.000561865 * w**3,
        fl_mm=-39.9616 + 4.32298 * w - 0.0380156 * w**2,
        crl_mm=190.0 * (w / 22.0) ** 0.95,  # estimate: no chart of the curled length beyond 14 weeks
    )
