"""The table of anatomical terms: a name → its words → the terms in it.

A term is matched by whole words, never by parts of them: a *hip flexor* is no *hip*, *tribute* no *rib*. Which of
several terms decides is said in :mod:`meshes.importing.tissues`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ussim.toml import read_toml

TERMS = Path(__file__).with_name("terms.toml")
# The tables of terms, the one that decides first.
LEVELS = ("substance", "organ", "adjective", "part")
# Longer ones are no names. Splitting takes steps with the square of the length.
_LONGEST_COMPOUND = 60
# Shorter words turn up in others by chance: the ear in the heart.
_SHORTEST_PIECE = 4
_SHORT_PIECES = ("arm", "eye", "fat", "gas", "hip", "jaw", "ohr", "rib")
_VERTEBRA = re.compile(r"c[1-7]|th?(?:[1-9]|1[0-3])|l[1-6]")
# 3rd and C5 are words; elsewhere letters and digits are apart.
_PIECES = re.compile(
    r"\d+(?:st|nd|rd|th)(?![^\W_])|(?<![^\W_])(?:[clt]|th)\d\d?(?![^\W_])|[^\W\d_]+|\d+", re.IGNORECASE
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Viewers drop the dot of Kidney.l. After an a the letter makes an adjective: scapular.
_SIDE_AT_END = re.compile(r"(?<=...[^a])[lr]$")
_ENDINGS = ("s", "es", "e", "n", "en", "er", "ens")
_LATIN_ENDINGS = {"us": ("i", "orum"), "a": ("arum", "am"), "um": ("a", "i", "orum"), "is": ("es", "ium")}


class _TermFile(BaseModel):
    """What terms.toml holds: text of terms by tissue, for each level."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    substance: dict[str, str]
    organ: dict[str, str]
    adjective: dict[str, str]
    part: dict[str, str]
    other: dict[str, str]
    code: dict[str, str]


@dataclass(frozen=True)
class Term:
    """Words that together stand for a tissue.

    Attributes:
        slots: Of each word, the ways to say it.
        tissue: A name of the packaged library.
        level: Index into ``LEVELS``.
    """

    slots: tuple[frozenset[str], ...]
    tissue: str
    level: int


@dataclass(frozen=True)
class Word:
    """A word of a name.

    Attributes:
        key: As the table writes it; other words as they are.
        text: As the name writes it.
    """

    key: str
    text: str


@dataclass(frozen=True)
class TermTable:
    """What terms.toml says, made ready for looking up.

    Attributes:
        by_word: Terms by each way to say their first word.
        keys: The word of the table by every form of it.
        sides: Words for left and right, which say nothing of a tissue.
        heads: Words that decide at the end of a compound whose beginning is not known.
        codes: Tissue by name that stands alone.
    """

    by_word: Mapping[str, tuple[Term, ...]]
    keys: Mapping[str, str]
    sides: frozenset[str]
    heads: frozenset[str]
    codes: Mapping[str, str]

    def words(self, name: str) -> list[Word]:
        """The words of a name, in order, without those for left and right."""
        chunks = _PIECES.findall(unicodedata.normalize("NFKC", name))
        words = [word for chunk in chunks for word in self._split(chunk)]
        return [word for word in words if word.key not in self.sides]

    def terms(self, words: Iterable[str]) -> Iterator[Term]:
        """The terms all of whose words are there."""
        there = set(words)
        for word in sorted(there):
            for term in self.by_word.get(word, ()):
                if all(slot & there for slot in term.slots):
                    yield term

    def code_tissue(self, words: Iterable[Word]) -> tuple[str, str] | None:
        """Tissue and code, if a name is one and nothing else."""
        known = [word for word in words if not word.key.isdigit() and word.key not in self.keys]
        if len(known) != 1:
            return None
        tissue = "bone" if _VERTEBRA.fullmatch(known[0].key) else self.codes.get(known[0].key)
        return None if tissue is None else (tissue, known[0].text)

    def _split(self, chunk: str) -> list[Word]:
        """One word, or those that it is put together of: KidneyLeft, kidneyleft, Oberschenkelknochen."""
        pieces = [(piece, self._compound(piece)) for piece in _CAMEL.split(chunk)]
        if not all(known for _, known in pieces) and (whole := self._compound(chunk)):
            return whole
        return [word for piece, known in pieces for word in known or [Word(fold(piece), piece.lower())]]

    def _compound(self, text: str) -> list[Word] | None:
        """The known words that a text is made of, if it is made of known words."""
        word = fold(text)
        for known in (word, _SIDE_AT_END.sub("", word)):
            if known in self.keys or known in self.sides:
                return [Word(self.keys.get(known, known), text.lower())]
        # Pleuraerguss: a and e that meet where two words do are no ä.
        pieces = self._pieces(word) or self._pieces(_plain(text)) or self._head(word)
        return [Word(self.keys.get(piece, piece), text.lower()) for piece in pieces] or None

    def _pieces(self, word: str) -> tuple[str, ...]:
        """The fewest known words that a word is made of; none if there are none."""
        if len(word) > _LONGEST_COMPOUND:
            return ()
        fewest: list[tuple[str, ...] | None] = [(), *[None] * len(word)]
        for end in range(1, len(word) + 1):
            ways = [(*before, word[start:end]) for start, before in enumerate(fewest[:end]) if before is not None]
            fewest[end] = min((way for way in ways if self._is_piece(way[-1])), key=len, default=None)
        return fewest[-1] or ()

    def _head(self, word: str) -> tuple[str, ...]:
        """What a German compound is, if its end says so: Schneidermuskel is a Muskel."""
        ends = (word[start:] for start in range(_SHORTEST_PIECE - 1, len(word)))
        return tuple(end for end in ends if self.keys.get(end) in self.heads)[:1]

    def _is_piece(self, word: str) -> bool:
        """True if a compound may hold a word."""
        return (len(word) >= _SHORTEST_PIECE or word in _SHORT_PIECES) and (word in self.keys or word in self.sides)


@cache
def term_table() -> TermTable:
    """The packaged table, read once."""
    file = read_toml(TERMS, _TermFile)
    terms = [term for number, level in enumerate(LEVELS) for term in _terms(getattr(file, level), number)]
    by_word: dict[str, list[Term]] = {}
    for term in terms:
        for word in term.slots[0]:
            by_word.setdefault(word, []).append(term)
    words = {word for term in terms for slot in term.slots for word in slot}
    return TermTable(
        {word: tuple(found) for word, found in by_word.items()},
        _forms(words | set(map(fold, file.other["words"].split()))),
        frozenset(map(fold, file.other["sides"].split())),
        frozenset(map(fold, file.other["heads"].split())),
        {code: tissue for tissue, codes in file.code.items() for code in codes.split()},
    )


def fold(text: str) -> str:
    """Lower case, without accents; ä, ae and a become one, as do the spellings of other umlauts."""
    return re.sub("([aou])e", r"\1", _plain(text))


def _plain(text: str) -> str:
    """Lower case, without accents."""
    letters = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain.replace("ß", "ss").replace("œ", "oe").replace("æ", "ae")


def _terms(tissues: Mapping[str, str], level: int) -> Iterator[Term]:
    """The terms of one table of the file."""
    for tissue, text in tissues.items():
        for term in filter(None, map(str.strip, text.split(","))):
            yield Term(tuple(frozenset(map(fold, word.split("|"))) for word in term.split()), tissue, level)


def _forms(words: set[str]) -> dict[str, str]:
    """The word by every form of it; what is a word itself is no form of another one."""
    forms: dict[str, str] = {}
    for word in sorted(words):
        for form in _inflected(word):
            forms.setdefault(form, word)
    return forms | {word: word for word in words}


def _inflected(word: str) -> Iterator[str]:
    """Plurals and genitives, wrong ones among them, which no name holds."""
    for ending in _ENDINGS if len(word) >= _SHORTEST_PIECE else ("s",):
        yield word + ending
    if word.endswith("y"):
        yield f"{word[:-1]}ies"
    for ending, others in _LATIN_ENDINGS.items():
        if word.endswith(ending) and len(word) > _SHORTEST_PIECE:
            yield from (word.removesuffix(ending) + other for other in others)
