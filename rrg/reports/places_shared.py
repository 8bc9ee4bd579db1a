"""Findings of one sentence that share their place or their side."""

from collections.abc import Sequence

from rrg.records import Lang, Side
from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention, sides_in
from rrg.reports.words import Words, word_set

_EXPLAINS = word_set(
    """consistent compatible keeping vereinbar passend entsprechend representing reflecting suggesting diagnostic
    typical
    characteristic typisch charakteristisch"""
)


def explains(words: Words, at: int) -> bool:
    """ "..., consistent with metastasis", "..., vereinbar mit einem Infarkt": the words in front of word `at`."""
    return not _EXPLAINS.isdisjoint(words.keys[max(0, at - 4) : at])


def shares(words: Words, lang: Lang, one: Stated, other: Stated) -> str | None:
    """ "Weder Konkremente noch Stau beidseits", "DD Abszess, DD Hämatom im Psoas links": what the second of two
    findings that a conjunction joins says of its place holds for the first. "and" or "dd"; None if they are not joined.
    """
    if lang != "de" or other.first - one.last > 4:
        return None
    between = words.keys[one.last : other.first]
    if between[:2] == [",", "dd"] and all(key in _ADDS for key in between):
        return "dd"
    return "and" if between and between[0] in _ADDS and between[0] != "," and len(between) == 1 else None


_ADDS = frozenset((",", "dd", "und", "oder", "noch", "sowie", "bzw", "."))


def generic(mention: Mention) -> bool:
    """A structure that says nothing of the side, because it has none or none is named: "bone", "liver"."""
    return mention.side is None and not sides_in(mention.classes)[0]


def sides_around(words: Words, where: Sequence[Mention]) -> list[Side | None]:
    """The sides of the places of a finding, without those of places that have none or are only the whole of another."""
    if len(where) == 1:
        return [] if generic(where[0]) else [where[0].side]
    sided = {mention.classes[0].partition("_")[0] for mention in where if mention.classes and mention.side is not None}
    if any(mention.classes and mention.classes[0].startswith(_LOBES) for mention in where):
        where = [mention for mention in where if not _titles_lungs(words, mention)]
    return [
        mention.side
        for mention in where
        if not generic(mention)
        and (mention.side is not None or not mention.classes or mention.classes[0].partition("_")[0] not in sided)
    ]


def _titles_lungs(words: Words, mention: Mention) -> bool:
    """ "Lungs: nodule in the right upper lobe": the label of the line says no side."""
    return set(mention.classes) == _LUNGS and words.raw[mention.last : mention.last + 1] == [":"]


_LUNGS = {"lung_left", "lung_right"}
_LOBES = ("lung_upper", "lung_lower", "lung_middle")


def goes_with(words: Words, start: int, end: int, name: str) -> bool:
    """ "Erguss rechts mit angrenzender Atelektase", "Hydronephrose rechts bei Konkrement": a companion or the cause, on
    the same side.
    """
    between = words.keys[start:end]
    if name in _CAUSES and ("bei" in between or ("mit" in between and name == "calculus")) and "," not in between:
        return True
    return any(words.keys[i].startswith(_COMPANION) for i in range(start, end))


_CAUSES = frozenset(("calculus", "occlusion", "stenosis", "mass", "tumor"))
_COMPANION = (
    *("angrenzend", "begleitend", "konsekutiv", "zugehoerig", "benachbart", "adjacent", "associated", "compressive"),
    *("overlying", "underlying", "accompanying", "passive"),
)
