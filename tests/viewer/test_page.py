"""The page, driven in a browser as a user would."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, sync_playwright
from playwright.sync_api import Page as Tab
from support import PATIENCE_S
from support.mesh_files import ball, stl_bytes
from support.viewer import DEPTH_MM, head_scene

from cli.viewer.console import GRIDS
from cli.viewer.page import Page
from cli.viewer.upload import MOST_BYTES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[Page]:
    page = Page(head_scene(), "127.0.0.1", 0, backend="cpu", finest=len(GRIDS) - 1)
    yield page
    page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Seen:
    """A tab of the browser, and what it said and fetched."""

    def __init__(self, browser: Browser, served: Page):
        self.served, self.session = served, served.session
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.tab: Tab = browser.new_page(viewport={"width": 1280, "height": 800})
        self.tab.set_default_timeout(1000 * PATIENCE_S)
        self.tab.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(f"http://127.0.0.1:{served.port}")
        self.open("Probe")
        self.until(lambda: self.image.count() and self.session.picture is not None)

    def open(self, name: str) -> None:
        self.tab.get_by_role("tab", name=name, exact=True).click()

    def press(self, name: str) -> None:
        self.tab.get_by_role("button", name=name, exact=True).click()

    def go(self, name: str) -> Any:
        """Press the button of a plane; the picture there, once the probe rests."""
        self.open("Probe")
        self.press(name)
        self.until(lambda: np.allclose(self.session.hold.pose, self.session.planes[name.lower()]))
        return self.at_rest()

    @property
    def image(self) -> Locator:
        return self.tab.locator("img[src^=blob]")

    def shown(self) -> str:
        return self.image.first.get_attribute("src") or ""

    def slider(self, label: str) -> Locator:
        """The field of a slider's number."""
        row = self.tab.locator("label", has_text=label).locator("xpath=ancestor::div[2]/..")
        return row.locator("input[inputmode=decimal]").first

    def set_slider(self, label: str, value: float) -> None:
        field = self.slider(label)
        field.fill(str(value))
        field.press("Enter")

    def choose(self, label: str, value: str) -> None:
        row = self.tab.locator("label", has_text=label).locator("xpath=ancestor::div[2]/..")
        row.locator("input").first.click()
        self.tab.get_by_role("option", name=value, exact=True).click()

    def until(self, holds: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while not holds():
            assert time.monotonic() < end, "it did not happen"
            self.tab.wait_for_timeout(50)

    @staticmethod
    def _is_whole(picture: Any) -> bool:
        return picture is not None and picture.hq is not None

    def at_rest(self) -> Any:
        """The picture, once the probe rests."""
        pose = self.session.hold.pose
        self.until(lambda: self._is_whole(self.session.picture) and np.array_equal(self.session.picture.pose, pose))
        return self.session.picture

    def says(self, text: str) -> None:
        self.tab.get_by_text(text).first.wait_for()

    def download(self, name: str) -> tuple[str, bytes]:
        with self.tab.expect_download() as waiting:
            self.press(name)
        path = waiting.value.path()
        return waiting.value.suggested_filename, Path(path).read_bytes()

    def click_3d(self, point_mm: np.ndarray) -> None:
        """Click where a point of the scene is seen."""
        (client,) = self.served._server.get_clients().values()
        camera = client.camera
        box = self.tab.locator("canvas").first.bounding_box()
        assert box is not None
        forward = np.subtract(camera.look_at, camera.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, camera.up_direction)
        right = right / np.linalg.norm(right)
        up = np.cross(right, forward)
        away = np.asarray(point_mm) - camera.position
        scale = box["height"] / 2 / np.tan(camera.fov / 2) / (away @ forward)
        x, y = away @ right * scale, away @ up * scale
        self.tab.mouse.click(box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 - y)


@pytest.fixture(scope="module")
def seen(browser: Browser, served: Page) -> Iterator[Seen]:
    seen = Seen(browser, served)
    yield seen
    seen.tab.close()


def test_the_page_loads_without_an_error_and_without_a_request_to_anybody_else(seen):
    seen.at_rest()
    assert seen.errors == []
    strange = [
        url for url in seen.requests if not url.startswith((f"http://127.0.0.1:{seen.served.port}", "data:", "blob:"))
    ]
    assert strange == []


def test_a_knob_changes_the_image(seen):
    usual, shown = seen.at_rest().lq.astype(int), seen.shown()
    seen.open("Knobs")
    seen.set_slider("Gain [dB]", 10)
    seen.until(lambda: seen.session.console.gain_db == 10)
    seen.until(lambda: np.abs(seen.session.picture.lq - usual).mean() > 5)
    seen.until(lambda: seen.shown() != shown)
    seen.set_slider("Gain [dB]", 0)
    seen.until(lambda: np.array_equal(seen.session.picture.lq, usual))


def test_a_plane_is_one_click_away(seen):
    for name in ("oblique", "transthalamic"):
        shown = seen.shown()
        assert np.allclose(seen.go(name.capitalize()).pose, seen.session.planes[name])
        seen.until(lambda shown=shown: seen.shown() != shown)


def test_keys_and_sliders_move_the_probe(seen):
    seen.open("Probe")
    before = seen.session.hold
    seen.tab.keyboard.press("l")
    seen.until(lambda: seen.session.hold.contact_mm[0] == pytest.approx(before.contact_mm[0] + 3))
    seen.tab.keyboard.press("t")
    tilt_deg = round(before.tilt_deg - 3, 1)
    seen.until(lambda: seen.session.hold.tilt_deg == pytest.approx(before.tilt_deg - 3))
    seen.until(lambda: float(seen.slider("Tilt").input_value()) == tilt_deg)  # where it strains, once the probe rests
    seen.set_slider("Tilt", 0)
    seen.until(lambda: seen.session.hold.tilt_deg == 0)
    seen.go("Transthalamic")


def test_a_frozen_image_stays(seen):
    seen.at_rest()
    seen.tab.get_by_label("Freeze").check()
    seen.until(lambda: seen.session.is_frozen)
    shown, picture = seen.shown(), seen.session.picture
    seen.press("Oblique")
    seen.tab.wait_for_timeout(700)
    assert seen.session.picture is picture
    assert seen.shown() == shown
    seen.tab.get_by_label("Freeze").uncheck()
    seen.until(lambda: np.allclose(seen.session.picture.pose, seen.session.planes["oblique"]))
    seen.go("Transthalamic")


def test_callipers_read_the_distance_between_clicks_and_the_mesh_its_own(seen):
    seen.open("Measure")
    (client,) = seen.served._server.get_clients().values()
    seen_s = client.camera.update_timestamp
    seen.press("Face the image")
    seen.until(lambda: client.camera.update_timestamp > seen_s)  # the page tells where its camera is
    seen.choose("Callipers", "BPD: biparietal diameter")
    pose = seen.session.hold.pose
    for x in (-25.0, 30.0):
        seen.click_3d(pose[:3, 3] + x * pose[:3, 0] + DEPTH_MM * pose[:3, 2])
        seen.tab.wait_for_timeout(400)
    seen.tab.get_by_role("cell", name="BPD").wait_for()
    cells = seen.tab.get_by_role("cell").all_inner_texts()
    assert float(cells[2]) == pytest.approx(55, rel=0.01)
    assert float(cells[4].split()[0]) == pytest.approx(60, rel=0.01)  # the ball
    seen.press("Clear")
    seen.choose("Callipers", "off")


def test_a_click_on_the_skin_puts_the_probe_there(seen):
    seen.open("Probe")
    (client,) = seen.served._server.get_clients().values()
    eye, aim = np.array(client.camera.position), np.array([25.0, 0.0, 60.0])
    seen.click_3d(aim)
    wanted = eye + (aim - eye) * (-100 - eye[1]) / (aim - eye)[1]  # on the side of the block, y = -100
    seen.until(lambda: np.linalg.norm(seen.session.hold.contact_mm - wanted) < 1)
    seen.go("Transthalamic")


def test_snapshots_and_clips_are_read_back(seen):
    seen.go("Oblique")
    picture = seen.go("Transthalamic")
    seen.open("Save")
    name, content = seen.download("Snapshot as PNG")
    assert name.endswith(".png")
    with Image.open(io.BytesIO(content)) as image:
        assert json.loads(image.text["ussim"])["scene"] == "head"
        assert np.array_equal(
            np.asarray(image)[:, : picture.lq.shape[1], 0][150:300, 100:300], picture.lq[150:300, 100:300]
        )
    name, content = seen.download("Snapshot as DICOM")
    assert name.endswith(".dcm")
    assert np.array_equal(pydicom.dcmread(io.BytesIO(content)).pixel_array, picture.lq)
    name, content = seen.download("Last 10 s as MP4")
    with av.open(io.BytesIO(content)) as film:
        frames = list(film.decode(video=0))
    assert len(frames) > 5
    assert (frames[0].height, frames[0].width) == (picture.lq.shape[0], picture.lq.shape[1] + 34)
    _, content = seen.download("Last 10 s as DICOM")
    assert pydicom.dcmread(io.BytesIO(content)).NumberOfFrames == len(frames)


def test_planes_are_practised_and_scored(seen):
    seen.open("Practise")
    seen.press("Begin")
    seen.says("1 of 2")
    for _ in range(2):
        seen.press("This is the plane")
    seen.says("of 2 planes found")
    name, content = seen.download("Results as CSV")
    assert name == "ussim_planes.csv"
    assert len(content.decode().splitlines()) == 3


def test_a_closed_or_second_tab_harms_nothing(seen, browser):
    second = Seen(browser, seen.served)
    second.go("Oblique")
    seen.until(lambda: np.allclose(seen.session.picture.pose, seen.session.planes["oblique"]))
    second.tab.close()
    seen.go("Transthalamic")
    assert second.errors == seen.errors == []


def test_an_upload_is_checked_and_shown_and_a_bad_one_is_refused(seen):
    seen.open("Scene")

    def upload(name: str, content: bytes) -> None:
        with seen.tab.expect_file_chooser() as waiting:
            seen.press("Upload")
        waiting.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})

    upload("notes.txt", b"hello")
    seen.says("neither a mesh")
    upload("bad.stl", b"solid nothing\n")
    seen.says("bad.stl")
    assert seen.session.scene.name == "head"
    upload("liver.stl", stl_bytes(ball(60.0)))
    seen.until(lambda: seen.session.scene.name != "head")
    assert [one.tissue for one in seen.session.scene.surfaces] == ["liver"]
    seen.at_rest()
    seen.tab.get_by_role("checkbox", name="skin").wait_for()
    assert seen.errors == []


def test_a_huge_upload_is_refused_before_it_is_there(seen):
    from viser import _messages

    seen.open("Scene")
    refuse = seen.served._server.gui._websock_interface._incoming_handlers[_messages.FileTransferStartUpload][-1]
    refuse(0, _messages.FileTransferStartUpload("u", "t", "big.stl", "model/stl", 9, MOST_BYTES + 1))
    seen.says("big.stl: 200 MB; allowed: at most 200 MB")
