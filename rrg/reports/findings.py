"""Findings of a sentence: which words name one. What the context says about them comes from `context`."""

from typing import NamedTuple

from rrg.records import Lang, Span
from rrg.reports.lexicon import lexicon, longest
from rrg.reports.mentions import compound, part_span
from rrg.reports.words import Words, word_set

LESION_LIKE = word_set(
    """cyst pseudocyst metastasis nodule mass lesion tumor carcinoma lymphoma sarcoma adenoma hemangioma lipoma
    angiomyolipoma meningioma polyp abscess osteolysis"""
)
"""Findings that are also a mention of the structure ``lesion``."""


class Stated(NamedTuple):
    """A finding in a sentence, before its context is known."""

    span: Span
    first: int
    last: int
    name: str
    rule: str


def findings_of(words: Words, lang: Lang, atoms: bytearray) -> list[Stated]:
    """Findings in text order, longest match, without overlap."""
    lex = lexicon(lang)
    found: list[Stated] = []
    i, n = 0, len(words.raw)
    while i < n:
        if atoms[i] or not words.raw[i][0].isalpha():
            i += 1
            continue
        match = longest(lex.findings, words, i)
        if match is not None:
            last, names = match
            rule = "denied" if last == i + 1 and words.keys[i] in lex.denied else "form"
            found.append(Stated((words.starts[i], words.ends[last - 1]), i, last, names[0], rule))
            i = last
            continue
        if words.keys[i] not in lex.structures:
            for part in compound(words.keys[i], lang):
                if part.finding is not None:
                    found.append(Stated(part_span(words, i, part), i, i + 1, part.finding, "compound"))
        i += 1
    return found
