"""The patient's side that a word of a sentence belongs to."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from rrg.records import Lang, Side
from rrg.reports.words import Words, word_set

_SIDES: dict[Lang, dict[str, Side]] = {
    "de": {},
    "en": {
        "left": "left",
        "right": "right",
        "bilateral": "both",
        "bilaterally": "both",
        "both": "both",
        "bibasilar": "both",
        "bibasal": "both",
        "biapical": "both",
        "bilat": "both",
        "lt": "left",
        "rt": "right",
    },
}
for _stem, _side in (("link", "left"), ("recht", "right")):
    for _end in ("e", "er", "es", "en", "em", "s"):
        _SIDES["de"][_stem + _end] = "left" if _side == "left" else "right"
    for _part in ("sseitig", "sbetont", "sseits"):
        for _end in ("", "e", "er", "es", "en", "em"):
            _SIDES["de"][_stem + _part + _end] = "left" if _side == "left" else "right"
for _word in ("beide", "beiden", "beider", "beides", "beidseits", "bds", "bd", "beids"):
    _SIDES["de"][_word] = "both"
for _stem in ("beidseitig", "bilateral", "doppelseitig"):
    for _end in ("", "e", "er", "es", "en", "em"):
        _SIDES["de"][_stem + _end] = "both"
for _word in ("dexter", "dextra", "dextrum", "dext", "dx"):
    _SIDES["de"][_word] = "right"
for _word in ("sinister", "sinistra", "sinistrum", "sin"):
    _SIDES["de"][_word] = "left"
for _stem in ("biapikal", "bibasal"):
    for _end in ("", "e", "er", "es", "en", "em"):
        _SIDES["de"][_stem + _end] = "both"
_SIDES["de"].update({"li": "left", "re": "right", "lks": "left", "rts": "right"})

_BEHIND = word_set(
    """links rechts li re lks rts bds bd beids beidseits beidseitig bilateral linksseitig rechtsseitig
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


class SideWord(NamedTuple):
    """A word that names a side."""

    at: int
    side: Side


_ENGLISH = frozenset((*_SIDES["en"], "r", "l", ">"))


def side_words(words: Words, lang: Lang) -> list[SideWord]:
    """Words of the sentence that name a side. German "Rechte/Linke" count, "rechtfertigend" does not."""
    table = _SIDES[lang]
    if lang == "en" and _ENGLISH.isdisjoint(words.keys):
        return []
    found = []
    compares = "than" in words.keys or "als" in words.keys
    spoken = -1
    for i, key in enumerate(words.keys):
        if i == spoken:
            continue
        if key == ">" and (both := _more_on_one(words, i)) is not None:
            found.append(SideWord(i, both))
            spoken = i + 1 if lang == "en" else -1
            continue
        if compares and (spread := _compared(words, i, table)) is not None:
            found.append(SideWord(i, spread))
            spoken = i + 3 if lang == "en" else -1
            continue
        side = (
            table.get(key)
            or (_letter(words, i) if lang == "en" and len(key) == 1 else None)
            or (_inside(key) if lang == "de" and len(key) > _LONGEST_PLAIN else None)
        )
        if side is None or _no_side(words, i):
            continue
        abbreviated = key in ("li", "re", "lks", "rts", "lt", "rt", "bds", "bd")
        if abbreviated and key == "bd" and not _dotted(words, i):
            continue
        if key in ("re", "li") and not _dotted(words, i):
            glued = words.raw[i + 1 : i + 2] == ["-"] and words.starts[i + 1] == words.ends[i]
            if glued or not words.raw[i].islower():
                continue  # "LI-RADS", "Re-Stenose"
        if key == "recht" or (key == "right" and i + 1 < len(words.keys) and words.keys[i + 1] in ("away", "now")):
            continue
        found.append(SideWord(i, side))
    return found if lang == "en" or not (compares or ">" in words.keys) else _both(words, found)


_LONGEST_PLAIN = 10
"""Letters; longer German words may hold a side: "mediolinkslateral"."""
_HOLDS = re.compile(
    r"(?:medio|para|post|postero|antero|ventro|dorso|latero)*(links|rechts)(?:lateral|seit|beton|para|foram|basal|apik|"
    r"dorsal|ventral|hemisph|tempor|front|pariet|okzip|cerebr|zereb|inguin|iliak|axill|pulmon|thorak|hil|kostal|med)"
)
_QUADRANTS = ("unterbauch", "oberbauch", "mittelbauch", "quadrant", "abdomen", "hemiabdomen", "flank")
_REGIONS = (
    ["iliac", "fossa"],
    ["lumbar", "region"],
    ["renal", "angle"],
    ["upper", "abdominal"],
    ["lower", "abdominal"],
    ["sided", "abdominal"],
    ["inguinal", "region"],
)
_OTHER_SIDES = frozenset(("r", "l", "re", "li", "rechts", "links", "right", "left"))


def _inside(key: str) -> Side | None:
    match = _HOLDS.match(key)
    return None if match is None else "left" if match[1] == "links" else "right"


def _both(words: Words, found: list[SideWord]) -> list[SideWord]:
    """ "re. > li.", "rechts mehr als links": each of the two words means both."""
    found = [one for one in found if words.keys[one.at] != ">"] or found
    spread = list(found)
    for k in range(len(found) - 1):
        one, other = found[k], found[k + 1]
        between = [key for key in words.keys[one.at + 1 : other.at] if key != "."]
        if between == [">"] or (len(between) == 2 and between[1] == "als") or between in (["groesser"], [">", ">"]):
            spread[k], spread[k + 1] = one._replace(side="both"), other._replace(side="both")
    return spread


def _more_on_one(words: Words, i: int) -> Side | None:
    """ "R>L", "rechts > links": both."""
    around = words.keys[i - 1 : i] + words.keys[i + 1 : i + 2]
    return "both" if len(set(around)) > 1 and all(key in _OTHER_SIDES for key in around) else None


def _compared(words: Words, i: int, table: dict[str, Side]) -> Side | None:
    """ "left greater than right", "rechts mehr als links": both."""
    if words.keys[i + 2 : i + 3] not in (["than"], ["als"]) or i + 3 >= len(words.raw):
        return None
    first, second = table.get(words.keys[i]), table.get(words.keys[i + 3])
    return "both" if first and second and first != second else None


def _letter(words: Words, i: int) -> Side | None:
    """ "R kidney", "L lung"."""
    after = words.raw[i + 1 : i + 2]
    if (
        words.raw[i] not in ("R", "L")
        or words.raw[i - 1 : i] == [">"]
        or not after
        or not (after[0].isalpha() and after[0].islower())
    ):
        return None
    return "right" if words.raw[i] == "R" else "left"


def _no_side(words: Words, i: int) -> bool:
    """A direction ("nach rechts", "to the right") or a region of the body ("right lower quadrant",
    "left iliac fossa").
    """
    before, after = words.keys[max(0, i - 2) : i], words.keys[i + 1 : i + 4]
    if after[:2] in _REGIONS or after[:1] in (["loin"], ["hypochondrium"], ["hypochondriac"]):
        return True
    if before[-1:] == ["nach"] or before == ["to", "the"]:
        return True
    return any(key.startswith(_QUADRANTS) for key in after[: 2 if after[:1] in (["upper"], ["lower"]) else 1])


def _dotted(words: Words, i: int) -> bool:
    return i + 1 < len(words.raw) and words.raw[i + 1] == "."


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


def _behind(words: Words, lang: Lang, last: int, table: dict[int, Side]) -> tuple[Side, str] | None:
    i = last
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
            and words.keys[i + 1] in ("the", "both")
            and (i + 2 in table or words.keys[i + 1] == "both")
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
    start, end = first, last
    while start > 0 and words.raw[start - 1] not in ",;:":
        start -= 1
    while end < len(words.raw) and words.raw[end] not in ",;:":
        end += 1
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


class Around(NamedTuple):
    """The places of a finding."""

    sides: Sequence[Side | None]
    carried: bool
    """They stand in an earlier clause: "Nieren unauffällig, rechts mit Zyste"."""


def finding_side(
    words: Words,
    lang: Lang,
    first: int,
    last: int,
    around: Around,
    sides: list[SideWord],
    free: list[SideWord],
    *,
    alone: bool,
) -> Side | None:
    """The side of a finding: its own word, else that of its places, else the only one of its clause.

    `free`: the words of side that belong to no structure. `alone`: the sentence states no other finding.
    """
    own = side_of(words, lang, first, last, sides)
    if own is not None and not (
        own[0] == "both" and words.keys[first - 1 : first] in (["beiden"], ["beide"], ["both"])
    ):
        return own[0]
    if own is not None:
        free = []  # "die beiden Herde" counts them
    clause = clause_side(words, first, last, free) if free else None
    if around.carried and clause is not None:
        return clause
    known = set(around.sides)
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
