"""Make the pictures of the page of `ussim view`: it is opened in Chromium as a user would, at two widths.

python docs/make_viewer.py
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from cli.viewer.page import Page
from meshes.cache import cached_scene
from translate.use.inference import Generator
from ussim.scene.scene import Scene

IMAGES = Path(__file__).parent / "images"
SIZES = {1280: 860, 800: 1000}
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def main() -> None:
    """Make both."""
    chromium = shutil.which("chromium") or sys.exit("no Chromium on this machine")
    page = Page(Scene.load(cached_scene("demo")), "127.0.0.1", 0, Generator.default())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for width, height in SIZES.items():
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(f"http://127.0.0.1:{page.port}")
            tab.get_by_role("tab", name="Image", exact=True).wait_for(timeout=60_000)
            tab.wait_for_timeout(15_000)  # until the probe has come to rest and all is drawn
            # a note on software rendering; a real click would scroll the page
            tab.locator(".mantine-Notification-closeButton").evaluate("button => button.click()")
            tab.wait_for_timeout(1_000)
            shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            shot.save(IMAGES / f"viewer_{width}.jpg", quality=88)
            tab.close()
        browser.close()
    page.close()


if __name__ == "__main__":
    main()
