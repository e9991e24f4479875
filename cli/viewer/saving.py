"""What is taken away from the page: snapshots as PNG and DICOM, clips, and a path of the probe as a sweep."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

import ussim
from cli.viewer.engine import Picture
from ussim.errors import UssimError
from ussim.probe.probe import Probe
from ussim.scene.file import read_scene_file
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey
from ussim.scene.writer import scene_text, sweep_entry

RECORDED = "recorded"
"""Name of a recorded sweep."""
CLIP_FPS = 12
_LEAST_STEP_MM, _LEAST_TURN_DEG = 0.3, 0.3
_MOST_KEYS = 400
_ULTRASOUND, _MULTIFRAME = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
_CENTIMETRES, _TISSUE_2D = 3, 1  # codes of DICOM PS3.3, C.8.5.5


def metadata(scene: Scene, picture: Picture, what: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is known of an image: scene, pose, probe, and what kind it is."""
    return {
        "made_by": f"ussim {ussim.__version__}",
        "simulated": True,
        "image": what,
        "scene": scene.name,
        "scene_digest": scene.digest,
        "pose": [[round(float(value), 6) for value in row] for row in picture.pose],
        "probe": picture.probe.model_dump(mode="json"),
        "mm_per_pixel": picture.probe.mm_per_pixel,
        **(more or {}),
    }


def png(image: np.ndarray, about: dict[str, Any]) -> bytes:
    """An image as PNG; what is known of it lies in its text chunk ``ussim`` as JSON."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("ussim", json.dumps(about, ensure_ascii=False))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def dicom(images: Sequence[np.ndarray], probe: Probe, about: dict[str, Any], fps: float = CLIP_FPS) -> bytes:
    """Grey images as DICOM ultrasound: one as an image, several as a multi-frame one.

    Args:
        images: (H, W) uint8 each.
        probe: What made them; its pixels are given in cm in the sequence of ultrasound regions.
        about: As :func:`metadata` gives it.
        fps: Frames a second.

    Raises:
        UssimError: pydicom is not installed.
    """
    try:
        from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    except ImportError:
        raise UssimError('DICOM needs pydicom: pip install "ussim[view]"') from None
    stack, now = np.stack(images), datetime.now()
    height, width = stack.shape[1:]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _ULTRASOUND if len(stack) == 1 else _MULTIFRAME
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.PatientName, file.PatientID = "SIMULATED^USSIM", "SIMULATED"
    file.PatientBirthDate = file.PatientSex = file.AccessionNumber = file.ReferringPhysicianName = ""
    file.StudyID, file.SeriesNumber, file.InstanceNumber = "1", 1, 1
    file.StudyDate = file.ContentDate = now.strftime("%Y%m%d")
    file.StudyTime = file.ContentTime = now.strftime("%H%M%S")
    file.Modality, file.Manufacturer, file.SoftwareVersions = "US", "ussim", ussim.__version__
    file.ImageType = ["DERIVED", "SECONDARY"]  # no patient was there
    file.SeriesDescription = f"Simulated ultrasound, {about['image']}"[:64]
    file.ImageComments = json.dumps({key: about[key] for key in ("scene", "scene_digest", "pose")})[:10240]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.Rows, file.Columns = height, width
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation, file.LossyImageCompression = 7, 0, "00"
    if len(stack) > 1:
        file.NumberOfFrames, file.FrameTime = len(stack), round(1000 / fps, 3)
        file.FrameIncrementPointer = 0x00181063
    region = Dataset()
    (x0, z0), side = probe.image_origin_mm, probe.mm_per_pixel
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = _TISSUE_2D, _TISSUE_2D, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = width - 1, height - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = _CENTIMETRES
    region.PhysicalDeltaX = region.PhysicalDeltaY = side / 10
    # the middle of the transducer's face
    region.ReferencePixelX0, region.ReferencePixelY0 = round(-x0 / side), round(-z0 / side)
    region.ReferencePixelPhysicalValueX = region.ReferencePixelPhysicalValueY = 0.0
    region.TransducerFrequency = round(1000 * probe.frequency_mhz)  # kHz
    file.SequenceOfUltrasoundRegions = [region]
    file.PixelData = stack.tobytes() + b"\0" * (stack.size % 2)
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def mp4(images: Sequence[np.ndarray], about: dict[str, Any], fps: int = CLIP_FPS) -> bytes:
    """Images (H, W, 3) uint8 as a film, H.264.

    Raises:
        UssimError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise UssimError('films need PyAV: pip install "ussim[view]"') from None
    buffer = io.BytesIO()
    height, width = (side - side % 2 for side in images[0].shape[:2])  # what the codec takes
    with av.open(buffer, "w", format="mp4") as film:
        film.metadata["comment"] = json.dumps(about, ensure_ascii=False)
        stream = film.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), "rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return buffer.getvalue()


def path_as_scene(scene: Scene, poses: Sequence[np.ndarray]) -> str:
    """A scene.toml with the meshes where they are and one more sweep: a path of the probe.

    Raises:
        UssimError: The scene has no file, or the probe did not move.
    """
    if scene.path is None:
        raise UssimError("the scene was made in memory: there is no scene.toml to add a sweep to")
    keys = _keys(poses)
    if len(keys) < 2:
        raise UssimError("the probe did not move while its path was recorded")
    entry = sweep_entry(Sweep(RECORDED, tuple(keys), "Path of a probe held in the page of ussim view"))
    file, folder = read_scene_file(scene.path), scene.path.absolute().parent
    moved = file.model_copy(
        update={
            "tissues": [str(folder / name) for name in file.tissues],
            "surface": [one.model_copy(update={"mesh": str(folder / one.mesh)}) for one in file.surface],
            "sweep": [entry, *(one for one in file.sweep if one.name != RECORDED)],
        }
    )
    return scene_text(moved, [f"The scene {scene.path}, with a path recorded by ussim view as its first sweep."])


def _keys(poses: Sequence[np.ndarray]) -> list[SweepKey]:
    """Key frames, by distance along the skin; by angle where the probe was only turned.

    A sweep is regular in one of both: turns in one place are not kept of a path that leads elsewhere.
    """
    given = np.stack(poses)
    only_turned = bool((np.linalg.norm(given[:, :3, 3] - given[0, :3, 3], axis=1) < _LEAST_STEP_MM).all())
    kept = [given[0]]
    for pose in given[1:]:
        if only_turned:
            pose = pose.copy()
            pose[:3, 3] = given[0, :3, 3]
            cosine = (np.trace(pose[:3, :3].T @ kept[-1][:3, :3]) - 1) / 2
            is_new = np.degrees(np.arccos(np.clip(cosine, -1, 1))) >= _LEAST_TURN_DEG
        else:
            is_new = np.linalg.norm(pose[:3, 3] - kept[-1][:3, 3]) >= _LEAST_STEP_MM
        if is_new:
            kept.append(pose)
    stride = -(-len(kept) // _MOST_KEYS)
    return [SweepKey(tuple(pose[:3, 3]), tuple(pose[:3, 2]), tuple(pose[:3, 0])) for pose in kept[::stride]]
