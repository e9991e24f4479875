"""The fetal head: skull, brain with its midline and fluid spaces, face.

Coordinates are 22-week millimetres (left, posterior, up) from the centre of the skull.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

from meshes.fetus.plan import SKULL_HALF_WIDTH, FetusPlan
from meshes.shapes import solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid

SKULL_HEIGHT = 28.5  # outer half axis upwards
SKULL_WALL = 1.2
EYE = (11.5, -28.0, -15.5)  # left globe
CLEFT = 0.9  # half width of the cleft between the hemispheres
# Sulci of the medial surface: the week of appearance (Chi, Dooling & Gilles, Ann Neurol 1977;1:86–93; the last two are
# estimates), and the line in the midline (posterior, up), from where the sulcus starts
SULCI = {
    "callosal": (14, ((-21.8, -2.0), (-22.7, 2.2), (-20.6, 7.4), (-13.6, 10.5), (-5.0, 11.6), (2.4, 10.9), (7.2, 8.2))),
    "parieto-occipital": (16, ((20.5, 20.0), (19.0, 15.5), (16.0, 10.5), (13.0, 6.5))),
    "calcarine": (16, ((30.5, 4.5), (26.0, 6.8), (20.5, 6.2), (14.5, 7.6), (11.5, 5.0))),
    "cingulate": (
        18,
        (
            *((-26.6, -3.0), (-28.0, 3.0), (-25.6, 9.4), (-19.0, 14.6), (-10.5, 17.0)),
            *((-1.0, 17.2), (7.0, 16.2), (11.5, 19.0), (13.0, 23.0)),
        ),
    ),
    "superior frontal": (25, ((-31.0, 0.0), (-28.5, 8.0), (-23.0, 13.5))),
    "paracentral": (27, ((-7.0, 17.5), (-5.0, 20.5), (-6.0, 24.0))),
}


def _skull_radii(plan: FetusPlan) -> np.ndarray:
    """Outer half axes of the skull from BPD and OFD, in 22-week millimetres."""
    return np.array([SKULL_HALF_WIDTH, 0.5 * plan.growth.ofd_mm / plan.head_scale, SKULL_HEIGHT])


def skin(plan: FetusPlan) -> Solid:
    """Outline of head, face and neck."""
    ball, at, k = plan.head_ball, plan.head_at, plan.head_scale
    chubby = 1.0 + 0.012 * (plan.growth.weeks - 22)  # cheeks fill out
    parts = [
        ball((0, 0, 0), _skull_radii(plan) + 2.2),
        ball((0, -21, -20), (17.5, 13.5, 17)),  # face
        ball((0, -27.5, -35), (7.5, 6, 5)),  # chin
        *[ball((side * 12, -22, -25), np.array([8, 8, 9]) * chubby) for side in (1, -1)],  # cheeks
        *[ball((side * EYE[0], *EYE[1:]), (6.6, 6.6, 6.6)) for side in (1, -1)],  # lids
        solids.cone(at(0, 7, -22), at(0, 9, -38), 16 * k, 12.5 * k),  # neck
    ]
    ears = [ball((side * 28.5, 4, -14), (2.4, 5.0, 7.5)) for side in (1, -1)]
    profile = [
        solids.cone(at(0, -33.0, -9.0), at(0, -37.4, -16.8), 1.6 * k, 2.7 * k),  # bridge of the nose to its tip
        *[ball((side * 3.2, -35.5, -18.2), (2.4, 3.0, 2.4)) for side in (1, -1)],  # wings of the nose
        ball((0, -34.2, -23.4), (5.5, 3.2, 2.1)),  # upper lip
        ball((0, -33.2, -28.2), (5.0, 3.2, 2.1)),  # lower lip
        ball((0, -32.2, -35.0), (4.6, 3.6, 3.2)),  # point of the chin
    ]
    head = solids.union(solids.union(*parts, blend=5 * k), *profile, blend=2.2 * k)
    return solids.union(head, *ears, blend=1.5 * k)


def _skull(plan: FetusPlan) -> Solid:
    """Outer skull, filled: the fluid space inside has the higher priority. Sutures and fontanelle cut it."""
    ball, at, k = plan.head_ball, plan.head_at, plan.head_scale
    outer = solids.rough(ball((0, 0, 0), _skull_radii(plan)), 0.15, 6.0, plan.seed + 11)

    def on_skull(direction):
        d = np.asarray(direction, float)
        return at(*(d / np.sqrt(np.sum((d / (_skull_radii(plan) - SKULL_WALL / 2)) ** 2))))

    sagittal = [on_skull((0, np.sin(a), np.cos(a))) for a in np.radians(np.linspace(-35, 55, 13))]
    metopic = [on_skull((0, np.sin(a), np.cos(a))) for a in np.radians(np.linspace(-100, -35, 10))]
    coronal = [on_skull((np.sin(a), -0.42, np.cos(a))) for a in np.radians(np.linspace(-68, 68, 16))]
    fontanelles = [ball((0, -12.5, 26.5), (6, 8, 6)), ball((0, 26, 14), (3.5, 5, 5))]
    lambdoid = [
        on_skull((side * np.sin(a), 0.85, 0.42 - 0.55 * np.sin(a)))
        for side in (-1, 1)
        for a in np.radians(np.linspace(4, 62, 9))
    ]
    seams = [solids.tube(line, 0.9 * k) for line in (sagittal, coronal, lambdoid[:9], lambdoid[9:])]
    seams.append(solids.tube(metopic, np.linspace(0.9, 2.2, 10) * k))  # it opens into the fontanelle
    return solids.subtract(outer, *seams, *fontanelles, *_side_fontanelles(plan))


def _side_fontanelles(plan: FetusPlan) -> list[Solid]:
    """Mastoid (posterolateral) fontanelles behind the ears, the window to the posterior fossa: flat plugs."""
    plugs = []
    for side in (1, -1):
        out = np.array([side * 0.78, 0.52, -0.36])
        normal = out / (_skull_radii(plan) - SKULL_WALL / 2) ** 2
        axes = solids.rotation_to(normal)
        centre = out / np.sqrt(np.sum((out / (_skull_radii(plan) - SKULL_WALL / 2)) ** 2))
        plugs.append(plan.head_ball(centre, (4.4, 4.4, 1.9), axes))
    return plugs


def _face_bones(plan: FetusPlan) -> Solid:
    """Upper and lower jaw, nasal bone, cheekbones: arches open to the back."""
    at, k = plan.head_at, plan.head_scale
    turn = np.radians(np.linspace(-80, 80, 11))
    upper = [at(10 * np.sin(a), -21 - 11.0 * np.cos(a), -21.5) for a in turn]
    lower = [at(11 * np.sin(a), -15 - 16.0 * np.cos(a), -31 + 4 * (1 - np.cos(a))) for a in turn]
    nasal = solids.cone(at(0, -33.5, -9.5), at(0, -36, -13.5), 0.9 * k, 0.8 * k)
    cheeks = [
        solids.tube([at(s * 8, -30, -19.5), at(s * 15, -25, -19), at(s * 19, -14, -17)], 1.0 * k) for s in (1, -1)
    ]
    return solids.union(solids.tube(upper, 1.3 * k), solids.tube(lower, 1.3 * k), nasal, *cheeks)


def _brain(plan: FetusPlan) -> Solid:
    """Both hemispheres with the cleft between them, cerebellum excluded."""
    ball, k = plan.head_ball, plan.head_scale
    inner = _skull_radii(plan) - SKULL_WALL - 1.6
    folds = 0.25 + 0.05 * (plan.growth.weeks - 16)  # the cortex folds as it grows
    body = solids.rough(ball((0, 0, 0), inner), folds, 7.0, plan.seed + 12)
    slit = solids.box(plan.head_at(0, 0, 12), np.array([CLEFT, 40, 18.5]) * k, 0.3, plan.head_axes)
    cleft = solids.subtract(slit, _below_falx(plan, 1.0))
    sylvian = [ball((side * 24.5, -6, -1), (2.6, 5.5, 3.5)) for side in (1, -1)]
    return solids.subtract(solids.subtract(body, cleft, *sylvian, blend=0.6 * k), *_sulci(plan, 0.75))


def _sulci(plan: FetusPlan, half: float) -> list[Solid]:
    """The sulci of both medial surfaces as slabs 2 · `half` mm thick: they lengthen, deepen and wind with age."""
    k, weeks, slabs = plan.head_scale, plan.growth.weeks, []
    rng = np.random.default_rng([plan.seed, 15])
    for onset, line in SULCI.values():
        phase = rng.uniform(0.0, 2 * np.pi)
        age = weeks - onset
        if age < 1.0:
            continue
        depth = CLEFT + min(0.6 + 0.4 * age, 5.0)
        points = _polyline(np.array(line), min(0.1 + 0.12 * age, 1.0), 2.0)
        way = np.gradient(points, axis=0)
        across = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.linalg.norm(way, axis=1, keepdims=True)
        winding = min(0.25 + 0.04 * age, 0.7) * np.sin(1.1 * np.arange(len(points)) + phase)
        points = points + winding[:, None] * across
        for start, end in pairwise(points):
            length = np.linalg.norm(end - start)
            y, z = (end - start) / length
            axes = np.array([(1, 0, 0), (0, y, z), (0, -z, y)]) @ plan.head_axes
            middle = plan.head_at(0.0, *(0.5 * (start + end)))
            size = np.array([depth, 0.5 * length + 0.5 * half, half]) * k
            slabs.append(solids.box(middle, size, 0.3 * half * k, axes))
    return slabs


def _polyline(points: np.ndarray, share: float, step: float) -> np.ndarray:
    """The first `share` of a line through `points` (n, 2), smoothed, at equal steps of about `step`."""
    at = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    count = max(round(share * at[-1] / step), 2) + 1
    return PchipInterpolator(at, points)(np.linspace(0.0, share * at[-1], count))


def _below_falx(plan: FetusPlan, margin: float) -> Solid:
    """What the free edge of the falx arches over: corpus callosum, thalami, midbrain; less `margin` all round."""
    return plan.head_ball((0, -1.5, -5), (9.0, 20.0 - margin, 17.5 - margin))


def _falx(plan: FetusPlan) -> Solid:
    """Sheet of 0.8 mm in the midline, its free edge an arch; it ends in the skull. And what is as thin and bright:
    the leaflets of the cavum, the pia in the sulci.
    """
    k = plan.head_scale
    half = max(0.4 * k, 0.4)
    sheet = plan.head_ball((0, 0, 0), _skull_radii(plan) - SKULL_WALL * 0.5)
    slab = solids.box(plan.head_at(0, 0, 12), np.array([half / k, 40, 18]) * k, 0.1, plan.head_axes)
    # the tube is cut from the narrow slab: its box bounds the sampling
    falx = solids.subtract(solids.intersect(slab, sheet), _below_falx(plan, 0.0))
    pia = solids.union(*_sulci(plan, 0.35))
    return solids.union(falx, _cavum(plan, 0.5), pia)


def _cavum(plan: FetusPlan, more: float) -> Solid:
    """Box of fluid between the leaflets of the septum, `more` mm larger all round."""
    k = plan.head_scale
    half = (np.array([2.5, 4.8, 3.4]) + more) * k
    return solids.superellipsoid(plan.head_at(0, -13.5, 2.5), half, 3.0, plan.head_axes)


def _ventricles(plan: FetusPlan) -> Solid:
    """Lateral ventricles: frontal horn, body, atrium, occipital horn."""
    k = plan.head_scale
    horns = []
    for side in (1, -1):
        line = [(4.5, -17, 6), (5.5, -8, 9), (7.5, 3, 10), (11, 12, 6.5), (11.5, 18, 3), (10.5, 23, 1)]
        radii = np.array([1.6, 2.0, 2.2, 3.3, 2.8, 1.6]) * k * plan.organs["ventricles"]
        horns.append(solids.tube([plan.head_at(side * x, y, z) for x, y, z in line], radii))
    return solids.union(*horns)


def _choroid(plan: FetusPlan) -> Solid:
    """Choroid plexus: bright strands in the atria."""
    k = plan.head_scale
    strands = []
    for side in (1, -1):
        line = [(7.6, 3, 9.6), (10, 9.5, 7.6), (11.2, 13, 5.6)]
        strands.append(solids.tube([plan.head_at(side * x, y, z) for x, y, z in line], np.array([1.2, 1.9, 1.7]) * k))
    return solids.rough(solids.union(*strands), 0.2, 2.5, plan.seed + 13)


def _cerebellum(plan: FetusPlan) -> Solid:
    """Two lobes and the vermis: a dumbbell about as wide in mm as the age in weeks."""
    ball, k = plan.head_ball, plan.head_scale
    half = 0.5 * plan.growth.tcd_mm / k  # in 22-week millimetres
    lobes = [ball((side * (half - 5.6), 18, -13), (5.6, 5.0, 5.5)) for side in (1, -1)]
    whole = solids.union(*lobes, ball((0, 18.5, -12), (0.35 * half, 3.6, 5)), blend=1.5 * k)
    return solids.rough(whole, 0.15, 2.0, plan.seed + 14)


def _brainstem(plan: FetusPlan) -> Solid:
    """Midbrain, pons with its belly to the front, medulla."""
    k = plan.head_scale
    line = [(0, 4.5, -5.5), (0, 6.5, -12), (0, 8.5, -18), (0, 10, -23)]
    stem = solids.tube([plan.head_at(*p) for p in line], np.array([4.6, 4.2, 3.3, 2.6]) * k)
    return solids.union(stem, plan.head_ball((0, 2.8, -12.5), (5.5, 4.4, 4.8)), blend=2.0 * k)


def _corpus_callosum(plan: FetusPlan) -> Solid:
    """Genu, body and splenium: a band that arches over the cavum."""
    k, strands = plan.head_scale, []
    line = [(-18.2, -1.5), (-20.4, 2.0), (-18.6, 6.4), (-13, 8.6), (-5, 9.6), (2, 8.8), (6.4, 6.2)]
    radii = np.array([1.0, 1.5, 1.3, 1.2, 1.2, 1.4, 1.8]) * k
    for x in (-3.0, -1.0, 1.0, 3.0):
        strands.append(solids.tube([plan.head_at(x, y, z) for y, z in line], radii))
    return solids.union(*strands)


def _cisterns(plan: FetusPlan) -> Solid:
    """Cisterna magna behind the cerebellum, and the cistern before the pons."""
    return solids.union(plan.head_ball((0, 24.5, -14.5), (9, 4.5, 6)), plan.head_ball((0, -3.5, -14), (5, 3.2, 5.5)))


def head_parts(plan: FetusPlan) -> list[Part]:
    """Surfaces of the head, outermost first."""
    ball = plan.head_ball
    eyes = [(side * EYE[0], *EYE[1:]) for side in (1, -1)]
    thalami = solids.union(*[ball((side * 5.6, 2.5, 0), (4.9, 8.5, 6.0)) for side in (1, -1)])
    third = ball((0, 2, 0.5), (0.75, 6.5, 4.0))
    fourth = ball((0, 12.6, -13.5), (3.2, 2.3, 3.6))
    globes = solids.union(*[ball(eye, (5.3, 5.3, 5.3)) for eye in eyes])
    lenses = solids.union(*[ball((x, y - 3.4, z), (1.9, 1.2, 1.9)) for x, y, z in eyes])
    inner = ball((0, 0, 0), np.subtract(_skull_radii(plan), SKULL_WALL))
    return [
        Part("fetal_face_bones", "fetal_bone", 45, "fetus", _face_bones(plan), 1.6),
        Part("fetal_skull", "fetal_skull_bone", 46, "fetus", _skull(plan), 1.6),
        Part("fetal_subarachnoid", "csf", 47, "fetus", inner, 3.0),
        Part("fetal_brain", "brain", 48, "fetus", _brain(plan), 1.6),
        Part("fetal_cisterna_magna", "csf", 49, "fetus", _cisterns(plan), 2.0),
        Part("fetal_brainstem", "brainstem", 50, "fetus", _brainstem(plan), 2.0),
        Part("fetal_cerebellum", "cerebellum", 51, "fetus", _cerebellum(plan), 1.6),
        Part("fetal_corpus_callosum", "white_matter", 52, "fetus", _corpus_callosum(plan), 1.6),
        Part("fetal_thalami", "thalamus", 53, "fetus", thalami, 2.0),
        Part("fetal_ventricles", "csf", 54, "fetus", solids.union(_ventricles(plan), third, fourth), 1.4),
        Part("fetal_choroid_plexus", "choroid_plexus", 55, "fetus", _choroid(plan), 1.4),
        Part("fetal_falx", "dura", 56, "fetus", _falx(plan), 0.8),
        Part("fetal_cavum", "csf", 57, "fetus", _cavum(plan, 0.0), 1.2),
        Part("fetal_eyes", "csf", 58, "fetus", globes, 2.0),
        Part("fetal_lenses", "cartilage", 59, "fetus", lenses, 1.2),
    ]
