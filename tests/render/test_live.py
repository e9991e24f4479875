"""A probe held in the hand shows what a renderer renders; on a GPU: ``test_cuda.py``."""

from __future__ import annotations

import numpy as np
import pytest
from support.cuda_frames import FEW, SMALL, phantom

from ussim.errors import UssimError
from ussim.probe.probe import ConvexProbe
from ussim.probe.quality import LQ
from ussim.render.live import Live
from ussim.render.renderer import Renderer


@pytest.fixture
def renderer() -> Renderer:
    one = Renderer(phantom(), ConvexProbe(**SMALL), backend="cpu")
    one.fit_tgc(np.eye(4))
    return one


def test_a_live_view_shows_what_is_rendered_also_between_other_frames(renderer):
    live, pose = Live(renderer, maps=True), np.eye(4)
    for number in range(3):
        pose[0, 3] = number
        look = live.look(pose, number)
        maps = renderer.maps(pose)
        np.testing.assert_array_equal(look.image, renderer.render(pose, LQ, [number])[0])
        np.testing.assert_array_equal(look.segmentation, maps.segmentation[0])
        np.testing.assert_array_equal(look.attenuation, maps.attenuation[0])
        renderer.render(pose, FEW)
    assert look.enhanced is None


def test_what_was_shown_stays_when_the_probe_moves_on(renderer):
    live, pose = Live(renderer), np.eye(4)
    first = live.look(pose)
    kept = first.image.copy()
    pose[0, 3] = 5
    assert (live.look(pose).image != kept).any()
    np.testing.assert_array_equal(first.image, kept)
    assert first.segmentation is None


def test_an_image_is_enhanced_from_what_the_enhancer_asks_for(renderer):
    class Enhance:
        arrays = ("lq", "attenuation")

        def __call__(self, maps):
            assert sorted(maps) == ["attenuation", "lq"]
            assert maps["attenuation"].dtype == np.float16
            return 255 - maps["lq"]

    look = Live(renderer, enhance=Enhance()).look(np.eye(4))
    np.testing.assert_array_equal(look.enhanced, 255 - look.image)


def test_what_is_no_pose_is_refused(renderer):
    with pytest.raises(UssimError, match="no rotation"):
        Live(renderer).look(2 * np.eye(4))
