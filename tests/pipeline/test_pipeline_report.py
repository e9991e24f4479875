"""The report of a pipeline: complete in itself, true to the evaluation, and readable in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from support import PATIENCE_S

from cli.pipeline.report.evaluation import load_evaluation

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)"
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()


class Elements(HTMLParser):
    """All start tags of a page with their attributes, and the text of its cells."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self._in_cell = True
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def page(finished) -> str:
    return (finished / "report.html").read_text(encoding="utf-8")


def test_the_page_asks_for_nothing_outside_itself(page):
    for tag, attributes in Elements(page).tags:
        for name in ("src", "href", "xlink:href", "data", "poster", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value[:60]}>"
    assert "default-src 'none'" in page  # a browser would refuse any that slips through
    assert not re.findall(r"@import|url\((?!#|['\"]?data:)", page)
    assert '<link rel="stylesheet"' not in page


def test_every_picture_can_be_decoded_and_is_described(page):
    pictures = [attributes for tag, attributes in Elements(page).tags if tag == "img"]
    assert len(pictures) == 2 + 2 + 2 * 7  # before and after, two stills, seven of each of two frames
    for attributes in pictures:
        assert attributes["alt"]
        data = base64.b64decode(attributes["src"].partition("base64,")[2])
        picture = Image.open(io.BytesIO(data))
        picture.load()
        assert picture.size == (int(attributes["width"]), int(attributes["height"]))


def test_the_page_shows_the_tables_of_the_evaluation(page, finished):
    cells = {cell.strip() for cell in Elements(page).cells}
    for table in load_evaluation(finished / "evaluation").tables:
        for row in table.rows:
            assert {*row} <= cells


def test_the_verdict_follows_the_figures(finished):
    evaluation = load_evaluation(finished / "evaluation")
    low, *rest = json.loads((finished / "evaluation" / "report.json").read_text())["rows"]
    assert len(evaluation.verdicts) == 3 * len(rest)
    for verdict in evaluation.verdicts:
        row = next(row for row in rest if row["name"] == verdict.row)
        before, after = (part["whole"][verdict.figure]["mean"] for part in (low, row))
        assert verdict.is_better == (after < before if verdict.figure == "pkl" else after > before)
        assert ("not better" in verdict.text) != verdict.is_better


@needs_browser
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_the_page_without_errors_requests_or_sideways_scrolling(page, width, tmp_path):
    measured = tmp_path / "page.html"
    script = (
        "<script>addEventListener('load', () => { document.title = JSON.stringify({"
        "scroll: document.documentElement.scrollWidth, width: innerWidth, "
        "broken: [...document.images].filter(i => i.loading != 'lazy' && !i.naturalWidth).length, "
        "fetched: performance.getEntriesByType('resource')."
        "filter(r => !r.name.startsWith('data:')).length}) })</script>"
    )
    # a headless window is never narrower than 500 px: a frame of the wanted width is
    measured.write_text(page.replace("</body>", script + "</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<iframe src='page.html' width={width} height=3000 style='border:0' "
        "onload='setTimeout(() => document.title = this.contentDocument.title, 50)'></iframe>"
    )
    command = [
        CHROMIUM, *FLAGS, "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1400,3000", "--enable-logging=stderr", "--virtual-time-budget=4000",
        "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stdout[:500]
    found = json.loads(title.group(1))
    assert found["width"] == width
    assert found["scroll"] <= width
    assert found["broken"] == 0
    assert found["fetched"] == 0
    assert "CONSOLE" not in done.stderr


def test_the_overview_shows_five_views_of_two_frames(finished):
    overview = Image.open(finished / "overview.jpg")
    height = round(360 * 96 / 133)
    assert overview.size == (5 * (360 + 4) + 4, 23 + 2 * (height + 4))


def test_the_template_is_part_of_the_package():
    import cli.pipeline.report.page as module

    assert module.TEMPLATE.is_file()
    assert Path(module.__file__).parent == module.TEMPLATE.parent
