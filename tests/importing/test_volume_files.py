"""Files of labelled volumes: every format gives the same voxels in the same place, or one line that says why not."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tracemalloc
from functools import partial
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
from support import commands
from support.commands import ussim
from support.volumes import grid, nested, save, with_name_table

from meshes.importing.volumes.names import read_names
from meshes.importing.volumes.volume import read_volume
from ussim.errors import UssimError

refused = partial(commands.refused, "scene", "from-labels")
LABELS = nested(size=20)[:, :18, :16]
TO_MM = np.array([[0.0, -1.5, 0.0, 40.0], [-2.0, 0.0, 0.3, -7.0], [0.0, 0.0, 2.5, 110.0], [0.0, 0.0, 0.0, 1.0]])
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nrrd(path: Path, labels: np.ndarray = LABELS, to_mm: np.ndarray = TO_MM, space="lps", **more: object) -> Path:
    """An NRRD file whose voxels lie where ``to_mm`` says, told in its own space."""
    names = {"lps": "left-posterior-superior", "ras": "right-anterior-superior", "las": "LAS"}
    signs = {"lps": [-1, -1, 1], "ras": [1, 1, 1], "las": [-1, 1, 1]}[space]
    told = np.diag([*signs, 1]) @ to_mm
    directions = told[:3, :3].T
    if labels.ndim == 4:
        directions = np.vstack([np.full(3, np.nan), directions])
    header = {"space": names[space], "space directions": directions, "space origin": told[:3, 3], **more}
    nrrd.write(str(path), labels, header)
    return path


def write_meta(path: Path) -> Path:
    told = LPS @ TO_MM
    sides = np.linalg.norm(told[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(LABELS.T))
    image.SetSpacing(sides.tolist())
    image.SetDirection((told[:3, :3] / sides).ravel().tolist())
    image.SetOrigin(told[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path), True)
    return path


FORMATS = {
    "v.nii": lambda path: save(path, LABELS, TO_MM),
    "v.nii.gz": lambda path: save(path, LABELS.astype(np.float64), TO_MM),
    "lps.nrrd": write_nrrd,
    "ras.nrrd": lambda path: write_nrrd(path, space="ras", encoding="raw"),
    "las.nrrd": lambda path: write_nrrd(path, LABELS.astype(np.int16), space="las", encoding="bzip2"),
    "text.nrrd": lambda path: write_nrrd(path, encoding="ascii"),
    "v.nhdr": write_nrrd,
    "v.seg.nrrd": write_nrrd,
    "v.mha": write_meta,
    "v.mhd": write_meta,
    "v.mgz": lambda path: nibabel.save(nibabel.MGHImage(LABELS, TO_MM), path),
    "v.mgh": lambda path: nibabel.save(nibabel.MGHImage(LABELS.astype(np.int32), TO_MM), path),
}


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("v.mha", "v.mhd")])
def test_every_format_gives_the_same_voxels_in_the_same_place(tmp_path, name):
    FORMATS[name](tmp_path / name)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.labels, LABELS)
    np.testing.assert_allclose(volume.to_mm, TO_MM, atol=1e-4)
    assert volume.notes == ()
    assert volume.counts == {value: int((LABELS == value).sum()) for value in (1, 2, 3)}
    assert volume.labels.dtype == np.uint8


@pytest.mark.parametrize("name", ["v.mha", "v.mhd"])
def test_metaimage_is_read_where_itk_has_it(tmp_path, name):
    """ITK's directions are right-angled, so a sheared grid becomes a right one."""
    plain = TO_MM.copy()
    plain[1, 2] = 0
    told = LPS @ plain
    sides = np.linalg.norm(told[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(LABELS.T))
    image.SetSpacing(sides.tolist())
    image.SetDirection((told[:3, :3] / sides).ravel().tolist())
    image.SetOrigin(told[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(tmp_path / name), True)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.labels, LABELS)
    np.testing.assert_allclose(volume.to_mm, plain, atol=1e-6)


def test_a_scene_of_nrrd_is_that_of_nifti(tmp_path):
    to_mm = np.diag([2.0, 2.0, 2.5, 1.0])  # the same to the last bit in both
    save(tmp_path / "a.nii", LABELS, to_mm)
    write_nrrd(tmp_path / "a.nrrd", to_mm=to_mm)
    options = [f"--tissue={value}=liver" for value in (1, 2, 3)]
    for name in ("nii", "nrrd"):
        result = ussim("scene", "from-labels", tmp_path / f"a.{name}", "-o", tmp_path / name, *options)
        assert result.exit_code == 0, result.output
    for mesh in (tmp_path / "nii" / "meshes").iterdir():
        assert mesh.read_bytes() == (tmp_path / "nrrd" / "meshes" / mesh.name).read_bytes()


# Units and orientation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1e-3), ("micron", 1e3)])
def test_units_of_nifti_become_millimetres(tmp_path, unit, scale):
    save(tmp_path / "u.nii", LABELS, np.array([1.0, 2.0, 3.0]) * scale, unit)
    np.testing.assert_allclose(read_volume(tmp_path / "u.nii").voxel_mm, [1, 2, 3], rtol=1e-5)


def test_a_unit_that_is_not_stated_is_assumed_and_said(tmp_path):
    save(tmp_path / "u.nii", LABELS, (1, 2, 3), "unknown")
    volume = read_volume(tmp_path / "u.nii")
    assert volume.notes == ("its header states no unit: millimetres assumed",)
    result = ussim("scene", "from-labels", tmp_path / "u.nii", "--write-map", tmp_path / "m.toml")
    assert "note: its header states no unit: millimetres assumed" in result.stderr


@pytest.mark.parametrize(("unit", "scale"), [("um", 1e-3), ("cm", 10.0), ("m", 1e3)])
def test_units_of_nrrd_become_millimetres(tmp_path, unit, scale):
    write_nrrd(tmp_path / "u.nrrd", to_mm=np.diag([1 / scale, 2 / scale, 3 / scale, 1]), **{"space units": [unit] * 3})
    np.testing.assert_allclose(read_volume(tmp_path / "u.nrrd").voxel_mm, [1, 2, 3])


def forms(path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(LABELS, None)
    image.header.set_xyzt_units("mm")
    image.header.set_zooms((2.0, 3.0, 4.0))
    image.set_qform(qform, 0 if qform is None else 1)
    image.set_sform(sform, 0 if sform is None else 1)
    nibabel.save(image, path)
    return path


def test_the_sform_comes_before_the_qform_and_where_they_disagree_it_is_said(tmp_path):
    here, there = np.diag([2.0, 3, 4, 1]), np.diag([2.0, 3, 4, 1])
    there[0, 3] = 25.0
    np.testing.assert_allclose(read_volume(forms(tmp_path / "q.nii", None, there)).to_mm, there)
    agreed = read_volume(forms(tmp_path / "sq.nii", there, there))
    assert agreed.notes == ()
    both = read_volume(forms(tmp_path / "s.nii", here, there))
    np.testing.assert_allclose(both.to_mm, here)
    assert both.notes == ("its sform and its qform differ by up to 25: the sform is used",)


def test_without_orientation_voxel_sizes_are_used_and_it_is_said(tmp_path):
    volume = read_volume(forms(tmp_path / "n.nii", None, None))
    np.testing.assert_allclose(volume.to_mm, np.diag([2.0, 3, 4, 1]))
    assert volume.notes[0].startswith("its header states no orientation: assumed")
    nrrd.write(str(tmp_path / "n.nrrd"), LABELS, {"spacings": [2.0, 3.0, 4.0]})
    volume = read_volume(tmp_path / "n.nrrd")
    np.testing.assert_allclose(volume.to_mm, np.diag([2.0, 3, 4, 1]))
    assert volume.notes[0].startswith("its header states no orientation: assumed")


def broken(path: Path, **fields: object) -> Path:
    """A NIfTI file with fields of its header changed to what no library would write."""
    save(path, LABELS)
    header = nibabel.load(path).header
    for key, value in fields.items():
        header[key] = value
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])
    return path


GEOMETRIES = [
    ({"srow_x": [0, 0, 0, 0]}, "singular"),
    ({"srow_x": [1, 1, 0, 0], "srow_y": [2, 2, 0, 0]}, "singular"),
    ({"srow_x": [1e30, 0, 0, 0]}, "voxels of 1e+30 × 2 × 2 mm; allowed: 0.0001 to 1000 mm"),
    ({"srow_z": [0, 0, np.nan, 0]}, "voxels of 2 × 2 × nan mm"),
    ({"srow_x": [2, 0, 0, 1e30]}, "its first voxel is at [1e+30,"),
    ({"sform_code": 0, "qform_code": 0, "pixdim": [1, 0, 2, 2, 0, 0, 0, 0]}, "voxels of 0 × 2 × 2"),
    ({"sform_code": 0, "qform_code": 0, "pixdim": [1, 2, np.inf, 2, 0, 0, 0, 0]}, "voxels of 2 × inf × 2"),
    ({"srow_x": [900, 0, 0, 0]}, "sides that differ 100-fold at most"),
    ({"dim": [3, 0, 18, 16, 1, 1, 1, 1]}, "at least 1 along each axis"),
]


@pytest.mark.parametrize(("fields", "words"), GEOMETRIES, ids=[str(fields)[:50] for fields, _ in GEOMETRIES])
def test_a_geometry_that_cannot_be_is_refused_in_one_line_and_nothing_else_is_printed(tmp_path, capfd, fields, words):
    path = broken(tmp_path / "g.nii", **fields)
    with pytest.raises(UssimError) as caught:
        read_volume(path)
    assert words in str(caught.value) or (words == "singular" and "voxels of 0 × " in str(caught.value))
    assert capfd.readouterr() == ("", "")


# Names ------------------------------------------------------------------------------------------------


def segments(*rows: tuple[str, int, int]) -> dict[str, object]:
    found: dict[str, object] = {}
    for number, (name, value, layer) in enumerate(rows):
        found |= {f"Segment{number}_Name": name, f"Segment{number}_LabelValue": str(value)}
        found |= {f"Segment{number}_Layer": str(layer)}
    return found


def test_segments_of_a_seg_nrrd_bring_their_names_in_any_alphabet(tmp_path):
    path = write_nrrd(tmp_path / "s.seg.nrrd", **segments(("body", 1, 0), ("LEBER", 2, 0), ("kidney left", 3, 0)))
    path.write_bytes(path.read_bytes().replace(b"LEBER", "печень".encode()))
    assert read_volume(path).names == {1: "body", 2: "печень", 3: "kidney left"}


def test_layers_of_a_seg_nrrd_become_one_volume_and_the_smaller_of_two_segments_wins(tmp_path):
    body, liver = LABELS > 0, LABELS == 2
    layers = np.stack([body, liver]).astype(np.uint8)
    layers[0][LABELS == 3] = 2  # a value that stands on both layers
    rows = segments(("body", 1, 0), ("kidney", 2, 0), ("liver", 1, 1))
    path = write_nrrd(tmp_path / "l.seg.nrrd", layers, kinds=["list", "domain", "domain", "domain"], **rows)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.labels == 1, LABELS == 1)
    np.testing.assert_array_equal(volume.labels == 2, LABELS == 3)
    np.testing.assert_array_equal(volume.labels == 3, liver)
    np.testing.assert_allclose(volume.to_mm, TO_MM)
    assert volume.names == {1: "body", 2: "kidney", 3: "liver"}
    assert any("the smaller one has them" in note for note in volume.notes)


def test_a_table_in_the_header_of_nifti_brings_names(tmp_path):
    path = with_name_table(tmp_path / "t.nii.gz", LABELS, ["body", "liver & co", "left kidney"], (2, 2, 2))
    assert read_volume(path).names == {1: "body", 2: "liver & co", 3: "left kidney"}


NAME_FILES = {
    "dataset.json": json.dumps({"labels": {"background": 0, "body": 1, "liver": 2}}),
    "old.json": json.dumps({"labels": {"0": "background", "1": "body", "2": "liver"}}),
    "labels.json": json.dumps({"1": "body", "2": "liver"}),
    "snap.label": '#\n    0  0 0 0  0 0 0  "Clear Label"\n 1  255 0 0  1 1 1  "body"\n 2 0 255 0 0.5 1 1 "liver"\n',
    "lut.txt": "#No. Label Name: R G B A\n0 Unknown 0 0 0 0\n1  body  70 130 180 0\n2\tliver\t245 245 245 0\n",
    "dseg.tsv": "index\tname\tcolor\n0\tbackground\n1\tbody\t#ff0000\n2\tliver\n",
}


@pytest.mark.parametrize("name", NAME_FILES)
def test_names_are_read_from_the_files_of_other_programs(tmp_path, name):
    (tmp_path / name).write_text(NAME_FILES[name])
    assert read_names(tmp_path / name) == {1: "body", 2: "liver"}


def test_a_file_of_names_fills_the_map(tmp_path):
    save(tmp_path / "v.nii", LABELS)
    (tmp_path / "n.json").write_text('{"1": "body", "2": "Liver", "3": "Niere übrig"}')
    result = ussim(
        "scene", "from-labels", tmp_path / "v.nii", "--write-map", tmp_path / "m.toml", "--names", tmp_path / "n.json"
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "m.toml").read_text("utf-8")
    assert 'value = 2\nname = "Liver"\ntissue = "liver"' in text
    assert "guessed: " in text


@pytest.mark.parametrize("text", ["", "no names\n", "{}", "[1, 2]", '{"labels": 3}', "{" * 5000, '{"1": ', "\x00\x01"])
def test_a_file_without_names_is_refused_in_one_line(tmp_path, text):
    save(tmp_path / "v.nii", LABELS)
    (tmp_path / "n.json").write_text(text)
    found = refused(tmp_path / "v.nii", "--write-map", tmp_path / "m.toml", "--names", tmp_path / "n.json")
    assert "n.json: no" in found
    assert not (tmp_path / "m.toml").exists()


# Folders of masks -------------------------------------------------------------------------------------


@pytest.fixture
def masks(tmp_path) -> Path:
    folder = tmp_path / "masks"
    folder.mkdir()
    for value, name in {1: "body", 2: "liver", 3: "kidney_left"}.items():
        save(folder / f"{name}.nii.gz", (LABELS > 0 if value == 1 else LABELS == value).astype(np.uint8), TO_MM)
    (folder / ".hidden.nii.gz").write_text("not read")
    (folder / "notes.txt").write_text("not read")
    return folder


def test_a_folder_of_masks_is_one_volume_named_by_its_files(masks):
    save(masks / "spleen.nii.gz", np.zeros_like(LABELS), TO_MM)
    volume = read_volume(masks)
    assert volume.names == {1: "body", 2: "kidney_left", 3: "liver", 4: "spleen"}
    for number, value in {1: 1, 2: 3, 3: 2}.items():
        np.testing.assert_array_equal(volume.labels == number, LABELS == value)
    assert list(volume.counts) == [1, 2, 3]
    told = " ".join(volume.notes)
    assert f"masks overlap in {(LABELS > 1).sum():,} voxels: the smaller one has them" in told
    assert "empty, left out: spleen" in told


def test_the_smaller_of_two_masks_wins_whatever_their_order(tmp_path):
    for first, second in (("a", "b"), ("b", "a")):
        folder = tmp_path / first
        folder.mkdir()
        save(folder / f"{first}.nii", (LABELS > 0).astype(np.uint8) * 255)
        save(folder / f"{second}.nii", (LABELS == 2).astype(np.float32))
        volume = read_volume(folder)
        small = next(number for number, name in volume.names.items() if name == second)
        np.testing.assert_array_equal(volume.labels == small, LABELS == 2)


def test_a_folder_of_masks_becomes_a_scene_with_tissues_by_name(masks, tmp_path):
    assert ussim("scene", "from-labels", masks, "--write-map", tmp_path / "m.toml").exit_code == 0
    assert 'name = "kidney_left"\ntissue = "kidney"' in (tmp_path / "m.toml").read_text()
    result = ussim("scene", "from-labels", masks, "--map", tmp_path / "m.toml", "-o", tmp_path / "s")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "s" / "meshes" / "kidney_left.ply").exists()


def test_masks_of_two_grids_or_of_many_labels_are_refused(masks, tmp_path):
    out = ("-o", tmp_path / "s")
    odd = save(masks / "odd.nii", np.ones((3, 4, 5), np.uint8), TO_MM)
    assert "odd.nii: 3 × 4 × 5 voxels, but body.nii.gz has 20 × 18 × 16; allowed: one grid" in refused(masks, *out)
    moved = TO_MM.copy()
    moved[0, 3] += 1
    save(odd, (LABELS > 0).astype(np.uint8), moved)
    assert "lies 1 mm off body.nii.gz" in refused(masks, *out)
    save(odd, LABELS, TO_MM)
    assert "holds 1, 2, 3; allowed in a folder of masks: one value" in refused(masks, *out)
    (tmp_path / "none").mkdir()
    assert "a folder without masks" in refused(tmp_path / "none", *out)


# Broken and hostile files -----------------------------------------------------------------------------


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "zero.nrrd").symlink_to("/dev/zero")
    for name in ("pipe.nii", "zero.nrrd"):
        assert "is no regular file" in refused(tmp_path / name, "-o", tmp_path / "s")
    assert "pipe: is no regular file" not in refused(tmp_path / ("x" * 300 + ".nii"), "-o", tmp_path / "s")


@pytest.mark.parametrize(
    "name", ["v.nii", "v.nii.gz", "lps.nrrd", "ras.nrrd", "las.nrrd", "text.nrrd", "v.mgz", "v.mgh"]
)
def test_a_file_cut_short_is_refused_in_one_line_without_a_word_from_libraries(tmp_path, capfd, name):
    FORMATS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for share in (0.0, 0.05, 0.5, 0.9):
        (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UssimError, match=r"cannot be read|voxels|no label"):
            read_volume(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["v.mha", "v.mhd"])
def test_a_metaimage_cut_short_or_empty_is_refused_in_one_line(tmp_path, capfd, name):
    write_meta(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 3])
    with pytest.raises(UssimError, match="cannot be read as MetaImage"):
        read_volume(tmp_path / name)
    (tmp_path / name).write_bytes(whole.replace(b"DimSize", b"DinSize"))
    with pytest.raises(UssimError, match="cannot be read as MetaImage"):
        read_volume(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UssimError, match="it has no ElementDataFile"):
        read_volume(tmp_path / name)
    assert capfd.readouterr() == ("", "")


BAD_HEADERS = {
    "NDims = 3": ["NDims = -1", "NDims = 0", "NDims = 3000", "", "NDims = 3\nNDims = 3"],
    "DimSize = 20 18 16": ["DimSize = 20 18", "DimSize = x y z", "DimSize = 20 18 16 4 4"],
    "ElementNumberOfChannels": ["ElementNumberOfChannels = -1"],
}


@pytest.mark.parametrize(("line", "bad"), [(line, bad) for line, every in BAD_HEADERS.items() for bad in every])
def test_a_metaimage_header_at_which_itk_would_crash_is_refused_before(tmp_path, line, bad):
    whole = write_meta(tmp_path / "v.mha").read_bytes()
    text = whole.replace(line.encode(), bad.encode(), 1)
    if text == whole:
        text = whole.replace(b"ElementType", bad.encode() + b"\nElementType", 1)
    (tmp_path / "v.mha").write_bytes(text)
    assert "v.mha: cannot be read as MetaImage: " in refused(tmp_path / "v.mha", "-o", tmp_path / "s")


@pytest.mark.parametrize("place", ["/dev/zero", "../v.raw", "LIST", "v%03d.raw 1 9 1", "missing.raw"])
def test_voxels_anywhere_else_than_beside_the_header_are_refused(tmp_path, place):
    write_nrrd(tmp_path / "v.nhdr", encoding="raw")
    header = (tmp_path / "v.nhdr").read_text()
    line = next(line for line in header.splitlines() if line.startswith("data file"))
    (tmp_path / "v.nhdr").write_text(header.replace(line, f"data file: {place}"))
    write_meta(tmp_path / "v.mhd")
    header = (tmp_path / "v.mhd").read_text()
    line = next(line for line in header.splitlines() if line.startswith("ElementDataFile"))
    (tmp_path / "v.mhd").write_text(header.replace(line, f"ElementDataFile = {place}"))
    for name in ("v.nhdr", "v.mhd"):
        found = refused(tmp_path / name, "-o", tmp_path / "s")
        assert "its voxels are in" in found or "no such file" in found


def test_no_more_is_unpacked_than_the_header_says(tmp_path):
    """Sixty-four megabytes of zeros, packed, behind a header that tells of a few thousand voxels."""
    path = write_nrrd(tmp_path / "b.nrrd", encoding="gzip")
    head = path.read_bytes().split(b"\n\n", 1)[0]
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        stream.write(LABELS.tobytes(order="F") + bytes(64 << 20))
    path.write_bytes(head + b"\n\n" + packed.getvalue())
    tracemalloc.start()
    volume = read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(volume.labels, LABELS)
    assert peak < 8 << 20


@pytest.mark.parametrize("sizes", ["20000 20000 20000", "0 5 5", "-3 5 5", "9223372036854775807 9223372036854775807 4"])
def test_sizes_that_cannot_be_are_refused_before_anything_is_read(tmp_path, sizes):
    (tmp_path / "n.nrrd").write_text(f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: {sizes}\nencoding: raw\n\n")
    assert "voxels; allowed: at " in refused(tmp_path / "n.nrrd", "-o", tmp_path / "s")
    (tmp_path / "n.mha").write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = {sizes}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    assert "n.mha: " in refused(tmp_path / "n.mha", "-o", tmp_path / "s")


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_reading_takes_at_most_three_times_the_bytes_of_the_volume(tmp_path, dtype, ending):
    labels = np.zeros((200, 200, 400), dtype)
    labels[20:120, 30:100, 40:160] = 3
    path = save(tmp_path / f"v.{ending}", labels)
    tracemalloc.start()
    read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    aside = 40 << 20  # for the million voxels that are looked at together
    assert peak < 2.1 * labels.nbytes + aside


@pytest.mark.parametrize(("module", "name"), [("nrrd", "lps.nrrd"), ("SimpleITK", "v.mha"), ("nibabel", "v.nii")])
def test_a_missing_library_says_what_to_install(monkeypatch, tmp_path, module, name):
    FORMATS[name](tmp_path / name)
    monkeypatch.setitem(sys.modules, module, None)
    assert "is not installed: pip install 'ussim[labels]'" in refused(tmp_path / name, "-o", tmp_path / "s")


def test_vectors_and_colours_are_refused(tmp_path):
    image = SimpleITK.GetImageFromArray(np.zeros((4, 4, 4, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "c.mha"))
    assert "3 numbers a voxel; allowed: one" in refused(tmp_path / "c.mha", "-o", tmp_path / "s")
    colour = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "c.nii")
    assert "c.nii: " in refused(tmp_path / "c.nii", "-o", tmp_path / "s")
    assert grid((1, 1, 1)).shape == (1, 1, 1, 3)
