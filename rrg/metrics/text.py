"""The strict normalisation of short answers, German included, and the tokens that are counted."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from rrg.metrics import ngrams

NORM = "nfc-lower-v1"
"""Name of `normalise` in signatures; changes when its result changes."""

YES, NO = frozenset({"yes", "yeah", "yep", "true", "ja"}), frozenset({"no", "nope", "false", "nein"})
"""Words that answer a yes/no question, both languages at once: "ja" is right where "yes" is asked for."""

NUMBER_WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
}
"""Number words of a language, from 0."""
ARTICLES = frozenset(
    ["a", "an", "the", "der", "die", "das", "dem", "den", "des", "ein", "eine", "einen", "einem", "einer", "eines"]
)

_DIGITS = {lang: {word: str(n) for n, word in enumerate(words.split())} for lang, words in NUMBER_WORDS.items()}
_NOT_WORD = re.compile(r"[^\w\s]|_")
_GERMAN_COMMA = re.compile(r"(?<=\d),(?=\d)")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=1 << 17)
def normalise(text: str, lang: str | None = None) -> str:
    """Answer text in the form that is compared.

    NFC, lower case (not casefold: ß stays), punctuation and symbols to blanks except "." and "," between digits; in
    German the comma between digits becomes a point; number words of the language (English when unknown) become
    digits; blanks collapsed.
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    if _NOT_WORD.search(text):
        text = _NOT_WORD.sub(_blank, text)
    if lang == "de":
        text = _GERMAN_COMMA.sub(".", text)
    words = _DIGITS.get(lang or "en", {})
    return " ".join([words.get(word, word) for word in text.split()])


def _blank(match: re.Match[str]) -> str:
    char, text, at = match[0], match.string, match.start()
    if char in ".,":
        return char if text[at - 1 : at].isdecimal() and text[at + 1 : at + 2].isdecimal() else " "
    return " " if unicodedata.category(char)[0] in "PS" else char


def tokens(normalised: str) -> list[str]:
    """Words without articles of both languages. An answer that is nothing but articles ("A") keeps them."""
    words = normalised.split()
    return [word for word in words if word not in ARTICLES] or words


def overlap(prediction: Sequence[str], reference: Sequence[str]) -> tuple[float, float, float]:
    """Multiset precision, recall, F1 of tokens. Both empty 1, one empty 0."""
    if not prediction or not reference:
        same = float(not prediction and not reference)
        return same, same, same
    both = ngrams.shared(prediction, reference)
    if not both:
        return 0.0, 0.0, 0.0
    precision, recall = both / len(prediction), both / len(reference)
    return precision, recall, 2 * precision * recall / (precision + recall)


def yes_or_no(text: str) -> bool | None:
    """What an answer to a yes/no question says; None when it says neither or both.

    Its first yes/no word counts, unless a word of the other class follows in the same sentence.
    """
    for sentence in _SENTENCE_END.split(unicodedata.normalize("NFC", text).lower()):
        said = [word in YES for word in _WORD.findall(sentence) if word in YES or word in NO]
        if said:
            return said[0] if all(each == said[0] for each in said) else None
    return None
