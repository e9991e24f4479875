"""What a probe shows that is held in the air: its own face ringing, and nothing else."""

from __future__ import annotations

import numpy as np
import trimesh

from ussim.probe.probe import Probe
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.tissue import Tissue, TissueLibrary

LENS_MM = 1.2
"""Between two echoes: the sound goes to and fro in the lens before the elements. Estimate."""
_ECHOES = 7
_FIRST, _KEPT = 0.5, 0.6  # amplitude of the first echo, and what remains of one in the next: of both estimates
_SECTIONS = 720  # of a cylinder: facets within a micrometre of the circle
_REACH_MM = 80.0


def ringing(probe: Probe) -> Scene:
    """Thin layers before a curved face, in the probe's own coordinates; their echoes are those of a lens before air.

    Sound that the air throws back is thrown back by the elements, and so on: echoes at equal distances, each a part of
    the one before. A stack of layers with reflection coefficients of these amplitudes gives nearly the same echoes
    (Goupillaud 1961, "An approach to inverse filtering of near-surface layer effects from seismic records"), and no
    ray need be followed back to the face, which the tracer does not know. Their signs alternate, as do those of echoes
    from air.
    """
    impedance, tissues, surfaces = 1.54, [], []
    for number in range(_ECHOES + 1):
        tissues.append(
            Tissue(name=f"lens_{number}", speed_m_s=1540, density_kg_m3=1e6 * impedance / 1540, attenuation_db_cm_mhz=0)
        )
        reflected = _FIRST * _KEPT**number * (-1) ** number
        impedance *= (1 + reflected) / (1 - reflected)
    for number, tissue in enumerate(tissues[:-1]):
        layer = trimesh.creation.cylinder(probe.apex_radius_mm + (number + 1) * LENS_MM, _REACH_MM, sections=_SECTIONS)
        layer.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
        layer.apply_translation((0, 0, -probe.apex_radius_mm))
        surfaces.append(Surface.from_mesh(layer, name=tissue.name, tissue=tissue.name, priority=_ECHOES - number))
    library = TissueLibrary({tissue.name: tissue for tissue in tissues})
    return Scene.from_surfaces(surfaces, background=tissues[-1].name, library=library, name="air")
