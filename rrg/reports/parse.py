"""The text of a report -> its facts with spans. Rules only, no study and no model needed."""

import bisect
import dataclasses
import re
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Anatomy, Finding, Lang, Measurement, Reference, Section, Sentence, Span
from rrg.reports.context import UNSEEN, Context, context_of
from rrg.reports.findings import LESION_LIKE, Stated, findings_of
from rrg.reports.language import detect
from rrg.reports.levels import levels_of
from rrg.reports.measurements import measurements_of
from rrg.reports.mentions import Mention, mentions_of
from rrg.reports.places import places
from rrg.reports.references import Found, references_of
from rrg.reports.sections import sections_of
from rrg.reports.sentences import sentences_of
from rrg.reports.sides import side_of, side_words
from rrg.reports.sizes import sizes
from rrg.reports.words import MASK, Words, word_set, words_of

_DATE = re.compile(r"\b\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{2,4})?|\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b")
_ELSEWHERE = frozenset(("pulmonary embolism",))
"""Findings that are named after a structure but do not lie in it."""
_NO_FINDINGS = frozenset(("technique",))
"""Sections that speak of the examination, not of the patient."""
_DATING = word_set(
    """ct mrt mr mri pet vom von der die dem from of dated on dort there then damals study scan exam in auf am
    januar februar maerz april mai juni juli august september oktober november dezember january february march may
    june july october december"""
)
"""What may stand between a comparison and the reference into the earlier study."""


class Facts(NamedTuple):
    """What a text says."""

    lang: Lang
    sections: tuple[Section, ...]
    sentences: tuple[Sentence, ...]
    anatomy: tuple[Anatomy, ...]
    findings: tuple[Finding, ...]
    references: tuple[Reference, ...]


class _Carry:
    """The series that a bare "(Bild 47)" takes: of the sentence, else of the section."""

    def __init__(self) -> None:
        self.series: int | None = None
        self.section = -1


def parse(text: str, lang: Lang | None = None) -> Facts:
    """Facts of a cleaned text. `lang` is what the caller knows; else it is found. Spans refer to `text`."""
    lang = lang or detect(text)
    sections = sections_of(text, lang)
    sentences: list[Sentence] = []
    anatomy: list[Anatomy] = []
    findings: list[Finding] = []
    references: list[Reference] = []
    carry = _Carry()
    for number, section in enumerate(sections):
        own = section.lang or lang
        for span in sentences_of(text, section.span, own):
            _sentence(text, span, number, section, own, carry, sentences, anatomy, findings, references)
    return Facts(lang, sections, tuple(sentences), tuple(anatomy), tuple(findings), tuple(references))


def _sentence(
    text: str,
    span: Span,
    number: int,
    section: Section,
    lang: Lang,
    carry: _Carry,
    sentences: list[Sentence],
    anatomy: list[Anatomy],
    findings: list[Finding],
    references: list[Reference],
) -> None:
    """Append the facts of one sentence."""
    at = len(sentences)
    words = words_of(text, *span)
    written = references_of(text, *span)
    atoms = _atoms(text, span, words, written)
    context = context_of(words, lang, atoms)
    sides = side_words(words, lang)
    mentions = mentions_of(words, lang, list(levels_of(text, *span, lang)), sides, atoms)
    stated = findings_of(words, lang, atoms) if section.kind not in _NO_FINDINGS else []
    elsewhere = [one.span for one in stated if one.name in _ELSEWHERE]
    mentions = [
        mention
        for mention in mentions
        if not any(atoms[mention.first : mention.last]) and not any(_overlap(mention.span, span) for span in elsewhere)
    ]
    earlier_section = section.kind == "comparison"

    places_of: dict[int, int] = {}
    for i, mention in enumerate(mentions):
        if mention.classes:
            places_of[i] = len(anatomy)
            anatomy.append(_anatomy(mention, at, context, earlier_section, alone=not stated))
    measured = [each for each in measurements_of(text, *span) if not any(atoms[i] for i in _at(words, each.span))]
    earlier = [any(context.prior[i] for i in _at(words, each.span)) for each in measured]
    owned = sizes(words, stated, measured, earlier)
    question = section.kind == "question" or text[span[1] - 1] == "?"
    for one, own in zip(stated, owned, strict=True):
        where = places(words, one, mentions, stated)
        if one.name == "calculus" and any("gallbladder" in mentions[i].classes for i in where):
            one = one._replace(name="gallstone")
        links = tuple(places_of[i] for i in where if i in places_of)
        side = side_of(words, lang, one.first, one.last, sides)
        made = _finding(one, at, context, links, anatomy, own, question, earlier_section)
        if side is not None:
            made = dataclasses.replace(made, side=side[0])
        made = _same_thing(made, findings, anatomy, at)
        findings.append(made)
        if one.name in LESION_LIKE and not any(_overlap(one.span, mention.span) for mention in mentions):
            anatomy.append(_lesion(one, made, anatomy))
    for found in written:
        references.extend(_reference(found, number, at, words, context, carry, earlier_section))
    prior = earlier_section or _only_prior(context, mentions, stated, written, words)
    sentences.append(Sentence(span=span, section=number, lang=lang, prior=prior))


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _at(words: Words, span: Span) -> list[int]:
    return list(range(bisect.bisect_left(words.starts, span[0]), bisect.bisect_left(words.starts, span[1])))


def _atoms(text: str, span: Span, words: Words, written: list[Found]) -> bytearray:
    """1 for the words of references and dates. They are masked: no list knows them, no scope ends there."""
    atoms = bytearray(len(words.raw))
    spans = [found.span for found in written] + [match.span() for match in _DATE.finditer(text, *span)]
    for each in spans:
        for i in _at(words, each):
            atoms[i] = 1
    for i in range(1, len(atoms) - 1):
        if words.raw[i] in ",;/" and atoms[i - 1] and atoms[i + 1]:
            atoms[i] = 1
    for i, inside in enumerate(atoms):
        if inside:
            words.raw[i] = words.keys[i] = MASK
    return atoms


def _first(column: list[str | None], first: int, last: int) -> str | None:
    for i in range(first, last):
        if column[i] is not None:
            return column[i]
    return None


def _anatomy(mention: Mention, sentence: int, context: Context, earlier: bool, *, alone: bool) -> Anatomy:
    """`alone`: the sentence names no finding, so that "nicht abgrenzbar" speaks of the structure itself."""
    first, last = mention.first, mention.last
    rules = [mention.rule]
    for column in (context.negated, context.prior, context.absent):
        if (rule := _first(column, first, last)) is not None:
            rules.append(rule)
    history = _first(context.history, first, last)
    negated = _first(context.negated, first, last)
    unseen = alone and negated is not None and negated.startswith(UNSEEN)
    gone = (mention.gone and negated is None) or unseen
    return Anatomy(
        span=mention.span,
        sentence=sentence,
        classes=mention.classes,
        side=mention.side,
        negated=negated is not None,
        prior=earlier or _first(context.prior, first, last) is not None,
        absent=gone or _first(context.absent, first, last) is not None,
        rule=" ".join(rules + ([history] if history and mention.gone else [])),
    )


def _finding(
    one: Stated,
    sentence: int,
    context: Context,
    links: tuple[int, ...],
    anatomy: list[Anatomy],
    measured: list[Measurement],
    question: bool,
    earlier: bool,
) -> Finding:
    negated = _first(context.negated, one.first, one.last)
    uncertain = _first(context.uncertain, one.first, one.last)
    history = _first(context.history, one.first, one.last)
    prior = _first(context.prior, one.first, one.last)
    sides = {anatomy[i].side for i in links}
    return Finding(
        span=one.span,
        sentence=sentence,
        name=one.name,
        state="absent" if negated or one.rule == "denied" else "present",
        certainty="uncertain" if uncertain or question else "certain",
        time="prior" if prior or earlier else "history" if history else "current",
        side=None if None in sides or not sides else sides.pop() if len(sides) == 1 else "both",
        anatomy=links,
        measurements=tuple(measured),
        rules=tuple(rule for rule in (one.rule, negated, uncertain, history, prior) if rule),
    )


_GENERIC = frozenset(("lesion", "mass", "nodule", "opacity", "tumor"))


def _same_thing(finding: Finding, findings: list[Finding], anatomy: list[Anatomy], sentence: int) -> Finding:
    """ "Läsion der Leber, 29 mm, V. a. Metastase": the guess has the place and the size of what it explains."""
    explained = findings[-1] if findings and findings[-1].sentence == sentence else None
    if (
        explained is None
        or explained.name not in _GENERIC
        or explained.state != finding.state
        or finding.certainty != "uncertain"
        or explained.certainty == "uncertain"
        or finding.measurements
    ):
        return finding
    own = {name for i in finding.anatomy for name in anatomy[i].classes}
    its = {name for i in explained.anatomy for name in anatomy[i].classes}
    return dataclasses.replace(
        finding,
        anatomy=explained.anatomy if not own or (its and its <= own) else finding.anatomy,
        side=finding.side or explained.side,
        measurements=explained.measurements,
        rules=(*finding.rules, "explains"),
    )


def _lesion(one: Stated, finding: Finding, anatomy: list[Anatomy]) -> Anatomy:
    """The finding as a mention of ``lesion`` (and of the segmenter's own lesion classes where it has them)."""
    classes = ["lesion"]
    organs = {name for i in finding.anatomy for name in anatomy[i].classes}
    if one.name in ("nodule", "metastasis", "mass") and any(name.startswith("lung_") for name in organs):
        classes.insert(0, "lung_nodule")
    if one.name == "cyst":
        kidneys = [
            name.replace("kidney_", "kidney_cyst_")
            for name in sorted(organs)
            if name in ("kidney_left", "kidney_right")
        ]
        classes = [*(name for name in kidneys if name in LABELS), *classes]
    return Anatomy(
        span=one.span,
        sentence=finding.sentence,
        classes=tuple(classes),
        side=finding.side,
        negated=finding.state == "absent",
        prior=finding.time == "prior",
        absent=False,
        rule="finding",
    )


def _reference(
    found: Found,
    section: int,
    sentence: int,
    words: Words,
    context: Context,
    carry: _Carry,
    earlier_section: bool,
) -> list[Reference]:
    """The record of a reference; none for a series alone, which is only carried on."""
    inside = _at(words, found.span)
    prior = earlier_section or found.dated or any(context.prior[i] for i in inside) or _compared(words, context, inside)
    series = found.series
    if carry.section != section:
        carry.series, carry.section = None, section
    rule = found.rule
    if series is None and not prior:
        series = carry.series
        rule += "+carried" if series is not None else ""
    elif series is not None and not prior:
        carry.series = series
    if not found.images:
        return []
    return [
        Reference(
            span=found.span,
            sentence=sentence,
            series_number=series,
            image_numbers=found.images,
            prior=prior,
            open_end=found.open_end,
            status="prior" if prior else "unresolved",
            rule=rule,
        )
    ]


def _compared(words: Words, context: Context, inside: list[int]) -> bool:
    """ "im Vergleich zur VU vom 12.03.2021, Serie 3, Bild 40": only a date stands between."""
    return any(
        last <= inside[0]
        and all(
            words.raw[i] in ",.:(-/" or words.raw[i] == MASK or words.raw[i][0].isdigit() or words.keys[i] in _DATING
            for i in range(last, inside[0])
        )
        for last in context.compared
    )


def _only_prior(
    context: Context, mentions: list[Mention], stated: list[Stated], written: list[Found], words: Words
) -> bool:
    """True when all that the sentence says stands under an earlier study."""
    places = [range(mention.first, mention.last) for mention in mentions]
    places += [range(one.first, one.last) for one in stated]
    if not places and not written:
        return False
    spans = [_at(words, found.span) for found in written]
    return all(any(context.prior[i] for i in place) for place in (*places, *spans))
