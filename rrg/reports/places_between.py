"""What stands between a finding and a structure: walls, brackets, lists."""

from collections.abc import Sequence

from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention
from rrg.reports.words import Words, between_attributes, opens_relative, word_set

_WALLS = frozenset(("aber", "jedoch", "but", "however", "sowie", "ausser", "except"))
_CARRY = word_set(
    """mit ohne with without aber jedoch allerdings but however showing containing darin dort therein hierin dabei
    links rechts left right beidseits bilaterally li re segment segmente segmenten unterpol oberpol"""
)
"""Words of a clause that goes on with the structure of the one before: "Niere rechts schlank, links mit Zyste"."""
FAR = 12
"""Words between a finding and its place, at most."""


def listed_on(words: Words, start: int, end: int) -> bool:
    """ "The lungs are clear without nodule, mass or opacity": the last of a denied list lie where the first lies."""
    keys = words.keys[start:end]
    denied = next((i for i, key in enumerate(keys) if key == "without"), None)
    if denied is None or any(sign in keys[:denied] for sign in (",", ";")):
        return False
    return not any(key in _VERBS or key in ";:(" for key in keys[denied:])


_VERBS = word_set("is are was were there with in of at on shows show has have normal unremarkable clear but")
_FINE = word_set(
    """intact normal unremarkable clear is are frei intakt unauffaellig regelrecht regelhaft normwertig zart schlank
    orthotop homogen altersentsprechend ist sind o ohne reizlos durchgaengig glatt patent preserved"""
)


def begins_anew(words: Words, between: list[str], end: int, others: Sequence[Stated]) -> bool:
    """ "Atrophie der rechten Niere, linke Nebenniere regelrecht": what a comma sets apart is the subject of a clause on
    a normal structure, not a further place.
    """
    until = next((i for i in range(end, len(words.raw)) if words.raw[i] in ",;:"), len(words.raw))
    until = min((other.first for other in others if other.first >= end), default=until) if until > end else until
    return any(words.keys[i] in _FINE for i in range(end, until)) or between[-1:] in (["linke"], ["rechte"])


def outside(words: Words, start: int, end: int) -> list[str]:
    """The words between two places, without what stands in brackets."""
    keys = words.keys[start:end]
    if "(" not in keys:
        return keys
    inside = _bracketed(words, start, end)
    return [key for i, key in enumerate(keys, start) if i not in inside]


def is_numbered(between: list[str]) -> bool:
    """ "Zielläsion 1 Leber", "Herd Nr. 2 Leber": a number between a finding and its place."""
    return len(between) <= 3 and between[-1].isdecimal() and all(key in ("nr", ".") for key in between[:-1])


def is_open(words: Words, start: int, end: int) -> bool:
    """No wall between two places: comma, semicolon, "aber"; what stands in brackets does not count."""
    if _SEPARATING.isdisjoint(words.keys[start:end]):
        return True
    inside = _bracketed(words, start, end)
    return not any(
        i not in inside
        and (
            (words.raw[i] in ",;" and not between_attributes(words, i) and not opens_relative(words, i))
            or words.keys[i] in _WALLS
        )
        for i in range(start, end)
    )


_SEPARATING = _WALLS | {",", ";"}


def _bracketed(words: Words, start: int, end: int) -> set[int]:
    """The words of [start, end) in brackets that open and close there."""
    inside: set[int] = set()
    if "(" in words.raw[start:end]:
        first = words.raw.index("(", start, end)
        while ")" in words.raw[first:end]:
            last = words.raw.index(")", first, end)
            inside.update(range(first, last + 1))
            if "(" not in words.raw[last:end]:
                break
            first = words.raw.index("(", last, end)
    return inside


def carries(words: Words, mention: Mention, end: int, *, opening: bool) -> bool:
    """The clause of the finding goes on with this structure. `opening`: it opens the sentence, as its subject."""
    start = mention.last
    wall = end - 1
    while wall >= start and words.raw[wall] not in ",;" and words.keys[wall] not in _WALLS:
        wall -= 1
    if wall < start or ";" in words.raw[start:end] or end - start > 2 * FAR:
        return False
    clause = words.keys[wall:end]
    other_side = {"links": "left", "rechts": "right", "li": "left", "re": "right"}
    named = {other_side.get(key, key) for key in clause} & {"left", "right"}
    if named and mention.side in ("left", "right") and mention.side not in named:
        return False  # "Nebenniere rechts schlank, links mit Adenom"
    return opening or any(key in _CARRY for key in clause)
