"""Findings of a sentence: which words name one. What the context says about them comes from `context`."""

import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

from rrg.records import Lang, Span
from rrg.reports.compounds import SIGNS, compound, part_span
from rrg.reports.lexicon import lexicon
from rrg.reports.tries import longest, opening
from rrg.reports.words import Memo, Words, word_set

LESION_LIKE = word_set(
    """cyst pseudocyst metastasis nodule mass lesion tumor carcinoma lymphoma sarcoma adenoma hemangioma lipoma
    angiomyolipoma meningioma polyp abscess osteolysis"""
)
"""Findings that are also a mention of the structure ``lesion``."""


_WALL = frozenset(("wall", "walls", "mucosa"))
NOTHING = "-"
"""Name of phrases that look like a finding and are none: "Tumormarker"."""
_AND = frozenset(("und", "oder", "bzw", "sowie", "noch", "and", "or", "nor"))


class Stated(NamedTuple):
    """A finding in a sentence, before its context is known."""

    span: Span
    first: int
    last: int
    name: str
    rule: str


_AT: dict[str, dict[str, str]] = {
    "calculus": {"gallbladder": "gallstone"},
}


_VESSELS = frozenset(
    (
        *("aorta", "brachiocephalic_trunk", "superior_vena_cava", "inferior_vena_cava", "portal_vein_and_splenic_vein"),
        *(
            f"{name}_{side}"
            for name in ("iliac_artery", "iliac_vena", "subclavian_artery")
            for side in ("left", "right")
        ),
        *("common_carotid_artery_left", "common_carotid_artery_right", "heart", "brain", "pulmonary_vein"),
    )
)


_RENAMED = frozenset(("aneurysm", *_AT))


def named_at(one: Stated, key: str, places: Iterable[tuple[str, ...]]) -> Stated:
    """A finding by its name at its places: a calculus of the gallbladder is a gallstone. `key`: its last word;
    `places`: the classes of each.
    """
    if one.rule == "denied" or (one.name not in _RENAMED and not key.startswith("gestaut")):
        return one
    classes = frozenset(itertools.chain.from_iterable(places))
    if one.name == "aneurysm" and key.startswith(("ektat", "ektasie")) and classes and not classes & _VESSELS:
        return one._replace(name="dilatation")
    if key.startswith("gestaut") and any(name.startswith("kidney") for name in classes):
        return one._replace(name="hydronephrosis")
    name = next((other for place, other in _AT.get(one.name, {}).items() if place in classes), one.name)
    return one._replace(name=name)


def findings_of(words: Words, lang: Lang) -> list[Stated]:
    """Findings in text order, longest match, without overlap."""
    lex = lexicon(lang)
    found: list[Stated] = []
    frees = lang == "en" and "free" in words.keys
    joins = not _AND.isdisjoint(words.keys)
    end = 0
    for i in _places(words, lang, joins=joins):
        if i < end or not words.raw[i][0].isalpha():
            continue
        if frees and (free := _ending(words, i, lang)) is not None:
            found.append(free)
            end = free.last
            continue
        match = longest(lex.findings, words, i)
        if match is not None:
            end, names = match
            if names[0] != NOTHING:
                rule = "denied" if end == i + 1 and words.keys[i] in lex.denied else "form"
                found.append(Stated((words.starts[i], words.ends[end - 1]), i, end, names[0], rule))
            continue
        if lang == "en" and words.keys[i] == "thickening" and words.keys[i + 1 : i + 2] == ["of"]:
            if not _WALL.isdisjoint(words.keys[i + 2 : i + 8]):
                found.append(Stated((words.starts[i], words.ends[i]), i, i + 1, "wall thickening", "form"))
        elif joins and (shared := _shared(words, i, lang)) is not None:
            found.append(Stated((words.starts[i], words.ends[i]), i, i + 1, shared, "truncated"))
        elif lang == "de" and (said := _ending(words, i, lang)) is not None:
            found.append(said)
        elif lang == "de" and words.keys[i] not in lex.structures:
            for part in compound(words.keys[i]):
                if part.finding is not None:
                    rule = _sign_rule(words, i) if words.keys[i].endswith(SIGNS) else "compound"
                    found.append(Stated(part_span(words, i, part), i, i + 1, part.finding, rule))
    return _settled(words, found) if len(found) > 1 else found


def _places(words: Words, lang: Lang, *, joins: bool) -> list[int]:
    """Where a finding may begin: at a word of the list or one that its own parts tell; and, where words are joined
    (`joins`), in front of what they share.
    """
    keys = words.keys
    trie = lexicon(lang).findings
    further: list[int] = []
    if lang == "de":
        found = [i for i, may in enumerate(map(NAMING.__getitem__, keys)) if may]
        further = [i for i, key in words.shouted.items() if key in trie]
        if joins and "-" in keys:
            further += [i for i, key in enumerate(keys[1:]) if key == "-"]
    else:
        found = opening(trie, words)
        if joins:
            further = [i for i, key in enumerate(keys[1:]) if key in _AND]
        if "thickening" in keys:
            further += [i for i, key in enumerate(keys) if key == "thickening"]
        if "free" in keys:
            further += [i for i, key in enumerate(keys[2:]) if key == "free"]
    return sorted({*found, *further}) if further else found


_SAYING = ("frei", "verd", "suspekt")


def _may_name(key: str) -> bool:
    lex = lexicon("de")
    parts = () if key in lex.structures else compound(key)
    return key in lex.findings or any(part.finding for part in parts) or any(mark in key for mark in _SAYING)


NAMING = Memo(_may_name)
"""Whether a finding may begin at a German word."""


def _sign_rule(words: Words, i: int) -> str:
    """ "Frakturausschluss" denies, "zum Frakturausschluss" asks, "Meningeomresektion" tells what was."""
    key = words.keys[i]
    if key.endswith("ausschluss"):
        return "suspected" if words.keys[max(0, i - 1) : i] in (["zum"], ["um"], ["zwecks"]) else "denied"
    planned = "vor" in words.keys[max(0, i - 2) : i] or any(
        word.startswith(("geplant", "planung", "vorgesehen")) for word in words.keys[max(0, i - 3) : i + 4]
    )
    return "operated" if key.endswith(_OPERATIONS) and not planned else "compound"


_OPERATIONS = (
    *("resektion", "entfernung", "exzision", "exstirpation", "ausraeumung", "clipping", "coiling", "operation"),
)
_HEIGHT = ("hoehenmind", "hoehengemind", "height")
_HEALED = ("konsolidier", "konsolidation")
_BREAKS = frozenset(("fracture", "pseudarthrosis", "compression fracture", "callus"))
_DISCS = frozenset(("osteochondrosis", "disc protrusion", "disc herniation"))
_FOCI = ("laesion", "herd", "fok")
_NATURES = frozenset(("microangiopathy", "ischemia", "demyelination", "inflammation"))


def _settled(words: Words, found: list[Stated]) -> list[Stated]:
    """Words that mean another thing beside their neighbours: a fracture is consolidated, a fracture or a disc has lost
    height; "mikroangiopathische Läsionen" are one finding.
    """
    names = {one.name for one in found}
    kept: list[Stated] = []
    for one in found:
        key = words.keys[one.first]
        if one.name == "consolidation" and key.startswith(_HEALED) and names & _BREAKS:
            continue
        lost = one.name == "compression fracture" and key.startswith(_HEIGHT)
        if lost and (
            names & (_DISCS | {"fracture"})
            or any(other.name == one.name and not words.keys[other.first].startswith(_HEIGHT) for other in found)
        ):
            continue
        general = one.name == "lesion" and any(focus in key for focus in _FOCI)
        before = kept[-1] if general and kept and kept[-1].last == one.first else None
        if before and before.name in _NATURES and words.keys[before.first].endswith(_ADJECTIVES):
            kept[-1] = before._replace(last=one.last)
            continue
        kept.append(one)
    return kept


_ADJECTIVES = ("e", "er", "es", "en", "em")


def _shared(words: Words, i: int, lang: Lang) -> str | None:
    """ "Pleura- oder Perikarderguss", "pleural or pericardial effusion": the word borrows the end of the other."""
    lex = lexicon(lang)
    joined = i + (2 if lang == "de" else 1)
    if joined + 1 >= len(words.raw) or words.keys[joined] not in _AND or (lang == "de" and words.raw[i + 1] != "-"):
        return None
    if lang == "de":
        for other in words.keys[joined + 1 : joined + 3]:
            for cut in range(3, len(other) - 3):
                name = lex.single.get(words.keys[i] + other[cut:])
                if name is not None and name != NOTHING:
                    return name
        return None
    for j in range(joined + 2, min(joined + 4, len(words.raw))):
        node = lex.findings.get(words.keys[i], {}).get(words.keys[j], {})
        if "" in node:
            name = node[""][0]
            return None if name == NOTHING else str(name)
    return None


_ENDED = re.compile(r"(?P<stem>.{3,}?)(?:s|en|n)?(?P<end>frei|verdaechtig|suspekt|verdacht)(?:e|er|es|en|em|s|es)?\Z")


_LAYERS = ("wand", "waende", "waenden", "wandung", "wandungen", "schleimhaut", "mukosa")
"""Ends of words for what may be thick: "Verdickung der Magenwand"."""


def _ending(words: Words, i: int, lang: Lang) -> Stated | None:
    """ "frakturfrei" denies, "metastasenverdächtig" doubts: what the first part of the word names."""
    key = words.keys[i]
    if lang == "en":
        free = words.raw[i + 1 : i + 2] == ["-"] and words.keys[i + 2 : i + 3] == ["free"]
        name = lexicon(lang).single.get(key) if free else None
        return Stated((words.starts[i], words.ends[i + 2]), i, i + 3, name, "denied") if name else None
    if key.startswith("verdick") and any(word.endswith(_LAYERS) for word in words.keys[max(0, i - 5) : i + 5]):
        return Stated((words.starts[i], words.ends[i]), i, i + 1, "wall thickening", "form")
    match = _ENDED.match(key) if any(mark in key for mark in _SAYING) else None
    if match is None:
        return None
    lex = lexicon(lang)
    for stem in (match["stem"], match["stem"] + "en", match["stem"] + "n", match["stem"] + "s"):
        name = lex.single.get(stem)
        if name is not None and name != NOTHING:
            rule = "denied" if match["end"] == "frei" else "suspected"
            return Stated((words.starts[i], words.ends[i]), i, i + 1, name, rule)
    return None
