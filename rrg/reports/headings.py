"""Headings for parts of a report that come apart: columns of a table, coded sections of HL7 v2, FHIR and DICOM SR."""

import itertools
import re
from collections.abc import Iterable

from rrg.records import Lang
from rrg.reports.language import detect
from rrg.reports.sections import sections_of

HEADINGS: dict[str, dict[Lang, str]] = {
    "clinical": {"de": "Klinische Angaben", "en": "Clinical information"},
    "question": {"de": "Fragestellung", "en": "Indication"},
    "technique": {"de": "Technik", "en": "Technique"},
    "comparison": {"de": "Voruntersuchung", "en": "Comparison"},
    "findings": {"de": "Befund", "en": "Findings"},
    "impression": {"de": "Beurteilung", "en": "Impression"},
    "recommendation": {"de": "Empfehlung", "en": "Recommendation"},
    "addendum": {"de": "Nachtrag", "en": "Addendum"},
}
"""Kind of section -> how we write it; each is a form of lexicon/sections.tsv."""

CODES = {
    "11329-0": "clinical",
    "121060": "clinical",
    "55108-5": "clinical",
    "121110": "clinical",
    "55115-0": "question",
    "121062": "question",
    "18785-6": "question",
    "121109": "question",
    "55111-9": "technique",
    "121064": "technique",
    "55114-3": "comparison",
    "121066": "comparison",
    "18834-2": "comparison",
    "121068": "comparison",
    "59776-5": "findings",
    "121070": "findings",
    "18782-3": "findings",
    "19005-8": "impression",
    "121072": "impression",
    "55110-1": "impression",
    "121076": "impression",
    "55112-7": "impression",
    "121111": "impression",
    "18783-1": "recommendation",
    "121074": "recommendation",
    "55107-7": "addendum",
    "121078": "addendum",
    "&GDT": "findings",
    "&IMP": "impression",
    "&REC": "recommendation",
    "&ADT": "addendum",
}
"""Code -> kind: LOINC and DCM codes of DICOM PS3.16 CID 7001 (Diagnostic Imaging Report Headings); suffixes of OBX-3
(HL7 v2.5.1, 7.2.5 "Suffixes for defining observation IDs"; ADT is what radiology systems write for an addendum)."""


def joined(parts: Iterable[tuple[str | None, str]], lang: Lang | None) -> str:
    """(kind or own heading, text) pairs in order as one text.

    A kind of `HEADINGS` is written in the language of the texts; a heading of its own as it stands. Texts that follow
    each other under one heading share it, and a text that begins with a heading of that kind keeps its own.
    """
    kept = [(head, text.strip("\r\n")) for head, text in parts if text.strip()]
    lang = lang or detect("\n".join(text for _, text in kept))
    blocks: list[str] = []
    for head, group in itertools.groupby(kept, key=lambda each: each[0]):
        text = "\n".join(each for _, each in group)
        if head is not None and not (head in HEADINGS and begins_with(text, head, lang)):
            title = HEADINGS[head][lang] if head in HEADINGS else head.rstrip(" :")
            text = f"{title}:\n{text}"
        blocks.append(text)
    return "\n\n".join(blocks)


def begins_with(text: str, kind: str, lang: Lang) -> bool:
    """True when the first section of a text has that kind and a heading."""
    start = re.sub(r"\A\s+", "", text)[:200]
    first = next(iter(sections_of(start, lang)), None)
    return first is not None and first.heading is not None and first.heading[0] == 0 and first.kind == kind
