"""What differs from one pregnancy to the next, drawn from a seed. Seed 0 is the reference anatomy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshes.errors import SettingError

# middle of the placenta, as a direction from the middle of the uterus (x left, y posterior, z cranial)
PLACENTA_SITES = {
    "anterior": (0.10, -0.90, 0.35),
    "posterior": (-0.15, 0.90, 0.35),
    "fundal": (-0.25, 0.35, 0.90),
    "left": (0.90, 0.10, 0.40),
    "right": (-0.90, 0.10, 0.40),
}


@dataclass(frozen=True)
class Variation:
    """One draw.

    Attributes:
        seed: what it was drawn from; also seeds the relief of every surface.
        head_z, abdomen_z, femur_z: size against the growth chart, in standard deviations.
        presentation: "cephalic", "breech" or "transverse".
        roll_deg: where the fetal back points (0 maternal left, 90 posterior, 180 right, 270 anterior).
        tilt_deg: turn of the fetal long axis in the coronal plane, away from the exact lie.
        flexion: bend of the spine against the reference (1).
        nod_deg: flexion of the head against the reference.
        limb_turns: (4, 2) small turns in radians of left arm, right arm, left leg, right leg.
        organs: factor on the size of heart, liver, stomach, bladder, ventricles, kidneys.
        placenta: name of the placental site; placenta_site its direction.
        placenta_factor: thickness against the age's usual one.
        fluid_factor: amniotic fluid against the age's usual volume.
        fat_mm: subcutaneous fat of the mother.
    """

    seed: int = 0
    head_z: float = 0.0
    abdomen_z: float = 0.0
    femur_z: float = 0.0
    presentation: str = "cephalic"
    roll_deg: float = 18.0
    tilt_deg: float = 6.0
    flexion: float = 1.0
    nod_deg: float = 0.0
    limb_turns: np.ndarray = field(default_factory=lambda: np.zeros((4, 2)))
    organs: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("heart", "liver", "stomach", "bladder", "ventricles", "kidneys"), 1.0)
    )
    placenta: str = "posterior"
    placenta_site: tuple[float, float, float] = (-0.85, 0.50, 0.15)
    placenta_factor: float = 1.0
    fluid_factor: float = 1.0
    fat_mm: float = 12.0


def check_seed(seed: int) -> int:
    """The seed as an int.

    Raises:
        SettingError: it is not a whole number from 0 to 2³¹ − 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise SettingError("seed", seed, "a whole number from 0 to 2147483647")
    return int(seed)


def draw(weeks: float, seed: int) -> Variation:
    """Draws the variation of one pregnancy; seed 0 gives the reference.

    Raises:
        SettingError: the seed is out of range.
    """
    seed = check_seed(seed)
    if seed == 0:
        return Variation()
    rng = np.random.default_rng([seed, 0x5EED])
    shared = rng.normal(0, 0.6)  # large fetuses are large all over
    zs = np.clip(shared + rng.normal(0, 0.45, 3), -1.1, 1.1)
    head_down = np.interp(weeks, [16, 24, 30, 36], [0.5, 0.62, 0.82, 0.95])  # estimate after published scan series
    lying_across = np.interp(weeks, [16, 24, 30, 32], [0.15, 0.12, 0.04, 0.0])
    pick = rng.random()
    presentation = "transverse" if pick < lying_across else "cephalic" if rng.random() < head_down else "breech"
    placenta = str(rng.choice(list(PLACENTA_SITES), p=[0.36, 0.34, 0.14, 0.08, 0.08]))
    site = np.asarray(PLACENTA_SITES[placenta]) + rng.normal(0, 0.12, 3)
    x, y, z = site / np.linalg.norm(site)
    organs = {
        "heart": rng.normal(1, 0.05),
        "liver": rng.normal(1, 0.04),
        "stomach": rng.normal(1, 0.16),
        "bladder": rng.normal(1, 0.2),
        "ventricles": rng.normal(1, 0.1),
        "kidneys": rng.normal(1, 0.06),
    }
    return Variation(
        seed=seed,
        head_z=float(zs[0]),
        abdomen_z=float(zs[1]),
        femur_z=float(zs[2]),
        presentation=presentation,
        roll_deg=float(rng.uniform(0, 360)),
        tilt_deg=float(np.clip(rng.normal(0, 10), -20, 20)),
        flexion=float(rng.uniform(0.75, 1.15)),
        nod_deg=float(rng.uniform(-8, 5)),
        limb_turns=rng.uniform(-0.16, 0.16, (4, 2)),
        organs={name: float(np.clip(value, 0.7, 1.35)) for name, value in organs.items()},
        placenta=placenta,
        placenta_site=(float(x), float(y), float(z)),
        placenta_factor=float(rng.uniform(0.88, 1.12)),
        fluid_factor=float(np.clip(rng.lognormal(0.0, 0.25), 0.6, 1.7)),
        fat_mm=float(np.clip(rng.lognormal(np.log(14), 0.35), 7, 30)),
    )
