"""Stills: surfaces where perspective puts them, the image where it was taken, and what a cut lays open."""

from __future__ import annotations

import math

import numpy as np
from PIL import ImageColor
from support import scenes

from ussim.pictures.cutaway import BACKGROUND, CAP_DIMMED, FIELD_OF_VIEW_DEG, Standing, draw_still
from ussim.scene.scene import Scene

SIZE = (120, 160)


def standing(mask: np.ndarray | None = None, grey: int = 200) -> Standing:
    """A uniform image of 20 × 20 mm, 10 mm below a probe at the origin that looks along z."""
    image = np.full((40, 40), grey, np.uint8)
    mask = np.ones_like(image) if mask is None else mask
    return Standing(image, mask, scenes.facing_pose(), (-9.75, 10.25), 0.5)


def pixels(scene: Scene, image: Standing, **keys) -> np.ndarray:
    return np.asarray(draw_still(scene, image, size=SIZE, **keys)).astype(int)


def test_a_solid_ball_has_the_outline_of_perspective():
    small = scenes.sphere(12, (0, 0, 40), tissue="fetal_bone", name="small")
    shell = scenes.box((90, 90, 90), (0, 0, 40), tissue="gel", name="shell", priority=0)
    scene = Scene.from_surfaces([shell, small])
    nothing = np.zeros((40, 40), np.uint8)
    picture = pixels(scene, standing(nothing), turn_deg=0, lift_deg=0, oversampling=1)
    height, width = SIZE
    reach = 0.38 * np.linalg.norm(scene.bounds_mm[1] - scene.bounds_mm[0])
    distance = reach / math.tan(math.radians(FIELD_OF_VIEW_DEG / 2))
    tangent = 12 / math.sqrt(distance**2 - 12**2)
    radius_px = tangent / (math.tan(math.radians(FIELD_OF_VIEW_DEG / 2)) * 2 / height)
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2) < radius_px
    bone = picture.sum(-1) > 250
    assert np.logical_xor(bone, inside).sum() < 0.05 * inside.sum()


def test_the_image_stands_where_it_was_taken_and_hides_what_is_behind_it():
    ball = scenes.sphere(5, (0, 30, 20), tissue="fetal_bone", name="behind")
    shell = scenes.box((120, 120, 120), (0, 0, 20), tissue="gel", name="shell", priority=0)
    scene = Scene.from_surfaces([shell, ball])
    seen = pixels(scene, standing(), turn_deg=0, lift_deg=0, cut=True)
    middle = seen[SIZE[0] // 2, SIZE[1] // 2]
    assert np.abs(middle - 200).max() <= 2
    hole = np.ones((40, 40), np.uint8)
    hole[10:30, 10:30] = 0
    outside = pixels(scene, standing(hole), turn_deg=0, lift_deg=0)[SIZE[0] // 2, SIZE[1] // 2]
    assert np.abs(outside - 200).max() > 20


def test_a_cut_shows_the_tissue_of_each_place_dimmed_and_nothing_in_front():
    front = scenes.sphere(8, (0, -30, 20), tissue="fetal_bone", name="in front", priority=50)
    body = scenes.box((120, 120, 120), (0, 0, 20), tissue="liver", name="body", priority=0)
    inner = scenes.sphere(4, (0, 0, 20), tissue="blood", name="vessel", priority=60)
    scene = Scene.from_surfaces([body, front, inner])
    nothing = np.zeros((40, 40), np.uint8)
    seen = pixels(scene, standing(nothing), turn_deg=0, lift_deg=0, cut=True)
    library = {tissue.name: np.array(ImageColor.getrgb(tissue.color)) for tissue in scene.media}
    assert np.abs(seen[SIZE[0] // 2, SIZE[1] // 2] - CAP_DIMMED * library["blood"]).max() <= 2
    assert np.abs(seen[20, 30] - CAP_DIMMED * library["liver"]).max() <= 2


def test_rays_that_meet_nothing_show_the_background():
    scene = Scene.from_surfaces([scenes.sphere(5, (0, 0, 20), tissue="liver")])
    seen = pixels(scene, standing(np.zeros((40, 40), np.uint8)))
    assert tuple(seen[0, 0]) == BACKGROUND
    assert tuple(seen[-1, -1]) == BACKGROUND


def test_one_looks_through_fluid_at_what_swims_in_it():
    fluid = scenes.sphere(20, (0, 0, 40), tissue="amniotic_fluid", name="fluid", priority=5)
    bone = scenes.sphere(6, (0, 0, 40), tissue="fetal_bone", name="bone", priority=20)
    flesh = scenes.sphere(20, (0, 0, 40), tissue="muscle", name="flesh", priority=5)
    shell = scenes.box((90, 90, 90), (0, 0, 40), tissue="gel", name="shell", priority=0)
    nothing = standing(np.zeros((40, 40), np.uint8))
    through, hidden = (
        pixels(Scene.from_surfaces([shell, around, bone]), nothing, turn_deg=0, lift_deg=0)[SIZE[0] // 2, SIZE[1] // 2]
        for around in (fluid, flesh)
    )
    white = np.array(ImageColor.getrgb(Scene.from_surfaces([bone]).media[1].color))
    assert np.abs(through - white).max() < 40
    assert np.abs(hidden - white).max() > 60
