"""How fast the page of `ussim view` is, measured in a browser: images a second, from a key to the photon, memory.

    python tests/bench/view_page.py [--minutes 10] [--generator default|none] [--shows enhanced]

The browser draws in software on the same machine, so it takes a good part of it. `images/s` counts images that the
browser has decoded while the probe is moved 25 times a second; `key to image` is the time from a key that moves
the probe until the next image is decoded: of keys in a row, and of keys at random moments, when high quality may have
been begun.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright

from cli.view import open_generator
from cli.viewer.page import Page
from meshes.cache import cached_scene
from ussim.scene.scene import Scene

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip
WATCH = """
window.seen = []; window.keyed = [];
const image = [...document.querySelectorAll('img')].find(one => one.src.startsWith('blob:'));
image.addEventListener('load', () => window.seen.push(performance.now()));
document.addEventListener('keydown', () => window.keyed.push(performance.now()), true);
"""


def images_a_second(page: Page, tab: Tab, seconds: float) -> tuple[float, float]:
    """That the browser decoded, and that the server made, while the probe moved."""
    tab.evaluate("window.seen = []")
    hold, began, number = page.session.hold, time.monotonic(), page.session.picture.number
    while (now := time.monotonic() - began) < seconds:
        page.session.move(replace(hold, tilt_deg=hold.tilt_deg + 8 * float(np.sin(now))))
        tab.wait_for_timeout(40)
    made = page.session.picture.number - number
    page.session.move(hold)
    return len(tab.evaluate("window.seen")) / seconds, made / seconds


def key_to_image_ms(tab: Tab, presses: int, least_ms: float, most_ms: float) -> np.ndarray:
    """Milliseconds from each key to the next image; keys follow upon images after a random time."""
    waits = []
    for number in range(presses):
        tab.wait_for_timeout(random.uniform(least_ms, most_ms))
        tab.evaluate("window.seen = []; window.keyed = []")
        tab.keyboard.press("l" if number % 2 else "j")
        tab.wait_for_function("window.seen.length > 0")
        waits.append(tab.evaluate("window.seen.find(t => t > window.keyed[0]) - window.keyed[0]"))
    return np.array(waits, float)


def memory_mb() -> float:
    """Of this process, resident; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=0.0, help="of moving, over which memory is watched")
    options.add_argument("--generator", default="default")
    options.add_argument("--shows", default="low quality")
    options.add_argument("--presses", type=int, default=40)
    given = options.parse_args()
    generator = open_generator(given.generator)
    chromium = shutil.which("chromium") or sys.exit("no Chromium on this machine")
    page = Page(Scene.load(cached_scene("demo")), "127.0.0.1", 0, generator)
    while page.session.picture is None or page.session.picture.hq is None:
        time.sleep(0.05)  # compiled, or read from the cache
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.monotonic()
        tab.goto(f"http://127.0.0.1:{page.port}")
        tab.wait_for_function(
            "[...document.querySelectorAll('img')].some(one => one.src.startsWith('blob:') && one.naturalWidth)"
        )
        print(f"first image after {time.monotonic() - began:.1f} s")
        page.session.want("0", given.shows)
        tab.wait_for_timeout(5000)
        tab.evaluate(WATCH)
        for _ in range(3):
            seen, made = images_a_second(page, tab, 10.0)
            print(f"{given.shows}: {seen:.1f} images/s in the browser, {made:.1f} made; {page.session.engine.speed}")
        for how, gap_ms in (("in a row", (20, 120)), ("now and then", (300, 1500))):
            waits = key_to_image_ms(tab, given.presses, *gap_ms)
            p50, p95 = np.percentile(waits, (50, 95))
            print(f"key to image, keys {how}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, of {len(waits)}")
        for _ in range(round(given.minutes * 6)):
            images_a_second(page, tab, 10.0)
            print(f"memory of the server {memory_mb():.0f} MB", flush=True)
        browser.close()
    page.close()


if __name__ == "__main__":
    main()
