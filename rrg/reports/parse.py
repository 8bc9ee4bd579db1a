"""The text of a report -> its facts with spans. Rules only, no study and no model needed."""

import re
from typing import NamedTuple

from rrg.records import Anatomy, Finding, Lang, Measurement, Reference, Section, Sentence, Span
from rrg.reports.cited import Carry, gathered, reference_of, shows
from rrg.reports.context import Context, context_of
from rrg.reports.described import Read, describe
from rrg.reports.findings import Stated, findings_of
from rrg.reports.language import detect
from rrg.reports.levels import levels_of
from rrg.reports.matching import overlap
from rrg.reports.measurements import came_from, is_earlier, measurements_of
from rrg.reports.mentions import Mention, mentions_of
from rrg.reports.references import references_of
from rrg.reports.references_bare import DECIMAL, DOUBT
from rrg.reports.references_words import Found
from rrg.reports.said import anatomy_of
from rrg.reports.sections import sections_of
from rrg.reports.sentences import sentences_of
from rrg.reports.side_words import side_words
from rrg.reports.words import MASK, Words, within, words_of

_DATE = re.compile(
    r"\b\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{2,4})?|\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\[[A-Z]{2,11}\]"
)
"""Dates, and the placeholders of `rrg.reports.phi`."""
_DIGIT = re.compile(r"\d")
"""What every reference and size has."""
_DATE_LIKE = re.compile(r"\d[./-]|\[[A-Z]")
"""What every date has: most sentences have none."""
_ELSEWHERE = frozenset(("pulmonary embolism", "portal hypertension"))
"""Findings that are named after a structure but do not lie in it."""
_TAKING = _ELSEWHERE | {"sclerosis"}
"""Findings whose words may hold a structure that is none of its own."""
_NEAR_SIZE = 20
"""Words in front of a size that may say when it was measured."""
_NO_FINDINGS = frozenset(("technique",))
"""Sections that speak of the examination, not of the patient."""


class Facts(NamedTuple):
    """What a text says."""

    lang: Lang
    sections: tuple[Section, ...]
    sentences: tuple[Sentence, ...]
    anatomy: tuple[Anatomy, ...]
    findings: tuple[Finding, ...]
    references: tuple[Reference, ...]
    measurements: tuple[Measurement, ...] = ()


class _Found:
    """The facts of a text, as they are found."""

    __slots__ = ("anatomy", "carry", "findings", "measurements", "references", "sentences")

    def __init__(self) -> None:
        self.sentences: list[Sentence] = []
        self.anatomy: list[Anatomy] = []
        self.findings: list[Finding] = []
        self.references: list[Reference] = []
        self.measurements: list[Measurement] = []
        self.carry = Carry()


def parse(text: str, lang: Lang | None = None) -> Facts:
    """Facts of a cleaned text. `lang` is what the caller knows; else it is found. Spans refer to `text`.

    A text without words has no sentences; headings alone give empty sections. Two reports in one text are one: their
    sections follow each other. Time grows with the length of the text: sentences are at most ``sentences.LONGEST``.
    """
    lang = lang or detect(text)
    sections = sections_of(text, lang)
    found = _Found()
    for number, section in enumerate(sections):
        own = section.lang or lang
        for span in sentences_of(text, section.span, own):
            _sentence(text, span, number, section, own, found)
    return Facts(
        lang,
        sections,
        tuple(found.sentences),
        tuple(found.anatomy),
        tuple(found.findings),
        tuple(found.references),
        tuple(found.measurements),
    )


def _sentence(text: str, span: Span, number: int, section: Section, lang: Lang, into: _Found) -> None:
    """Add the facts of one sentence."""
    at = len(into.sentences)
    words = words_of(text, *span)
    numbered = _DIGIT.search(text, *span) is not None
    written = references_of(text, *span) if numbered else []
    atoms = _atoms(text, span, words, written) if numbered or "[" in words.raw else b""
    context = context_of(words, lang)
    sides = side_words(words, lang)
    spoken = section.kind not in _NO_FINDINGS
    stated = findings_of(words, lang) if spoken else []
    mentions = _kept(mentions_of(words, lang, levels_of(text, *span, lang), sides), stated, atoms)
    earlier_section = section.kind == "comparison"

    recorded: dict[int, int] = {}
    for i, mention in enumerate(mentions):
        if mention.classes:
            recorded[i] = len(into.anatomy)
            into.anatomy.append(anatomy_of(mention, at, context, alone=not stated))
    measured: list[Measurement] = []
    if numbered and spoken:
        measured = _measured(text, span, words, atoms, context, at, earlier_section)
        into.measurements += measured
    if stated:
        read = Read(at, section.kind, lang, words, context, sides, mentions, recorded, measured)
        stated = describe(read, stated, into.findings, into.anatomy)
    if written:
        written = gathered(words, _sure(written, words, section.kind, context, stated, mentions, measured))
    for number_of, reference in enumerate(written):
        earlier = any(
            each.prior
            and _right_behind(words, each.span, reference.span)
            and (number_of or not came_from(text, each.span, span[0]))
            for each in measured
        )
        into.references += reference_of(reference, number, at, words, context, into.carry, earlier_section, earlier)
    prior = earlier_section or (context.reaches and _only_prior(context, mentions, stated, written, words))
    into.sentences.append(Sentence(span=span, section=number, lang=lang, prior=prior))


def _sure(
    written: list[Found],
    words: Words,
    kind: str,
    context: Context,
    stated: list[Stated],
    mentions: list[Mention],
    measured: list[Measurement],
) -> list[Found]:
    """Without numbers that are a date, a range or a value by what stands in front of them."""
    if all(each.rule not in (DOUBT, DECIMAL) for each in written):
        return written
    findings = [each.first for each in stated]
    facts = {DECIMAL: findings, DOUBT: findings + [each.first for each in mentions]}
    kept: list[Found] = []
    for each in written:
        if each.rule not in facts:
            kept.append(each)
        elif shows(words, within(words, each.span).start, kind, context, facts[each.rule], measured):
            kept.append(each._replace(rule="bare"))
    return kept


def _kept(mentions: list[Mention], stated: list[Stated], atoms: bytes | bytearray) -> list[Mention]:
    """Without those inside of references, and those that only name a finding of another place."""
    if not mentions or (1 not in atoms and _TAKING.isdisjoint([one.name for one in stated])):
        return mentions
    elsewhere = [one.span for one in stated if one.name in _ELSEWHERE]
    inside = [one.span for one in stated if one.last - one.first > 1 and one.name == "sclerosis"]
    return [
        mention
        for mention in mentions
        if 1 not in atoms[mention.first : mention.last]
        and not (elsewhere and any(overlap(mention.span, each) > 0 for each in elsewhere))
        and not (mention.classes == ("bone",) and any(overlap(mention.span, each) > 0 for each in inside))
    ]


def _measured(
    text: str, span: Span, words: Words, atoms: bytes | bytearray, context: Context, sentence: int, earlier: bool
) -> list[Measurement]:
    """The sizes of the sentence, those of an earlier study marked."""
    found = []
    for each in measurements_of(text, *span):
        inside = within(words, each.span)
        if not any(atoms[i] for i in inside):
            before = words.keys[max(0, inside.start - _NEAR_SIZE) : inside.start]
            prior = earlier or any(context.prior[i] for i in inside) or is_earlier(text, each.span, *span, before)
            found.append(Measurement(span=each.span, value_mm=each.mm, sentence=sentence, prior=prior))
    return found


def _right_behind(words: Words, size: Span, reference: Span) -> bool:
    """ "noch 12 mm (Serie 4, Bild 58)": the reference stands with the size."""
    if reference[0] < size[1]:
        return False
    between = range(within(words, size).stop, within(words, reference).start)
    return len(between) <= 4 and all(words.raw[i] in "(,;" or words.keys[i] in _TO_REFERENCE for i in between)


_TO_REFERENCE = frozenset(("on", "auf", "in", "at", "baseline", "see", "siehe"))


def _atoms(text: str, span: Span, words: Words, written: list[Found]) -> bytearray:
    """1 for the words of references and dates. They are masked: no list knows them, no scope ends there."""
    atoms = bytearray(len(words.raw))
    spans = [found.span for found in written]
    if _DATE_LIKE.search(text, *span):
        spans += [match.span() for match in _DATE.finditer(text, *span)]
    if not spans:
        return atoms
    for each in spans:
        for i in within(words, each):
            atoms[i] = 1
    for i in range(1, len(atoms) - 1):
        if words.raw[i] in ",;/" and atoms[i - 1] and atoms[i + 1]:
            atoms[i] = 1
    for i, inside in enumerate(atoms):
        if inside:
            words.raw[i] = words.keys[i] = MASK
            words.shouted.pop(i, None)
    return atoms


def _only_prior(
    context: Context, mentions: list[Mention], stated: list[Stated], written: list[Found], words: Words
) -> bool:
    """True when all that the sentence says stands under an earlier study."""
    if not any(context.prior):
        return False
    places = [range(mention.first, mention.last) for mention in mentions]
    places += [range(one.first, one.last) for one in stated]
    if not places and not written:
        return False
    spans = [within(words, found.span) for found in written]
    return all(any(context.prior[i] for i in place) for place in (*places, *spans))
