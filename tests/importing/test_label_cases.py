"""Labelled volumes as people have them: thin, small, numbered oddly, tilted, of a hundred classes, without a body."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from support import commands
from support.commands import ussim
from support.scenes import box_mesh
from support.volumes import ball, grid, nested, save, with_name_table

from meshes.importing.label_groups import family_of
from meshes.importing.label_map import Label
from meshes.importing.labels import label_surfaces, order_labels
from meshes.importing.rays import crossings
from meshes.importing.volumes.volume import read_volume
from ussim.dataset.poses import check_poses
from ussim.errors import UssimError
from ussim.scene.check import check_surfaces
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.topology import face_shapes

refused = partial(commands.refused, "scene", "from-labels")
THREE = ("--tissue=1=soft_tissue", "--tissue=2=liver", "--tissue=3=kidney")


def made(path: Path, folder: Path, *options: object) -> tuple[Scene, str]:
    """The scene of a volume, and what is said about it."""
    result = ussim("scene", "from-labels", path, "-o", folder, *options)
    assert result.exit_code == 0, result.output
    return Scene.load(folder), result.stdout


def volumes_mm3(path: Path, *, higher_last: bool = False) -> dict[int, float]:
    """Enclosed volume of the surface of every label."""
    volume = read_volume(path)
    labels = [Label(value, f"l{value}", "liver", value if higher_last else None, "") for value in volume.counts]
    surfaces = label_surfaces(volume, order_labels(volume, labels))
    return {
        one.label.value: float(face_shapes(one.mesh.vertices_mm, one.mesh.triangles)[1].sum() / 6) for one in surfaces
    }


def voxels_mm3(path: Path) -> dict[int, float]:
    volume = read_volume(path)
    return {value: count * float(abs(np.linalg.det(volume.to_mm[:3, :3]))) for value, count in volume.counts.items()}


# Few slices -------------------------------------------------------------------------------------------


def discs(slices: int, axis: int = 2) -> np.ndarray:
    places = grid((60, 60, slices))[..., :2]
    labels = np.zeros((60, 60, slices), np.uint8)
    labels[np.linalg.norm(places, axis=-1) < 24] = 1
    labels[np.linalg.norm(places, axis=-1) < 8] = 2
    return np.moveaxis(labels, 2, axis)


@pytest.mark.parametrize(("slices", "axis"), [(1, 2), (2, 2), (3, 2), (1, 0), (2, 1)])
def test_a_few_slices_are_no_body_and_the_message_says_what_to_do(tmp_path, slices, axis):
    path = save(tmp_path / "s.nii", discs(slices, axis), (1, 1, 1))
    found = refused(path, *THREE[:2], "-o", tmp_path / "s")
    word = "slice" if slices == 1 else "slices"
    assert f"{slices} {word} of labels along {'xyz'[axis]}, in voxels of 1 × 1 × 1 mm; allowed: at least 4" in found
    assert "label more slices, or repeat what there is" in found


def test_a_few_labelled_slices_of_a_large_volume_are_refused_too(tmp_path):
    labels = np.zeros((60, 60, 20), np.uint8)
    labels[:, :, 9:11] = discs(2)
    assert "2 slices of labels along z" in refused(save(tmp_path / "s.nii", labels), *THREE[:2], "-o", tmp_path / "s")


@pytest.mark.parametrize("slices", [4, 12])
def test_a_slab_of_enough_slices_keeps_its_sizes(tmp_path, slices):
    scene, said = made(save(tmp_path / "s.nii", discs(slices), (1, 1, 1.5)), tmp_path / "s", *THREE[:2])
    body, liver = (np.ptp(one.vertices_mm, axis=0) for one in scene.surfaces)
    np.testing.assert_allclose(body, [48, 48, 1.5 * slices], atol=1.0)
    np.testing.assert_allclose(liver, [16, 16, 1.5 * slices], atol=1.0)
    assert "note: cut by the edge of the volume, and closed there: soft_tissue, liver" in said


# Values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        lambda labels: labels * (1 + 2.0**-40),
        lambda labels: (labels.astype(np.float32) / np.float32(3)) * np.float32(2.9999998),
        lambda labels: labels + 9e-4,
    ],
    ids=["slope", "float32", "just allowed"],
)
def test_values_that_are_whole_but_for_rounding_are_rounded_and_it_is_said(tmp_path, values):
    volume = read_volume(save(tmp_path / "v.nii", values(nested().astype(np.float64))))
    np.testing.assert_array_equal(volume.labels, nested())
    assert any(note.startswith("values are off by up to ") and note.endswith(": rounded") for note in volume.notes)


def test_a_slope_in_the_header_is_applied(tmp_path):
    image = nibabel.Nifti1Image(nested().astype(np.int16) * 10, np.eye(4))
    image.header.set_slope_inter(0.1, 0)
    nibabel.save(image, tmp_path / "v.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii").labels, nested())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: np.where(a == 2, 0.25, a), "0.25 is no label"),
        (lambda a: a + 2e-3, "0.002 is no label"),
        (lambda a: np.where(a == 2, np.nan, a), "voxels are NaN or infinite"),
        (lambda a: np.where(a == 2, np.inf, a), "voxels are NaN or infinite"),
        (lambda a: a * 1e19, "is beyond 2⁶³"),
        (lambda a: a * 0 - 3e38, "3e+38 is beyond 2⁶³"),
        (lambda a: np.arange(a.size, dtype=float).reshape(a.shape) % 4000 - 1000, "different ones are negative"),
        (lambda a: np.arange(a.size, dtype=np.int32).reshape(a.shape) % 9000, "more than 4096 different ones"),
    ],
)
def test_what_is_no_label_is_refused_and_named(tmp_path, change, words):
    path = save(tmp_path / "v.nii", change(nested().astype(np.float64)))
    assert words in refused(path, "--write-map", tmp_path / "m.toml")


@pytest.mark.parametrize(
    ("dtype", "ids"),
    [
        (np.uint32, [182305712, 614454277, 3000000001]),
        (np.int64, [5, 2**40 + 1, 2**62 + 3]),
        (np.uint64, [1, 2**32, 2**63 - 1]),
    ],
)
def test_ids_up_to_2_to_the_63_are_names_and_become_surfaces(tmp_path, dtype, ids):
    labels = np.array([0, *ids], dtype)[nested()]
    path = save(tmp_path / "v.nii.gz", labels)
    volume = read_volume(path)
    assert volume.counts == dict(zip(ids, np.bincount(nested().ravel())[1:].tolist(), strict=True))
    assert volume.labels.dtype == np.uint8
    options = [f"--tissue={value}={name}" for value, name in zip(ids, ("soft_tissue", "liver", "kidney"), strict=True)]
    scene, _ = made(path, tmp_path / "s", *options)
    plain, _ = made(save(tmp_path / "p.nii", nested()), tmp_path / "p", *THREE)
    for one, other in zip(scene.surfaces, plain.surfaces, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.vertices_mm, other.vertices_mm)
    assert ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml").exit_code == 0
    made(path, tmp_path / "t", "--map", tmp_path / "m.toml")


@pytest.mark.parametrize("mark", [-1, -1024])
def test_a_negative_mark_is_asked_about_and_can_be_ignored(tmp_path, mark):
    labels = np.where(nested() == 0, mark, nested().astype(np.int16))
    path = save(tmp_path / "v.nii", labels)
    count = int((labels == mark).sum())
    asked = f"{mark} in {count:,} of {labels.size:,} voxels: is it background? --ignore {mark}"
    assert asked in refused(path, *THREE, "-o", tmp_path / "s")
    assert asked in refused(path, "--write-map", tmp_path / "m.toml")
    scene, _ = made(path, tmp_path / "s", *THREE, "--ignore", mark)
    assert [one.name for one in scene.surfaces] == ["soft_tissue", "liver", "kidney"]
    result = ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml", "--ignore", mark)
    assert result.exit_code == 0, result.output
    assert f"value = {mark}\nignore = true" in (tmp_path / "m.toml").read_text()
    made(path, tmp_path / "t", "--map", tmp_path / "m.toml")


# Size: limits follow the voxel ------------------------------------------------------------------------


def animal(side: float) -> np.ndarray:
    """A body with a skin, a heart, a vessel of seven voxels, a node of nine and a rib of five; uint8."""
    places = grid((64, 60, 56))
    labels = np.zeros(places.shape[:3], np.uint8)
    inner = np.linalg.norm(places / (25, 23, 22), axis=-1) < 1
    labels[np.linalg.norm(places / (29, 27, 25.5), axis=-1) < 1] = 1
    labels[inner] = 2
    labels[ball(places, 8, (6, 0, 0))] = 3
    labels[(np.linalg.norm((places - (-11, 0, 0))[..., :2], axis=-1) < 3.6) & inner] = 4
    labels[ball(places, 4.6, (6, 14, 0))] = 5
    labels[(np.linalg.norm((places - (-3, -13, 0))[..., :2], axis=-1) < 2.6) & (abs(places[..., 2]) < 14)] = 6
    return labels


@pytest.mark.parametrize("side", [0.08, 0.8, 8.0])
def test_every_label_five_voxels_across_keeps_its_volume_within_a_tenth(tmp_path, side):
    path = save(tmp_path / "a.nii", animal(side), (side, side, side))
    found, wanted = volumes_mm3(path), voxels_mm3(path)
    hollow = {
        1: wanted[1] + sum(wanted[value] for value in (2, 3, 4, 5, 6)),
        2: sum(wanted[v] for v in (2, 3, 4, 5, 6)),
    }
    for value, volume in (wanted | hollow).items():
        assert found[value] == pytest.approx(volume, rel=0.1), value


def test_a_volume_ten_times_as_large_or_small_gives_the_same_shapes(tmp_path):
    labels = nested(size=24)
    scenes = []
    for number, side in enumerate((0.2, 2.0, 20.0)):
        scene, _ = made(save(tmp_path / f"{number}.nii", labels, (side, side, side)), tmp_path / f"s{number}", *THREE)
        scenes.append([one.vertices_mm / side for one in scene.surfaces])
    for scaled in (scenes[0], scenes[2]):
        for one, other in zip(scaled, scenes[1], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_small_animal_passes_every_check_and_its_size_is_said(tmp_path):
    labels = animal(0.2)
    options = [
        f"--tissue={v}={t}" for v, t in enumerate("skin soft_tissue heart_muscle blood soft_tissue bone".split(), 1)
    ]
    scene, said = made(save(tmp_path / "a.nii", labels, (0.2, 0.2, 0.2)), tmp_path / "s", *options)
    assert len(scene.surfaces) == 6
    assert "note: all of it is 11.6 mm across" in said
    assert ussim("scene", "info", tmp_path / "s").exit_code == 0
    check_poses(scene, scene.sweep().poses(7))


def test_a_vessel_of_half_a_millimetre_near_the_origin_is_not_taken_for_metres():
    """One surface in metres among others in mm still is."""

    def box(name: str, side: float) -> Surface:
        mesh = box_mesh((side, side, side))
        vertices, triangles = mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)
        return Surface(name=name, tissue="liver", priority=int(side * 10), vertices_mm=vertices, triangles=triangles)

    assert all(report.ok for report in check_surfaces([box("body", 20), box("vessel", 0.5)]))
    problems = check_surfaces([box("body", 200), box("liver", 0.1)])[1].problems
    assert "looks like metres" in " ".join(problems)


def test_voxels_of_micrometres_are_refused_at_once_for_the_size_of_all(tmp_path):
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[8:32, 8:32, 8:32] = 1
    path = save(tmp_path / "u.nii", labels, (3, 3, 3), "micron")
    found = refused(path, "--tissue=1=liver", "-o", tmp_path / "s")
    assert "its labels are 0.072 mm across, in voxels of 0.003 × 0.003 × 0.003 mm; allowed: at least 2 mm" in found
    assert volumes_mm3(path)[1] == pytest.approx(voxels_mm3(path)[1], rel=0.05), "the surface itself is no matter"


def test_a_label_box_of_more_cells_than_a_grid_has_is_thinned_out(monkeypatch, tmp_path):
    """As of a whole body at half a millimetre: voxels are half the step of the grid, and its volume stays."""
    import meshes.importing.labels as labels_module

    monkeypatch.setattr(labels_module, "_MOST_CELLS", 30_000)
    path = save(tmp_path / "v.nii", nested(size=60), (1, 1, 1))
    found, wanted = volumes_mm3(path), voxels_mm3(path)
    assert found[1] == pytest.approx(sum(wanted.values()), rel=0.03)


# Thin, tilted, oblong ---------------------------------------------------------------------------------


def thickness_mm(outer, inner, middle: np.ndarray, count: int = 400) -> np.ndarray:
    """How far two walls lie apart in directions from a middle."""
    rng = np.random.default_rng(0)
    found = []
    for direction in rng.normal(size=(count, 3)):
        direction /= np.linalg.norm(direction)
        ends = [crossings(middle, direction, mesh.vertices_mm, mesh.triangles)[0][-1] for mesh in (outer, inner)]
        found.append(ends[0] - ends[1])
    return np.array(found)


@pytest.mark.parametrize("thick", [1.2, 1.8])
def test_a_skull_of_one_voxel_has_no_holes_and_keeps_its_volume(tmp_path, thick):
    places = grid((72, 72, 72))
    labels = np.zeros((72, 72, 72), np.uint8)
    labels[ball(places, 33)] = 1
    labels[ball(places, 26 + thick)] = 2
    labels[ball(places, 26)] = 3
    path = save(tmp_path / "skull.nii", labels, (1, 1, 1))
    volume = read_volume(path)
    ordered = order_labels(volume, [Label(value, f"l{value}", "liver", None, "") for value in (1, 2, 3)])
    assert [label.value for label in ordered] == [1, 2, 3]
    _, skull, brain = label_surfaces(volume, ordered)
    walls = thickness_mm(skull.mesh, brain.mesh, np.full(3, 35.5))
    assert walls.min() > 0.5
    enclosed = [float(face_shapes(one.mesh.vertices_mm, one.mesh.triangles)[1].sum() / 6) for one in (skull, brain)]
    assert enclosed[0] - enclosed[1] == pytest.approx(volume.counts[2], rel=0.1)
    assert skull.thin_share > 0.5
    assert brain.thin_share == 0


@pytest.mark.parametrize("tilt", [0.0, 0.35])
def test_a_sheet_of_one_voxel_in_tissue_stays_whole(tmp_path, tilt):
    """A plate, straight and oblique, of higher priority than what it lies in; and it is said that it is thin."""
    places = grid((44, 44, 44))
    labels = ball(places, 20).astype(np.uint8)
    away = places[..., 2] - tilt * places[..., 0]
    labels[(np.abs(away) <= 0.6 * np.hypot(1, tilt)) & (np.linalg.norm(places[..., :2], axis=-1) < 12)] = 2
    path = save(tmp_path / "plate.nii", labels, (1, 1, 1))
    scene, said = made(path, tmp_path / "s", "--tissue=1=soft_tissue", "--tissue=2=bone")
    plate = scene.surfaces[1]
    volume = float(face_shapes(plate.vertices_mm, plate.triangles)[1].sum() / 6)
    assert volume == pytest.approx(int((labels == 2).sum()), rel=0.1)
    for x in np.arange(-8.1, 8, 1.7):
        for y in (-5.03, 0.07, 5.11):
            at = np.array([21.5 + x, 21.5 + y, 0.0])
            met = np.unique(crossings(at, np.array([0.0, 0, 1]), plate.vertices_mm, plate.triangles)[0].round(6))
            assert len(met) == 2, (x, y)
            assert abs(met[1] - met[0]) > 0.5
    assert "note: thinner than two voxels, so that walls follow the voxels there: bone (" in said


def test_a_tilted_gantry_leaves_balls_round(tmp_path):
    sides = np.array([1.5, 1.5, 3.0])
    affine = np.diag([*sides, 1.0])
    affine[1, 2] = sides[2] * np.tan(np.radians(25))
    shape = (60, 76, 30)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    labels = np.zeros(shape, np.uint8)
    labels[ball(places, 38)] = 1
    labels[ball(places, 16, (0, 12, 6))] = 2
    scene, _ = made(save(tmp_path / "t.nii", labels, affine), tmp_path / "s", *THREE[:2])
    for one, radius, middle in zip(scene.surfaces, (38, 16), ((0, 0, 0), (0, 12, 6)), strict=True):
        assert np.abs(np.linalg.norm(one.vertices_mm - middle, axis=1) - radius).max() < 1.5
        volume = float(face_shapes(one.vertices_mm, one.triangles)[1].sum() / 6)
        assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)


def test_slices_ten_times_as_thick_as_wide_keep_volumes_within_three_percent(tmp_path):
    sides = (0.6, 0.6, 6.0)
    places = grid((100, 100, 12), sides)
    labels = np.zeros((100, 100, 12), np.uint8)
    labels[ball(places, 28)] = 1
    labels[ball(places, 15, (8, 0, 0))] = 2
    path = save(tmp_path / "s.nii", labels, sides)
    found, wanted = volumes_mm3(path), voxels_mm3(path)
    assert found[2] == pytest.approx(wanted[2], rel=0.03)
    assert found[1] == pytest.approx(wanted[1] + wanted[2], rel=0.03)


# Many classes -----------------------------------------------------------------------------------------


def total_names() -> list[str]:
    """The names of the classes of a well-known whole-body segmentation, by their rules."""
    paired = (
        "kidney adrenal_gland kidney_cyst subclavian_artery common_carotid_artery brachiocephalic_vein iliac_artery "
        "iliac_vena humerus scapula clavicula femur hip gluteus_maximus gluteus_medius gluteus_minimus "
        "autochthon iliopsoas"
    ).split()
    single = (
        "spleen gallbladder liver stomach pancreas esophagus trachea thyroid_gland small_bowel duodenum colon sacrum "
        "urinary_bladder prostate heart aorta pulmonary_vein brachiocephalic_trunk atrial_appendage_left brain skull "
        "superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein spinal_cord sternum costal_cartilages"
    ).split()
    lobes = ["upper_lobe_left", "lower_lobe_left", "upper_lobe_right", "middle_lobe_right", "lower_lobe_right"]
    names = single + [f"lung_{lobe}" for lobe in lobes]
    names += [f"{name}_{side}" for name in paired for side in ("left", "right")]
    names += [f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13)]
    names += [
        f"vertebrae_{part}{n}" for part, last in zip("CTLS", (7, 12, 5, 1), strict=True) for n in range(1, last + 1)
    ]
    return names


def many(names: int, size: int = 6) -> np.ndarray:
    """Cubes in a lattice, one for each name."""
    labels = np.zeros((11 * size, 11 * size, 8), np.uint8)
    for number in range(names):
        i, j = divmod(number, 11)
        labels[i * size + 1 : i * size + 5, j * size + 1 : j * size + 5, 2:6] = number + 1
    return labels


def test_a_hundred_and_seventeen_classes_become_a_scene_without_a_hand(tmp_path):
    names = total_names()
    assert len(names) == 117
    path = with_name_table(tmp_path / "total.nii.gz", many(117), names, (4, 4, 4))
    result = ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml")
    assert "117 labels, joined to " in result.stdout
    scene, _ = made(path, tmp_path / "s", "--map", tmp_path / "m.toml")
    found = {one.name: one.tissue for one in scene.surfaces}
    assert len(found) <= 64
    assert {"ribs", "spine", "lung", "kidney", "femur", "gluteus", "liver", "aorta"} <= set(found)
    assert not [name for name in found if name.startswith("other_")]
    assert found["liver"] == "liver"
    assert "# rib_left_1, rib_left_2, " in (tmp_path / "m.toml").read_text()


def test_names_that_say_nothing_are_joined_only_as_far_as_they_must_and_organs_never(tmp_path):
    names = ["liver", "spleen", *(f"structure_{number}" for number in range(3, 81))]
    path = with_name_table(tmp_path / "v.nii", many(80), names, (4, 4, 4))
    assert ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml").exit_code == 0
    scene, _ = made(path, tmp_path / "s", "--map", tmp_path / "m.toml")
    found = [one.name for one in scene.surfaces]
    assert len(found) == 64
    assert {"liver", "spleen", "other_soft_tissue", "structure_80"} <= set(found)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("rib_right_12", "ribs"),
        ("vertebrae_T4", "spine"),
        ("Left-Lung upper lobe", "lung"),
        ("R_Femur", "femur"),
        ("LeftKidney", "kidney"),
        ("liver_segment_4", "liver"),
        ("intervertebral_disc_L1", "intervertebral_disc"),
        ("vertebral_artery_left", "vertebral_artery"),
        ("costal_cartilages", "costal_cartilages"),
        ("label_3", "label_3"),
        ("Segment 7", "segment_7"),
        ("левая почка", "левая_почка"),
        ("", ""),
    ],
)
def test_what_belongs_together_is_told_from_the_name(name, family):
    assert family_of(name) == family


def test_labels_without_a_name_are_not_joined_and_marked_as_not_known(tmp_path):
    path = save(tmp_path / "v.nii", nested())
    assert ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml").exit_code == 0
    text = (tmp_path / "m.toml").read_text()
    assert text.count("[[label]]") == 3
    assert text.count('tissue = "soft_tissue"            # not known: say it') == 3


def test_a_joined_entry_is_one_surface_and_options_take_labels_out_of_it(tmp_path):
    path = save(tmp_path / "v.nii", nested())
    rows = '[[label]]\nvalue = 1\ntissue = "fat"\n[[label]]\nvalue = [3, 2, 9]\nname = "both"\ntissue = "liver"\n'
    (tmp_path / "m.toml").write_text("format = 1\n" + rows)
    use = ("--map", tmp_path / "m.toml")
    scene, _ = made(path, tmp_path / "s", *use)
    assert [(one.name, one.tissue) for one in scene.surfaces] == [("fat", "fat"), ("both", "liver")]
    text = (tmp_path / "s" / "scene.toml").read_text()
    assert f"From labels 3, 2, {int((nested() > 1).sum())} voxels." in text
    scene, _ = made(path, tmp_path / "t", *use, "--tissue", "3=kidney")
    assert [(one.name, one.tissue) for one in scene.surfaces] == [
        ("fat", "fat"),
        ("both", "liver"),
        ("kidney", "kidney"),
    ]
    scene, _ = made(path, tmp_path / "u", *use, "--ignore", "3")
    assert len(scene.surfaces) == 2
    assert scene.surfaces[1].vertices_mm[:, 0].min() > 28


def test_too_many_surfaces_are_refused_with_the_way_to_join_them(tmp_path):
    path = save(tmp_path / "v.nii", many(70))
    assert ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml").exit_code == 0
    found = refused(path, "--map", tmp_path / "m.toml", "-o", tmp_path / "s")
    assert "70 surfaces; allowed: at most 64; ignore some labels, or join them in the map: value = [1, 2]" in found
    found = refused(path, "-o", tmp_path / "s")
    assert "20 (64 voxels) and 50 more; add to --map" in found


MAPS = {
    "value = []": "must be a label, as in 3, or a list",
    "value = [1, 'a']": "must be a label, as in 3, or a list",
    "value = true": "must be a label, as in 3, or a list",
    "value = 1.0": "must be a label, as in 3, or a list",
    "value = [1, 0]": "must be labels other than 0",
    "value = [1, 1]": "must have every label once, but 1 is there again",
    f"value = {2**63}": "must be labels other than 0, below 2⁶³",
    f"value = {'9' * 5000}": "not valid TOML",
    f"value = 0x{'f' * 5000}": "below 2⁶³",
    f"value = 1\npriority = 0x{'f' * 5000}": "priority",
    f"value = {'[' * 3000}": "not valid TOML",
    "value = [2, 3]\ntissue = 'fat'\n[[label]]\nvalue = 3": "2 of them have value = 3",
    "value = -1": "label -1 is negative",
    "value = 1\nname = 'a\\u0000b'": "letters, digits, _ and -",
    "value = 1\nname = '../../x'": "letters, digits, _ and -",
    "value = 1\nname = \"\\n\"": "letters, digits, _ and -",
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), MAPS.items(), ids=[text[:40] for text in MAPS])
def test_a_map_that_cannot_be_is_refused_in_one_short_line(tmp_path, text, words):
    path = save(tmp_path / "v.nii", nested(size=12))
    (tmp_path / "m.toml").write_text(f"format = 1\n[[label]]\n{text}\ntissue = 'fat'\n")
    found = refused(path, "--map", tmp_path / "m.toml", "-o", tmp_path / "s")
    assert words in found
    assert len(found) < 500


@pytest.mark.parametrize(
    "name", ["печень", "肝臓", "κύστη 1", "a\x00b", "x" * 300, "../../etc", '"]\n[[evil]]', "\ud800"]
)
def test_names_of_any_alphabet_give_a_map_that_works(tmp_path, name):
    path = tmp_path / "v.nii"
    if name in ("a\x00b", "\ud800"):  # XML cannot hold these, a file of names can
        save(path, nested(size=16))
        (tmp_path / "n.json").write_text(json.dumps({"1": name, "2": name, "3": "liver"}))
        more = ("--names", tmp_path / "n.json")
    else:
        with_name_table(path, nested(size=16), [name, name, "liver"], (2, 2, 2))
        more = ()
    result = ussim("scene", "from-labels", path, "--write-map", tmp_path / "m.toml", *more)
    assert result.exit_code == 0, result.output
    made(path, tmp_path / "s", "--map", tmp_path / "m.toml", *more)


@pytest.mark.parametrize("option", ["--tissue=" + "9" * 5000 + "=liver", "--ignore=" + "9" * 5000, "--ignore=x"])
def test_numbers_of_thousands_of_digits_are_refused(tmp_path, option):
    result = ussim("scene", "from-labels", save(tmp_path / "v.nii", nested(size=12)), "-o", tmp_path / "s", option)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


# Organs without a body --------------------------------------------------------------------------------


def organs() -> np.ndarray:
    """A liver, and apart from it a kidney, and a spine and an aorta that touch each other; no body."""
    places = grid((60, 46, 40), (4, 4, 4))
    labels = np.zeros(places.shape[:3], np.uint8)
    labels[np.linalg.norm((places - (50, 0, 0)) / (50, 40, 44), axis=-1) < 1] = 5
    labels[np.linalg.norm((places - (-70, 20, 0)) / (24, 20, 40), axis=-1) < 1] = 2
    labels[(np.linalg.norm((places - (-8, -60, 0))[..., :2], axis=-1) < 18) & (abs(places[..., 2]) < 70)] = 7
    labels[(np.linalg.norm((places - (-8, -34, 0))[..., :2], axis=-1) < 9) & (abs(places[..., 2]) < 70)] = 9
    return labels


ORGANS = ("--tissue=5=liver", "--tissue=2=kidney", "--tissue=7=bone", "--tissue=9=blood")


def test_organs_without_a_body_are_named_all_with_what_to_do(tmp_path):
    _, said = made(save(tmp_path / "o.nii", organs(), (4, 4, 4)), tmp_path / "s", *ORGANS)
    note = next(line for line in said.splitlines() if line.startswith("note: no body"))
    assert "the probe lies on liver itself" in note
    apart = note.split("in the background: ")[1].split(";")[0]
    assert sorted(apart.split(", ")) == ["blood", "bone", "kidney"]
    assert "--background soft_tissue" in note


def test_in_tissue_the_probe_looks_at_the_middle_of_all_from_outside(tmp_path):
    scene, said = made(
        save(tmp_path / "o.nii", organs(), (4, 4, 4)), tmp_path / "s", *ORGANS, "--background=soft_tissue"
    )
    assert "probe: on the soft_tissue around all" in said
    poses = scene.sweep().poses(7)
    middle = poses[3]
    weights = [abs(face_shapes(one.vertices_mm, one.triangles)[1].sum()) for one in scene.surfaces]
    centre = np.average([one.vertices_mm.mean(axis=0) for one in scene.surfaces], axis=0, weights=weights)
    off = centre - middle[:3, 3]
    assert np.linalg.norm(off - (off @ middle[:3, 2]) * middle[:3, 2]) < 12, "the beam runs through the common middle"
    assert middle[1, 2] < -0.7, "from the patient's front"
    corners = np.concatenate([one.vertices_mm for one in scene.surfaces])
    ahead = (corners[None] - poses[:, None, :3, 3]) @ middle[:3, 2]
    assert ahead[3].min() > 0, "outside of all"
    assert ahead[3].min() < 15, "and near"
    check_poses(scene, poses)


def test_a_probe_off_the_body_in_gel_stays_refused(tmp_path):
    scene, _ = made(save(tmp_path / "v.nii", nested()), tmp_path / "s", *THREE)
    poses = scene.sweep().poses(3)
    poses[1, :3, 3] -= 40 * poses[1, :3, 2]
    with pytest.raises(UssimError, match="mm off the body"):
        check_poses(scene, poses)


def test_a_body_that_holds_its_organs_has_no_such_note(tmp_path):
    labels = nested()
    labels[:3, :3, :] = 4  # a table beside it
    _, said = made(save(tmp_path / "v.nii", labels), tmp_path / "s", *THREE, "--tissue=4=bone")
    assert "no body" not in said
    assert "note: apart from the body, in the background: bone" in said
    assert "note: cut by the edge of the volume, and closed there: bone" in said
