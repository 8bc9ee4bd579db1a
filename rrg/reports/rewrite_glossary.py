"""Terms that must be rendered as ``rrg/lexicon/glossary.tsv`` gives them when they occur in a sentence to translate."""

import re
from functools import cache
from typing import NamedTuple

from rrg.records import Lang
from rrg.reports.lexicon import expand, forms, rows
from rrg.reports.words import folded


class Term(NamedTuple):
    """One line of the glossary."""

    de: re.Pattern[str]
    en: re.Pattern[str]
    """Any accepted rendering."""
    wrong: re.Pattern[str] | None
    """English words that must not stand for it."""
    shown: tuple[str, str]
    """The first form of both languages, for prompts."""


@cache
def glossary() -> tuple[Term, ...]:
    """All terms, in the order of the file."""
    made = []
    for german, english, *wrong in rows("glossary.tsv"):
        de, en = _pattern(german, tail=True), _pattern(english, tail=False)
        bad = _pattern(wrong[0], tail=False) if wrong and wrong[0] else None
        made.append(Term(de, en, bad, (_first(german), _first(english))))
    return tuple(made)


def _pattern(field: str, *, tail: bool) -> re.Pattern[str]:
    """Any form of a field; with `tail`, also as the end of a compound ("Leber|filiae")."""
    words = sorted({folded(each) for form in forms(field) for each in expand(form)}, key=len, reverse=True)
    joined = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)
    return re.compile(("" if tail else r"(?<!\w)") + rf"(?:{joined})(?!\w)")


def _first(field: str) -> str:
    return expand(next(forms(field)))[0]


def glossary_problem(text: str, lang: Lang, translated: str) -> str:
    """``glossary`` when a term of the sentence is not rendered as given, else empty."""
    source, target = folded(text), folded(translated)
    for term in glossary():
        here, there = (term.de, term.en) if lang == "de" else (term.en, term.de)
        if lang == "de" and here.search(source):
            if not there.search(target) or (term.wrong is not None and term.wrong.search(target)):
                return "glossary"
        elif lang == "en" and term.wrong is None and here.search(source) and not there.search(target):
            return "glossary"
    return ""


def terms_in(text: str, lang: Lang) -> list[tuple[str, str]]:
    """The (term, rendering) pairs that a prompt should give for a sentence."""
    source = folded(text)
    found = [term.shown for term in glossary() if (term.de if lang == "de" else term.en).search(source)]
    return found if lang == "de" else [(en, de) for de, en in found]
