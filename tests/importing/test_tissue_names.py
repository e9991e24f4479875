"""Names of class lists and atlases, judged by anatomy; what never may happen; what does not matter to a name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshes.importing.terms import LEVELS, term_table
from meshes.importing.tissues import guess_tissue
from ussim.scene.tissue import TissueLibrary

LISTS = tomllib.loads(Path(__file__).with_name("tissue_names.toml").read_text("utf-8"))
ALLOWED = [
    (name, frozenset(allowed.split("|")))
    for names_by_allowed in LISTS.values()
    for allowed, names in names_by_allowed.items()
    for name in names
]
HARD = {"bone", "fetal_bone"}
GAS = {"air", "lung"}
NAMES = [name for name, _ in ALLOWED]
IN_CAMEL_CASE = re.compile("[a-z][A-Z]")


@pytest.mark.parametrize("title", LISTS)
def test_names_of_a_list_become_what_they_are(title):
    wrong = [
        f"{name} → {guess.tissue}, not {allowed} ({guess.why})"
        for allowed, names in LISTS[title].items()
        for name in names
        if (guess := guess_tissue(name)).tissue not in allowed.split("|")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("tissues", [HARD, GAS])
def test_a_false_shadow_or_a_lost_one_is_never_guessed(tissues):
    for name, allowed in ALLOWED:
        tissue = guess_tissue(name).tissue
        if not allowed & tissues:
            assert tissue not in tissues, name
        if allowed <= tissues:
            assert tissue in tissues, name


def test_lists_and_table_name_tissues_of_the_library_only():
    library = set(TissueLibrary.load())
    assert {tissue for _, allowed in ALLOWED for tissue in allowed} <= library
    table = term_table()
    assert {term.tissue for terms in table.by_word.values() for term in terms} <= library
    assert set(table.codes.values()) <= library


def test_no_word_alone_stands_for_two_tissues_of_one_level():
    tissues: dict[tuple[str, int], set[str]] = {}
    for word, terms in term_table().by_word.items():
        for term in terms:
            if len(term.slots) == 1:
                tissues.setdefault((word, term.level), set()).add(term.tissue)
    assert [(word, LEVELS[level], found) for (word, level), found in tissues.items() if len(found) > 1] == []


@given(st.text(max_size=80), st.lists(st.text(max_size=20), max_size=2))
def test_any_name_gets_a_tissue_and_a_reason_of_one_printable_line(name, around):
    guess = guess_tissue(name, around)
    assert guess.tissue in TissueLibrary.load()
    assert guess.why.isprintable()


def test_upper_and_lower_case_are_one():
    for name in NAMES:
        if not IN_CAMEL_CASE.search(name):  # without its capitals MergedSkull is one word, and no known one
            assert guess_tissue(name.upper()).tissue == guess_tissue(name.lower()).tissue == guess_tissue(name).tissue


@pytest.mark.parametrize("separator", [" ", "_", "-", ".", ":"])
def test_separators_are_one(separator):
    for name in NAMES:
        assert guess_tissue(re.sub("[ _]", separator, name)).tissue == guess_tissue(name).tissue


@pytest.mark.parametrize("side", ["left", "Right", "L", "r", "links", "rechte", "dextra", "gauche"])
def test_left_and_right_do_not_matter(side):
    for name in NAMES:
        tissue = guess_tissue(name).tissue
        assert guess_tissue(f"{side}_{name}").tissue == guess_tissue(f"{name} {side}").tissue == tissue


@pytest.mark.parametrize("name", ["Schädel", "Schaedel", "Scha\u0308del", "SCHÄDEL", "schadel"])
def test_umlauts_are_written_in_many_ways(name):
    assert guess_tissue(name).tissue == "bone"


@pytest.mark.parametrize(
    ("name", "around", "tissue", "why"),
    [
        ("Nierenbecken", (), "urine", "'nierenbecken' in its name"),
        ("outer cortex of kidney", (), "kidney", "'kidney' in its name"),
        ("C5", (), "bone", "'c5' in its name"),
        ("C5 of something", (), "soft_tissue", "nothing in its name says: average soft tissue"),
        (
            "bone or muscle",
            (),
            "soft_tissue",
            "'bone' and 'muscle' in its name contradict each other: average soft tissue",
        ),
        ("rib", ("fetus",), "fetal_bone", "'rib' in its name, and part of a fetus"),
        ("round ligament of uterus", (), "soft_tissue", "'ligament' in its name"),
        ("Object_12", ("torso",), "soft_tissue", "nothing in its name says: average soft tissue"),
    ],
)
def test_a_guess_says_what_it_rests_on(name, around, tissue, why):
    guess = guess_tissue(name, around)
    assert (guess.tissue, guess.why) == (tissue, why)
