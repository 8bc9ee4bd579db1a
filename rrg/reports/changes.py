"""How a finding compares with the earlier study ("größenprogredient", "stable")."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from rrg.records import Lang
from rrg.reports.findings import Stated
from rrg.reports.lexicon import lexicon
from rrg.reports.tries import phrases
from rrg.reports.words import Words, word_set

Change = Literal["new", "unchanged", "larger", "smaller", "resolved"]
_ENDINGS = ("e", "er", "es", "en", "em")
_TIES = word_set("der des von vom of in the dem den im beider both known bekannten eines einer this these dieser")
"""Words between a noun of change and its finding: "Größenzunahme der Zyste", "increase in size of the cyst"."""
NO_ADJECTIVE = word_set(
    """in im an am auf zu zur zum der die das des dem den von vom bei mit ohne nach the of on at with without to from
    for by is are was were has have had been ist sind war waren hat haben wird werden zeigt zeigen shows sich und and
    oder or sowie but aber as than als since"""
)
AND = frozenset(("und", "and", "sowie", "or", "oder", "bzw"))
ARTICLES = frozenset(("ein", "eine", "einer", "einen", "einem", "eines", "a", "an", "one"))
_THAN = frozenset(("als", "geworden", "wie"))
FAR = 6
"""Words between a describing word and its finding, at most."""


class Hit(NamedTuple):
    """Words [first, last) that compare or count."""

    first: int
    last: int
    kind: str


def hits_of(words: Words, lang: Lang) -> list[Hit]:
    """Words of change and of number in a sentence, longest match."""
    lex = lexicon(lang)
    if lex.changing.isdisjoint(words.keys) and lex.changing.isdisjoint(words.shouted.values()):
        return []
    return [Hit(first, last, kinds[0]) for first, last, kinds in phrases(lex.changes, words)]


def findings_only(words: Words, stated: list[Stated], hits: Sequence[Hit]) -> list[Stated]:
    """Without words that compare and are no finding of their own: "has enlarged", "Progress der Metastasen"."""
    for one in stated:
        if one.name in ("progression", "enlargement"):
            return [each for each in stated if not _compares(words, each, hits)]
    return stated


def _compares(words: Words, one: Stated, hits: Sequence[Hit]) -> bool:
    if one.name == "progression" and one.last < len(words.raw) and words.keys[one.last] in _TIES:
        return True
    return one.name == "enlargement" and any(
        hit.first <= one.first and one.last <= hit.last and hit.kind != "multiple" and hit.last - hit.first > 1
        for hit in hits
    )


def changes_of(
    words: Words,
    lang: Lang,
    hits: Sequence[Hit],
    stated: Sequence[Stated],
    denied: Sequence[bool],
    *,
    compared: bool,
) -> list[Change | None]:
    """The change of each finding. `denied`: findings in the scope of a negation ("kein Erguss mehr": resolved)."""
    found: list[Change | None] = [None] * len(stated)
    for hit in hits:
        if hit.kind == "multiple":
            continue
        if words.keys[hit.first].startswith("stationaer") and _in_hospital(words, hit):
            continue
        if _between_sides(words, hit):
            continue
        change = cast(Change, hit.kind)
        if not compared and _positive(words, hit, lang):
            continue
        if (
            words.keys[hit.first - 1] in _THE
            and words.raw[hit.last : hit.last + 1][:1]
            and words.raw[hit.last][0].isdigit()
        ):
            continue  # "zwei Herde, der größere 8 mm"
        if any(one.first < hit.last and hit.first < one.last for one in stated):
            continue  # "progressive disease" is the finding itself
        for i in [i for i in _targets(words, lang, hit, stated) if found[i] is None]:
            found[i] = change
    for i, lost in enumerate(denied):
        if lost and found[i] != "resolved":
            found[i] = None
    if lang == "de" and "mehr" in words.keys:
        for i, one in enumerate(stated):
            if found[i] is None and denied[i] and "mehr" in words.keys[one.last : one.last + 3]:
                found[i] = "resolved"
    return found


_CARE = (
    *(
        "aufnahm",
        "aufgenommen",
        "behand",
        "therap",
        "patient",
        "aufenthalt",
        "abklaer",
        "ueberwach",
        "einweis",
        "betreu",
    ),
    *("diagnostik", "rehab", "pflege", "bedingung", "setting", "befindet", "bei", "versorg", "eingewiesen", "vorstell"),
)


def _in_hospital(words: Words, hit: Hit) -> bool:
    """ "stationäre Aufnahme", "der Patient ist stationär": of the stay in hospital, not of the finding."""
    after = next((key for key in words.keys[hit.last : hit.last + 2] if key.isalpha()), "")
    return after.startswith(_CARE) or any(
        key.startswith(("patient", "befindet")) for key in words.keys[max(0, hit.first - 4) : hit.first]
    )


def _between_sides(words: Words, hit: Hit) -> bool:
    """ "rechts ausgeprägter als links", "worse on the right": one side is compared with the other."""
    after = words.keys[hit.last - 1 : hit.last + 3]
    if after[1:3] == ["on", "the"]:
        return words.keys[hit.first] in ("worse", "greater", "larger", "more") and after[3:] in (["left"], ["right"])
    return _AS in after[:2] and not _SIDES.isdisjoint(after[1:3])


_AS = "als"
_SIDES = frozenset(("links", "rechts", "li", "re", "linksseitig", "rechtsseitig"))


def _positive(words: Words, hit: Hit, lang: Lang) -> bool:
    """ "kleiner Erguss", "größere Zyste": a size, not a change, in front of its noun."""
    if lang != "de" or hit.last - hit.first > 1 or not words.keys[hit.first].startswith(("kleiner", "groesser")):
        return False
    return hit.last < len(words.raw) and words.raw[hit.last][0].isalpha() and words.keys[hit.last] not in _THAN


def _targets(words: Words, lang: Lang, hit: Hit, stated: Sequence[Stated]) -> list[int]:
    """Indices of the findings that a word of change speaks of."""
    following = next((i for i, one in enumerate(stated) if one.first >= hit.last), None)
    preceding = [i for i, one in enumerate(stated) if one.last <= hit.first]
    predicate = lang == "de" and not words.keys[hit.last - 1].endswith(_ENDINGS)
    behind = _behind(words, hit, stated, preceding)
    if following is not None:
        at = stated[following].first
        title = words.raw[hit.last] in ":," and hit.first <= 1 and not preceding
        opens = words.raw[hit.first - 1] == "," and words.keys[hit.last] in _OPENS and not _wall(words, hit.last, at)
        if (_describes(words, hit.last, at) and not (predicate and behind)) or title or opens:
            return _listed(words, stated, following)
        if _tied(words, hit.last, at):
            return _listed(words, stated, following)
    if behind:
        return behind
    if following is not None and not _wall(words, hit.last, stated[following].first):
        return _listed(words, stated, following)
    return []


def _describes(words: Words, start: int, end: int) -> bool:
    """Only describing words and sizes stand between."""
    return end - start <= FAR and all(
        (words.keys[i] not in NO_ADJECTIVE or words.keys[i] in AND)
        and words.keys[i] not in ARTICLES
        and words.raw[i] not in ",;:.()"
        for i in range(start, end)
    )


def _tied(words: Words, start: int, end: int) -> bool:
    return start < end <= start + FAR + 2 and words.keys[start] in _TIES and not _wall(words, start, end)


def _wall(words: Words, start: int, end: int) -> bool:
    return any(
        words.raw[i] in ",;:" or words.keys[i] in ("aber", "jedoch", "but", "however") for i in range(start, end)
    )


def _behind(words: Words, hit: Hit, stated: Sequence[Stated], preceding: list[int]) -> list[int]:
    """Findings in front of the word of change: those of its clause, else of the one before."""
    if not preceding:
        return []
    last = stated[preceding[-1]]
    depth = 0
    for i in range(last.last, hit.first):
        depth += (words.raw[i] == "(") - (words.raw[i] == ")")
        if words.raw[i] == ";" and depth <= 0:
            return []
    found = [_governing(words, stated, preceding[-1], hit.first)]
    while found[0] > 0:
        left, right = stated[found[0] - 1], stated[found[0]]
        between = range(left.last, right.first)
        if not any(words.keys[i] in AND for i in between) or any(words.raw[i] in ";:." for i in between):
            break
        found.insert(0, found[0] - 1)
    return found


def _governing(words: Words, stated: Sequence[Stated], last: int, at: int) -> int:
    """ "Lungenfibrose vom UIP-Typ, progredient", "Metastase mit Nekrose, neu": what a comma sets at the end speaks of
    the thing that the clause is about, not of what "mit" or "vom" adds to it.
    """
    if last == 0 or words.raw[at - 1] != ",":
        return last
    between = words.keys[stated[last - 1].last : stated[last].first]
    adds = not _ADDING.isdisjoint(between) and "," not in between and AND.isdisjoint(between)
    return last - 1 if adds else last


_ADDING = frozenset(("mit", "vom", "bei"))
_OPENS = frozenset(("hierzu", "hinzu", "dazu", "ein", "eine", "auch", "nun", "jetzt", "daneben", "zudem", "ausserdem"))
_THE = frozenset(("der", "die", "das"))


def _listed(words: Words, stated: Sequence[Stated], first: int) -> list[int]:
    """The finding and those that "und" joins to it without a word between: "neue Rundherde und Ergüsse"."""
    found = [first]
    for i in range(first + 1, len(stated)):
        between = words.keys[stated[i - 1].last : stated[i].first]
        if not between or between[0] not in AND or len(between) > 1:
            break
        found.append(i)
    return found
