"""What a conversation can do by rules alone, from the report and without a model: lists, plain words, corrections.

Models that were trained on conversations do these themselves. Others would answer at random, so rules do it, and the
answer is flagged ``rules``. Rules say only what the sentences of the report state.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rrg.records import Lang, Report
from rrg.reports.parse import parse
from rrg.synth.dialogue_chat import line, no_what, what
from rrg.synth.dialogue_plain import LAY, plain_sentence
from rrg.synth.dialogue_templates import NOTHING
from rrg.synth.facts import Said
from rrg.synth.report_facts import Fact, facts_of

Intent = Literal["findings-list", "summary", "plain-language", "translation", "correction", "region", "vqa"]
_ASKS: tuple[tuple[Intent, str], ...] = (
    ("translation", r"übersetz|translat|\bauf (?:englisch|deutsch)\b|\bin(?:to)? (?:english|german)\b"),
    (
        "plain-language",
        r"einfache[rn]? sprache|ohne fach|plain (?:language|words)|lay (?:terms|language)|easy language",
    ),
    ("summary", r"zusammen(?:fass|ge?fass)|\bfass\w* .*zusammen|summar[iy]|kurzfassung"),
    ("findings-list", r"\bliste?\b|\blist\b|stichpunkt|bullet|auflist|alle befunde|all findings"),
)
_CORRECTS = re.compile(
    r"korrig|verbesser|stimmt nicht|ist falsch|correct|that is wrong|is not right|"
    r"^(?:es (?:gibt|ist) |da ist |there (?:is|are) |das bild zeigt )",
    re.IGNORECASE,
)
BOX = re.compile(r"\[\s*([\d.]+)\s*[,;]\s*([\d.]+)\s*[,;]\s*([\d.]+)\s*[,;]\s*([\d.]+)\s*\]")
"""A region in what a user types: [x0, y0, x1, y1] in pixels of the slice."""
_ENGLISH = re.compile(r"engl", re.IGNORECASE)
_SAYS: dict[Lang, tuple[str, str]] = {
    "de": ("Das Bild zeigt {}.", "Das Bild zeigt {}."),
    "en": ("The image shows {}.", "The image does not show {}."),
}


class Read(NamedTuple):
    """A report with the facts of each sentence."""

    sentences: tuple[str, ...]
    facts: tuple[tuple[Fact, ...], ...]
    """By sentence."""


def intent_of(text: str) -> Intent:
    """What a user wants, by closed rules; anything else is a question."""
    if BOX.search(text):
        return "region"
    low = text.casefold()
    for intent, words in _ASKS:
        if re.search(words, low):
            return intent
    return "correction" if _CORRECTS.search(text) and not text.rstrip().endswith("?") else "vqa"


def target_of(text: str, lang: Lang) -> Lang:
    """The language that is asked for; the other one where none is named."""
    if _ENGLISH.search(text):
        return "en"
    return "de" if re.search(r"deutsch|german", text, re.IGNORECASE) else ("en" if lang == "de" else "de")


def read_report(text: str, lang: Lang) -> Read:
    """The sentences of a text and what each states."""
    found = parse(text, lang)
    report = Report(
        id="draft",
        text=text,
        lang=found.lang,
        source_sha256="",
        sections=found.sections,
        sentences=found.sentences,
        anatomy=found.anatomy,
        findings=found.findings,
        measurements=found.measurements,
    )
    spans = [sentence.span for sentence in found.sentences]
    return Read(
        tuple(text[start:end].strip() for start, end in spans),
        tuple(facts_of([Said(report, number)]) for number in range(len(spans))),
    )


def answered(intent: Intent, report: str, text: str, lang: Lang) -> str | None:
    """The answer to a turn by rules; None where rules have none. A correction gives the whole new report."""
    if intent == "correction":
        return corrected(report, text, lang)
    read = read_report(report, lang)
    facts = _distinct(read)
    present = [fact for fact in facts if fact.present]
    if intent == "findings-list":
        return "\n".join(f"- {line(fact, lang)}" for fact in present) or NOTHING[lang]
    if intent == "summary":
        stated = [s for s, own in zip(read.sentences, read.facts, strict=True) if any(f.present for f in own)]
        return "\n".join(f"- {each}" for each in dict.fromkeys(stated)) or NOTHING[lang]
    if intent == "plain-language":
        return " ".join(plain_sentence(fact, lang) for fact in facts if fact.name in LAY) or NOTHING[lang]
    if intent == "translation":
        target = target_of(text, lang)
        return "\n".join(said(fact, target) for fact in facts) or NOTHING[target]
    return None


def corrected(report: str, text: str, lang: Lang) -> str | None:
    """The report without the sentences that the user's words contradict, and with what they state; None: no facts."""
    wanted = [fact for own in read_report(text, lang).facts for fact in own]
    if not wanted:
        return None
    read = read_report(report, lang)
    kept = [
        sentence
        for sentence, own in zip(read.sentences, read.facts, strict=True)
        if not any(_same(fact, new) for fact in own for new in wanted)
    ]
    return " ".join([*kept, *(said(fact, lang) for fact in wanted)])


def said(fact: Fact, lang: Lang) -> str:
    """A fact as a sentence: "Das Bild zeigt eine Zyste in der Leber, 24 mm."."""
    if fact.present:
        return _SAYS[lang][0].format(what(fact, lang) + (f", {fact.size(lang)}" if fact.size_mm else ""))
    return _SAYS[lang][1].format(no_what(fact, lang) if lang == "de" else what(fact, lang))


def _same(fact: Fact, new: Fact) -> bool:
    """Whether two facts speak of one finding at one place, whatever they say of it."""
    return fact.name == new.name and (not fact.labels or not new.labels or bool(set(fact.labels) & set(new.labels)))


def _distinct(read: Read) -> Sequence[Fact]:
    return list({(f.name, f.labels, f.present): f for own in read.facts for f in own}.values())
