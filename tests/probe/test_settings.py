"""Settings of a rendering: from Python as from the command line, finite and within their ranges."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from translate.settings import TrainSettings
from ussim.errors import UssimError
from ussim.probe.imaging import Imaging
from ussim.probe.probe import KINDS, LinearProbe
from ussim.probe.quality import HQ, Quality
from ussim.probe.settings import build_settings


def test_values_say_the_same_as_texts():
    texts = build_settings(["probe.kind=linear", "probe.depth_mm=40", "imaging.noise_db=-90", "hq.rays=8"])
    values = build_settings(
        probe={"kind": "linear", "depth_mm": 40}, imaging={"noise_db": -90}, hq={"rays": 8}, size=None
    )
    assert values == texts
    assert values.probe == LinearProbe(depth_mm=40)
    assert values.qualities["hq"] == HQ.model_copy(update={"rays": 8})


def test_texts_and_values_add_up():
    settings = build_settings(["probe.depth_mm=120"], ["lq"], (100, 140), probe={"frequency_mhz": 3.5})
    assert (settings.probe.depth_mm, settings.probe.frequency_mhz) == (120, 3.5)
    assert settings.probe.image_shape == (100, 140)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prob": {"depth_mm": 9}}, "no section 'prob' (did you mean 'probe'?): must be one of probe, imaging, lq, hq"),
        ({"probe": 120}, "probe = 120 is not allowed: must be values by field name"),
        ({"probe": {"depth": 120}}, "probe has no setting 'depth' (did you mean 'depth_mm'?)"),
        ({"probe": {"depth_mm": -5}}, "probe.depth_mm = -5 is not allowed: must be a number >= 5 and <= 500"),
        ({"probe": {"kind": ["convex"]}}, "probe.kind = ['convex'] is not allowed"),
        (
            {"assignments": ["imaging.lobe_exponent=4"]},
            "imaging.lobe_exponent was retired after 0.1.0: a wall is as bright as it faces the aperture; leave it out",
        ),
        ({"hq": {"taps": 4}}, "hq.taps was retired after 0.1.0: every scatterer of the beam counts once; leave it out"),
        ({"assignments": ["lq.rays=4"], "lq": {"rays": 8}}, "lq.rays is given twice, as text and as a value"),
        ({"size": (10, 10), "probe": {"image_width": 80}}, "probe.image_width say the same thing twice"),
        ({"qualities": ["lq"], "hq": {"rays": 8}}, "hq is not rendered"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message):
    with pytest.raises(UssimError) as caught:
        build_settings(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [*KINDS.values(), Imaging, TrainSettings])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_no_number_may_be_infinite(model, value):
    numbers = [name for name, field in model.model_fields.items() if field.annotation is float]
    assert len(numbers) >= 7
    for name in numbers:
        with pytest.raises(ValidationError):
            model(**{name: value})


# What nobody could build or hold ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (
            {"kind": "linear", "width_mm": 15},
            "probe.aperture_mm = 16 is not allowed: the face of the probe is 15 mm wide; "
            "must be a number > 0.5 and <= 15",
        ),
        (
            {"field_of_view_deg": 18, "radius_mm": 50},
            "probe.aperture_mm = 16 is not allowed: the face of the probe is 15.708 mm wide; "
            "must be a number > 0.5 and <= 15.708",
        ),
        (
            {"kind": "linear", "elevation_focus_mm": 2},
            "probe.elevation_focus_mm = 2 is not allowed: it lies inside the lens, which is 5 mm high; "
            "must be a number >= 2.5 and <= 500",
        ),
    ],
    ids=["linear", "convex", "lens"],
)
def test_a_probe_that_cannot_be_is_told_in_one_line_with_what_may_be(probe, message):
    with pytest.raises(UssimError) as caught:
        build_settings(probe=probe)
    assert str(caught.value) == message


def test_an_aperture_as_wide_as_the_face_and_a_lens_of_half_a_cylinder_are_allowed():
    build_settings(probe={"kind": "linear", "width_mm": 22, "aperture_mm": 22})
    build_settings(probe={"kind": "phased", "aperture_mm": 30})  # its face is its aperture
    build_settings(probe={"elevation_aperture_mm": 20, "elevation_focus_mm": 10})


def test_an_image_starts_from_a_preset():
    settings = build_settings(["hq.preset=reference", "hq.layers=5"], lq={"preset": "hq"})
    assert settings.qualities == {"lq": HQ, "hq": Quality(rays=512, layers=5)}
    with pytest.raises(UssimError) as caught:
        build_settings(["hq.preset=referense"])
    assert str(caught.value) == (
        "hq.preset = 'referense' is not allowed (did you mean 'reference'?): must be one of lq, hq, reference"
    )


def test_more_rays_than_there_are_is_told_with_the_most_allowed():
    with pytest.raises(UssimError) as caught:
        build_settings(hq={"rays": 65_537})
    assert str(caught.value) == "hq.rays = 65537 is not allowed: must be a whole number >= 1 and <= 65536"
