"""What is taken away from the page, read back by the libraries that others read it with."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from support.commands import ussim
from support.viewer import head_scene, pose_at

from cli.viewer import saving
from cli.viewer.engine import Picture
from ussim.errors import UssimError
from ussim.probe.probe import ConvexProbe
from ussim.scene.scene import Scene

PROBE = ConvexProbe(image_height=120, image_width=166)
GREY = [np.random.default_rng(seed).integers(0, 256, (120, 166), np.uint8) for seed in range(3)]


@pytest.fixture(scope="module")
def about() -> dict:
    nothing: dict = dict.fromkeys(("enhanced", "hq", "segmentation", "attenuation"))
    picture = Picture(7, head_scene(), pose_at(3), PROBE, GREY[0], **nothing, asked_s=0, done_s=0)
    return saving.metadata(head_scene(), picture, "low quality")


def test_a_png_holds_its_pixels_and_what_is_known_of_them(about):
    with Image.open(io.BytesIO(saving.png(GREY[0], about))) as image:
        assert np.array_equal(np.asarray(image), GREY[0])
        known = json.loads(image.text["ussim"])
    assert known["scene"] == "head"
    assert known["pose"][0][3] == 3
    assert known["probe"]["depth_mm"] == 150
    assert known["simulated"] is True


@pytest.mark.parametrize("count", [1, 3])
def test_a_dicom_file_is_read_back_with_its_pixels_and_their_size_in_cm(about, count):
    file = pydicom.dcmread(io.BytesIO(saving.dicom(GREY[:count], PROBE, about, fps=10)))
    assert np.array_equal(np.squeeze(file.pixel_array), np.squeeze(np.stack(GREY[:count])))
    (region,) = file.SequenceOfUltrasoundRegions
    assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)  # cm
    assert region.PhysicalDeltaX == region.PhysicalDeltaY == pytest.approx(PROBE.mm_per_pixel / 10)
    (x0, z0), side = PROBE.image_origin_mm, PROBE.mm_per_pixel
    at = x0 + region.ReferencePixelX0 * side, z0 + region.ReferencePixelY0 * side
    assert np.abs(at).max() <= side / 2 + 1e-9  # the middle of the face
    assert file.Modality == "US"
    assert file.file_meta.MediaStorageSOPClassUID.name == (
        "Ultrasound Image Storage" if count == 1 else "Ultrasound Multi-frame Image Storage"
    )
    assert "SIMULATED" in str(file.PatientName)
    if count > 1:
        assert (file.NumberOfFrames, file.FrameTime) == (3, 100)


def test_a_dicom_file_of_odd_size_has_an_even_length(about):
    odd = np.zeros((121, 165), np.uint8)
    file = pydicom.dcmread(io.BytesIO(saving.dicom([odd], PROBE, about)))
    assert len(file.PixelData) == 121 * 165 + 1
    assert file.pixel_array.shape == odd.shape


def test_a_film_has_its_frames_size_and_rate(about):
    smooth = np.linspace(0, 255, 120 * 200).reshape(120, 200).astype(np.uint8)
    images = [np.repeat(np.roll(smooth, 10 * shift, axis=1)[..., None], 3, axis=2) for shift in range(6)]
    with av.open(io.BytesIO(saving.mp4([*images, images[0][:, :199]][:6], about, fps=12))) as film:
        (stream,) = film.streams.video
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(stream)]
        assert stream.average_rate == 12
        assert json.loads(film.metadata["comment"])["scene"] == "head"
    assert len(frames) == 6
    for frame, image in zip(frames, images, strict=True):
        assert frame.shape == image.shape
        assert np.abs(frame.astype(int) - image).mean() < 3


def test_a_recorded_path_is_a_sweep_that_renders(ball_scene, tmp_path):
    scene = Scene.load(ball_scene)
    start = scene.sweep().poses(1)[0]
    poses = []
    for x in np.linspace(0, 6, 25):
        pose = start.copy()
        pose[0, 3] += x
        poses += [pose, pose]  # it rested in between
    written = tmp_path / "recorded.toml"
    written.write_text(saving.path_as_scene(scene, poses), encoding="utf-8")
    found = Scene.load(written).sweep()
    assert found.name == saving.RECORDED
    assert len(found.keys) == 13  # steps of 0.25 mm are joined until they make 0.3
    assert found.poses(2)[-1][0, 3] == pytest.approx(start[0, 3] + 6, abs=0.3)
    result = ussim("render", written, "-o", tmp_path / "s.zarr", "--frames", 5, "--dry-run")
    assert result.exit_code == 0, result.output


def test_a_recorded_turn_in_one_place_is_a_sweep_of_angles(ball_scene, tmp_path):
    scene = Scene.load(ball_scene)
    start, turned = scene.sweep().poses(1)[0], []
    for degrees in np.linspace(0, 20, 41):
        pose = start.copy()
        pose[:3, :3] = start[:3, :3] @ Rotation.from_euler("X", degrees, degrees=True).as_matrix()
        turned.append(pose)
    written = tmp_path / "recorded.toml"
    written.write_text(saving.path_as_scene(scene, turned), encoding="utf-8")
    first, last = Scene.load(written).sweep().poses(2)
    np.testing.assert_allclose(first[:3, 3], last[:3, 3])
    assert np.degrees(np.arccos((np.trace(first[:3, :3].T @ last[:3, :3]) - 1) / 2)) == pytest.approx(20, abs=0.6)


def test_a_path_that_leads_nowhere_and_a_scene_without_a_file_are_refused(ball_scene):
    scene = Scene.load(ball_scene)
    with pytest.raises(UssimError, match="the probe did not move"):
        saving.path_as_scene(scene, [scene.sweep().poses(1)[0]] * 5)
    with pytest.raises(UssimError, match=r"no scene\.toml to add a sweep to"):
        saving.path_as_scene(head_scene(), [pose_at(0), pose_at(5)])
