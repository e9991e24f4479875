"""The tab that saves what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import viser

from cli.viewer import framing, saving
from cli.viewer.engine import Picture
from cli.viewer.panels import Images
from cli.viewer.session import Session
from cli.viewer.stage import Guard
from cli.viewer.tabs.measure import MeasureTab
from ussim.errors import UssimError


class SaveTab:
    """Fills the tab.

    Args:
        gui: Of the page, within the tab.
        session: Whose pictures and path are saved.
        images: That say which kind of image.
        measures: That are drawn on snapshots.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, gui: viser.GuiApi, session: Session, images: Images, measures: MeasureTab, guard: Guard):
        self._session, self._images, self._measures = session, images, measures
        for text, save in (
            ("Snapshot as PNG", self._save_png),
            ("Snapshot as DICOM", self._save_dicom),
            ("Last 10 s as MP4", self._save_mp4),
            ("Last 10 s as DICOM", self._save_cine),
        ):
            gui.add_button(text).on_click(guard(save))
        self._record = gui.add_checkbox("Record the probe's path", False)
        self._record.on_update(guard(lambda _: session.record(self._record.value)))
        gui.add_button("Path as a sweep (scene.toml)").on_click(guard(self._save_path))

    def _shot(self) -> tuple[Picture, np.ndarray]:
        picture, kind = self._session.picture, self._images.kind
        if picture is None:
            raise UssimError("no image is there yet")
        image = framing.image_of(picture, kind, self._session.palette)
        if image is None:
            raise UssimError(f"{kind} is not there yet: let the probe rest")
        return picture, image

    def _about(self, picture: Picture) -> dict[str, Any]:
        return saving.metadata(self._session.scene, picture, self._images.kind)

    def _grey(self, image: np.ndarray) -> np.ndarray:
        if image.ndim != 2:
            raise UssimError(f"{self._images.kind} has no grey levels: choose another image")
        return image

    def _save_png(self, event: Any) -> None:
        picture, image = self._shot()
        sheet = framing.framed(image, picture.probe, self._measures.drawn())
        measured = [
            {"kind": one.kind, "mm": round(one.value_mm, 2), "mesh_mm": true and round(true, 2)}
            for one, true in self._measures.measured
        ]
        self._send(event, picture, "png", saving.png(sheet, {**self._about(picture), "measured": measured}))

    def _save_dicom(self, event: Any) -> None:
        picture, image = self._shot()
        content = saving.dicom([self._grey(image)], picture.probe, self._about(picture))
        self._send(event, picture, "dcm", content)

    def _film(self) -> tuple[Picture, list[np.ndarray]]:
        """The last picture of the cine loop, and images of it in regular steps, all of one probe."""
        with self._session.lock:
            cine = list(self._session.cine)
        if not cine:
            raise UssimError("no image is there yet")
        last, kind = cine[-1], self._images.kind
        cine = [one for one in cine if one.probe == last.probe]
        times = np.arange(cine[0].done_s, last.done_s + 1e-6, 1 / saving.CLIP_FPS)
        at = np.searchsorted([one.done_s for one in cine], times, side="right") - 1
        images = {place: framing.image_of(cine[place], kind, self._session.palette) for place in set(at.tolist())}
        if any(image is None for image in images.values()):
            raise UssimError(f"{kind} was not made for all images of the last 10 s: choose low quality")
        return last, [images[place] for place in at.tolist()]  # type: ignore[misc]

    def _save_mp4(self, event: Any) -> None:
        last, images = self._film()
        framed = [framing.framed(image, last.probe) for image in images]
        self._send(event, last, "mp4", saving.mp4(framed, self._about(last)))

    def _save_cine(self, event: Any) -> None:
        last, images = self._film()
        content = saving.dicom([self._grey(image) for image in images], last.probe, self._about(last))
        self._send(event, last, "dcm", content)

    def _save_path(self, event: Any) -> None:
        if not self._session.path:
            raise UssimError("no path is recorded: switch it on and move the probe")
        text = saving.path_as_scene(self._session.scene, self._session.path)
        event.client.send_file_download("recorded.toml", text.encode(), save_immediately=True)

    def _send(self, event: Any, picture: Picture, kind: str, content: bytes) -> None:
        event.client.send_file_download(f"ussim_{picture.number}.{kind}", content, save_immediately=True)
