"""What a sentence asks instead of telling: questions, and single phrases with a question mark."""

from rrg.reports.scopes import NEAR
from rrg.reports.words import Words, word_set

_KNOWN = word_set(
    """follow followup known bekannt bekannte bekannter bekanntes bekannten verlauf verlaufskontrolle kontrolle nach
    lagekontrolle staging restaging surveillance nachsorge status zustand monitoring preoperative postoperative history
    z re"""
)


def question_from(words: Words, *, in_question: bool) -> int:
    """The word from which on a sentence asks; one past its end when it does not. Known things are not asked for."""
    n = len(words.raw)
    if n and words.raw[-1] == "?":
        start = n - 1
        while start > 0 and words.raw[start - 1] != ";":
            start -= 1
        if any(key in _KNOWN for key in words.keys[start:]) and "," in words.raw[start:]:
            start = n - 1 - words.raw[::-1].index(",")
        return start
    return 0 if in_question and not any(key in _KNOWN for key in words.keys) else n


def doubted(words: Words, first: int, last: int) -> bool:
    """ "Metastase (?)", "Fraktur?, ...", "? PE", "?left hip fracture": a question mark right behind the phrase of words
    [first, last), or before it, where it opens a phrase.
    """
    if "?" not in words.raw:
        return False
    if words.raw[last : last + 2] == ["(", "?"] or words.raw[last : last + 1] == ["?"]:
        return True
    i = first - 1
    while i > 0 and first - i <= NEAR + 2 and words.raw[i][0].isalpha() and words.keys[i] not in _ASIDE:
        i -= 1
    return (
        i >= 0
        and words.raw[i] == "?"
        and (i == 0 or not words.raw[i - 1][0].isalpha() or words.ends[i - 1] < words.starts[i])
    )


_ASIDE = word_set("no kein keine without ohne but aber")
