"""Findings of a sentence: which, where, how large; what the context says about them comes from `context`."""

from collections.abc import Sequence
from typing import NamedTuple

from rrg.records import Lang, Measurement, Span
from rrg.reports.lexicon import lexicon, longest
from rrg.reports.mentions import Mention, compound, part_span
from rrg.reports.words import Words, word_set

LESION_LIKE = word_set(
    """cyst pseudocyst metastasis nodule mass lesion tumor carcinoma lymphoma sarcoma adenoma hemangioma lipoma
    angiomyolipoma meningioma polyp abscess osteolysis"""
)
"""Findings that are also a mention of the structure ``lesion``."""
_WALLS = frozenset(("aber", "jedoch", "but", "however", "sowie", "ausser", "except"))
_PLACING = word_set(
    """in im am an der des dem den der beider von vom innerhalb of the within on both at over inside involving
    affecting along near around um auf ueber unter with adjacent to"""
)
_SIZED = word_set(
    """gross grosse grosser grosses grossen grossem messend messende messender messendes messenden haltend
    haltende haltender durchmessend durchmessende durchmessender durchmessendes durchmessenden grosses grosse gr
    breite breiter breites lange langer dicke dicker"""
)


class Stated(NamedTuple):
    """A finding in a sentence, before its context is known."""

    span: Span
    first: int
    last: int
    name: str
    rule: str


def findings_of(words: Words, lang: Lang, atoms: bytearray) -> list[Stated]:
    """Findings in text order, longest match, without overlap."""
    lex = lexicon(lang)
    found: list[Stated] = []
    i, n = 0, len(words.raw)
    while i < n:
        if atoms[i] or not words.raw[i][0].isalpha():
            i += 1
            continue
        match = longest(lex.findings, words, i)
        if match is not None:
            last, names = match
            rule = "denied" if last == i + 1 and words.keys[i] in lex.denied else "form"
            found.append(Stated((words.starts[i], words.ends[last - 1]), i, last, names[0], rule))
            i = last
            continue
        if words.keys[i] not in lex.structures:
            for part in compound(words.keys[i], lang):
                if part.finding is not None:
                    found.append(Stated(part_span(words, i, part), i, i + 1, part.finding, "compound"))
        i += 1
    return found


def places(words: Words, stated: Stated, mentions: Sequence[Mention], all_stated: Sequence[Stated]) -> tuple[int, ...]:
    """Indices of the mentions that say where the finding is: the same word, else behind it, else before it."""
    same = tuple(
        i for i, mention in enumerate(mentions) if mention.first == stated.first and mention.last == stated.last
    )
    inside = tuple(
        i for i, mention in enumerate(mentions) if stated.first <= mention.first and mention.last <= stated.last
    )
    if same or inside:
        return same or inside
    if (left := _adjective(words, stated, mentions)) is not None:
        return (left,)
    behind = _behind(words, stated, mentions, all_stated)
    if behind:
        return behind
    before = [
        i
        for i, mention in enumerate(mentions)
        if mention.last <= stated.first and _open(words, mention.last, stated.first)
    ]
    return (before[-1],) if before else ()


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


_LINKS = word_set("""und and oder or mit ohne with without zeigt shows ist is sind are eine ein a no kein keine""")


def _behind(words: Words, stated: Stated, mentions: Sequence[Mention], others: Sequence[Stated]) -> tuple[int, ...]:
    """Mentions behind the finding that a preposition or a genitive ties to it, with those joined by "und"."""
    found: list[int] = []
    at = stated.last
    for i, mention in enumerate(mentions):
        if mention.first < at:
            continue
        between = words.keys[at : mention.first]
        if found:
            if mention.classes and between and all(key in _JOINERS or key in _PLACING or key == "," for key in between):
                found.append(i)
                at = mention.last
                continue
            break
        if not _open(words, at, mention.first) or len(between) > 12:
            break
        crossed = any(stated.last <= other.first < mention.first for other in others)
        tied = any(key in _PLACING for key in between) or not between
        joined_over = crossed and not any(key in _JOINERS for key in between)
        if not tied or joined_over:
            break
        found.append(i)
        at = mention.last
    return tuple(found)


_JOINERS = word_set("""und and oder or sowie linken rechten linke rechte left right der die des den beiden the""")


def _open(words: Words, start: int, end: int) -> bool:
    """No wall between two places: comma, semicolon, "aber"."""
    return not any(
        words.raw[i] in ",;"
        or words.keys[i] in _WALLS
        or (words.raw[i] == "." and i + 1 < end and words.raw[i + 1][0].isupper())
        for i in range(start, end)
        if words.raw[i] != "." or words.ends[i] - words.starts[i] > 1
    )


def sizes(
    words: Words, stated: Sequence[Stated], measurements: Sequence[Measurement], prior: Sequence[bool]
) -> list[list[Measurement]]:
    """The measurements of each finding: a size goes to the finding it stands with; earlier sizes go to none."""
    owned: list[list[Measurement]] = [[] for _ in stated]
    for measurement, earlier in zip(measurements, prior, strict=True):
        if earlier or not stated:
            continue
        start, end = measurement.span
        following = next((i for i, one in enumerate(stated) if one.span[0] >= end), None)
        preceding = next((i for i in range(len(stated) - 1, -1, -1) if stated[i].span[1] <= start), None)
        if following is not None and (preceding is None or _leads(words, end, stated[following])):
            if preceding is None and not _near_enough(words, end, stated[following]):
                continue
            owned[following].append(measurement)
        elif preceding is not None:
            owned[preceding].append(measurement)
    return owned


def _words_between(words: Words, start: int, end: int) -> list[int]:
    return [i for i, first in enumerate(words.starts) if start <= first < end]


def _leads(words: Words, end: int, stated: Stated) -> bool:
    """ "12 mm große Zyste", "5-mm nodule": only describing words stand between."""
    between = _words_between(words, end, stated.span[0])
    if any(words.keys[i] in _SIZED for i in between[:2]):
        return not any(words.raw[i] in ",;" and words.keys[i + 1 : i + 2] == ["und"] for i in between)
    return len(between) <= 4 and all(
        (words.raw[i][0].isalpha() or words.raw[i] == "-")
        and words.keys[i] not in _PLACING
        and words.keys[i] not in _LINKS
        for i in between
    )


def _near_enough(words: Words, end: int, stated: Stated) -> bool:
    return not any(words.raw[i] == ";" for i in _words_between(words, end, stated.span[0]))
