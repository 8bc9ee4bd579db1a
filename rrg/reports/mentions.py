"""Mentions of structures in a sentence: words, compounds, numbered vertebrae and ribs, with their side."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Lang, Side, Span
from rrg.reports.compounds import SHORTEST_STEM, compound, merged, part_span
from rrg.reports.levels import Level
from rrg.reports.lexicon import Lexicon, Meaning, lexicon
from rrg.reports.side_words import SideWord
from rrg.reports.sides import clause_side, side_of, side_places
from rrg.reports.tries import longest, opening
from rrg.reports.words import Memo, Words, word_set

_PARTLY = word_set(
    """partial subtotal distal proximal hemi wedge sleeve segmental partielle partieller subtotale subtotaler distale
    distaler inkomplette"""
)

_JOINED = frozenset(("und", "and", "u", "sowie"))
PAIR = 2
"""Words between two structures that share a side, at most: "- und"."""
_MIDLINE = ("vertebrae", "intervertebral_discs", "spinal_cord")
"""Begin of names of structures that a word of side behind them does not halve: "Spondylarthrose L4 links"."""


class Mention(NamedTuple):
    """A structure in a sentence, before its context is known."""

    span: Span
    first: int
    """First word."""
    last: int
    """One past the last word."""
    classes: tuple[str, ...]
    """Empty: a structure that our table does not have. It only keeps findings from a wrong place."""
    side: Side | None
    gone: bool
    rule: str
    levels: tuple[str, ...] = ()
    """Numbered vertebrae and ribs that it names."""


def mentions_of(words: Words, lang: Lang, levels: Sequence[Level], sides: list[SideWord]) -> list[Mention]:
    """Structures of a sentence in text order, longest match, without overlap."""
    lex = lexicon(lang)
    found: list[Mention] = []
    n = len(words.raw)
    by_start = {level.span[0]: level for level in levels} if levels else {}
    end = 0
    hyphens = lang == "de" and "-" in words.raw
    for i in range(n) if levels or hyphens else _places(words, lang, lex):
        if i < end:
            continue
        level = by_start.get(words.starts[i])
        if level is not None:
            last = i
            while last < n and words.starts[last] < level.span[1]:
                last += 1
            one = _sided(words, lang, level.span, i, last, Meaning(level.classes), level.rule, sides)
            found.append(one._replace(levels=level.levels))
            end = last
            continue
        if not words.raw[i][0].isalpha():
            continue
        match = longest(lex.structures, words, i)
        if match is not None:
            last, meanings = match
            span = words.starts[i], words.ends[last - 1]
            meaning = merged(meanings)
            if (
                lang == "de"
                and meaning.both
                and last + 1 < n
                and words.raw[last] == "-"
                and words.starts[last + 1] > words.ends[last]
            ):
                meaning = meaning._replace(both=False)  # "Lungen- und Lebermetastasen"
            elif lang == "de" and meaning.both and words.raw[last : last + 2] == ["-", ","]:
                meaning = meaning._replace(both=False)
            if lang == "de" and _plural_by_article(words, i, last):
                meaning = meaning._replace(both=True)
            if meaning.gone and any(key in _PARTLY for key in words.keys[max(0, i - 2) : i]):
                meaning = meaning._replace(gone=False)
            if meaning.gone and words.keys[last - 1].endswith(("ektomieloge", "ektomiehoehle")):
                span = span[0], span[1] - (4 if words.keys[last - 1].endswith("loge") else 5)
            rule = "gone" if meaning.gone else "form"
            found.append(_sided(words, lang, span, i, last, meaning, rule, sides))
            end = last
            continue
        if hyphens and (stem := _hyphened(words, i, lex)) is not None:
            span = words.starts[i], words.ends[i]
            found.append(_sided(words, lang, span, i, i + 1, stem, "compound", sides))
            continue
        if hyphens and i > 1 and words.raw[i - 1] == "-" and (last_part := _suspended(words, i, lex)) is not None:
            span = words.starts[i], words.ends[i]
            found.append(_sided(words, lang, span, i, i + 1, last_part, "truncated", sides))
            continue
        parts = compound(words.keys[i]) if lang == "de" else ()
        for part in parts:
            if part.meaning is not None and not any(each.finding == "catheter" for each in parts):
                span = part_span(words, i, part)
                found.append(_sided(words, lang, span, i, i + 1, part.meaning, "compound", sides))
        cut = hyphens and i + 2 < n and words.raw[i + 1] == "-"
        if cut and (whole := _truncated(words, i, lex)) is not None:
            span = words.starts[i], words.ends[i]
            found.append(_sided(words, lang, span, i, i + 1, whole, "truncated", sides))
    if not sides:
        return found
    free = free_sides(words, lang, sides, found)
    return [_by_clause(words, mention, found, i, free) for i, mention in enumerate(found)]


def _plural_by_article(words: Words, first: int, last: int) -> bool:
    """ "die Oberlappen", "die dorsalen Unterlappen": "die" is no article of one lobe."""
    if not words.keys[last - 1].endswith("lappen"):
        return False
    i = first - 1
    while i > 0 and first - i <= _ADJECTIVES and words.raw[i].islower() and words.keys[i].endswith("en"):
        i -= 1
    return i >= 0 and words.keys[i] == "die"


_ADJECTIVES = 2
"""Words between an article and its noun, at most."""


def _places(words: Words, lang: Lang, lex: Lexicon) -> list[int]:
    """Where a structure may begin in a sentence without levels and, in German, without hyphens."""
    if lang == "en":
        return opening(lex.structures, words)
    found = [i for i, may in enumerate(map(NAMING.__getitem__, words.keys)) if may]
    further = [i for i, key in words.shouted.items() if key in lex.structures]
    return sorted({*found, *further}) if further else found


def _may_name(key: str) -> bool:
    return key in lexicon("de").structures or any(part.meaning is not None for part in compound(key))


NAMING = Memo(_may_name)
"""Whether a structure may begin at a German word."""


def _by_clause(words: Words, mention: Mention, others: list[Mention], at: int, free: list[SideWord]) -> Mention:
    """With the side that its clause names, where that side belongs to no other mention."""
    names = mention.classes
    if mention.side is not None or len({LABELS[name].side for name in names} - {None}) < PAIR:
        return mention
    side = clause_side(words, mention.first, mention.last, free)
    side = side or _shared_side(words, mention, others[max(0, at - 1) : at + 2]) or _of_limb(mention, others)
    if side is None:
        return mention
    kept = tuple(name for name in names if side == "both" or LABELS[name].side in (side, None))
    return mention._replace(classes=kept, side=side, rule=f"{mention.rule}+side:clause")


def _of_limb(mention: Mention, others: list[Mention]) -> Side | None:
    """ "Humeruskopffraktur links, Klavikula intakt": one limb is examined, and its side is named once."""
    if not mention.classes[0].startswith(_LIMB):
        return None
    named = {other.side for other in others if other.classes and other.classes[0].startswith(_LIMB)} - {None}
    return named.pop() if len(named) == 1 else None


_LIMB = ("humerus", "scapula", "clavicula", "femur", "hip")


def _shared_side(words: Words, mention: Mention, others: list[Mention]) -> Side | None:
    """ "Ober- und Mittellappen rechts", "linke Niere und Nebenniere": one side for both."""
    for other in others:
        first, last = sorted((mention, other), key=lambda each: each.first)
        between = words.keys[first.last : last.first]
        if other.side is not None and 1 <= len(between) <= PAIR and any(key in _JOINED for key in between):
            return other.side
    return None


def free_sides(words: Words, lang: Lang, sides: list[SideWord], others: Sequence[Mention]) -> list[SideWord]:
    """The words of side that belong to no mention by their place."""
    taken = {
        at
        for other in others
        if other.classes and other.side is not None
        for at in side_places(words, lang, other.first, other.last, sides)
    }
    taken |= {at for other in others for at in range(other.first, other.last)}
    if lang == "de":
        taken |= {side.at for side in sides if _of_root(words, side.at)}
    return [side for side in sides if side.at not in taken]


def _of_root(words: Words, at: int) -> bool:
    """ "mit Kontakt zur Wurzel S1 rechts", "Lumboischialgie links": the side of a nerve root that is touched, of a
    pain, of a lymph node set apart by a comma; not that of the finding.
    """
    for i in range(at - 1, max(-1, at - 5), -1):
        key = words.keys[i]
        if words.raw[i] in ",;:" and i < at - 1:
            return False
        if key.startswith(_ROOTS):
            return any(words.keys[j] in _TOUCHING for j in range(max(0, i - 5), i))
        if i == at - 1 and (key.endswith(_PAINS) or key.startswith("schmerz")):
            return True
        if key in ("lk", "lymphknoten"):
            return any(raw == "," for raw in words.raw[max(0, i - 3) : i])
    return False


_ROOTS = ("wurzel", "nervenwurzel", "spinalnerv")
_TOUCHING = frozenset(("mit", "kontakt", "zu", "zur", "ohne", "an"))
_PAINS = (
    *("algie", "algien", "schmerz", "schmerzen", "parese", "plegie", "symptomatik", "radikulopathie", "neuropathie"),
    *("aesthesie", "aesthesien", "beschwerden", "syndrom", "schwaeche", "schwellung", "prellung", "trauma", "defizit"),
)
"""Ends of words for what the patient feels: the side is that of the complaint."""


def _hyphened(words: Words, i: int, lex: Lexicon) -> Meaning | None:
    """ "Hüft-TEP", "Leber-Metastase": the first part of a compound, written with a hyphen."""
    if i + 2 >= len(words.raw) or words.raw[i + 1] != "-" or not words.raw[i + 2][0].isalpha():
        return None
    if words.starts[i + 1] != words.ends[i] or words.starts[i + 2] != words.ends[i + 1]:
        return None
    return lex.stems.get(words.keys[i])


def _truncated(words: Words, i: int, lex: Lexicon) -> Meaning | None:
    """ "Ober- und Unterlappen": the first word borrows the end of the second."""
    for j in range(i + 2, min(i + 5, len(words.raw))):
        other = words.keys[j]
        if not other.isalpha() or len(other) < 6:
            continue
        for cut in range(2, len(other) - 2):
            node = lex.structures.get(words.keys[i] + other[cut:])
            if node is not None and "" in node:
                return merged(node[""])
            parts = compound(words.keys[i] + other[cut:])
            if parts and parts[0].meaning is not None:
                return parts[0].meaning
    return None


def _suspended(words: Words, i: int, lex: Lexicon) -> Meaning | None:
    """ "Pankreaskorpus und -schwanz": the second word borrows the beginning of the first."""
    if words.raw[i - 1] != "-" or words.starts[i] != words.ends[i - 1] or words.starts[i - 1] == words.ends[i - 2]:
        return None
    for j in range(i - 2, max(-1, i - 7), -1):
        other = words.keys[j]
        if not other.isalpha() or len(other) < 6:
            continue
        for cut in range(len(other) - 2, SHORTEST_STEM - 1, -1):
            if other[:cut] not in lex.stems:
                continue
            node = lex.structures.get(other[:cut] + words.keys[i])
            if node is not None and "" in node:
                return merged(node[""])
            parts = compound(other[:cut] + words.keys[i])
            if len(parts) == 1 and parts[0].meaning is not None:
                return parts[0].meaning
    return None


@lru_cache(1 << 12)
def sides_in(classes: tuple[str, ...]) -> tuple[bool, Side | None, bool]:
    """(some are of the left and some of the right, or have no side; the only side; a word of side halves none)."""
    if classes == ("atrial_appendage_left",):
        return False, None, True  # its side is part of its name
    own = {LABELS[name].side for name in classes}
    midline = bool(classes) and all(name.startswith(_MIDLINE) for name in classes)
    return len(own) > 1, own.pop() if len(own) == 1 else None, midline


def _sided(
    words: Words, lang: Lang, span: Span, first: int, last: int, meaning: Meaning, rule: str, sides: list[SideWord]
) -> Mention:
    side: Side | None = None
    classes = meaning.classes
    two_sided, one_side, midline = sides_in(classes)
    found = side_of(words, lang, first, last, sides) if sides and not midline else None
    if found is not None:
        side, how = found
        rule += f"+{how}"
    elif one_side is not None:
        side = one_side
    elif meaning.both or (two_sided and words.keys[max(0, first - 1) : first] in (["neither"], ["either"])):
        side = "both"
    elif meaning.gone and two_sided and len({word.side for word in sides}) == 1:
        side, rule = sides[0].side, f"{rule}+side:sentence"
    if two_sided and side in ("left", "right"):
        classes = tuple(name for name in classes if LABELS[name].side in (side, None))
    return Mention(span, first, last, classes, side, meaning.gone, rule)
