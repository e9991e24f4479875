"""Scenes: closed surfaces filled with tissues, inside a background medium, and the sweeps over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np

from ussim.errors import UssimError
from ussim.scene.check import SurfaceReport, check_surfaces
from ussim.scene.file import SceneFile, SurfaceEntry, SweepEntry, find_scene_file, read_scene_file
from ussim.scene.mesh_io import load_mesh
from ussim.scene.point import PointTarget, require_inside
from ussim.scene.surface import Surface
from ussim.scene.sweep import Point, Sweep, SweepKey
from ussim.scene.tissue import Tissue, TissueLibrary
from ussim.settings import suggest

# A ray keeps the set of surfaces it is inside of in one 64-bit mask.
LARGEST_SURFACE_COUNT = 64


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that is traced. Make one with :meth:`load` or :meth:`from_surfaces`.

    Attributes:
        name: For people.
        path: The scene file, or None.
        surfaces: Sorted by (priority, order given); the index is the bit in a ray's inside mask. At most 64.
        media: The background tissue, then the tissues of the surfaces by first use. Segmentation images hold
            the index here plus 1.
        surface_media: (S,) int32, index into ``media`` of what fills each surface.
        sweeps: Sweeps by name.
        vertices_mm: (V, 3) float32, all surfaces one after another.
        triangles: (T, 3) int32, indices into ``vertices_mm``.
        triangle_surface: (T,) int32, the surface a triangle belongs to.
        points: Point targets, in the order given.
    """

    name: str
    path: Path | None
    surfaces: tuple[Surface, ...]
    media: tuple[Tissue, ...]
    surface_media: np.ndarray = field(repr=False)
    sweeps: dict[str, Sweep]
    vertices_mm: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)
    triangle_surface: np.ndarray = field(repr=False)
    points: tuple[PointTarget, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Scene:
        """Load and check a scene; nothing is repaired.

        Args:
            path: A scene.toml, or a folder that holds one.

        Raises:
            UssimError: The file or a surface fails a check. Names the first failing surface, what is allowed
                and how many others fail; :meth:`inspect` tells about all of them.
        """
        draft = _Draft.read(path)
        failing = [report for report in draft.reports() if not report.ok]
        if failing:
            others = len(failing) - 1
            more = f" ({others} more surface{'s' if others > 1 else ''} also fail)" if others else ""
            raise UssimError(f"{draft.path}: surface '{failing[0].name}': {failing[0].verdict}{more}")
        return draft.scene()

    @classmethod
    def inspect(cls, path: Path) -> list[SurfaceReport]:
        """Check every surface of a scene file, also of one that does not load; in the order of the file.

        Raises:
            UssimError: The scene file itself or a tissue library is bad, so that there are no surfaces to
                report.
        """
        return _Draft.read(path).reports()

    @classmethod
    def from_surfaces(
        cls,
        surfaces: Iterable[Surface],
        background: str = "gel",
        library: TissueLibrary | None = None,
        sweeps: Mapping[str, Sweep] | None = None,
        *,
        name: str = "scene",
        path: Path | None = None,
        points: Iterable[PointTarget] = (),
    ) -> Scene:
        """Put surfaces together. Whether they are closed, outward and in mm is not checked: see :meth:`check`.

        Args:
            surfaces: At most 64, each with a name of its own; none at all is a uniform background.
                :meth:`~ussim.scene.surface.Surface.from_mesh` makes one of arrays or of a trimesh.
            background: Tissue outside all of them.
            library: Where tissues are looked up; the packaged library by default.
            sweeps: By name.
            name: For people.
            path: The file the scene comes from.
            points: Point targets, each inside of a surface.

        Raises:
            UssimError: Something else than surfaces, too many of them, coordinates that are not finite, a name used
                twice, an unknown tissue, a point outside every surface.
        """
        given = list(surfaces)
        for surface in given:
            if not isinstance(surface, Surface):
                raise UssimError(
                    f"a {type(surface).__name__} is no surface; allowed: what Surface.from_mesh makes of it"
                )
            surface.require_finite()
        ordered = tuple(sorted(given, key=lambda surface: surface.priority))
        _require_countable([surface.name for surface in ordered])
        media, surface_media = _collect_media(ordered, background, library or TissueLibrary.load())
        vertices, triangles, owners = _concatenate(ordered)
        sweeps, points = dict(sweeps or {}), tuple(points)
        require_inside(points, ordered)
        return cls(name, path, ordered, media, surface_media, sweeps, vertices, triangles, owners, points)

    def check(self) -> list[SurfaceReport]:
        """Check the geometry of every surface, in the order of :attr:`surfaces`."""
        return check_surfaces(self.surfaces)

    def sweep(self, name: str | None = None) -> Sweep:
        """Return a sweep by name, or the first one.

        Raises:
            UssimError: There is none of that name; lists the names there are.
        """
        if not self.sweeps:
            raise UssimError(f"scene '{self.name}' has no sweep; add a [[sweep]] table to its scene.toml")
        if name is None:
            return next(iter(self.sweeps.values()))
        if name not in self.sweeps:
            raise UssimError(f"sweep = '{name}': scene '{self.name}' has none; {suggest(name, self.sweeps)}")
        return self.sweeps[name]

    @cached_property
    def bounds_mm(self) -> np.ndarray:
        """(2, 3) float32: lowest and highest corner; zeros if there is no surface."""
        if not len(self.vertices_mm):
            return np.zeros((2, 3), dtype=np.float32)
        return np.stack([self.vertices_mm.min(axis=0), self.vertices_mm.max(axis=0)])

    @cached_property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over all that decides pixels: geometry, priorities, tissues, points, sweeps.

        File paths, names of surfaces, colours and descriptions take no part, so a moved or relabelled scene
        keeps its digest; nor does the type of a number, so 1, 1.0 and a NumPy 1 are one.
        """
        words = {
            "media": [_physical(tissue) for tissue in self.media],
            "surfaces": [
                [surface.priority, int(medium), len(surface.triangles)]
                for surface, medium in zip(self.surfaces, self.surface_media, strict=True)
            ],
            "sweeps": {name: [_as_floats(key) for key in sweep.keys] for name, sweep in sorted(self.sweeps.items())},
        }
        if self.points:  # scenes without keep the digest that they had before there were points
            words["points"] = [[*point.position_mm, point.strength_db] for point in self.points]
        digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.vertices_mm, dtype="<f4").data)
        digest.update(np.ascontiguousarray(self.triangles, dtype="<i4").data)
        return digest.hexdigest()


@dataclass(frozen=True)
class _Draft:
    """A scene file whose surfaces are read as far as they can be."""

    path: Path
    file: SceneFile
    library: TissueLibrary
    sweeps: dict[str, Sweep]
    surfaces: list[Surface | SurfaceReport]

    @classmethod
    def read(cls, path: Path) -> _Draft:
        path = find_scene_file(path)
        file = read_scene_file(path)
        library = TissueLibrary.load(*(path.parent / name for name in file.tissues))
        try:
            _require_countable([entry.name for entry in file.surface])
            background = file.background
            if background not in library:
                raise UssimError(f"background = '{background}': no such tissue; {suggest(background, library)}")
            sweeps = {entry.name: _make_sweep(entry) for entry in file.sweep}
        except UssimError as error:
            raise UssimError(f"{path}: {error}") from None
        surfaces = [_load_surface(path, entry, library) for entry in file.surface]
        return cls(path, file, library, sweeps, surfaces)

    def reports(self) -> list[SurfaceReport]:
        loaded = [item for item in self.surfaces if isinstance(item, Surface)]
        checked = iter(check_surfaces(loaded))
        return [next(checked) if isinstance(item, Surface) else item for item in self.surfaces]

    def scene(self) -> Scene:
        points = [PointTarget(cast(Point, tuple(entry.position_mm)), entry.strength_db) for entry in self.file.point]
        try:
            return Scene.from_surfaces(
                cast(list[Surface], self.surfaces),  # a report among them is refused
                self.file.background,
                self.library,
                self.sweeps,
                name=self.file.name,
                path=self.path,
                points=points,
            )
        except UssimError as error:
            raise UssimError(f"{self.path}: {error}") from None


def _make_sweep(entry: SweepEntry) -> Sweep:
    keys = (
        SweepKey(*(cast(Point, tuple(row)) for row in (key.position_mm, key.axial, key.lateral))) for key in entry.key
    )
    return Sweep(entry.name, tuple(keys), entry.description)


def _load_surface(scene_path: Path, entry: SurfaceEntry, library: TissueLibrary) -> Surface | SurfaceReport:
    """Return the surface, or a report of why its mesh or tissue cannot be had."""
    report = SurfaceReport(entry.name, entry.tissue, entry.priority, entry.group)
    try:
        library.find(entry.tissue)
    except UssimError as error:
        return report.with_problem(str(error))
    path = scene_path.parent / entry.mesh
    try:
        vertices, triangles = load_mesh(path, entry.scale, entry.transform)
    except UssimError as error:
        return report.with_problem(f"mesh = '{entry.mesh}': {error}")
    return Surface(
        name=entry.name,
        tissue=entry.tissue,
        vertices_mm=vertices,
        triangles=triangles,
        priority=entry.priority,
        group=entry.group,
        path=path,
    )


def _require_countable(names: list[str]) -> None:
    if len(names) > LARGEST_SURFACE_COUNT:
        raise UssimError(
            f"{len(names)} surfaces; allowed: at most {LARGEST_SURFACE_COUNT} (put bodies of one tissue "
            "that do not overlap into one mesh)"
        )
    for name in names:
        if names.count(name) > 1:
            raise UssimError(f"{names.count(name)} surfaces are named '{name}'; allowed: every name once")


def _collect_media(
    surfaces: tuple[Surface, ...], background: str, library: TissueLibrary
) -> tuple[tuple[Tissue, ...], np.ndarray]:
    """Return the tissues in use, background first, and the index of each surface's (S,) int32."""
    if background not in library:
        raise UssimError(f"background = '{background}': no such tissue; {suggest(background, library)}")
    names = [background]
    for surface in surfaces:
        try:
            library.find(surface.tissue)
        except UssimError as error:
            raise UssimError(f"surface '{surface.name}': {error}") from None
        if surface.tissue not in names:
            names.append(surface.tissue)
    indices = np.array([names.index(surface.tissue) for surface in surfaces], dtype=np.int32)
    return tuple(library[name] for name in names), indices


def _concatenate(surfaces: tuple[Surface, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all vertices (V, 3) float32, triangles (T, 3) int32 and the surface of each (T,) int32."""
    vertices = [np.empty((0, 3), np.float32), *(surface.vertices_mm for surface in surfaces)]
    offsets = np.cumsum([0, *(len(part) for part in vertices[1:])]).astype(np.int32)
    shifted = [surface.triangles + offset for surface, offset in zip(surfaces, offsets, strict=False)]
    counts = [len(surface.triangles) for surface in surfaces]
    return (
        np.concatenate(vertices),
        np.concatenate([np.empty((0, 3), np.int32), *shifted]),
        np.repeat(np.arange(len(surfaces), dtype=np.int32), counts),
    )


def _physical(tissue: Tissue) -> dict:
    """Return what of a tissue decides pixels."""
    return {key: value for key, value in asdict(tissue).items() if key not in ("color", "source")}


def _as_floats(key: SweepKey) -> dict[str, list[float]]:
    """Return a key frame in one type of number, so that 1, 1.0 and a NumPy 1 are one."""
    return {field: [float(value) for value in vector] for field, vector in asdict(key).items()}
