"""Noun phrases and sentences that stand on their own: articles, endings, signs, capital letters."""

import re

from rrg.records import Lang

_CLAUSE = re.compile(r"\b(?:dass|ob|kein\w*|weder|that|whether|which|no|neither)\b", re.IGNORECASE)
_GERMAN_ARTICLE = re.compile(r"^(?P<article>der|die|das)\s+(?P<rest>.+)$", re.IGNORECASE | re.DOTALL)
_GERMAN_WEAK = re.compile(r"[a-zäöüß]+e\b")
TORN = re.compile(
    r"\b(?:ist|sind|hat|haben|bleibt|bleiben|erscheint|erscheinen|is|are|has|have|remains?|appears?)\s*"
    r"(?:[,;:]|\Z|(?:und|and|with|mit|aber|but)\b)|\b(?:not|nicht|no|kein\w*|of|von|in|to|zu|the|an?|der|die|das|ein\w*|with|mit|"
    r"auf|bei|nach|sich)\s*(?:[,;:)]|\Z)|(?:\A|[,;])\s*(?:und|and)\b",
    re.IGNORECASE,
)
"""What no sentence has: a verb without its predicate, a word that leads to nothing."""


def named(phrase: str, article: str | None, lang: Lang) -> str | None:
    """A noun phrase that stands alone: without definite article, in the nominative. None where that is not sure."""
    phrase = phrase.strip()
    if _CLAUSE.search(phrase):
        return None
    if lang == "en":
        return re.sub(r"^(?:there is|the)\s+", "", phrase, flags=re.IGNORECASE) or None
    if article is not None:
        return _from_genitive(phrase, article.lower())
    match = _GERMAN_ARTICLE.match(phrase)
    if match is None:
        return phrase if phrase[:1].isupper() or phrase[:1].isdigit() else None
    ending = {"der": "er", "das": "es", "die": "e"}[match["article"].lower()]
    words = match["rest"].split(" ")
    nouns = [i for i, word in enumerate(words) if word[:1].isupper()]
    if not nouns:
        return None
    plural = match["article"].lower() == "die" and any(
        re.fullmatch(r"[a-zäöüß]+en", word) for word in words[: nouns[0]]
    )
    for i in range(nouns[0]):
        if plural and words[i].endswith("en"):
            words[i] = words[i][:-1]
        elif _GERMAN_WEAK.fullmatch(words[i]):
            words[i] = words[i][:-1] + ending
    return " ".join(words)


def _from_genitive(phrase: str, article: str) -> str | None:
    """ "der bekannten Zyste" -> "bekannte Zyste", "des Herdes" -> "Herd"."""
    words = phrase.split(" ")
    nouns = [i for i, word in enumerate(words) if word[:1].isupper()]
    if not nouns:
        return None
    noun = nouns[0]
    if article in ("der", "einer", "beider"):
        words[:noun] = [word[:-1] if re.fullmatch(r"[a-zäöüß]+en", word) else word for word in words[:noun]]
        return " ".join((["beide"] if article == "beider" else []) + words)
    if noun > 0:
        return None  # the gender is not known, so neither is the ending
    words[noun] = re.sub(r"(?<=[dtkgnfmlr])es\Z|(?<=[a-zäöüß])s\Z", "", words[noun])
    return " ".join(words)


_VOWEL = re.compile(r"(?:[aeio]|u(?!ni|s[eu]|re|ro)|8|11\b|18\b)", re.IGNORECASE)


def article(match: re.Match[str]) -> str:
    """ "A" or "an" before the word of group 2."""
    return match[1] + ("n " if _VOWEL.match(match[2]) else " ")


def joints(text: str) -> str:
    """No sign or joining word is left at an edge."""
    text = " ".join(text.split())
    for _ in range(3):
        text = re.sub(r"\(\s*[,;]?\s*\)", "", text)
        text = re.sub(r"\(\s*(?:[,;:]\s*)?", "(", text)
        text = re.sub(r"\s*[,;:]\s*\)", ")", text)
        text = re.sub(r"\s+([,;:.)])", r"\1", text)
        text = re.sub(r"([,;:])(?:\s*[,;])+", r"\1", text)
        text = re.sub(r"(?:[\s,;:–-]|\b(?:und|and|sowie|aber|but|somit|dabei|jedoch)\s*)+\Z", "", text)
        text = re.sub(r"\A(?:[\s,;:.–-]|(?:und|and|sowie|aber|but)\s)+", "", text)
        text = " ".join(text.split())
    return text


def tidy(text: str, end: str, lang: Lang) -> str:
    """Capital letter, full stop; empty when no word is left."""
    text = joints(text)
    if not any(map(str.isalpha, text)):
        return ""
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?:" else text + end
