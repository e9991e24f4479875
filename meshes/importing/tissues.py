"""Names of surfaces → tissues of the library: a guess that says what it rests on.

The terms of terms.toml that a name holds are weighed in this order:

1. a term of several words takes the place of those that are a part of it: the *renal pelvis* is no *pelvis*;
2. what a thing is made of decides before the organ it belongs to, a noun before an adjective, both before a region;
3. more words before fewer;
4. the head of the name: what stands before *of*, otherwise the last.

Where that leaves bone, gas or lung beside something else, the name contradicts itself and nothing is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from meshes.importing.terms import LEVELS, Term, TermTable, Word, term_table

DEFAULT = "soft_tissue"
_FETAL_DEFAULT = "fetal_soft"
_FETAL = {"bone": "fetal_bone", "lung": "fetal_lung", DEFAULT: _FETAL_DEFAULT}
_FETAL_WORDS = frozenset("fetus fetal foetus foetal fotus fotal embryo embryonic baby".split())
# What lies in these is a fetus, or is with one.
_WOMB_WORDS = frozenset("uterus womb gebarmutter amniotic amnion amnii fruchtwasser fruchtblase fruchthohle".split())
_REGION = LEVELS.index("part")
# A skin with less than this share of its volume inside other surfaces is no layer but the outside of a body.
SHELL_SHARE = 0.6

_OF = frozenset("of in from inside within der des von vom im de du di del della dello dei delle".split())
_NOT = frozenset(
    "without minus except excluding excl around surrounding near beside behind no non ohne um sans".split()
)
_OR = frozenset("or and oder und et ou".split())
# Taking one of a group for another makes a false shadow, or loses a true one.
_GROUPS = {"bone": "hard", "air": "gas", "lung": "gas"}
# A. renalis, M. gluteus: the letter counts only before a Latin adjective.
_SHORT_FORMS = {"a": "artery", "aa": "artery", "v": "vein", "vv": "vein", "m": "muscle", "mm": "muscle", "n": "nerve"}
_LATIN_ADJECTIVE = re.compile(r".{2,}(?:alis|aris|ica|ea|ior|imus|oris)")


@dataclass(frozen=True)
class TissueGuess:
    """A tissue and the reason for it.

    Attributes:
        tissue: A name of the packaged library.
        why: One clause, for people.
    """

    tissue: str
    why: str


@dataclass(frozen=True)
class _Match:
    """A term and where in a name its words are."""

    term: Term
    places: frozenset[int]

    def is_part_of(self, other: _Match) -> bool:
        return self.places < other.places and len(self.term.slots) < len(other.term.slots)


@dataclass(frozen=True)
class _Finding:
    """What a name, or one side of an *or*, says: several tissues if it contradicts itself."""

    tissues: tuple[str, ...]
    texts: tuple[str, ...]
    is_region: bool


def guess_tissue(name: str, around: Sequence[str] = (), filled_share: float | None = None) -> TissueGuess:
    """What a surface is made of, judged by its name.

    Args:
        name: Of the surface.
        around: Names of the surfaces it lies in.
        filled_share: Share of its volume that other surfaces take up, if known.
    """
    table = term_table()
    words = table.words(name)
    is_fetal = _is_fetal(table, words, around)
    default = _FETAL_DEFAULT if is_fetal else DEFAULT
    finding = _read(table, words)
    if finding is None:
        return TissueGuess(default, "nothing in its name says: average soft tissue")
    said = " and ".join(f"'{text}'" for text in finding.texts)
    if len(finding.tissues) > 1:
        verb = "contradict each other" if len(finding.texts) > 1 else "contradicts itself"
        return TissueGuess(default, f"{said} in its name {verb}: average soft tissue")
    tissue = finding.tissues[0]
    if tissue == "skin" and filled_share is not None and filled_share < SHELL_SHARE:
        return TissueGuess(
            default, f"called {said}, but filled to {filled_share:.0%} only: taken for the body under it"
        )
    if is_fetal and tissue in _FETAL:
        return TissueGuess(_FETAL[tissue], f"{said} in its name, and part of a fetus")
    return TissueGuess(tissue, f"{said} in its name")


def _is_fetal(table: TermTable, words: Sequence[Word], around: Sequence[str]) -> bool:
    """True if a name says so, or one that it lies in."""
    outer = {word.key for other in around for word in table.words(other)}
    return not _FETAL_WORDS.isdisjoint({word.key for word in words} | outer) or not _WOMB_WORDS.isdisjoint(outer)


def _read(table: TermTable, words: Sequence[Word]) -> _Finding | None:
    """What a name says; None if it holds no term."""
    said = _split(words, _NOT)[0]
    sides = [side for part in _split(said, _OR) if (side := _decide(table, part))]
    sides = [side for side in sides if not side.is_region] or sides
    if len({side.tissues for side in sides}) > 1:
        return _Finding(
            tuple(sorted({tissue for side in sides for tissue in side.tissues})),
            tuple(dict.fromkeys(text for side in sides for text in side.texts)),
            is_region=False,
        )
    return _decide(table, said)


def _decide(table: TermTable, words: Sequence[Word]) -> _Finding | None:
    """What one phrase says."""
    phrases = [part for part in _split(_with_long_forms(words), _OF) if part]
    if not phrases:
        return None
    ordered = [word for phrase in reversed(phrases) for word in phrase]
    matches = _matches(table, ordered)
    if all(match.term.level == _REGION for match in matches):
        code = table.code_tissue(ordered)
        if code:
            return _Finding((code[0],), (code[1],), is_region=False)
    if not matches:
        return None
    best = min((match.term.level, -len(match.term.slots)) for match in matches)
    equals = [match for match in matches if (match.term.level, -len(match.term.slots)) == best]
    head = len(ordered) - len(phrases[0])
    equals = [match for match in equals if min(match.places) >= head] or equals
    is_region = best[0] == _REGION
    if best[0] > 0 and len({_GROUPS.get(match.term.tissue) for match in equals}) > 1:
        return _Finding(tuple(sorted({match.term.tissue for match in equals})), _texts(ordered, equals), is_region)
    last = max(equals, key=lambda match: (max(match.places), match.term.tissue))
    return _Finding((last.term.tissue,), _texts(ordered, [last]), is_region)


def _matches(table: TermTable, words: Sequence[Word]) -> list[_Match]:
    """The terms in a phrase, without those that are a part of others."""
    found = [
        _Match(
            term, frozenset(place for place, word in enumerate(words) if any(word.key in slot for slot in term.slots))
        )
        for term in table.terms(word.key for word in words)
    ]
    return [match for match in found if not any(match.is_part_of(other) for other in found)]


def _texts(words: Sequence[Word], matches: Sequence[_Match]) -> tuple[str, ...]:
    """What a name calls the things that were found in it."""
    return tuple(
        dict.fromkeys(" ".join(dict.fromkeys(words[place].text for place in sorted(match.places))) for match in matches)
    )


def _with_long_forms(words: Sequence[Word]) -> list[Word]:
    """The words, with arteria for A. before its adjective."""
    if len(words) > 1 and words[0].key in _SHORT_FORMS and _LATIN_ADJECTIVE.fullmatch(words[1].key):
        return [Word(_SHORT_FORMS[words[0].key], words[0].text), *words[1:]]
    return list(words)


def _split(words: Sequence[Word], at: Collection[str]) -> list[list[Word]]:
    """The runs of words between some."""
    parts: list[list[Word]] = [[]]
    for word in words:
        if word.key in at:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
