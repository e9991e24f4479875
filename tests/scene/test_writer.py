"""A scene.toml written is the one read back, and no text in it can break out of its place."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from ussim.scene.file import SceneFile
from ussim.scene.sweep import Sweep, SweepKey
from ussim.scene.writer import SurfaceComments, scene_text, sweep_entry
from ussim.toml import toml_comment, toml_value

EVIL = [
    'a\ntissues = ["evil.toml"]\n',
    'quote " and \\ backslash \\n',
    "carriage\rreturn",
    "\x00\x07\x1b\x7f\x85\u2028\u2029",
    '"""',
    "# no comment",
    "münch ☃ 😀",
    "",
]


@pytest.mark.parametrize("text", EVIL)
def test_a_text_is_read_back_as_it_was_written(text):
    assert tomllib.loads(f"key = {toml_value(text)}") == {"key": text}


def test_half_a_surrogate_pair_of_a_file_name_becomes_a_replacement_character():
    text = toml_value(b"liver\xff.stl".decode("utf-8", "surrogateescape"))
    assert tomllib.loads(f"key = {text}".encode().decode()) == {"key": "liver\ufffd.stl"}


@pytest.mark.parametrize("value", [True, False, 0, -7, 10**15, 0.1, -0.0, 1e-7, 1e300, 5e-324, [[1.5, 2], ["x"]], []])
def test_a_number_or_list_is_read_back_as_it_was_written(value):
    assert repr(tomllib.loads(f"key = {toml_value(value)}")["key"]) == repr(value)


def test_other_values_are_not_written():
    with pytest.raises(TypeError, match="cannot be written as TOML"):
        toml_value(None)


@pytest.mark.parametrize("text", [*EVIL, "\udcff"])
def test_a_comment_is_one_line_that_says_nothing_to_a_reader(text):
    line = toml_comment(text)
    assert len(line.splitlines()) == 1
    assert tomllib.loads(f"{line}\nkey = 1".encode().decode()) == {"key": 1}


def scene_file(**changes) -> SceneFile:
    data = {
        "format": 1,
        "name": "a scene",
        "tissues": ["tissues.toml"],
        "surface": [
            {"name": "skin", "mesh": "meshes/skin.ply", "tissue": "skin", "priority": 1, "group": "mother"},
            {
                "name": "liver",
                "mesh": "liver.stl",
                "tissue": "liver",
                "priority": 2,
                "scale": 1000.0,
                "transform": [[1.0, 0.0, 0.0, 5.5], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
            },
        ],
        "point": [{"position_mm": [1.0, 2.5, -3.0]}, {"position_mm": [0.0, 1e-7, 4.0], "strength_db": -12.5}],
        "sweep": [
            sweep_entry(Sweep("exam", (SweepKey((0, 1.5, -30), (0, 0, 1), (1, 0, 0)),), "over it")),
            sweep_entry(Sweep("still", (SweepKey((3, 1.5, -30), (0, 0, 1), (1, 0, 0)),))),
        ],
    }
    return SceneFile.model_validate(data | changes)


def read(text: str) -> SceneFile:
    return SceneFile.model_validate(tomllib.loads(text))


def test_a_scene_file_is_read_back_as_it_was_written():
    assert read(scene_text(scene_file())) == scene_file()
    plain = scene_file(tissues=[], point=[], sweep=[])
    assert read(scene_text(plain)) == plain


@pytest.mark.parametrize("text", EVIL[:-1])
def test_no_text_of_a_scene_file_can_add_to_it(text):
    name = text if text.isprintable() else "others are refused"
    surface = {"name": name, "mesh": text, "tissue": name, "priority": 1, "group": text}
    sweep = sweep_entry(Sweep(name, (SweepKey((0, 0, 0), (0, 0, 1), (1, 0, 0)),), text))
    file = scene_file(name=name, background=name, tissues=[text], surface=[surface], sweep=[sweep])
    comments = {name: SurfaceComments((text, text), text, text)}
    assert read(scene_text(file, [text, "", text], comments)) == file


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\nb", "a\x9b31m", "a\u202etxt"])
def test_a_name_that_could_command_a_terminal_is_refused(text):
    for changes in ({"name": text}, {"background": text}):
        with pytest.raises(ValueError, match="holds a control character; allowed: letters that can be seen"):
            scene_file(**changes)


def test_a_written_scene_file_says_where_values_are_from():
    text = scene_text(scene_file(), ["Made by hand."], {"liver": SurfaceComments(["From a file."], "a guess", "inner")})
    assert text.startswith("# Made by hand.\n")
    assert '\n# From a file.\n[[surface]]\nname = "liver"\n' in text
    assert 'tissue = "liver"                  # a guess\npriority = 2                      # inner\n' in text


def test_numbers_of_a_sweep_are_rounded():
    key = SweepKey(np.array([1.23456789, 0, 0]), (0, 0, 1), (1, 0, 0))
    assert sweep_entry(Sweep("exam", (key,)), decimals=5).key[0].position_mm == [1.23457, 0.0, 0.0]
