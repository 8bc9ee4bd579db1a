"""The words of a sentence that name a side of the patient."""

import re
from typing import NamedTuple

from rrg.records import Lang, Side
from rrg.reports.words import Memo, Words

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
for _word in ("beide", "beiden", "beider", "beides", "beidseits", "beiderseits", "bds", "bd", "beids"):
    _SIDES["de"][_word] = "both"
for _stem in ("beidseitig", "beiderseitig", "bilateral", "doppelseitig"):
    for _end in ("", "e", "er", "es", "en", "em"):
        _SIDES["de"][_stem + _end] = "both"
for _word in ("dexter", "dextra", "dextrum", "dext", "dx"):
    _SIDES["de"][_word] = "right"
for _word in ("sinister", "sinistra", "sinistrum", "sin"):
    _SIDES["de"][_word] = "left"
for _stem in ("biapikal", "bibasal"):
    for _end in ("", "e", "er", "es", "en", "em"):
        _SIDES["de"][_stem + _end] = "both"


class SideWord(NamedTuple):
    """A word that names a side."""

    at: int
    side: Side


_SIDES["de"].update({"li": "left", "re": "right", "lks": "left", "rts": "right"})
_ENGLISH = frozenset((*_SIDES["en"], "r", "l", ">", "either", "each", "neither"))


def side_words(words: Words, lang: Lang) -> list[SideWord]:
    """Words of the sentence that name a side. German "Rechte/Linke" count, "rechtfertigend" does not."""
    table = _SIDES[lang]
    if lang == "en":
        places = [i for i, key in enumerate(words.keys) if key in _ENGLISH]
    else:
        places = [i for i, may in enumerate(map(_GERMAN.__getitem__, words.keys)) if may]
    if not places:
        return []
    found = []
    compares = "than" in words.keys or "als" in words.keys
    spoken = -1
    for i in places:
        key = words.keys[i]
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
        if key in _EVERY and words.keys[i + 1 : i + 2] == _SIDE[lang]:
            found.append(SideWord(i, "both"))
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


_EVERY = frozenset(("either", "each", "neither", "jeder", "keiner"))
_SIDE: dict[Lang, list[str]] = {"de": ["seite"], "en": ["side"]}
""" "on neither side", "auf keiner Seite" speak of both."""
_LONGEST_PLAIN = 9
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


_GERMAN = Memo(
    lambda key: (
        key in _SIDES["de"] or key == ">" or key in _EVERY or (len(key) > _LONGEST_PLAIN and _inside(key) is not None)
    )
)
"""Whether a German word may name a side."""


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
