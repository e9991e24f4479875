"""``ussim scene from-labels``: surfaces are where the labels are, closed, smooth and overlapping."""

from __future__ import annotations

import gzip
import sys
from functools import partial
from itertools import permutations
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support import commands
from support.commands import ussim
from support.scenes import facets, share_along

from meshes.importing.label_map import Label
from meshes.importing.labels import label_surfaces, order_labels
from meshes.importing.volumes.volume import read_volume
from ussim.render.contact import contact_gap_mm
from ussim.scene.scene import Scene
from ussim.scene.topology import count_bad_edges, face_shapes, winding_number

BODY, LIVER, VESSEL, KIDNEY, STRAY = 1, 3, 4, 7, 9
VOXEL_MM = np.array([1.5, 1.5, 3.0])
CENTRE = np.array([12.0, -30.0, 80.0])
LIVER_CENTRE, LIVER_MM = np.array([20.0, 5.0, 5.0]), 32.0
KIDNEY_CENTRE, KIDNEY_MM = np.array([-28.0, 0.0, 0.0]), 20.0  # it touches the liver
VESSEL_MM = 6.0  # a straight one along z through the liver and out of it
TISSUES = {BODY: "soft_tissue", LIVER: "liver", VESSEL: "blood", KIDNEY: "kidney"}
OPTIONS = [f"--tissue={value}={tissue}" for value, tissue in TISSUES.items()]
refused = partial(commands.refused, "scene", "from-labels")


def make_volume(path: Path, mirrored: bool = False) -> Path:
    """A ball of liver with a vessel, beside a kidney, in an ellipsoid; anisotropic voxels, a rotated affine."""
    shape = np.array([120, 92, 56])
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [15, -10, 20], degrees=True).as_matrix() * VOXEL_MM
    if mirrored:
        affine[:3, 0] *= -1
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((shape - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    p = index @ affine[:3, :3].T + affine[:3, 3] - CENTRE
    labels = np.zeros(shape, dtype=np.int16)
    labels[((p / (75, 52, 65)) ** 2).sum(axis=-1) < 1] = BODY
    labels[np.linalg.norm(p - LIVER_CENTRE, axis=-1) < LIVER_MM] = LIVER
    labels[np.linalg.norm(p - KIDNEY_CENTRE, axis=-1) < KIDNEY_MM] = KIDNEY
    line = np.linalg.norm((p - LIVER_CENTRE)[..., :2], axis=-1)
    labels[(line < VESSEL_MM) & (np.abs(p[..., 2]) < 45)] = VESSEL
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return path


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> Path:
    return make_volume(tmp_path_factory.mktemp("volume") / "labels.nii.gz")


@pytest.fixture(scope="module")
def scene(volume) -> Scene:
    folder = volume.parent / "scene"
    result = ussim("scene", "from-labels", volume, "-o", folder, *OPTIONS)
    assert result.exit_code == 0, result.output
    assert ussim("scene", "info", folder).exit_code == 0
    return Scene.load(folder)


def meshes(scene: Scene) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {one.name: (one.vertices_mm.astype(np.float64), one.triangles) for one in scene.surfaces}


def volume_mm3(mesh) -> float:
    return float(face_shapes(*mesh)[1].sum() / 6)


def is_inside(point, mesh) -> bool:
    return winding_number(np.asarray(point, dtype=np.float64), *mesh) > 0.5


# Where the surfaces are -------------------------------------------------------------------------------


def test_volumes_are_those_of_the_bodies_within_two_percent(scene):
    found = {name: volume_mm3(mesh) for name, mesh in meshes(scene).items()}
    ball = 4 / 3 * np.pi
    assert found["soft_tissue"] == pytest.approx(ball * 75 * 52 * 65, rel=0.02)
    assert found["liver"] == pytest.approx(ball * LIVER_MM**3, rel=0.02), "filled where the vessel is, which wins there"
    assert found["kidney"] == pytest.approx(ball * KIDNEY_MM**3, rel=0.02)
    assert found["blood"] == pytest.approx(np.pi * VESSEL_MM**2 * 90, rel=0.04)


def test_surfaces_are_closed_and_outward_and_priorities_follow_size(scene):
    assert [(one.name, one.priority) for one in scene.surfaces] == [
        ("soft_tissue", 10),
        ("liver", 20),
        ("kidney", 30),
        ("blood", 40),
    ]
    for vertices, triangles in meshes(scene).values():
        assert count_bad_edges(triangles, len(vertices)) == (0, 0)


def test_the_affine_puts_every_body_in_its_place(scene):
    found = meshes(scene)
    middle, _, areas = facets(*found["kidney"])
    np.testing.assert_allclose(np.average(middle, axis=0, weights=areas), CENTRE + KIDNEY_CENTRE, atol=0.3)
    axis = CENTRE + LIVER_CENTRE * [1, 1, 0]
    for along, inside in ((-43, True), (43, True), (-47.5, False), (47.5, False)):
        assert is_inside(axis + np.array([0, 0, along]), found["blood"]) == inside


def test_a_left_handed_affine_gives_outward_surfaces_too(tmp_path):
    path = make_volume(tmp_path / "mirrored.nii", mirrored=True)
    result = ussim("scene", "from-labels", path, "-o", tmp_path / "scene", *OPTIONS)
    assert result.exit_code == 0, result.output
    found = meshes(Scene.load(tmp_path / "scene"))
    assert volume_mm3(found["liver"]) == pytest.approx(4 / 3 * np.pi * LIVER_MM**3, rel=0.02)
    assert is_inside(CENTRE + LIVER_CENTRE, found["liver"])


def test_steps_of_the_voxels_are_smoothed_away(scene):
    """Where the liver borders on soft tissue, it is a ball to a tenth of the slice distance, and so are its normals."""
    middle, normals, areas = facets(*meshes(scene)["liver"])
    away = middle - CENTRE - LIVER_CENTRE
    distance = np.linalg.norm(away, axis=1)
    away_from_others = (np.linalg.norm(away[:, :2], axis=1) > 12) & (away[:, 0] > -10)
    assert np.abs(distance - LIVER_MM)[away_from_others].max() < 1.0
    assert np.average(np.abs(distance - LIVER_MM)[away_from_others], weights=areas[away_from_others]) < 0.3
    angles = np.degrees(np.arccos(np.clip((normals * away).sum(axis=1) / distance, -1, 1)))
    assert np.average(angles[away_from_others], weights=areas[away_from_others]) < 4


@pytest.mark.parametrize("pair", ["soft_tissue liver", "soft_tissue kidney", "liver kidney"])
def test_the_lower_of_two_neighbours_reaches_beneath_the_higher_one(scene, pair):
    """Just outside the higher one's wall where the lower one is, half a millimetre and more inside it is there too."""
    lower, higher = pair.split()
    found = meshes(scene)
    middle, normals, _ = facets(*found[higher])
    rng = np.random.default_rng(0)
    tried = 0
    for one in rng.permutation(len(middle))[:150]:
        outside = middle[one] + 0.8 * normals[one]
        others = [name for name in found if name not in (lower, higher) and is_inside(outside, found[name])]
        if [name for name in others if name != "soft_tissue"] or not is_inside(outside, found[lower]):
            continue
        tried += 1
        assert is_inside(middle[one] - 0.5 * normals[one], found[lower]), middle[one]
    assert tried > 3


def test_no_two_walls_run_along_each_other(scene):
    for (_, one), (_, other) in permutations(meshes(scene).items(), 2):
        assert share_along(one, other) < 0.01


def test_walls_part_where_two_neighbours_and_the_background_meet(tmp_path):
    """The halves of a ball: the lower one reaches into the higher one, and stays away from its outer wall in there."""
    labels = np.zeros((50, 50, 50), np.uint8)
    p = np.stack(np.meshgrid(*3 * [np.arange(50) - 24.5], indexing="ij"), axis=-1)
    ball = np.linalg.norm(p, axis=-1) < 20
    labels[ball & (p[..., 0] < 3)] = 1
    labels[ball & (p[..., 0] >= 3)] = 2
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "halves.nii")
    halves = [Label(1, "low", "liver", 1, ""), Label(2, "high", "kidney", 2, "")]
    low, high = (
        (one.mesh.vertices_mm.astype(np.float64), one.mesh.triangles)
        for one in label_surfaces(read_volume(tmp_path / "halves.nii"), halves)
    )
    assert share_along(low, high) < 0.01
    reach = low[0][:, 0].max() - (24.5 + 3 - 0.5)
    assert 1.5 < reach < 3.0
    inner = low[0][low[0][:, 0] > 24.5 + 3 + 1]
    assert np.linalg.norm(inner - 24.5, axis=1).max() < 20 - 0.5


def test_a_thin_shell_is_ordered_below_what_it_encloses_and_filled(tmp_path):
    labels = np.zeros((60, 60, 60), np.uint8)
    p = np.stack(np.meshgrid(*3 * [np.arange(60) - 29.5], indexing="ij"), axis=-1)
    radius = np.linalg.norm(p, axis=-1)
    labels[radius < 24] = 2
    labels[radius < 20] = 1
    path = tmp_path / "shell.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), path)
    volume = read_volume(path)
    ordered = order_labels(volume, [Label(1, "core", "liver", None, ""), Label(2, "shell", "fat", None, "")])
    assert [label.name for label in ordered] == ["shell", "core"]
    shell, core = (surface.mesh for surface in label_surfaces(volume, ordered))
    assert volume_mm3((shell.vertices_mm, shell.triangles)) == pytest.approx(4 / 3 * np.pi * 48**3, rel=0.02)
    assert volume_mm3((core.vertices_mm, core.triangles)) == pytest.approx(4 / 3 * np.pi * 40**3, rel=0.02)


def test_what_the_edge_of_the_volume_cuts_is_closed_there(tmp_path):
    labels = np.ones((30, 30, 30), np.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), tmp_path / "full.nii")
    volume = read_volume(tmp_path / "full.nii")
    surface = label_surfaces(volume, [Label(1, "block", "liver", None, "")])[0].mesh
    assert count_bad_edges(surface.triangles, len(surface.vertices_mm)) == (0, 0)
    assert volume_mm3((surface.vertices_mm, surface.triangles)) == pytest.approx(60**3, rel=0.02)


def test_specks_are_left_out_and_said_so(tmp_path):
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10:30, 10:30, 10:30] = 1
    labels[3, 3, 3] = 1
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), tmp_path / "speck.nii")
    assert (
        ussim("scene", "from-labels", tmp_path / "speck.nii", "-o", tmp_path / "s", "--tissue=1=liver").exit_code == 0
    )
    assert "# Left out: specks of a few voxels, 0.008 ml together." in (tmp_path / "s" / "scene.toml").read_text()
    assert Scene.load(tmp_path / "s").bounds_mm[0].min() > 15


# What comes of it -------------------------------------------------------------------------------------


def test_the_probe_is_on_the_front_and_the_patients_left_is_on_the_right(scene):
    poses = scene.sweep("exam").poses(21)
    assert (contact_gap_mm(scene, poses) <= 1.0).all()
    middle = poses[10]
    assert middle[1, 2] < -0.98, "looks from the front, +y, to the back"
    assert middle[0, 0] < -0.98, "lateral runs to the patient's left, −x"


def test_a_frame_shows_liver_and_vessel(scene):
    from ussim.probe.settings import build_settings
    from ussim.render.renderer import Renderer

    settings = build_settings(["probe.scanlines=32", "probe.axial_samples=256"], ["lq"], (120, 166))
    poses = scene.sweep().poses(3)[1:2]
    renderer = Renderer(scene, settings.probe, settings.imaging, backend="cpu")
    renderer.fit_tgc(poses)
    image = renderer.render(poses, settings.qualities["lq"])[0]
    tissue = renderer.maps(poses).segmentation[0]
    number = {medium.name: index for index, medium in enumerate(scene.media, start=1)}
    liver, blood = (image[tissue == number[name]] for name in ("liver", "blood"))
    assert len(liver) > 300
    assert len(blood) > 10
    assert liver.mean() > 2 * blood.mean() + 10


def test_the_same_volume_gives_the_same_bytes(scene, volume, tmp_path):
    assert ussim("scene", "from-labels", volume, "-o", tmp_path / "scene", *OPTIONS).exit_code == 0
    for path in sorted((tmp_path / "scene").rglob("*.*")):
        assert path.read_bytes() == (volume.parent / "scene" / path.relative_to(tmp_path / "scene")).read_bytes()


# Label maps -------------------------------------------------------------------------------------------


def test_a_written_map_can_be_filled_in_and_used(volume, tmp_path):
    path = tmp_path / "labels.toml"
    result = ussim("scene", "from-labels", volume, "--write-map", path)
    assert result.exit_code == 0, result.output
    assert "4 labels" in result.stdout
    assert "exists already" in refused(volume, "--write-map", path)
    text = path.read_text()
    for value in (BODY, LIVER, VESSEL, KIDNEY):
        assert f"value = {value}\n" in text
    text = text.replace('name = "label_3"\ntissue = "soft_tissue"', 'name = "my_liver"\ntissue = "liver"\npriority = 5')
    text = text.replace('name = "label_1"\ntissue = "soft_tissue"', "ignore = true")
    text = text.replace('name = "label_4"\n', "priority = 7\n").replace('name = "label_7"\n', "priority = 6\n")
    path.write_text(text)
    result = ussim("scene", "from-labels", volume, "--map", path, "--tissue", "4=blood", "-o", tmp_path / "scene")
    assert result.exit_code == 0, result.output
    found = [(one.name, one.tissue, one.priority) for one in Scene.load(tmp_path / "scene").surfaces]
    assert found == [("my_liver", "liver", 5), ("soft_tissue", "soft_tissue", 6), ("blood", "blood", 7)]


def test_all_labels_without_a_tissue_are_listed_with_their_voxels(volume, tmp_path):
    counts = read_volume(volume).counts
    message = refused(volume, "-o", tmp_path / "s", "--tissue", "3=liver", "--ignore", BODY)
    assert f"labels {VESSEL} ({counts[VESSEL]} voxels), {KIDNEY} ({counts[KIDNEY]} voxels);" in message
    assert "--write-map" in message
    assert not (tmp_path / "s").exists()


def test_a_map_may_have_labels_that_the_volume_lacks(volume, tmp_path):
    rows = "".join(
        f'[[label]]\nvalue = {value}\nname = "part_{value}"\ntissue = "liver"\n'
        for value in (BODY, LIVER, VESSEL, KIDNEY, STRAY)
    )
    (tmp_path / "map.toml").write_text("format = 1\n" + rows)
    assert ussim("scene", "from-labels", volume, "--map", tmp_path / "map.toml", "-o", tmp_path / "s").exit_code == 0


MAPS = [
    ("[[label]]\nvalue = 0\ntissue = 'fat'", "label 1: value = 0: must be"),
    ("[[label]]\nvalue = 3", "give it a tissue, or ignore = true"),
    ("[[label]]\nvalue = 3\ntissue = 'fat'\nignore = true", "give it a tissue, or ignore = true"),
    ("[[label]]\nvalue = 3\ntissue = 'fat'\n[[label]]\nvalue = 3\nignore = true", "2 of them have value = 3"),
    ("[[label]]\nvalue = 3\nname = '../x'\ntissue = 'fat'", "letters, digits, _ and -"),
    ("[[label]]\nvalue = 3\ntisue = 'fat'", "did you mean 'tissue'?"),
]


@pytest.mark.parametrize(("text", "words"), MAPS, ids=[words for _, words in MAPS])
def test_a_bad_map_is_refused_in_one_line(volume, tmp_path, text, words):
    (tmp_path / "map.toml").write_text(f"format = 1\n{text}\n")
    message = refused(volume, "-o", tmp_path / "s", "--map", tmp_path / "map.toml")
    assert "map.toml" in message
    assert words in message


def test_priorities_are_given_to_all_or_none_and_differ_where_labels_touch(volume, tmp_path):
    def save(*priorities):
        rows = [
            f"[[label]]\nvalue = {value}\ntissue = 'liver'\n" + (f"priority = {priority}\n" if priority else "")
            for value, priority in zip((BODY, LIVER, VESSEL, KIDNEY), priorities, strict=True)
        ]
        (tmp_path / "map.toml").write_text("format = 1\n" + "".join(rows))
        return refused(volume, "-o", tmp_path / "s", "--map", tmp_path / "map.toml")

    assert "label 7 has no priority" in save(1, 2, 3, None)
    assert "priority = 2 of both label 3 and 4, which touch" in save(1, 2, 2, 3)


# Mistakes ---------------------------------------------------------------------------------------------


def test_mistakes_are_named_and_leave_nothing(volume, tmp_path):
    out = ("-o", tmp_path / "s")

    def save(name, data, affine=None):
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4) if affine is None else affine), tmp_path / name)
        return tmp_path / name

    grey = save("grey.nii", np.linspace(-1, 1, 27, dtype=np.float32).reshape(3, 3, 3))
    assert "that are no labels" in refused(grey, *out)
    assert "all voxels are 0" in refused(save("empty.nii", np.zeros((3, 3, 3), np.uint8)), *out)
    assert "a volume of three axes" in refused(save("film.nii", np.ones((3, 3, 3, 2), np.uint8)), *out)
    (tmp_path / "text.nii").write_text("no volume")
    assert "cannot be read as NIfTI" in refused(tmp_path / "text.nii", *out)
    assert "no such file" in refused(tmp_path / "none.nii", *out)
    assert "allowed: NIfTI" in refused(Path(__file__), *out)
    assert "has no label 5; it has 1, 3, 4, 7" in refused(volume, *out, *OPTIONS, "--tissue", "5=fat")
    assert "did you mean 'liver'" in refused(volume, *out, *OPTIONS[1:], "--tissue", "1=livr")
    assert "write LABEL=TISSUE" in refused(volume, *out, "--tissue", "liver=liver")
    assert "every label is ignored" in refused(volume, *out, "--ignore=1", "--ignore=3", "--ignore=4", "--ignore=7")
    assert "give either -o DIR or --write-map FILE" in refused(volume)
    assert not (tmp_path / "s").exists()


def test_a_volume_that_unfolds_to_too_much_is_not_read(monkeypatch, tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000))
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb") as file:
        file.write(header.binaryblock + bytes(4))
    monkeypatch.setattr(np, "asanyarray", None)
    found = refused(path, "-o", tmp_path / "s")
    assert "2000 × 2000 × 2000 voxels; allowed: at most 536,870,912; crop it, or use larger voxels" in found


def test_a_missing_nibabel_says_what_to_install(monkeypatch, volume, tmp_path):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert "pip install 'ussim[labels]'" in refused(volume, "-o", tmp_path / "s")


def test_floats_that_are_whole_and_a_fourth_axis_of_one_are_fine(tmp_path):
    labels = np.zeros((30, 30, 30, 1), np.float32)
    labels[8:22, 8:22, 8:22] = 2
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), tmp_path / "f.nii")
    assert read_volume(tmp_path / "f.nii").counts == {2: 14**3}


def test_a_volume_in_metres_becomes_millimetres(tmp_path):
    image = nibabel.Nifti1Image(np.ones((5, 5, 5), np.uint8), np.diag([0.002, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "m.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "m.nii").voxel_mm, [2, 2, 3], rtol=1e-5)
