"""What sentences about a slice answer: which finding, where, how large."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.records import Lang, Quantity
from rrg.reports.findings import LESION_LIKE
from rrg.synth import measure, templates
from rrg.synth.absences import pick
from rrg.synth.facts import Study
from rrg.synth.questions import Question, Said, yes_no
from rrg.synth.report_facts import NAMES_ITS_PLACE, OF_ITS_PLACE, Fact
from rrg.synth.seen import Seen
from rrg.synth.templates import name, say
from rrg.synth.vqa_presence import LESION

ANY_LESION = ("lesion", "mass", "nodule", "opacity")
"""Words that a report may use for any of `LESION_LIKE`."""


def with_partners(study: Study, facts: Sequence[Sequence[Fact]], rngs: Sequence[Generator]) -> list[list[Fact]]:
    """The facts of each slice, and for a focal finding its denial on a slice that shows the structure without a lesion.

    Reports deny more than they state, and of other structures: without partners the words of a question would give
    the answer away. A partner is made only where an engine looked for lesions and found none.
    """
    found = [list(each) for each in facts]
    for own, rng in zip(facts, rngs, strict=True):
        for fact in own:
            if fact.present and fact.name in LESION_LIKE and len(fact.labels) == 1:
                free = [
                    number
                    for number, seen in enumerate(study.seen)
                    if LESION in seen.absent
                    and fact.labels[0] in seen.found
                    and all(other.name != fact.name for other in found[number])
                ]
                for number in pick(rng, free, 1):
                    found[number].append(replace(fact, present=False, size_mm=(), reports=()))
    return found


def report_questions(seen: Seen, facts: Iterable[Fact]) -> Iterator[Question]:
    """Questions on what sentences about the slice state."""
    known = list(facts)
    for fact in known:
        if fact.present or is_denied(fact, known):
            yield _finding(fact)
        if not fact.present:
            continue
        same = [other for other in known if other.present and other.name == fact.name]
        if len(same) == 1 and len(fact.labels) == 1 and fact.name not in NAMES_ITS_PLACE:
            yield _where(fact)
        if len(same) == 1 and fact.size_mm:
            yield _size(seen, fact)
        there = [other for other in known if other.present and other.labels == fact.labels]
        if len(there) == 1 and len(fact.labels) == 1:
            yield _what(fact)


def _from_report(
    family: str,
    type_: Literal["open", "closed"],
    fact: Fact,
    words: Mapping[Lang, Mapping[str, str]],
    answer: Mapping[Lang, str],
    measured: tuple[Quantity, ...] = (),
) -> Question:
    return Question(
        family=family,
        type=type_,
        label=fact.name,
        source="report" if fact.reports else "mask",
        needs_image=True,
        said=lambda lang, form: Said(say(family, lang, form, **words[lang]), answer[lang]),
        reports=fact.reports,
        measured=measured,
    )


def _finding(fact: Fact) -> Question:
    """Is it there? Asked of the structure where the report says so, since a finding may be elsewhere too."""
    located = _is_located(fact)
    words = {lang: {"finding": fact.accusative(lang), "place": _place(fact, lang)} for lang in templates.LANGUAGES}
    answer = {lang: yes_no(fact.present, lang) for lang in templates.LANGUAGES}
    return _from_report("finding-in" if located else "finding", "closed", fact, words, answer)


def _is_located(fact: Fact) -> bool:
    """The question names the structure: the sentence names one, and the finding does not say it already."""
    return len(fact.labels) == 1 and fact.name not in NAMES_ITS_PLACE


def is_denied(fact: Fact, known: Iterable[Fact]) -> bool:
    """The question may be answered with no, whatever else the sentences say.

    "No pleural effusion on the left" denies none on the right; "no further lesion" stands beside those that are there.
    """
    if not _is_located(fact) and any(LABELS[label].side for label in fact.labels):
        return False
    for other in known:
        alike = other.name == fact.name or (other.name in LESION_LIKE and fact.name in ANY_LESION)
        here = not _is_located(fact) or not other.labels or not set(other.labels).isdisjoint(fact.labels)
        if other.present and alike and here:
            return False
    return True


def _place(fact: Fact, lang: Lang) -> str:
    """ "in der Leber", "der Aorta"; empty where the question names no structure."""
    if not _is_located(fact):
        return ""
    return templates.fields(fact.labels[0], lang)["des" if fact.name in OF_ITS_PLACE else "in"]


def _where(fact: Fact) -> Question:
    words = {lang: {"finding": fact.definite(lang)} for lang in templates.LANGUAGES}
    return _from_report(
        "finding-where", "open", fact, words, {lang: name(fact.labels[0], lang) for lang in templates.LANGUAGES}
    )


def _what(fact: Fact) -> Question:
    words = {lang: templates.fields(fact.labels[0], lang) for lang in templates.LANGUAGES}
    return _from_report("finding-what", "open", fact, words, {lang: fact.called(lang) for lang in templates.LANGUAGES})


def _size(seen: Seen, fact: Fact) -> Question:
    words = {lang: {"finding": fact.definite(lang)} for lang in templates.LANGUAGES}
    answer = {lang: fact.size(lang) for lang in templates.LANGUAGES}
    quantity = measure.lengths(fact.name, fact.size_mm, seen.slice.spacing_mm)
    return _from_report("finding-size", "open", fact, words, answer, (quantity,))
