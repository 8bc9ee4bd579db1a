"""The structures behind a finding that are its place: "Zyste im linken Unterlappen", "cysts of both kidneys"."""

import bisect
from collections.abc import Sequence
from operator import attrgetter

from rrg.reports.findings import Stated
from rrg.reports.mentions import Mention
from rrg.reports.places_between import FAR, begins_anew, is_numbered, is_open, outside
from rrg.reports.words import Words, word_set

FIRST = attrgetter("first")
PLACING = word_set(
    """i in im am an der des dem den der beider von vom innerhalb of the within on both at over inside involving
    affecting along auf ueber unter into throughout"""
)
CLOSE = word_set(
    """near around adjacent abutting beside neben um nahe angrenzend benachbart unterhalb oberhalb below above behind
    hinter vor perifokal anliegend contacting next"""
)
"""Words of closeness: what they name is not the place."""
JOINERS = word_set(
    """und and oder or sowie linken rechten linker rechter linkem rechtem linke rechte links rechts left right der
    die des den dem beiden beider the both bzw u noch nor"""
)
AND = frozenset(("und", "and", "u", "sowie", "bzw", "oder", "or"))
DENYING = word_set("kein keine keinen keiner keines ohne no without not nicht")


def places_behind(words: Words, stated: Stated, mentions: Sequence[Mention], others: Sequence[Stated]) -> list[int]:
    """Mentions behind the finding that a preposition or a genitive ties to it, with those joined by "und"."""
    found: list[int] = []
    at = stated.last
    listed = False  # "Cysts: right kidney 12 mm, left kidney 9 mm"
    for i in range(bisect.bisect_left(mentions, at, key=FIRST), len(mentions)):
        mention = mentions[i]
        if mention.first - at > FAR:
            break
        between = outside(words, at, mention.first)
        if any(key in CLOSE for key in between):
            break
        listed = listed or (not found and between[:1] == [":"])
        if listed:
            between = [key for key in between[not found :] if not key[0].isdigit() and key not in _SIZING]
        if found:
            if not listed and "," in between and begins_anew(words, between, mention.last, others):
                break  # "fracture of the right femoral neck, left femur intact"
            same = bisect.bisect_left(others, mention.first, key=FIRST)
            if not mention.classes or (same < len(others) and others[same].first == mention.first):
                break  # "Ödem der Gallenblase, Leberzirrhose"
            if not all(key in JOINERS or key in PLACING or key in (",", "-") for key in between):
                break
        else:
            if not is_open(words, at, mention.first):
                break
            then = bisect.bisect_left(others, stated.last, key=FIRST)
            crossed = then < len(others) and others[then].first < mention.first
            bracket = words.raw[mention.first - 1] == "("
            tied = (
                any(key in PLACING for key in between)
                or (listed and all(key in JOINERS for key in between))
                or (between == ["from"] and bool(mention.levels))
                or not between
                or all(key in _APPOSED or key[0].isdigit() for key in between)
                or bracket
                or is_numbered(between)
            )
            if not tied or (crossed and not any(key in AND for key in between)):
                break
            if crossed and any(key in _STATES for key in between):
                break  # "left effusion is unchanged and there is atelectasis in the lower lobe"
            if crossed and stated.name in ("effusion", "pneumothorax"):
                break
            denying = [
                key in DENYING and not (key == "not" and between[i - 1] in _STATES) for i, key in enumerate(between)
            ]
            if any(denying):
                break  # "Karzinom, kein Hinweis auf hepatische Metastasen"
        found.append(i)
        at = mention.last
    return found


_APPOSED = word_set(
    """links rechts linker rechter linke rechte linken rechten linkes rechtes li re lks rts left right lt rt
    beidseits bds mm cm x bis ca"""
) | {".", "×"}
"""Words of a side and a size: "Rundherd 7 mm rechter Oberlappen" lies in that lobe."""
_SIZING = frozenset(("mm", "cm", "x", "×", "bis", "ca", "up", "."))
_STATES = word_set("is are was were there shows demonstrates")
