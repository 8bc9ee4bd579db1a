"""Whether the answer to a question of a language model follows from the sentences about a slice, or from its masks.

Question and answer are read by the rules of `parse-reports`, as the sentences were. What the rules can not check is
refused, too: a question fewer costs less than a wrong one.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from rrg.anatomy import LABELS
from rrg.records import Finding, Lang
from rrg.reports.language import scores
from rrg.reports.parse import Facts, parse
from rrg.reports.rewrite_words import WORDS
from rrg.synth import terms
from rrg.synth.report_facts import LESION_LABELS
from rrg.synth.seen import NEVER_ASKED, Seen

LONGEST_QUESTION = 200
LONGEST_ANSWER = 80
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_WORD = re.compile(r"[^\W\d_]{3,}")
_ASKING = {
    "de": re.compile(r"\b(wie|wo|was|welche\w*|ist|sind|gibt|liegt|zeigt|sieht|hat|besteht|findet)\b", re.I),
    "en": re.compile(r"\b(how|where|what|which|is|are|does|do|has|can)\b", re.I),
}
_SIDE = re.compile(
    r"\b(?:(?P<left>left|link\w*)|(?P<right>right|recht(?!fert)\w*)|(?P<both>both|bilateral\w*|beid\w*))", re.I
)
_UNITS = re.compile(r"(?<=[\d ])(mm|cm|HU|HE|ml|%)(?!\w)", re.I)


_LENGTHS = {"mm", "cm"}
"""Compared by value: 24 mm are 2.4 cm."""


class Pair(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str
    closed: bool
    """The answer is yes or no."""

    @classmethod
    def of(cls, question: str, answer: str, lang: Lang) -> "Pair":
        """Blanks and a full stop behind the answer go; yes and no are written as everywhere."""
        asked, said = " ".join(question.split()), " ".join(answer.split()).rstrip(".")
        closed = said.casefold() in (terms.YES[lang], terms.NO[lang])
        return cls(asked, said.casefold() if closed else said, closed)


class Source(NamedTuple):
    """What questions may be asked about."""

    text: str
    facts: Facts
    lang: Lang
    found: frozenset[str]
    """Structures that masks show."""
    absent: frozenset[str]
    """Structures that an engine looked for and did not find."""

    @classmethod
    def of(cls, seen: Seen, text: str, lang: Lang) -> "Source":
        """The sentences about a slice and what its masks say."""
        found = frozenset(set(seen.found) - NEVER_ASKED - LESION_LABELS)
        return cls(text, parse(text, lang), lang, found, frozenset(seen.absent - NEVER_ASKED - LESION_LABELS))


def problem(pair: Pair, source: Source, examples: Collection[str]) -> str:
    """Why a pair is refused; empty for one that is kept."""
    question, answer = parse(pair.question, source.lang), parse(pair.answer, source.lang)
    return (
        _form(pair, source)
        or _copied(pair, examples)
        or _gives_away(pair)
        or _invented(pair, question, answer, source)
        or (_closed(pair, question, source) if pair.closed else _open(pair, question, answer, source))
    )


def _form(pair: Pair, source: Source) -> str:
    if not 8 <= len(pair.question) <= LONGEST_QUESTION or not 1 <= len(pair.answer) <= LONGEST_ANSWER:
        return "length"
    if not pair.question.endswith("?") or pair.question.count("?") > 1:
        return "no_question"
    german, english = scores(pair.question)
    own, other = (german, english) if source.lang == "de" else (english, german)
    asks = _ASKING[source.lang].search(pair.question) is not None
    answered = scores(" ".join(_WORD.findall(pair.answer)))
    if source.lang == "en":
        answered = answered[1], answered[0]
    foreign = pair.answer.casefold() in {*terms.YES.values(), *terms.NO.values()} and not pair.closed
    if not asks or other > own or foreign or answered[1] > answered[0]:
        return "language"
    if WORDS[source.lang].left.search(f"{pair.question} {pair.answer}"):
        return "earlier"
    return ""


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _copied(pair: Pair, examples: Collection[str]) -> str:
    return "example" if _plain(pair.question) in {_plain(each) for each in examples} else ""


def _gives_away(pair: Pair) -> str:
    """The answer stands in the question."""
    if pair.closed:
        return ""
    return "gives_away" if f" {_plain(pair.answer)} " in f" {_plain(pair.question)} " else ""


def _values(text: str) -> set[float]:
    return {float(each.replace(",", ".")) for each in _NUMBER.findall(text)}


def _sides(text: str) -> set[str]:
    return {str(match.lastgroup) for match in _SIDE.finditer(text)}


def _invented(pair: Pair, question: Facts, answer: Facts, source: Source) -> str:
    """A number, unit, size or side that the sentences do not have."""
    both = f"{pair.question} {pair.answer}"
    sizes = {each.value_mm for each in source.facts.measurements}
    said = {each.value_mm for facts in (question, answer) for each in facts.measurements}
    if not said <= sizes:
        return "number"
    if not said and not _values(both) <= _values(source.text):
        return "number"
    units = {each.lower() for each in _UNITS.findall(both)} - (_LENGTHS if said else set())
    if not units <= {each.lower() for each in _UNITS.findall(source.text)}:
        return "unit"
    known = _sides(source.text) | {side for label in source.found if (side := LABELS[label].side)}
    known |= {side for label in source.absent if (side := LABELS[label].side)} if pair.closed else set()
    return "" if _sides(both) <= known else "side"


def _classes(facts: Facts, finding: Finding) -> set[str]:
    return {name for index in finding.anatomy for name in facts.anatomy[index].classes}


def _structures(facts: Facts) -> set[str]:
    return {name for each in facts.anatomy for name in each.classes} - LESION_LABELS


def _matching(question: Facts, asked: Finding, source: Source) -> list[Finding]:
    """The findings of the sentences that a finding of the question may mean: by name, place and side."""
    where = _classes(question, asked) - LESION_LABELS
    return [
        each
        for each in source.facts.findings
        if each.name == asked.name
        and where <= _classes(source.facts, each)
        and (asked.side is None or asked.side == each.side)
    ]


def _closed(pair: Pair, question: Facts, source: Source) -> str:
    """Yes: the sentences state each finding of the question, or masks show each structure. No: they deny it."""
    yes = pair.answer == terms.YES[source.lang]
    if any(each.state == "absent" for each in question.findings) or any(each.negated for each in question.anatomy):
        return "not_checkable"
    if question.findings:
        if len(question.findings) != 1:
            return "not_checkable"
        matching = _matching(question, question.findings[0], source)
        if any(each.certainty != "certain" or each.time != "current" for each in matching) or not matching:
            return "fact"
        sizes = {each.value_mm for each in question.measurements}
        known = {size.value_mm for each in matching for size in each.measurements}
        states = {each.state for each in matching}
        right = {"present"} if yes else {"absent"}
        return "" if states == right and sizes <= known and (yes or not sizes) else "fact"
    labels = _structures(question) & set(LABELS)
    if len(labels) != 1 or _left(pair.question, source) or question.measurements or _values(pair.question):
        return "not_checkable"
    return "" if labels <= (source.found if yes else source.absent) else "fact"


_VISIBLE = {
    "de": re.compile(r"\b(sehen|sichtbar|zu erkennen|zeigt|abgebildet|dargestellt)\b", re.I),
    "en": re.compile(r"\b(visible|seen|show|shows|shown|depicted)\b", re.I),
}


def _left(question: str, source: Source) -> bool:
    """A question without a finding that asks for more than whether a structure is visible."""
    return _VISIBLE[source.lang].search(question) is None or len(_WORD.findall(question)) > 9


def _open(pair: Pair, question: Facts, answer: Facts, source: Source) -> str:
    """The answer states what the sentences state, of what the question asks about."""
    stated = [each for each in source.facts.findings if each.certainty == "certain" and each.time == "current"]
    meant = [each for asked in question.findings for each in _matching(question, asked, source) if each in stated]
    if question.findings and (len(question.findings) != 1 or not meant):
        return "premise"
    if not _structures(question) <= _structures(source.facts) | source.found:
        return "premise"
    if not question.findings and not answer.findings:
        return "not_checkable"
    for each in answer.findings:
        same = [other for other in stated if (other.name, other.state) == (each.name, each.state)]
        place = (_structures(question) | _classes(answer, each)) - LESION_LABELS
        if not any(place <= _classes(source.facts, other) for other in same):
            return "fact"
    if meant:
        if any(each.state != "present" for each in meant):
            return "premise"
        sizes = {each.value_mm for each in answer.measurements}
        own = [{size.value_mm for size in each.measurements} for each in meant]
        places = [_classes(source.facts, each) for each in meant]
        where = _structures(answer)
        if not any(sizes <= size and where <= place for size, place in zip(own, places, strict=True)):
            return "fact"
        if len(meant) > 1 and (sizes or where):
            return "ambiguous"
        sided = _sides(pair.answer)
        if sided and not any(each.side in sided for each in meant):
            return "side"
    return "" if _rest(pair.answer, answer) <= _words(source.text) | _words(pair.question) else "not_in_text"


def _rest(text: str, facts: Facts) -> set[str]:
    """The words of an answer that name neither a finding nor a structure."""
    spans = [each.span for each in facts.findings] + [each.span for each in facts.anatomy]
    for start, end in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return _words(_SIDE.sub(" ", text)) - _SMALL[facts.lang]


_SMALL: dict[Lang, frozenset[str]] = {
    "de": frozenset(("der", "die", "das", "dem", "den", "des", "ein", "eine", "einer", "einem", "einen", "und")),
    "en": frozenset(("the", "and", "there")),
}


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}
