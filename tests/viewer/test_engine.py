"""The thread that renders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support import PATIENCE_S
from support.viewer import head_scene, pose_at

from cli.viewer import engine as module
from cli.viewer.console import GRIDS, Console, Grid
from cli.viewer.engine import Engine, Picture
from cli.viewer.scanner import Wants
from ussim.errors import UssimError

SCENE = head_scene()
TINY = Grid(96, 132, 32)


class Seen:
    """What an engine showed and told, and a way to wait for it."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.told: list[str] = []
        self._more = threading.Condition()

    def show(self, picture: Picture) -> None:
        with self._more:
            self.pictures.append(picture)
            self._more.notify_all()

    def tell(self, text: str) -> None:
        with self._more:
            self.told.append(text)
            self._more.notify_all()

    def until(self, holds: Callable[[], Any]) -> None:
        count = len(self.told)
        with self._more:
            self._more.wait_for(lambda: holds() or len(self.told) > count, timeout=PATIENCE_S)
            assert holds(), self.told

    @property
    def last(self) -> Picture:
        return self.pictures[-1]


@pytest.fixture
def seen(monkeypatch) -> Iterator[tuple[Engine, Seen]]:
    monkeypatch.setattr(module, "GRIDS", (TINY, TINY, Grid(64, 88, 16)))
    seen = Seen()
    engine = Engine(SCENE, pose_at(0), seen.show, seen.tell, backend="cpu", finest=1)
    engine.start()
    seen.until(lambda: any(one.hq is not None for one in seen.pictures))
    yield engine, seen
    engine.stop()


def test_the_newest_pose_is_shown_and_those_in_between_are_dropped(seen):
    engine, heard = seen
    before = len(heard.pictures)
    for x in np.linspace(0, 10, 200):
        engine.ask(pose=pose_at(x))
    heard.until(lambda: heard.last.pose[0, 3] == 10)
    assert len(heard.pictures) - before < 100
    shown = [one.pose[0, 3] for one in heard.pictures[before:]]
    assert shown == sorted(shown)


def test_a_probe_at_rest_gets_high_quality_and_maps_once(seen):
    engine, heard = seen
    engine.ask(pose=pose_at(5))
    heard.until(lambda: heard.last.pose[0, 3] == 5 and heard.last.hq is not None)
    picture = heard.last
    assert picture.hq.shape == picture.lq.shape == picture.segmentation.shape == picture.attenuation.shape == (96, 132)
    assert not np.array_equal(picture.hq, picture.lq)
    assert set(np.unique(picture.segmentation)) >= {0, 2}
    count = len(heard.pictures)
    time.sleep(3 * module.REST_S)
    assert len(heard.pictures) == count


def test_knobs_change_the_image_at_once(seen):
    engine, heard = seen
    usual = heard.last.lq.astype(float)
    for console in (
        Console(gain_db=10.0), Console(dynamic_range_db=40.0), Console(frequency_mhz=4.0), Console(focus_mm=30.0),
        Console(tgc_db=(0.0,) * 4 + (12.0,) * 4),
    ):  # fmt: skip
        count = len(heard.pictures)
        engine.ask(console=console)
        heard.until(lambda count=count: len(heard.pictures) > count)
        assert np.abs(heard.pictures[count].lq - usual).mean() > 1, console
    engine.ask(console=Console(depth_mm=100.0))
    heard.until(lambda: heard.last.probe.depth_mm == 100)


def test_gain_by_depth_brightens_its_depths_only(seen):
    engine, heard = seen
    heard.until(lambda: heard.last.hq is not None)
    usual = heard.last.lq.astype(int)
    count = len(heard.pictures)
    engine.ask(console=Console(tgc_db=(0.0,) * 7 + (15.0,)))
    heard.until(lambda: len(heard.pictures) > count)
    change = heard.pictures[count].lq - usual
    rows = np.arange(96)[:, None].repeat(132, axis=1)
    assert np.abs(change[rows < 60]).max() <= 1
    assert change[(rows > 88) & (usual > 0)].mean() > 10


def test_what_goes_wrong_is_told_and_rendering_goes_on(seen):
    engine, heard = seen
    bad = pose_at(0)
    bad[0, 0] = np.nan
    engine.ask(pose=bad)
    heard.until(lambda: heard.told)
    time.sleep(2 * module.REST_S)
    assert len(heard.told) == 1
    assert "NaN" in heard.told[0]
    engine.ask(pose=pose_at(7))
    heard.until(lambda: heard.last.pose[0, 3] == 7)


def test_a_generator_that_does_not_fit_is_told_of_and_the_rest_is_shown(seen, monkeypatch):
    engine, heard = seen

    def refuses(*_: Any) -> None:
        raise UssimError("pixels of 1.5 mm")

    monkeypatch.setattr("translate.use.live.LiveEnhancer", refuses)
    engine._generator = object()
    engine.ask(wants=Wants(enhanced=True), pose=pose_at(4))
    heard.until(lambda: heard.told)
    heard.until(lambda: heard.last.pose[0, 3] == 4)
    assert heard.told == ["not enhanced: pixels of 1.5 mm"]
    assert heard.last.enhanced is None


def test_a_probe_in_the_air_sees_its_face_ring_at_equal_distances_and_nothing_else(seen):
    engine, heard = seen
    count = len(heard.pictures)
    engine.ask(is_in_air=True)
    heard.until(lambda: len(heard.pictures) > count and heard.last.hq is not None)
    image, probe = heard.last.lq, heard.last.probe
    _, depth = probe.pixel_lines()
    deep = image[(probe.mask() > 0) & (depth > 30)]
    assert deep.mean() < 20
    assert not heard.last.segmentation.any()
    engine.ask(is_in_air=False)
    heard.until(lambda: heard.last.segmentation is not None and heard.last.segmentation.any())


def test_a_slow_machine_spares_the_page_then_renders_fewer_pixels_and_says_so(seen):
    engine, heard = seen
    assert not engine.speed.is_strained
    for _ in range(module._PATIENCE):
        engine._suit_grid(1.0, module.SLOWEST_S)
    assert (engine.speed.is_strained, engine.speed.is_reduced) == (True, False)
    for _ in range(module._PATIENCE):
        engine._suit_grid(1.0, module.SLOWEST_S)
    assert engine.speed.is_reduced
    engine.ask(pose=pose_at(1))
    heard.until(lambda: heard.last.lq.shape == (64, 88))
    for _ in range(8 * module._PATIENCE):
        engine._suit_grid(0.001, module.SLOWEST_S)
    assert (engine.speed.is_strained, engine.speed.is_reduced) == (True, False)
    for _ in range(8 * module._PATIENCE):
        engine._suit_grid(0.001, module.SLOWEST_S)
    assert not engine.speed.is_strained


def test_high_quality_of_a_probe_that_moves_on_is_given_up(seen, monkeypatch):
    engine, heard = seen

    def moves_on() -> None:
        if heard.last.pose[0, 3] != 8:
            engine.ask(pose=pose_at(8))
        give_way()

    give_way = engine._give_way
    monkeypatch.setattr(engine, "_give_way", moves_on)
    engine.ask(pose=pose_at(6))
    heard.until(lambda: heard.last.pose[0, 3] == 8 and heard.last.hq is not None)
    assert not any(one.hq is not None for one in heard.pictures if one.pose[0, 3] == 6)


def test_an_ended_engine_renders_no_more(seen):
    engine, heard = seen
    engine.stop()
    count = len(heard.pictures)
    engine.ask(pose=pose_at(9))
    time.sleep(0.3)
    assert len(heard.pictures) == count


def test_grids_have_the_shape_of_full_size_images():
    for grid in GRIDS:
        assert grid.width / grid.height == pytest.approx(1386 / 1000, rel=2e-3)
