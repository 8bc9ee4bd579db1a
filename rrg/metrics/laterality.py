"""Which side answers name, against which side they should: left and right are the patient's, German and English."""

import re
from collections import Counter
from collections.abc import Iterable

from rrg.formats.items import Item

SIDES = ("left", "right", "both")
_WORDS = {
    "left": re.compile(r"\b(?:left|links\w*|linke[mnrs]?)\b", re.IGNORECASE),
    "right": re.compile(r"\b(?:right|rechts\w*|rechte[mnrs]?)\b", re.IGNORECASE),
    "both": re.compile(r"\b(?:both|bilateral\w*|beid(?:e|en|er|erseits|seits|seitig\w*)|bds)\b", re.IGNORECASE),
}


def side_of(text: str) -> str:
    """left, right, both (also when both are named), or none."""
    said = [side for side, words in _WORDS.items() if words.search(text)]
    return "none" if not said else said[0] if len(said) == 1 else "both"


def confusion(items: Iterable[Item]) -> dict[str, dict[str, int]]:
    """Side of the reference -> side of the answer (``none``: it names none, or is missing) -> how often.

    References that name no side are left out; empty when none does.
    """
    pairs = Counter((side_of(str(item.reference.value)), side_of(item.text)) for item in items)
    return {
        wanted: {said: pairs[wanted, said] for said in (*SIDES, "none")}
        for wanted in SIDES
        if any(pairs[wanted, said] for said in (*SIDES, "none"))
    }
