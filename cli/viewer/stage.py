"""The scene in 3-D: its surfaces, the probe with its handle and its image, and clicks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import viser
from scipy.spatial.transform import Rotation

from cli.viewer import framing
from cli.viewer.console import GRIDS
from cli.viewer.engine import Picture
from cli.viewer.hold import MOST_PRESSURE_MM, Hold
from cli.viewer.session import Session
from cli.viewer.surfaces import probe_shape, shapes_of

_FOLLOWS_S = 0.1  # between drawings of a probe that moves
# viser's images lie in x and y, y down the image; here down is z
_UPRIGHT = (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)

Guard = Callable[[Callable[[Any], None]], Callable[[Any], None]]


class Stage:
    """Draws a session in 3-D.

    Args:
        server: Of the page.
        session: What is drawn.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, server: viser.ViserServer, session: Session, guard: Guard):
        self._server, self._session, self._guard = server, session, guard
        self._groups: dict[str, bool] = {}
        self._plane: Any = None
        self._drawn_s = 0.0
        self._is_dragged = False
        server.scene.set_up_direction("+z")
        server.scene.configure_default_lights(cast_shadow=False)  # nothing casts any, and they cost half of a drawing
        self.draw()
        session.listen("moved", self._moved)
        session.listen("pictured", self._pictured)

    @property
    def groups(self) -> dict[str, bool]:
        """What can be shown or hidden, and whether it is shown at first."""
        return self._groups

    def draw(self) -> None:
        """Draw another scene in place of the last one."""
        scene = self._server.scene
        for name in (*self._groups, "probe"):
            scene.remove_by_name(f"/{name}")
        shapes = shapes_of(self._session.scene)
        self._groups = {shape.group: shape.is_shown for shape in shapes}
        for group, is_shown in self._groups.items():
            scene.add_frame(f"/{group}", show_axes=False, visible=is_shown)
        for shape in shapes:
            # of what is translucent only the far side: the near one would hide what is translucent too, the image
            side = "front" if shape.opacity is None else "back"
            scene.add_mesh_simple(
                f"/{shape.group}/{shape.name}", shape.vertices_mm, shape.triangles, color=shape.colour,
                opacity=shape.opacity, side=side, cast_shadow=False, receive_shadow=False,
            )  # fmt: skip
        self._aim_camera()
        self._draw_probe()

    def show_group(self, group: str, is_shown: bool) -> None:
        """Show or hide a group."""
        handle = self._server.scene.get_handle_by_name(f"/{group}")
        if handle is not None:
            handle.visible = is_shown

    def _aim_camera(self) -> None:
        low, high = self._session.scene.bounds_mm
        middle, reach = (low + high) / 2, float(np.linalg.norm(high - low))
        pose, camera = self._session.hold.pose, self._server.initial_camera
        # from before the body, to that side of the image plane from where it is seen as in the image
        aside = -pose[:3, 1] if -pose[:3, 1] @ self._session.hold.normal > -0.5 else pose[:3, 1]
        towards = 0.8 * aside + 0.45 * self._session.hold.normal + np.array([0.0, 0.0, 0.35])
        camera.position = tuple(middle + 0.95 * reach * towards / np.linalg.norm(towards))
        camera.look_at, camera.far, camera.near = tuple(middle), 20 * reach, reach / 1000

    def _draw_probe(self) -> None:
        scene = self._server.scene
        vertices, triangles = probe_shape(self._session.console.probe(GRIDS[0]))
        self._handle = scene.add_transform_controls("/probe", scale=60.0, line_width=3.0, depth_test=False)
        scene.add_mesh_simple(
            "/probe/body", vertices, triangles, color=(235, 235, 240), cast_shadow=False, receive_shadow=False
        )
        self._plane = None
        self._handle.on_update(self._guard(self._dragged))
        self._place()

    def _place(self) -> None:
        pose = self._session.hold.pose
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        with self._server.atomic():
            self._handle.position, self._handle.wxyz = tuple(pose[:3, 3]), (w, x, y, z)

    def _moved(self, by: str) -> None:
        self._is_dragged = by == "handle"  # the browser has moved it there itself, or nearly so
        if self._is_dragged:
            return
        if self._session.is_frozen or self._session.picture is None:
            self._place()  # else it is placed with its picture

    @property
    def pose(self) -> np.ndarray:
        """Where the probe and its image are drawn, (4, 4), mm."""
        w, x, y, z = self._handle.wxyz
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = Rotation.from_quat([x, y, z, w]).as_matrix(), self._handle.position
        return pose

    def _dragged(self, event: Any) -> None:
        if event.phase == "end":  # from wherever it was dragged back to the probe
            self._is_dragged = False
            self._place()
            return
        found = Hold.of_pose(self._session.skin, self.pose)
        # contact is kept, however far from the skin the handle was dragged
        pressure = float(np.clip(found.pressure_mm, 0, MOST_PRESSURE_MM))
        self._session.move(replace(found, aside_mm=np.zeros(3), pressure_mm=pressure).held(), by="handle")

    def _pictured(self, picture: Picture) -> None:
        is_soon = time.monotonic() - self._drawn_s < _FOLLOWS_S
        spares = picture.hq is None and not self._session.is_frozen
        if spares and (is_soon or self._session.engine.is_strained):
            return  # a drawing takes software a third of a second
        with self._server.atomic():
            if not self._is_dragged:
                self._place()
            self._draw_plane(picture)
            self._drawn_s = time.monotonic()

    def _draw_plane(self, picture: Picture) -> None:
        probe, (height, width) = picture.probe, picture.probe.image_shape
        image = framing.texture(picture.best, probe.mask())
        (x0, z0), side = probe.image_origin_mm, probe.mm_per_pixel
        place = {
            "position": (x0 + (width - 1) / 2 * side, 0.0, z0 + (height - 1) / 2 * side),
            "render_width": width * side,
            "render_height": height * side,
        }
        if self._plane is None:
            self._plane = self._server.scene.add_image(
                "/probe/plane", image, format="png", wxyz=_UPRIGHT, cast_shadow=False, receive_shadow=False, **place
            )
            return
        self._plane.image = image
        for name, value in place.items():
            if not np.array_equal(getattr(self._plane, name), value):
                setattr(self._plane, name, value)

    def face_image(self, event: Any) -> None:
        """Look straight at the image plane."""
        pose, depth_mm = self.pose, self._session.console.depth_mm
        middle = pose[:3, 3] + depth_mm / 2 * pose[:3, 2]
        camera = event.client.camera
        with event.client.atomic():
            camera.up_direction = tuple(-pose[:3, 2])
            camera.position = tuple(middle - 1.5 * depth_mm * pose[:3, 1])
            camera.look_at = tuple(middle)


def meets_plane(origin: np.ndarray, direction: np.ndarray, pose: np.ndarray) -> tuple[float, float] | None:
    """Where a ray meets the image plane of a pose, (x, z) [mm]; None where it does not."""
    slope = float(direction @ pose[:3, 1])
    if abs(slope) < 1e-9:
        return None
    reach = float((pose[:3, 3] - origin) @ pose[:3, 1]) / slope
    if reach <= 0:
        return None
    x, _, z = (origin + reach * direction - pose[:3, 3]) @ pose[:3, :3]
    return float(x), float(z)
