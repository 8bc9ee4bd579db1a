"""Where a finding is: which mentions of the sentence say so."""

from collections.abc import Sequence

from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention
from rrg.reports.words import Words, word_set

SELF_LOCATED = frozenset(
    (
        "pneumothorax",
        "pleural effusion",
        "pericardial effusion",
        "ascites",
        "free fluid",
        "free air",
        "pneumomediastinum",
        "pulmonary embolism",
        "cardiomegaly",
        "splenomegaly",
        "hepatomegaly",
        "goiter",
        "lymphadenopathy",
        "hydrocephalus",
        "midline shift",
    )
)
"""Findings whose name says where they are: a structure in front of them is not their place."""
_WALLS = frozenset(("aber", "jedoch", "but", "however", "sowie", "ausser", "except"))
_PLACING = word_set(
    """i in im am an der des dem den der beider von vom innerhalb of the within on both at over inside involving
    affecting along near around um auf ueber unter with adjacent to"""
)
_LINKS = word_set("""und and oder or mit ohne with without zeigt shows ist is sind are eine ein a no kein keine""")
_JOINERS = word_set(
    """und and oder or sowie linken rechten linker rechter linkem rechtem linke rechte links rechts left right der
    die des den dem beiden beider the both bzw u"""
)


def places(words: Words, stated: Stated, mentions: Sequence[Mention], others: Sequence[Stated]) -> tuple[int, ...]:
    """Indices of the mentions that say where the finding is: the same word, else behind it, else before it."""
    same = [i for i, each in enumerate(mentions) if each.first == stated.first and each.last == stated.last]
    inside = [i for i, each in enumerate(mentions) if stated.first <= each.first and each.last <= stated.last]
    if found := same or inside:
        return _joined_before(words, found, mentions)
    if (left := _adjective(words, stated, mentions)) is not None:
        return _joined_before(words, [left], mentions)
    if behind := _behind(words, stated, mentions, others):
        return tuple(behind)
    if stated.name in SELF_LOCATED:
        return ()
    before = [
        i
        for i, mention in enumerate(mentions)
        if mention.last <= stated.first and _open(words, mention.last, stated.first)
    ]
    return _joined_before(words, before[-1:], mentions)


def _joined_before(words: Words, found: list[int], mentions: Sequence[Mention]) -> tuple[int, ...]:
    """With those in front that "und" joins: "Ober- und Mittellappen", "Leber- und Nierenzysten"."""
    while found and found[0] > 0:
        left, right = mentions[found[0] - 1], mentions[found[0]]
        between = words.keys[left.last : right.first]
        joined = any(key in ("und", "and", "u", "sowie", "bzw", "oder", "or") for key in between)
        if not joined or not all(key in _JOINERS or key == "-" for key in between):
            break
        found = [found[0] - 1, *found]
    return tuple(found)


def _adjective(words: Words, stated: Stated, mentions: Sequence[Mention]) -> int | None:
    """ "renal cyst", "hepatische Läsion": the mention right in front."""
    for i, mention in enumerate(mentions):
        between = words.keys[mention.last : stated.first]
        close = mention.last <= stated.first and len(between) <= 2
        if close and all(
            key == "-" or (key.isalpha() and key not in _PLACING and key not in _LINKS) for key in between
        ):
            return i
    return None


def _behind(words: Words, stated: Stated, mentions: Sequence[Mention], others: Sequence[Stated]) -> list[int]:
    """Mentions behind the finding that a preposition or a genitive ties to it, with those joined by "und"."""
    found: list[int] = []
    at = stated.last
    for i, mention in enumerate(mentions):
        if mention.first < at:
            continue
        between = words.keys[at : mention.first]
        if found:
            if not mention.classes or any(other.first == mention.first for other in others):
                break  # "Ödem der Gallenblase, Leberzirrhose"
            if not between or not all(key in _JOINERS or key in _PLACING or key == "," for key in between):
                break
        else:
            if not _open(words, at, mention.first) or len(between) > _FAR:
                break
            crossed = any(stated.last <= other.first < mention.first for other in others)
            tied = any(key in _PLACING for key in between) or not between
            if not tied or (crossed and not any(key in _JOINERS for key in between)):
                break
        found.append(i)
        at = mention.last
    return found


_FAR = 12
"""Words between a finding and its place, at most."""


def _open(words: Words, start: int, end: int) -> bool:
    """No wall between two places: comma, semicolon, "aber"."""
    return not any(words.raw[i] in ",;" or words.keys[i] in _WALLS for i in range(start, end))
