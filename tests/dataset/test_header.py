"""Headers: old ones open with the digest they had, damaged ones end in one line, machines are recorded."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from support.jobs import FakeRenderer, ball_plan

from ussim.dataset import job
from ussim.dataset.digests import attributes_digest
from ussim.dataset.machine import Machine, this_machine
from ussim.dataset.schema import PHYSICS_VERSION, SCHEMA_VERSION, Header
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError
from ussim.pictures.contact_sheet import contact_sheet
from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe
from ussim.probe.retired import RETIRED

OLD = """{"attributes": {
  "backend": "cpu", "frames": 3,
  "image": {"height": 24, "mm_per_pixel": 4.866709156917966, "origin_mm": [-77.86734651068745, -9.584114418776768],
    "width": 33},
  "imaging": {"acceptance_rad": 0.03, "attenuation_scale": 0.25, "dynamic_range_db": 60.0, "interface_gain_db": 28.0,
    "lobe_exponent": 6.0, "max_reflections": 10, "max_segments": 40, "noise_db": -72.0, "reference_db": 15.0,
    "scatter_pitch_mm": 0.1, "tgc_limit_db": 80.0},
  "probe": {"aperture_mm": 22.0, "axial_samples": 64, "bandwidth": 0.6, "depth_mm": 100.0,
    "elevation_aperture_mm": 12.0, "elevation_focus_mm": 70.0, "f_number": 2.0, "field_of_view_deg": 70.0,
    "focus_mm": 70.0, "frequency_mhz": 8.0, "image_height": 24, "image_width": 33, "kind": "convex",
    "radius_mm": 40.0, "scanlines": 16},
  "qualities": {"hq": {"layers": 3, "rays": 32, "taps": 16}, "lq": {"layers": 1, "rays": 1, "taps": 16}},
  "scene": {"digest": "b06408a45074c9f513d26d86219a92f21615dac81ce05fd034221432b85fe5c9", "name": "ball"},
  "schema_version": 1, "seed": 0, "split_seed": 0, "sweep": "exam",
  "tgc_db": [GAINS],
  "tissues": [
    {"color": "#000000", "id": 0, "name": "outside the sector"},
    {"attenuation_db_cm_mhz": 0.05, "attenuation_exponent": 1.0, "color": "#1c2733", "density_kg_m3": 1000.0,
      "id": 1, "name": "gel", "roughness_exponent": 10000.0, "scatter_density": 0.0, "scatter_mean": 0.0,
      "scatter_std": 0.0, "source": "estimate: coupling gel set to the display's 1540 m/s so that it displaces nothing",
      "speed_m_s": 1540.0, "thickness_mm": 0.0},
    {"attenuation_db_cm_mhz": 0.5, "attenuation_exponent": 1.0, "color": "#7a4a2b", "density_kg_m3": 1060.0,
      "id": 2, "name": "liver", "roughness_exponent": 1500.0, "scatter_density": 1.0, "scatter_mean": 0.25,
      "scatter_std": 0.24, "source": "literature: speed 1550-1570 m/s, attenuation 0.4-0.7", "speed_m_s": 1570.0,
      "thickness_mm": 0.15}],
  "unit_frames": 4, "ussim_version": "0.1.0"
}, "zarr_format": 3, "node_type": "group"}""".replace("GAINS", ", ".join(["0.0"] * 64))
"""The group of a store that ussim 0.1.0 made, three frames of a ball."""
OLD_DIGEST = "9be7928c129c726166ec02a408f35e1cc6474bd7ff18a295f8f256835a99a327"
"""What its Dataset.digest was; runs that were trained on it hold it."""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    return job.run(ball_plan(frames=3), tmp_path_factory.mktemp("header") / "a.zarr", make_renderer=FakeRenderer).path


@pytest.fixture
def store(rendered, tmp_path) -> Path:
    """A store that may be damaged."""
    return Path(shutil.copytree(rendered, tmp_path / "a.zarr"))


def change(store: Path, *keys: str | int, value: object) -> None:
    """Set one attribute of a store on the disk; with ``...`` as value remove it."""
    group = json.loads((store / "zarr.json").read_text())
    place = group["attributes"]
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    group["attributes"]["sha256"] = attributes_digest(group["attributes"])
    (store / "zarr.json").write_text(json.dumps(group))


def without_digests(store: Path) -> None:
    """Make a store of schema 1 of one of schema 2."""
    shutil.rmtree(store / "digest")
    group = json.loads((store / "zarr.json").read_text())
    del group["attributes"]["sha256"]
    group["attributes"]["schema_version"] = 1
    (store / "zarr.json").write_text(json.dumps(group))


# Old stores -------------------------------------------------------------------------------------------


def test_a_store_of_version_0_1_0_opens_with_its_digest_and_its_attributes(store):
    (store / "zarr.json").write_text(OLD)
    shutil.rmtree(store / "digest")
    data = Dataset.open(store)
    assert data.header.machine is None
    assert data.attrs == json.loads(OLD)["attributes"]
    assert data.digest == OLD_DIGEST
    assert verify(store).problems == []


def test_the_attributes_of_a_new_store_are_the_old_ones_the_physics_and_the_machine(rendered):
    attributes = json.loads((rendered / "zarr.json").read_text())["attributes"]
    machine = attributes.pop("machine")
    assert attributes.pop("sha256") == attributes_digest(attributes | {"machine": machine})
    assert attributes.pop("physics_version") == PHYSICS_VERSION
    assert attributes.pop("schema_version") == SCHEMA_VERSION
    old = json.loads(OLD)["attributes"]
    del old["schema_version"]
    assert attributes["probe"].pop("apodisation") == ConvexProbe().apodisation
    old["imaging"] |= {name: getattr(Imaging(), name) for name in ("reference_db", "dynamic_range_db")}  # softer now
    old["probe"]["aperture_mm"] = ConvexProbe().aperture_mm
    for section, retired in (("imaging", old["imaging"]), *old["qualities"].items()):
        for name in RETIRED[section].keys() & retired:
            del retired[name]
    assert list(attributes) == sorted(attributes) == sorted(old)
    attributes |= {key: old[key] for key in ("tgc_db", "scene", "ussim_version")}
    assert json.dumps(attributes, sort_keys=True) == json.dumps(old, sort_keys=True)
    assert sorted(machine) == ["cpu", "cpu_features", "numba", "numpy"]
    assert machine["numpy"] == np.__version__


def aperture_preview(old: dict) -> dict:
    """What a store of 0.1.0 would hold had it been made with the aperture's preview."""
    old["attributes"]["imaging"]["beam"] = "aperture"
    return old


@pytest.mark.parametrize("change", [dict, aperture_preview], ids=["0.1.0", "preview"])
def test_a_store_of_another_physics_is_not_gone_on_with(store, change):
    (store / "zarr.json").write_text(json.dumps(change(json.loads(OLD))))
    (store / "done" / "c" / "0").unlink()
    with pytest.raises(UssimError) as refused:
        job.run(ball_plan(frames=3), store, make_renderer=FakeRenderer, resume=True)
    assert str(refused.value) == (
        f"{store} was rendered by another physics (version 1, here {PHYSICS_VERSION}): it can be read but not gone on "
        "with; give another path"
    )
    assert Dataset.open(store).attrs == change(json.loads(OLD))["attributes"], "nothing was written"


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("imaging", "lobe_exponent"), 6.0, "imaging: unknown key 'lobe_exponent'"),
        (("qualities", "lq", "taps"), 16, "qualities.lq: unknown key 'taps'"),
        (("physics_version",), 99, "physics_version = 99"),
    ],
)
def test_a_retired_setting_or_an_unknown_physics_in_a_new_store_is_damage(store, keys, value, message):
    change(store, *keys, value=value)
    with pytest.raises(UssimError, match=message):
        Dataset.open(store)


# Damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("tissues", 1, "id"), ..., "tissues: ids must be 0, 1, 2 and so on without a gap, not 0, None, 2"),
        (("tissues", 2, "id"), 7, "ids must be 0, 1, 2"),
        (("tissues", 0, "color"), ..., "tissues 'outside the sector': missing key 'color'"),
        (("tissues", 1, "color"), "red", "tissues 'gel': color = 'red'"),
        (("tissues", 1, "speed_m_s"), ..., "tissues 'gel': missing key 'speed_m_s'"),
        (("tissues", 1), "gel", "tissues[1] = 'gel': must be a valid dictionary"),
        (("tissues",), [], "tissues: List should have at least 1 item"),
        (("probe", "kind"), "square", "probe: kind is 'square'; allowed: one of convex, linear, phased"),
        (("probe", "depth_mm"), float("nan"), "probe.depth_mm = nan"),
        (("probe", "image_height"), 9000, "probe.image_height = 9000"),
        (("probe",), 3, "probe = 3: must be a valid dictionary"),
        (("imaging", "dynamic_range_db"), "sixty", "imaging.dynamic_range_db = 'sixty'"),
        (("imaging", "colour"), 1, "imaging: unknown key 'colour'"),
        (("qualities", "hq", "layers"), 2, "must be odd"),
        (("qualities", "xq"), {}, "qualities"),
        (("frames",), 10**12, "frames = 1000000000000: must be less than or equal to 1000000"),
        (("unit_frames",), 10**5, "unit_frames = 100000"),
        (("image", "height"), 10**6, "image.height = 1000000"),
        (("image", "mm_per_pixel"), float("inf"), "image.mm_per_pixel = inf: must be a finite number"),
        (("seed",), 2**40, "seed = 1099511627776"),
        (("tgc_db", 3), float("nan"), "tgc_db[3] = nan: must be a finite number"),
        (("machine",), {"cpu": "z80"}, "machine: missing key 'numba'"),
    ],
)
def test_a_damaged_header_is_one_line_that_names_the_place(store, keys, value, message):
    change(store, *keys, value=value)
    start = time.perf_counter()
    for use in (Dataset.open, verify):
        with pytest.raises(UssimError) as caught:
            use(store)
        assert message in str(caught.value)
        assert str(caught.value).startswith(f"{store}: damaged attributes: ")
        assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 5


def test_what_opens_can_be_verified_and_drawn(store):
    for key in ("scatter_density", "source", "color"):  # what has a default may be missing
        change(store, "tissues", 1, key, value=...)
    change(store, "imaging", value={})
    change(store, "qualities", "hq", value={})
    change(store, "probe", value={"kind": "convex"})
    without_digests(store)  # as others may have written it
    verify(store)
    contact_sheet(Dataset.open(store), [0], panel_width=100)
    assert Dataset.open(store).header.imaging["dynamic_range_db"] == Imaging().dynamic_range_db


# Machines ---------------------------------------------------------------------------------------------


def other_machine(**changes: str) -> Machine:
    return this_machine().model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"numba": "0.1"}, "Numba 0.1 (here {numba})"),
        ({"numpy": "1.0", "cpu": "z80", "cpu_features": "ab"}, "NumPy 1.0 (here {numpy}), CPU z80 (here {cpu})"),
        ({"cpu_features": "ab"}, "other instruction sets of the CPU"),
    ],
)
def test_a_resume_on_another_machine_warns_once_and_goes_on(store, changes, words):
    change(store, "machine", value=other_machine(**changes).model_dump())
    (store / "done" / "c" / "0").unlink()
    warnings: list[str] = []
    summary = job.run(ball_plan(frames=3), store, make_renderer=FakeRenderer, resume=True, warn=warnings.append)
    assert summary.rendered == 3
    words = words.format(**this_machine().model_dump())
    expected = [f"{store} was begun with {words}: what is rendered here may differ from it by grey levels"]
    assert warnings == (expected if words else [])
    assert Dataset.open(store).header.machine == other_machine(**changes), "who began a store stays"


def test_a_store_without_a_machine_is_resumed_without_a_word(store):
    change(store, "machine", value=...)
    (store / "done" / "c" / "0").unlink()
    warnings: list[str] = []
    job.run(ball_plan(frames=3), store, make_renderer=FakeRenderer, resume=True, warn=warnings.append)
    assert warnings == []


def test_by_default_a_resume_elsewhere_is_a_warning_of_python(store):
    change(store, "machine", "numba", value="0.1")
    (store / "done" / "c" / "0").unlink()
    with pytest.warns(UserWarning, match=r"was begun with Numba 0\.1"):
        job.run(ball_plan(frames=3), store, make_renderer=FakeRenderer, resume=True)


def test_the_digest_does_not_depend_on_the_machine():
    header = ball_plan().header("cpu", np.zeros(64))
    here, elsewhere = header, header.model_copy(update={"machine": other_machine(numba="0.1", cpu="z80")})
    assert here != elsewhere
    assert here.digest == elsewhere.digest == header.model_copy(update={"machine": None}).digest
    assert header.model_copy(update={"seed": 1}).digest != header.digest


def test_a_header_survives_its_own_attributes():
    header = ball_plan().header("cpu", np.linspace(0, 1 / 3, 64))
    assert Header.model_validate(json.loads(json.dumps(header.model_dump(mode="json")))) == header
