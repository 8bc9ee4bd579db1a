"""Where a finding is: which mentions of the sentence say so."""

import bisect
from collections.abc import Sequence

from rrg.reports.findings import LESION_LIKE, Stated
from rrg.reports.mentions import Mention
from rrg.reports.places_behind import AND, CLOSE, DENYING, FIRST, JOINERS, PLACING, places_behind
from rrg.reports.places_between import FAR, carries, is_open, listed_on
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
        "artifact",
    )
)
"""Findings whose name says where they are: a structure in front of them is not their place."""
_LINKS = word_set(
    """und and oder or nor noch neither weder mit ohne with without
    zeigt shows ist is sind are eine ein a no kein keine bei nach durch wegen infolge due secondary by"""
)
_SIDED = frozenset(("links", "rechts", "beidseits", "left", "right"))
_GENITIVE = frozenset(("der", "des", "of", "the"))
_GENERIC = frozenset(("bone", "intervertebral_discs"))
NEAR = 4
"""Mentions that are looked at around a finding."""
_OPENING = frozenset(("in", "im", "am", "an", "at", "on", "within", "auf", "bei", "along"))
_FURTHER = word_set(
    """alle aller uebrigen restlichen all remaining weitere weiteren weiterer weiteres sonstige sonstigen other further
    additional another"""
)
_OF_ORGANS = frozenset(
    (
        *("calculus", "gallstone", "sludge", "hydronephrosis", "dilatation", "aneurysm", "dissection", "stenosis"),
        *("thrombosis", "occlusion", "wall thickening", "steatosis", "cirrhosis", "enlargement", "atrophy"),
        *(
            "calcification",
            "plaque",
            "rupture",
            "necrosis",
            "edema",
            "compression fracture",
            "enhancement",
            "cholestasis",
        ),
    )
)
"""Findings of the structure that opens the sentence: "Aorta 19 mm, kein Aneurysma"."""


def places(
    words: Words, stated: Stated, mentions: Sequence[Mention], others: Sequence[Stated]
) -> tuple[list[int], bool]:
    """The mentions that say where the finding is: the same word, else behind it, else before it, else the topic. True
    when they were taken from an earlier clause.
    """
    if not mentions:
        return [], False
    head = _head(words, stated, others)
    at = bisect.bisect_left(mentions, stated.first, key=FIRST)
    inside = [i for i in range(at, min(at + NEAR, len(mentions))) if mentions[i].last <= stated.last]
    if (left := _adjective(words, stated, mentions)) is not None and not inside:
        inside = [left]
    if not inside and at > 0 and stated.first < mentions[at - 1].last <= stated.last:
        inside = [at - 1]  # "bladder wall thickening"
    if inside:
        found = [
            i
            for i in _joined_before(words, inside, mentions)
            if i in inside or not _of_another(words, mentions[i], others)
        ]
        if all(set(mentions[i].classes) <= _GENERIC or _unnumbered(mentions[i]) for i in found):
            found += [i for i in places_behind(words, head, mentions, others) if i not in found]
            found += [i for i in _titles(words, stated, mentions) if i not in found]
        else:
            whole = {_family(mentions[i]) for i in found}
            parts = [i for i in places_behind(words, head, mentions, others) if i not in found]
            found += [i for i in parts if _family(mentions[i]) in whole]
            found += [i for i in _apart(words, stated, mentions) if i not in found and _family(mentions[i]) in whole]
        return sorted(found), False
    behind = places_behind(words, head, mentions, others)
    if stated.name in SELF_LOCATED or words.keys[stated.first].startswith("koronar"):
        return behind, False
    titles = [i for i in _titles(words, stated, mentions) if i not in behind]
    if behind or titles:
        return sorted(titles + behind), False
    while at > 0 and mentions[at - 1].last > stated.first:
        at -= 1
    if at == 0 or stated.first - mentions[at - 1].last > 4 * FAR:
        return [], False
    before = [at - 1]
    last = mentions[before[-1]]
    if (home := _HOMES.get(stated.name)) is not None and last.classes and not last.classes[0].startswith(home):
        attached = any(last.first >= other.first and last.last <= other.last for other in others)
        if attached or any(other.first == last.last for other in others):
            return [], False  # "no renal calculi or diverticulitis"
    if is_open(words, last.last, stated.first):
        if "bei" in words.keys[last.last : stated.first]:
            return [], False  # "Atelektase im Unterlappen bei Pleuraerguss": the cause lies where it lies
        further = any(words.keys[i] in _FURTHER for i in range(last.last, stated.first))
        return [] if further else _joined_before(words, before[-1:], mentions), False
    found = _joined_before(words, before[-1:], mentions)
    if last.classes and listed_on(words, last.last, stated.first):
        return found, False
    opening = mentions[found[0]].first <= 1 and (stated.name in LESION_LIKE or stated.name in _OF_ORGANS)
    if last.classes and carries(words, last, stated.first, opening=opening):
        return found, True
    return [], False


_HOMES = {
    "diverticulitis": ("colon",),
    "diverticulosis": ("colon",),
    "colitis": ("colon",),
    "appendicitis": ("colon",),
    "pneumonia": ("lung",),
    "emphysema": ("lung",),
    "bronchiectasis": ("lung",),
    "pancreatitis": ("pancreas",),
    "cholecystitis": ("gallbladder",),
    "cholangitis": ("liver",),
    "gallstone": ("gallbladder",),
    "hydronephrosis": ("kidney",),
    "pyelonephritis": ("kidney",),
    "hernia": ("hip", "stomach", "colon", "small_bowel"),
    "sinusitis": ("skull",),
}
"""Where findings lie whose name says the organ: an adjective of another finding's organ is not their place."""


def _family(mention: Mention) -> str:
    """Parts of one whole: the lobes of the lung, the levels of the spine."""
    name = mention.classes[0] if mention.classes else ""
    return "spine" if name.startswith(_SPINE) else name.partition("_")[0]


_SPINE = ("vertebrae", "spinal_cord", "intervertebral_discs", "sacrum")
_SUCH_AS = word_set("insbesondere vorwiegend ueberwiegend exemplarisch beispielsweise hauptsaechlich vornehmlich")


def _apart(words: Words, stated: Stated, mentions: Sequence[Mention]) -> list[int]:
    """ "Metastasen, z. B. im linken Unterlappen", "Emphysem, oberlappenbetont": a part that a comma sets apart."""
    at = bisect.bisect_left(mentions, stated.last, key=FIRST)
    if at == len(mentions) or mentions[at].first - stated.last > 2 * FAR:
        return []
    between = words.keys[stated.last : mentions[at].first]
    if "," not in between or ";" in between or not DENYING.isdisjoint(between):
        return []
    after = between[len(between) - between[::-1].index(",") :]
    such: bool = not _SUCH_AS.isdisjoint(after) or after[:3] in (
        ["z", ".", "b"],
        ["v", ".", "a"],
        ["u", ".", "a"],
        ["vor", "allem"],
    )
    such = such or after[:2] == ["vor", "allem"] or words.keys[mentions[at].first].endswith(("betont", "dominant"))
    return [at] if such else []


def _unnumbered(mention: Mention) -> bool:
    return mention.classes == ("vertebrae",) and not mention.levels


def _head(words: Words, stated: Stated, others: Sequence[Stated]) -> Stated:
    """The noun that an adjective describes, or that a genitive ties to it: "enhancing lesion", "enhancement of the
    lesion" lie where the lesion lies.
    """
    for i in range(bisect.bisect_left(others, stated.last, key=FIRST), len(others)):
        other = others[i]
        if other.first - stated.last > 2:
            break
        if all(key in _GENITIVE for key in words.keys[stated.last : other.first]):
            return other
    return stated


def _joined_before(words: Words, found: list[int], mentions: Sequence[Mention]) -> list[int]:
    """With those in front that "und" joins: "Ober- und Mittellappen", "Leber- und Nierenzysten"; and with the
    adjective of a structure without a class: "intrahepatische Gallenwege".
    """
    while found and found[0] > 0:
        left, right = mentions[found[0] - 1], mentions[found[0]]
        between = words.keys[left.last : right.first]
        joined = any(key in AND for key in between) and all(key in JOINERS or key == "-" for key in between)
        commas = [key for key in between if key not in _SIDED]  # "Scapula links, Humerus links und Klavikula links"
        listed = commas in ([","], ["-", ","]) and len(found) > 1
        if not joined and not listed and not (left.last == right.first and not right.classes):
            break
        found = [found[0] - 1, *found]
    return found


def _of_another(words: Words, mention: Mention, others: Sequence[Stated]) -> bool:
    """ "Osteochondrose L5/S1 und Bandscheibenvorfall", "Zysten der Leber und Nierenstein": the place of the finding in
    front of it. "Leber-" has its noun behind it.
    """
    if words.raw[mention.last : mention.last + 1] == ["-"]:
        return False
    before = [other.last for other in others if other.last <= mention.first]
    return bool(before) and all(key in PLACING for key in words.keys[before[-1] : mention.first])


def _adjective(words: Words, stated: Stated, mentions: Sequence[Mention]) -> int | None:
    """ "renal cyst", "hepatische Läsion": the mention right in front."""
    at = bisect.bisect_left(mentions, stated.first, key=FIRST)
    for i in range(max(0, at - NEAR), at):
        mention = mentions[i]
        if mention.last > stated.first:
            break
        if stated.first - mention.last <= 2 and all(
            key == "-" or (key.isalpha() and key not in PLACING and key not in _LINKS and key not in CLOSE)
            for key in words.keys[mention.last : stated.first]
        ):
            return i
    return None


def _titles(words: Words, stated: Stated, mentions: Sequence[Mention]) -> list[int]:
    """ "L4/5: Protrusion", "Leber: Zyste": the structures before the colon that opens the sentence."""
    if ":" not in words.raw and words.keys[0] not in _OPENING:
        return []
    near = bisect.bisect_left(mentions, stated.first, key=FIRST)
    for i in range(near - 1, max(-1, near - NEAR), -1):
        last = mentions[i].last
        if (
            0 < last + (words.raw[last : last + 1] != [":"]) < stated.first <= last + FAR
            and ":" in words.raw[last : last + 2]
        ):
            if mentions[i].classes and mentions[i].first > 1:
                return [i]
            break
    opening = words.raw[: min(stated.first, FAR + 2)]
    sign = ":" if ":" in opening else "," if words.keys[0] in _OPENING else ""
    if not sign or sign not in opening:
        return []
    title = opening.index(sign)
    mentions = mentions[:FAR]
    if sign == "," and not any(mention.last == title for mention in mentions):
        return []  # "At C4/5, there is ..."
    return [i for i, mention in enumerate(mentions) if mention.classes and mention.last <= title <= FAR]
