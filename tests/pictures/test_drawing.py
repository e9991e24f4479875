"""What pictures are drawn with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ussim.pictures.drawing import picture_grid

GREY = [[Image.new("L", (60, 40), 10 * (3 * row + column + 1)) for column in range(3)] for row in range(2)]


@pytest.mark.parametrize(("dark", "background"), [(True, 0), (False, 255)])
def test_a_grid_holds_every_picture_pixel_for_pixel(dark, background):
    sheet = np.asarray(picture_grid(GREY, ["a", "b", "c"], dark=dark))
    assert sheet.shape == (15 + 8 + 2 * 44, 3 * 64 + 4)
    for row in range(2):
        for column in range(3):
            top, left = 23 + row * 44, 4 + column * 64
            assert (sheet[top : top + 40, left : left + 60] == 10 * (3 * row + column + 1)).all()
    assert (sheet[23:, :4] == background).all()
    assert (sheet[:23, 4:64] != background).any()  # the first title


def test_rows_are_named_in_their_first_picture():
    plain, named = (np.asarray(picture_grid(GREY, "abc", names)) for names in ((), ("one", "two")))
    changed = plain != named
    assert changed[23:63, 4:64].any()
    assert changed[67:107, 4:64].any()
    assert not changed[:, 64:].any()


def test_a_grid_with_a_colour_picture_is_in_colour():
    row = [Image.new("L", (60, 40), 90), Image.new("RGB", (60, 40), "red")]
    sheet = picture_grid([row], ["grey", "colour"])
    assert sheet.mode == "RGB"
    assert sheet.getpixel((30, 40)) == (90, 90, 90)
    assert sheet.getpixel((94, 40)) == (255, 0, 0)
