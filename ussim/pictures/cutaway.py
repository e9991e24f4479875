"""Stills of a scene in three dimensions, with a B-mode image standing where it was taken.

Small surfaces are solid; fluids, and what encloses much of the scene, are ghosts of which one sees the outlines. A
still is either whole, or cut open along the image plane: then what lies between plane and eye is taken away, and the
plane shows what it cuts beside the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numba import prange
from PIL import Image, ImageColor

from ussim.jit import cpu_kernel
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels.hits import FAR_MM, first_hit, medium_of, smooth_normal_of
from ussim.render.physics.medium import crossed
from ussim.render.physics.vector import dot
from ussim.render.tables import geometry_table
from ussim.scene.scene import Scene

MAX_HITS = 400
GHOST_SHARE = 0.1
"""A surface whose bounding box takes more of the scene's than this is a ghost."""
FLUID_DB_CM_MHZ = 0.1
"""A tissue that attenuates less than this is a fluid, and drawn as a ghost: one looks through it."""
GHOST_OPACITY, SOLID_OPACITY = 0.035, 0.97
FIELD_OF_VIEW_DEG = 24.0
BACKGROUND = (13, 17, 23)
CAP_DIMMED = 0.55
"""Brightness of what a cut shows beside the image."""


@dataclass(frozen=True, eq=False)
class Standing:
    """An image that stands in a scene.

    Attributes:
        image: Grey levels, uint8 of shape (H, W).
        mask: 1 where the image is to be seen, uint8 of shape (H, W).
        pose: Probe → scene, mm, float64 of shape (4, 4).
        origin_mm: (x, z) of the centre of pixel (0, 0) in the probe frame [mm].
        mm_per_pixel: Side of a pixel [mm].
    """

    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    pose: np.ndarray = field(repr=False)
    origin_mm: tuple[float, float]
    mm_per_pixel: float

    def from_scene(self) -> np.ndarray:
        """Scene point → (column [px], elevation [mm], row [px]), float64 of shape (3, 4)."""
        matrix = np.linalg.inv(self.pose)[:3]
        matrix[0, 3] -= self.origin_mm[0]
        matrix[2, 3] -= self.origin_mm[1]
        matrix[[0, 2]] /= self.mm_per_pixel
        return matrix

    @property
    def centre_mm(self) -> np.ndarray:
        """Middle of the image in the scene, (3,) [mm]."""
        height, width = self.image.shape
        middle = [
            self.origin_mm[0] + (width - 1) / 2 * self.mm_per_pixel,
            0.0,
            self.origin_mm[1] + (height - 1) / 2 * self.mm_per_pixel,
        ]
        return self.pose[:3, :3] @ middle + self.pose[:3, 3]


def draw_still(
    scene: Scene,
    standing: Standing,
    *,
    cut: bool = False,
    turn_deg: float = 40.0,
    lift_deg: float = 18.0,
    size: tuple[int, int] = (420, 560),
    oversampling: int = 2,
) -> Image.Image:
    """Draw a scene around an image that was taken of it.

    Args:
        scene: The scene.
        standing: The image.
        cut: Take away what lies in front of the image plane; the view is then of the image, else of the whole scene.
        turn_deg: Angle of the eye from the normal of the image plane, about the axis of the probe.
        lift_deg: Angle of the eye above the plane that is perpendicular to the axis of the probe, towards the probe.
        size: Height and width of the picture [px].
        oversampling: Rays a pixel, along each side.
    """
    rotation = standing.pose[:3, :3]
    turn, lift = math.radians(turn_deg), math.radians(lift_deg)
    towards_eye = rotation @ np.array(
        [math.sin(turn) * math.cos(lift), -math.cos(turn) * math.cos(lift), -math.sin(lift)]
    )
    diagonal = float(np.linalg.norm(scene.bounds_mm[1] - scene.bounds_mm[0]))
    if cut:
        target = standing.centre_mm
        reach = 0.56 * max(standing.image.shape) * standing.mm_per_pixel
    else:
        target = scene.bounds_mm.mean(axis=0, dtype=np.float64)
        reach = 0.38 * diagonal
    distance = reach / math.tan(math.radians(FIELD_OF_VIEW_DEG / 2))
    eye = target + distance * towards_eye
    directions = _directions(-towards_eye, -rotation[:, 2], size, oversampling)
    pixels = np.empty((len(directions), 3), np.float32)
    colours = np.array([ImageColor.getrgb(tissue.color) for tissue in scene.media], np.float32)
    _draw(
        geometry_table(scene), eye.astype(np.float32), directions, _opacities(scene), colours,
        standing.from_scene().astype(np.float32), standing.image, standing.mask,
        # a cut's eye may be inside the scene: what the ray passes before the plane is not drawn, but counted
        cut, np.float32(2 * diagonal if cut else 0),
        np.array(BACKGROUND, np.float32), pixels,
    )  # fmt: skip
    height, width = size
    big = pixels.reshape(height * oversampling, width * oversampling, 3)
    picture = Image.fromarray(np.clip(big + 0.5, 0, 255).astype(np.uint8))
    return picture.resize((width, height), Image.Resampling.BOX)


def _directions(forward: np.ndarray, up: np.ndarray, size: tuple[int, int], oversampling: int) -> np.ndarray:
    """Unit directions of the rays through a picture, row by row, (n, 3) float32."""
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    height, width = (side * oversampling for side in size)
    half = math.tan(math.radians(FIELD_OF_VIEW_DEG / 2)) * 2 / min(height, width)
    x = (np.arange(width) - (width - 1) / 2) * half
    y = ((height - 1) / 2 - np.arange(height)) * half
    rays = forward + x[None, :, None] * right + y[:, None, None] * up
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.ascontiguousarray(rays.reshape(-1, 3), np.float32)


def _opacities(scene: Scene) -> np.ndarray:
    """Opacity of each surface seen square on, (S,) float32."""
    whole = np.prod(np.maximum(scene.bounds_mm[1] - scene.bounds_mm[0], 1e-6))
    sizes = [np.prod(np.ptp(surface.vertices_mm, axis=0)) for surface in scene.surfaces]
    fluids = [scene.media[medium].attenuation_db_cm_mhz < FLUID_DB_CM_MHZ for medium in scene.surface_media]
    ghosts = (np.array(sizes) > GHOST_SHARE * whole) | np.array(fluids)
    return np.where(ghosts, GHOST_OPACITY, SOLID_OPACITY).astype(np.float32)


@cpu_kernel
def _draw(geometry, eye, directions, opacity, colours, plane, image, mask, cut, back_mm, background, pixels):
    for ray in prange(len(directions)):
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        x, y, z = eye[0] - back_mm * dx, eye[1] - back_mm * dy, eye[2] - back_mm * dz
        start_x, start_y, start_z = x, y, z
        red, green, blue, clear = np.float32(0), np.float32(0), np.float32(0), np.float32(1)

        # where the ray meets the image plane
        height_mm = dot(plane[1, 0], plane[1, 1], plane[1, 2], x, y, z) + plane[1, 3]
        slope = dot(plane[1, 0], plane[1, 1], plane[1, 2], dx, dy, dz)
        to_plane = -height_mm / slope if slope != np.float32(0) else FAR_MM
        if to_plane <= np.float32(0):
            to_plane = FAR_MM
        passed = False

        inside = np.uint64(0)
        skip = np.int32(-1)
        along = np.float32(0)
        for _ in range(MAX_HITS):
            t, triangle = first_hit(geometry, x, y, z, dx, dy, dz, FAR_MM, skip, stack, stack_t)
            if not passed and (triangle < 0 or along + t > to_plane):
                passed = True
                px, py, pz = start_x + to_plane * dx, start_y + to_plane * dy, start_z + to_plane * dz
                column = dot(plane[0, 0], plane[0, 1], plane[0, 2], px, py, pz) + plane[0, 3]
                row = dot(plane[2, 0], plane[2, 1], plane[2, 2], px, py, pz) + plane[2, 3]
                i, j = np.int32(math.floor(row + np.float32(0.5))), np.int32(math.floor(column + np.float32(0.5)))
                if 0 <= i < mask.shape[0] and 0 <= j < mask.shape[1] and mask[i, j] > 0:
                    grey = clear * np.float32(image[i, j])
                    red, green, blue, clear = red + grey, green + grey, blue + grey, np.float32(0)
                elif cut and inside != np.uint64(0):
                    medium = medium_of(geometry, inside)
                    share = clear * np.float32(CAP_DIMMED)
                    red += share * colours[medium, 0]
                    green += share * colours[medium, 1]
                    blue += share * colours[medium, 2]
                    clear = np.float32(0)
            if triangle < 0 or clear < np.float32(0.01):
                break
            along += t
            x, y, z = x + t * dx, y + t * dy, z + t * dz
            skip = triangle
            surface = geometry.triangle_surface[triangle]
            nx, ny, nz = smooth_normal_of(geometry, triangle, x, y, z)
            n = geometry.normals[triangle]
            inside = crossed(inside, surface, dot(dx, dy, dz, n[0], n[1], n[2]) < np.float32(0))
            if cut and not passed:
                continue
            facing = abs(dot(dx, dy, dz, nx, ny, nz))
            edge = np.float32(1) - facing
            alpha = opacity[surface] + (np.float32(1) - opacity[surface]) * np.float32(0.5) * edge * edge * edge * edge
            share = clear * alpha * (np.float32(0.3) + np.float32(0.7) * facing)
            medium = geometry.surface_medium[surface]
            red += share * colours[medium, 0]
            green += share * colours[medium, 1]
            blue += share * colours[medium, 2]
            clear *= np.float32(1) - alpha
        pixels[ray, 0] = red + clear * background[0]
        pixels[ray, 1] = green + clear * background[1]
        pixels[ray, 2] = blue + clear * background[2]
