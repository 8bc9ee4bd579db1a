"""The patient's side that a word of a sentence belongs to."""

from collections.abc import Sequence

from rrg.records import Lang, Side
from rrg.reports.side_words import SideWord
from rrg.reports.words import Words, between_attributes, word_set

_BEHIND = word_set(
    """links rechts li re lks rts bds bd beids beidseits beiderseits beidseitig bilateral linksseitig rechtsseitig
    dexter dextra dextrum dext dx sinister sinistra sinistrum sin"""
)
"""German words that may stand behind their noun: "Niere links"."""
_STOP = word_set(
    """der die das des dem den ein eine einer eines einem einen und oder sowie in im an am bei mit ohne von vom
    zur zum zu auf aus nach kein keine keiner the a an of in on at with without to from for by is are and or no
    not as ist sind zeigt per s"""
)

_BETWEEN = 4
"""Words that may stand between a side and its noun: "im linken dorsobasalen Unterlappen"."""


def side_of(words: Words, lang: Lang, first: int, last: int, sides: list[SideWord]) -> tuple[Side, str] | None:
    """(side, rule) of the phrase of words [first, last): before it, behind it, else None."""
    if not sides:
        return None
    table = {word.at: word.side for word in sides}
    return _before(words, lang, first, table) or _behind(words, lang, last, table)


def side_places(words: Words, lang: Lang, first: int, last: int, sides: list[SideWord]) -> list[int]:
    """The words of side right before or behind the phrase that it takes its side from."""
    table = {word.at: word.side for word in sides}
    if _before(words, lang, first, table) is not None:
        return [max(at for at in table if at < first)]
    if _behind(words, lang, last, table) is not None:
        return [min(at for at in table if at >= last)]
    return []


def _before(words: Words, lang: Lang, first: int, table: dict[int, Side]) -> tuple[Side, str] | None:
    passed = 0
    i = first - 1
    if words.keys[max(0, first - 3) : first] == ["lobe", "of", "the"]:
        i = first - 4  # "the right lobe of the liver"
    while i >= 0 and passed <= _BETWEEN:
        raw, key = words.raw[i], words.keys[i]
        if i in table:
            if (
                lang == "de"
                and key in _BEHIND
                and key not in ("li", "re", "bds", "lks", "rts")
                and i < first - 1
                and passed
                and _follows_noun(words, i)
            ):
                return None
            return _joined(words, i, table), "side:before"
        positions = key in _AND and words.keys[i + 1] in _POSITIONS and words.keys[i - 1] in _POSITIONS
        if raw in ".-/" or raw.isdigit() or positions:
            i -= 1
            continue
        if not raw[0].isalpha() or key in _STOP:
            return None
        if lang == "de" and raw[0].isupper() and i > 0:
            return None  # another noun
        passed += 1
        i -= 1
    return None


_AND = frozenset(("and", "und", "or", "oder"))
_POSITIONS = word_set(
    """superior inferior upper lower middle mid anterior posterior medial lateral proximal distal obere unteren oberen
    untere mittlere mittleren oberer unterer"""
)


def _follows_noun(words: Words, i: int) -> bool:
    """ "Niere rechts kleine Zyste": the side belongs to the noun in front of it, not to what comes."""
    return i > 0 and words.raw[i - 1][0].isupper() and words.keys[i - 1] not in _STOP


_WHERE_ON_IT = _POSITIONS | word_set(
    "basal apical basilar hilar perihilar frontal parietal temporal occipital lobar central peripheral dorsal ventral"
)
_PAIRING = frozenset(("und", "and", "sowie", "or", "oder", "wie", "noch", "nor"))


def _joined(words: Words, i: int, table: dict[int, Side]) -> Side:
    """ "linke und rechte Niere" is both."""
    if i >= 2 and words.keys[i - 1] in _PAIRING and i - 2 in table:
        return "both" if table[i - 2] != table[i] else table[i]
    if (other := _named_before(words, i, table)) is not None:
        return table[i] if table[other] == table[i] else "both"
    j = i - 1
    while (
        j > 0
        and i - j <= _BETWEEN
        and (words.raw[j].isalpha() or words.raw[j] == "-")
        and words.keys[j] not in _PAIRING
        and j not in table
    ):
        j -= 1
    if j > 0 and words.keys[j] == "and":
        at = j - 3 if words.keys[max(0, j - 2) : j] == ["-", "sided"] else j - 1
        at -= at not in table and words.keys[at] in _WHERE_ON_IT and at - 1 in table
        if (at < j - 1 or j < i - 1) and table.get(at, table[i]) != table[i]:
            return "both"  # "trace left and moderate right pleural effusions", "right basal and left apical opacities"
    return table[i]


def _named_before(words: Words, i: int, table: dict[int, Side]) -> int | None:
    """The side in "der rechte als auch der linke Femurkopf", "the right and the left lung": one noun for two."""
    j = i - 1
    j -= j > 0 and words.keys[j] in _ARTICLES
    if j < 1 or words.keys[j] not in ("auch", *_PAIRING):
        return None
    j -= 2 if words.keys[j - 1 : j + 1] in (["als", "auch"], ["wie", "auch"], ["as", "well"]) else 1
    return j if j in table else None


_ARTICLES = frozenset(("der", "die", "das", "den", "dem", "des", "the"))


def _past_size(words: Words, at: int) -> int:
    """Behind the size that stands at once: "Rundherd von 5 mm links", "nodules of 4 mm and 6 mm on the right"."""
    i = at + (words.keys[at : at + 1] in _SIZING)
    while i < len(words.raw) and (words.raw[i][0].isdigit() or words.keys[i] in _OF_SIZE):
        i += 1
    return i if i > at and words.keys[i - 1] in ("mm", "cm") else at


_SIZING = (["of"], ["von"], ["mit"], ["measuring"], [","])
_OF_SIZE = frozenset(("mm", "cm", "x", "×", "and", "und"))


def _behind(words: Words, lang: Lang, last: int, table: dict[int, Side]) -> tuple[Side, str] | None:
    i = last = _past_size(words, last)
    n = len(words.raw)
    while i < n and words.raw[i] in "(.":
        if words.raw[i] == "." and i > last:
            break
        i += 1
    if lang == "en":
        if (
            i + 1 < n
            and words.raw[i] == ","
            and words.keys[i + 1] in ("left", "right", "bilateral")
            and _closes(words, i + 1)
        ):
            return table.get(i + 1, "both"), "side:behind"  # "lesion, left, suspicious"
        if (
            i + 2 < n
            and words.keys[i] == "on"
            and words.keys[i + 1] in ("the", "both", "either")
            and (i + 2 in table or words.keys[i + 1] in ("both", "either"))
        ):
            return table.get(i + 2, "both"), "side:behind"
        if i in table and words.keys[i] in ("bilaterally", "left", "right") and _closes(words, i):
            return table[i], "side:behind"
        return None
    if i + 1 < n and words.keys[i] == "von" and i + 1 in table and words.keys[i + 1] in _BEHIND:
        return table[i + 1], "side:behind"
    if i in table and words.keys[i] in _BEHIND:
        if i + 2 < n and words.keys[i + 1] in _PAIRING and i + 2 in table and words.keys[i + 2] in _BEHIND:
            return ("both" if table[i] != table[i + 2] else table[i]), "side:behind"
        return table[i], "side:behind"
    return None


def _closes(words: Words, i: int) -> bool:
    """An English "left" behind a noun, not in front of the next one."""
    return i + 1 >= len(words.raw) or not words.raw[i + 1][0].isalpha()


def clause_side(words: Words, first: int, last: int, sides: list[SideWord]) -> Side | None:
    """The only side that is named in the part of the sentence (between commas and semicolons) around the phrase.

    A part that only names a side is the title of the next: "On the right, the carotid artery is normal".
    """
    own, end = first, last
    while own > 0 and words.raw[own - 1] not in ",;:":
        own -= 1
    start = own
    while start > 0 and (words.raw[start - 1] not in ",;:" or between_attributes(words, start - 1)):
        start -= 1
    while end < len(words.raw) and (words.raw[end] not in ",;:" or between_attributes(words, end)):
        end += 1
    # "Mammakarzinom links derzeit ohne eine hepatische, pulmonale Metastase": the side of the noun in front of it
    sides = [word for word in sides if word.at >= own or not _follows_noun(words, word.at)]
    found = {word.side for word in sides if start <= word.at < end}
    if not found and start > 0 and words.raw[start - 1] in ",:":
        title = start - 1
        while title > 0 and words.raw[title - 1] not in ",;:":
            title -= 1
        spoken = [i for i in range(title, start - 1) if words.keys[i] not in _TITLE_WORDS]
        named = {word.at: word.side for word in sides}
        if spoken and all(i in named for i in spoken):
            found = {named[i] for i in spoken}
    if found == {"left", "right"}:
        places = [word.at for word in sides if start <= word.at < end]
        if len(places) == 2 and places[1] - places[0] == 2 and words.keys[places[0] + 1] in _PAIRING:
            return "both"  # "weder rechts noch links"
    return found.pop() if len(found) == 1 else None


_TITLE_WORDS = word_set("on the auf der seite hand side in an auch also")


def finding_side(
    words: Words,
    lang: Lang,
    first: int,
    last: int,
    around: Sequence[Side | None],
    sides: list[SideWord],
    free: list[SideWord],
    *,
    carried: bool,
    alone: bool,
) -> Side | None:
    """The side of a finding: its own word, else that of its places, else the only one of its clause.

    `around`: the sides of its places; `carried`: these stand in an earlier clause ("Nieren unauffällig, rechts mit
    Zyste"). `free`: the words of side that belong to no structure. `alone`: the sentence states no other finding.
    """
    own = side_of(words, lang, first, last, sides)
    if own is not None and not (
        own[0] == "both" and words.keys[first - 1 : first] in (["beiden"], ["beide"], ["both"])
    ):
        return own[0]
    if own is not None:
        free = []  # "die beiden Herde" counts them
    clause = clause_side(words, first, last, free) if free else None
    if carried and clause is not None:
        return clause
    known = set(around)
    if known:
        return None if None in known else known.pop() if len(known) == 1 else "both"
    if not free:
        return None
    whole = {word.side for word in free}
    if clause is None and len(whole) == 1 and (alone or _goes_on(words, first)):
        return whole.pop()
    near = [word.at for word in free if word.side == clause and word.at < first]
    if near and any(key in ("ohne", "without") for key in words.keys[near[-1] : first]):
        return None
    return clause


def _goes_on(words: Words, at: int) -> bool:
    """ "..., mit kleinem Erguss", "..., with a small effusion": the clause goes on with the side of the one before."""
    while at > 0 and words.raw[at - 1] not in ",;:":
        at -= 1
    return at > 1 and words.raw[at - 1] == "," and words.keys[at] in ("mit", "with", "ohne", "without")
