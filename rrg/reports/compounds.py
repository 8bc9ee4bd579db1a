"""German compounds: which part names a structure, which a finding."""

from typing import NamedTuple

from rrg.records import Span
from rrg.reports.lexicon import Lexicon, Meaning, lexicon
from rrg.reports.words import Memo, Words, unfolded

SHORTEST_STEM = 4
_LONGEST_WORD = 80
"""Letters; a longer one is noise."""
_REMOVAL = ("entfernung", "exstirpation", "explantation", "ektomie")
_NOT_THE_STRUCTURE = ("arteri", "vene", "gefaess", "gang", "sonde", "katheter", "transplant", "werte", "funktion")
"""Middle parts of compounds that name another structure: "Leber|arterien|stenose"."""


class Part(NamedTuple):
    """A part of a compound: letters [start, end) of its folded spelling."""

    start: int
    end: int
    meaning: Meaning | None
    finding: str | None


def _compound(key: str) -> tuple[Part, ...]:
    if not SHORTEST_STEM + 3 <= len(key) <= _LONGEST_WORD or key.startswith(_AGAINST):
        return ()
    lex = lexicon("de")
    if key.endswith(_ORGANS) and (named := _named_organ(key, lex)):
        return named
    tail = _tail(key, lex)
    stem_end = tail[0] if tail else len(key)
    for length in range(stem_end, SHORTEST_STEM - 1, -1):
        meaning = lex.stems.get(key[:length])
        if meaning is None:
            continue
        rest = key[length:]
        if rest.startswith(_REMOVAL):
            return (Part(0, len(key), meaning._replace(gone=True), None),)
        if tail and length <= tail[0]:
            middle = key[length : tail[0]]
            if any(part in middle for part in _NOT_THE_STRUCTURE):
                break
            return Part(0, length, meaning, None), Part(tail[0], len(key), None, tail[1])
        if rest in lex.heads:
            return (Part(0, len(key), meaning, None),)
        if rest.startswith(_STATES) and key not in lex.single and not tail:
            return (
                Part(
                    6 if key.startswith("rechtsherz") else 5 if key.startswith("linksherz") else 0,
                    length,
                    meaning,
                    None,
                ),
            )
        if rest in lex.single:
            return Part(0, length, meaning, None), Part(length, len(key), None, lex.single[rest])
    for length in range(len(key) - 3, SHORTEST_STEM - 1, -1):
        if key[length:] in lex.single and (meaning := lex.stems.get(key[:length])) is not None:
            return Part(0, length, meaning, None), Part(length, len(key), None, lex.single[key[length:]])
    if tail:
        return (Part(tail[0], len(key), None, tail[1]),)
    return _first_part(key, lex) if key.endswith(SIGNS) else ()


COMPOUNDS = Memo(_compound)
compound = COMPOUNDS.__getitem__
"""Parts of a German compound that the lists know: "lebermetastasen" -> liver, metastasis."""
_AGAINST = (
    "antioedem",
    "antikoag",
    "antithrom",
    "antiinfl",
    "antimyk",
    "antitumor",
    "antifibr",
    "antiarrhyth",
    "antituberk",
)
"""Begin of words for what acts against a disease: "antiödematös" states no edema."""
_STATES = (
    *("betont", "dominant", "uebergreifend", "ueberschreitend", "infiltrierend", "inkarzer", "torsion", "einklemmung"),
    *("biops", "punktion", "erkrankung", "schaedigung", "veraenderung", "belastung", "verletzung"),
)
"""Second parts that say what is with the structure of the first: "oberlappen|betont"."""
_ORGANS = ("leber", "niere", "nieren", "wirbel", "wirbels", "wirbeln", "gallenblase", "aorta", "pankreas", "milz")
_NATURES = {
    **{
        "schrumpf": "atrophy",
        "zysten": "cyst",
        "haemangiom": "hemangioma",
        "tumor": "tumor",
        "porzellan": "calcification",
    },
    **{"metastasen": "metastasis", "fett": "steatosis", "stauungs": "congestion", "zirrhose": "cirrhosis"},
}
"""First parts of organs that a disease has named: "Schrumpf|niere"."""
SIGNS = (
    *("zeichen", "zeichens", "nachweis", "nachweises", "hinweis", "hinweise", "areal", "areale", "arealen", "bezirk"),
    *("bezirke", "korrelat", "ausschluss", "manifestation", "manifestationen", "resektion", "entfernung", "exzision"),
    *("exstirpation", "ausraeumung", "clipping", "coiling", "operation"),
)
"""Second parts of compounds whose first part is a finding: "Cholezystitis|zeichen"."""


def _named_organ(key: str, lex: Lexicon) -> tuple[Part, ...]:
    for first, finding in _NATURES.items():
        node = lex.structures.get(key[len(first) :]) if key.startswith(first) else None
        if node is not None and "" in node:
            name = "hydronephrosis" if first == "stauungs" and "niere" in key else finding
            return Part(0, len(first), None, name), Part(len(first), len(key), merged(node[""]), None)
    return ()


def _first_part(key: str, lex: Lexicon) -> tuple[Part, ...]:
    stem = key[: -next(len(sign) for sign in sorted(SIGNS, key=len, reverse=True) if key.endswith(sign))]
    for cut in ("", "s", "en", "n", "es", "e"):
        first = stem.removesuffix(cut)
        if len(first) >= SHORTEST_STEM and (first == stem or stem.endswith(cut)):
            name = lex.single.get(first)
            if name is not None and name != "-":
                return (Part(0, len(first), None, name),)
            parts = compound(first)
            if any(part.finding for part in parts):
                return parts
    return ()


def _tail(key: str, lex: Lexicon) -> tuple[int, str] | None:
    for start in range(3, len(key) - 3):
        if (name := lex.tails.get(key[start:])) is not None:
            return start, name
    return None


def part_span(words: Words, at: int, part: Part) -> Span:
    """Code points of a part of the compound at word `at`."""
    raw, origin = words.raw[at], words.starts[at]
    return origin + unfolded(raw, part.start), origin + unfolded(raw, part.end)


def merged(meanings: list[Meaning]) -> Meaning:
    """One form with several rows means all their classes."""
    if len(meanings) == 1:
        return meanings[0]
    names = [name for meaning in meanings for name in meaning.classes]
    return Meaning(
        tuple(dict.fromkeys(names)), any(each.both for each in meanings), any(each.gone for each in meanings)
    )
