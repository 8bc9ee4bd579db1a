"""Where a finding is: which mentions of the sentence say so."""

from collections.abc import Sequence
from typing import NamedTuple

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
        "progression",
        "peritoneal carcinomatosis",
        "subcutaneous emphysema",
        "scoliosis",
        "pleural thickening",
        "pleural plaque",
        "hemothorax",
        "atherosclerosis",
    )
)
"""Findings whose name says where they are: a structure in front of them is not their place."""
_WALLS = frozenset(("aber", "jedoch", "but", "however", "sowie", "ausser", "except"))
_PLACING = word_set(
    """i in im am an der des dem den der beider von vom innerhalb of the within on both at over inside involving
    affecting along auf ueber unter into throughout"""
)
_CLOSE = word_set(
    """near around adjacent abutting beside neben um nahe angrenzend benachbart unterhalb oberhalb below above behind
    hinter vor perifokal anliegend contacting next"""
)
"""Words of closeness: what they name is not the place."""
_LINKS = word_set("""und and oder or mit ohne with without zeigt shows ist is sind are eine ein a no kein keine""")
_JOINERS = word_set(
    """und and oder or sowie linken rechten linker rechter linkem rechtem linke rechte links rechts left right der
    die des den dem beiden beider the both bzw u"""
)
_AND = frozenset(("und", "and", "u", "sowie", "bzw", "oder", "or"))
_CARRY = word_set(
    """mit ohne with without aber jedoch allerdings but however showing containing darin dort therein hierin dabei
    links rechts left right beidseits bilaterally li re"""
)
"""Words of a clause that goes on with the structure of the one before: "Niere rechts schlank, links mit Zyste"."""
_GENERIC = frozenset(("bone", "intervertebral_discs"))
_EXPLAINS = word_set("consistent compatible keeping vereinbar passend entsprechend representing reflecting suggesting")
FAR = 12
"""Words between a finding and its place, at most."""


class Where(NamedTuple):
    """The places of a finding."""

    mentions: tuple[int, ...]
    carried: bool = False
    """Taken from an earlier clause."""


def places(words: Words, stated: Stated, mentions: Sequence[Mention], others: Sequence[Stated]) -> Where:
    """The mentions that say where the finding is: the same word, else behind it, else before it, else the topic."""
    if not mentions:
        return Where(())
    head = _head(stated, others)
    inside = [i for i, each in enumerate(mentions) if stated.first <= each.first and each.last <= stated.last]
    if (left := _adjective(words, stated, mentions)) is not None and not inside:
        inside = [left]
    if inside:
        found = _joined_before(words, inside, mentions)
        if all(set(mentions[i].classes) <= _GENERIC or _unnumbered(mentions[i]) for i in found):
            found += [i for i in _behind(words, head, mentions, others) if i not in found]
            found += [i for i in _titles(words, stated, mentions) if i not in found]
        return Where(tuple(sorted(found)))
    if behind := _behind(words, head, mentions, others):
        return Where(tuple(behind))
    if titles := _titles(words, stated, mentions):
        return Where(tuple(titles))
    if stated.name in SELF_LOCATED:
        return Where(())
    before = [i for i, each in enumerate(mentions) if each.last <= stated.first]
    if not before:
        return Where(())
    if _open(words, mentions[before[-1]].last, stated.first):
        return Where(tuple(_joined_before(words, before[-1:], mentions)))
    if _carries(words, mentions[before[-1]].last, stated.first):
        return Where(tuple(_joined_before(words, before[-1:], mentions)), carried=True)
    return Where(())


def explains(words: Words, at: int) -> bool:
    """ "..., consistent with metastasis", "..., vereinbar mit einem Infarkt": the words in front of word `at`."""
    return any(words.keys[i] in _EXPLAINS for i in range(max(0, at - 4), at))


def generic(mention: Mention) -> bool:
    """A structure without a class or of no certain place, that says nothing of the side: "bone", "disc"."""
    return mention.side is None and set(mention.classes) <= _GENERIC


def _unnumbered(mention: Mention) -> bool:
    return mention.classes == ("vertebrae",) and not mention.levels


def _head(stated: Stated, others: Sequence[Stated]) -> Stated:
    """The noun that an adjective describes: "enhancing lesion" lies where the lesion lies."""
    for other in others:
        if other.first == stated.last:
            return other
    return stated


def _joined_before(words: Words, found: list[int], mentions: Sequence[Mention]) -> list[int]:
    """With those in front that "und" joins: "Ober- und Mittellappen", "Leber- und Nierenzysten"; and with the
    adjective of a structure without a class: "intrahepatische Gallenwege".
    """
    while found and found[0] > 0:
        left, right = mentions[found[0] - 1], mentions[found[0]]
        between = words.keys[left.last : right.first]
        joined = any(key in _AND for key in between) and all(key in _JOINERS or key == "-" for key in between)
        listed = between == [","] and len(found) > 1
        if not joined and not listed and not (left.last == right.first and not right.classes):
            break
        found = [found[0] - 1, *found]
    return found


def _adjective(words: Words, stated: Stated, mentions: Sequence[Mention]) -> int | None:
    """ "renal cyst", "hepatische Läsion": the mention right in front."""
    for i, mention in enumerate(mentions):
        if mention.last > stated.first:
            break
        if stated.first - mention.last <= 2 and all(
            key == "-" or (key.isalpha() and key not in _PLACING and key not in _LINKS and key not in _CLOSE)
            for key in words.keys[mention.last : stated.first]
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
        if mention.first - at > FAR:
            break
        between = words.keys[at : mention.first]
        if any(key in _CLOSE for key in between):
            break
        if found:
            if not mention.classes or any(other.first == mention.first for other in others):
                break  # "Ödem der Gallenblase, Leberzirrhose"
            if not all(key in _JOINERS or key in _PLACING or key == "," for key in between):
                break
        else:
            if not _open(words, at, mention.first):
                break
            crossed = any(stated.last <= other.first < mention.first for other in others)
            tied = any(key in _PLACING for key in between) or not between
            if not tied or (crossed and not any(key in _JOINERS for key in between)):
                break
        found.append(i)
        at = mention.last
    return found


def _titles(words: Words, stated: Stated, mentions: Sequence[Mention]) -> list[int]:
    """ "L4/5: Protrusion", "Leber: Zyste": the structures before the colon that opens the sentence."""
    if ":" not in words.raw[: stated.first]:
        return []
    colon = words.raw.index(":")
    return [i for i, mention in enumerate(mentions) if mention.last <= colon] if colon <= FAR else []


def _open(words: Words, start: int, end: int) -> bool:
    """No wall between two places: comma, semicolon, "aber"."""
    return not any(words.raw[i] in ",;" or words.keys[i] in _WALLS for i in range(start, end))


def _carries(words: Words, start: int, end: int) -> bool:
    """The clause of the finding goes on with the structure that ends before word `start`."""
    wall = end - 1
    while wall >= start and words.raw[wall] not in ",;" and words.keys[wall] not in _WALLS:
        wall -= 1
    if wall < start or ";" in words.raw[start:end] or end - start > 2 * FAR:
        return False
    return any(key in _CARRY for key in words.keys[wall:end])
