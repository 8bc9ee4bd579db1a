"""Masks, reports and headers -> questions whose answer follows from them."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.errors import RecordError
from rrg.geometry import slice_affine
from rrg.pipe import Count, Group, Made
from rrg.records import Box, Lang, Sample, Slice
from rrg.reports.findings import LESION_LIKE
from rrg.seeds import rng_for
from rrg.synth import templates
from rrg.synth.facts import NEVER_ASKED, Absences, Seen, Study, pick, read_study, sample
from rrg.synth.report_facts import Fact, facts_of
from rrg.synth.templates import name, say, with_choices

COMMAND = "synth-vqa"
CHOICES = 4
LESION = "lesion"
LARGER_BY = 1.5
"""Ratio of areas from which on one structure is called the larger one."""

EASY_WEIGHT = 0.25
"""Training weight of questions that do not need the image, such as those on the header: they are learnt at once."""


@dataclass(frozen=True)
class Options:
    """What to make."""

    languages: tuple[Lang, ...] = ("de", "en")
    slices: str = "40"
    findings: int = 5
    """Questions per slice and language from masks and reports."""
    metadata: int = 3
    """Questions per slice and language from the header."""
    min_area_px: int = 20
    paraphrase: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Said:
    """A question in one language."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question about a slice, in every language."""

    family: str
    type: Literal["open", "closed", "single"]
    label: str
    """What it asks about: a class, a pair of classes, a finding, a header field."""
    source: Literal["mask", "report", "header"]
    needs_image: bool | None
    """False where knowledge of anatomy is enough; None where it often is, or a data set may have one answer only."""
    said: Callable[[Lang, int], Said]
    """(language, form) -> the words."""
    reports: tuple[str, ...] = ()


def ask_all(options: Options, group: Group) -> Iterator[Made]:
    """Questions on a study, slice by slice, the same ones in each language."""
    study = read_study(group, options.slices, options.min_area_px)
    yield from study.counts
    counts: Counter[str] = Counter()
    rngs = [rng_for(options.seed, COMMAND, seen.slice.id) for seen in study.seen]
    shown = [pick(rng, sorted(set(seen.found) - NEVER_ASKED), 1) for seen, rng in zip(study.seen, rngs, strict=True)]
    rights = [pick(rng, sorted(set(seen.found) - NEVER_ASKED), 1) for seen, rng in zip(study.seen, rngs, strict=True)]
    absences = Absences(study, itertools.chain(*shown))
    wrongs = Absences(study, [*itertools.chain(*rights)] * (CHOICES - 1))
    facts = _with_partners(study, [facts_of(study.said.get(seen.slice.id, ())) for seen in study.seen], rngs)
    for seen, present, right, stated, rng in zip(study.seen, shown, rights, facts, rngs, strict=True):
        absent = absences.pick(seen, 1, rng)
        asked = [
            *_findings(
                seen,
                [
                    *(_presence(label, True) for label in present),
                    *(_presence(label, False) for label in absent),
                    *(_which(label, wrongs.pick(seen, CHOICES - 1, rng), rng) for label in right),
                ],
                stated,
                options.findings,
                rng,
            ),
            *pick(rng, list(_header(seen.slice, rng)), options.metadata),
        ]
        for lang in options.languages:
            for number, question in enumerate(asked):
                form = 0
                if options.paraphrase:
                    words = rng_for(options.seed, COMMAND, f"{seen.slice.id} {lang} {number}")
                    form = int(words.integers(templates.forms(question.family, lang)))
                counts[f"question.{question.family}"] += 1
                yield _sample(seen, question, lang, form)
    yield from (Count(key, n) for key, n in sorted(counts.items()))


def _findings(
    seen: Seen, planned: Sequence[Question | None], facts: Sequence[Fact], n: int, rng: Generator
) -> list[Question]:
    """At most `n` questions: two from reports, those planned for the whole study, then the other families."""
    from_report = pick(rng, list(_report_questions(facts)), 2)
    others = pick(rng, [make(seen, rng) for make in _OTHERS], len(_OTHERS))
    return [question for question in (*from_report, *planned, *others) if question is not None][:n]


def _sample(seen: Seen, question: Question, lang: Lang, form: int) -> Sample:
    said = question.said(lang, form)
    return sample(
        seen,
        task="vqa",
        lang=lang,
        question=templates.escape(with_choices(said.question, said.choices) if said.choices else said.question),
        answer_text=templates.escape(said.answer),
        template=f"{question.family}/{form}",
        facets={"source": question.source, "question": question.family, "label": question.label},
        reports=question.reports,
        question_type=question.type,
        choices=said.choices,
        answer=said.answer,
        needs_image=question.needs_image,
        weight=1.0 if question.needs_image else EASY_WEIGHT,
    )


def _yes_no(yes: bool, lang: Lang) -> str:
    return templates.YES[lang] if yes else templates.NO[lang]


# Masks


def _presence(label: str, yes: bool) -> Question:
    return Question(
        family="presence",
        type="closed",
        label=label,
        source="mask",
        needs_image=True,
        said=lambda lang, form: Said(templates.presence(label, lang, form), _yes_no(yes, lang)),
    )


def _single(
    family: str,
    label: str,
    choices: Sequence[str],
    answer: str,
    *,
    needs_image: bool | None,
    **words: Mapping[Lang, str],
) -> Question:
    """A choice between structures (or ``both``); `words` are further fields of the form."""

    def called(choice: str, lang: Lang) -> str:
        return templates.BOTH[lang] if choice == "both" else name(choice, lang)

    return Question(
        family=family,
        type="single",
        label=label,
        source="mask",
        needs_image=needs_image,
        said=lambda lang, form: Said(
            say(family, lang, form, **{key: word[lang] for key, word in words.items()}),
            called(answer, lang),
            tuple(called(choice, lang) for choice in choices),
        ),
    )


def _which(right: str, wrong: Sequence[str], rng: Generator) -> Question | None:
    """One structure of the slice among absent ones."""
    if len(wrong) < CHOICES - 1:
        return None
    return _single("which", right, pick(rng, [right, *wrong], CHOICES), right, needs_image=True)


def _side(seen: Seen, rng: Generator) -> Question | None:
    """Which of a left and right pair is on the slice, where both are known and at least one is there."""
    pairs = []
    for left in sorted(label for label in (*seen.found, *seen.absent) if LABELS[label].side == "left"):
        right = left.replace("left", "right")
        here = [label for label in (left, right) if label in seen.found]
        if here and all(label in seen.found or label in seen.absent for label in (left, right)):
            pairs.append((left, right, "both" if len(here) == 2 else here[0]))
    if not pairs:
        return None
    one_sided = [pair for pair in pairs if pair[2] != "both"]
    if one_sided and rng.random() < 2 / 3:  # the three answers about equally often
        pairs = one_sided
    left, right, answer = pairs[int(rng.integers(len(pairs)))]
    choices = pick(rng, [left, right, "both"], 3)
    return _single("side", f"{left}+{right}", choices, answer, needs_image=True)


def _count(seen: Seen, rng: Generator) -> Question | None:
    """How many of three named structures are there."""
    present, absent = sorted(set(seen.found) - NEVER_ASKED), sorted(seen.absent - NEVER_ASKED)
    possible = [n for n in range(4) if n <= len(present) and 3 - n <= len(absent)]
    if not possible:
        return None
    n = possible[int(rng.integers(len(possible)))]
    named = pick(rng, [*pick(rng, present, n), *pick(rng, absent, 3 - n)], 3)
    return Question(
        family="count",
        type="open",
        label="count",
        source="mask",
        needs_image=True,
        said=lambda lang, form: Said(
            say("count", lang, form, list=", ".join(name(label, lang) for label in named)), str(n)
        ),
    )


def _pairs(seen: Seen, rng: Generator) -> list[tuple[str, str]]:
    labels = pick(rng, sorted(set(seen.found) - NEVER_ASKED), 8)
    return [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]


def _larger(seen: Seen, rng: Generator) -> Question | None:
    """Which of two structures has clearly more pixels. Often known without the image: a liver is larger."""
    for pair in _pairs(seen, rng):
        small, large = sorted(pair, key=lambda label: seen.found[label].area_px)
        if seen.found[large].area_px >= LARGER_BY * seen.found[small].area_px:
            return _single("larger", "+".join(sorted(pair)), pair, large, needs_image=None)
    return None


AXES = (("left", "right"), ("back", "front"), ("head", "feet"))
"""Directions of growing and of falling patient x, y, z (LPS)."""


def _position(seen: Seen, rng: Generator) -> Question | None:
    """Which of two structures lies further in a direction of the patient; their boxes do not overlap in it."""
    try:
        affine = slice_affine(seen.slice)
    except RecordError:
        return None
    for a, b in _pairs(seen, rng):
        extents = [_extent(seen.found[label].box, affine) for label in (a, b)]
        apart = [axis for axis in range(3) if _apart(extents[0][axis], extents[1][axis])]
        if apart:
            axis = apart[int(rng.integers(len(apart)))]
            ascending = bool(rng.integers(2))
            first_is_further = extents[0][axis][0] > extents[1][axis][0]
            answer = a if first_is_further == ascending else b
            direction = templates.DIRECTIONS[AXES[axis][0 if ascending else 1]]
            return _single("position", "+".join(sorted((a, b))), (a, b), answer, needs_image=False, direction=direction)
    return None


def _extent(box: Box, affine: np.ndarray) -> list[tuple[float, float]]:
    """Smallest and largest patient x, y, z in mm of the corners of a box."""
    corners = np.array([(y - 0.5, x - 0.5, 1.0) for y in (box.y0, box.y1) for x in (box.x0, box.x1)]) @ affine.T
    return [(float(low), float(high)) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]


def _apart(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Two extents that do not overlap, and are extents at all (not the normal of the slice)."""
    wide = min(a[1] - a[0], b[1] - b[0]) > 1e-3
    return wide and (a[0] >= b[1] or b[0] >= a[1])


_OTHERS: tuple[Callable[[Seen, Generator], Question | None], ...] = (_side, _count, _position, _larger)


# Reports


def _with_partners(study: Study, facts: Sequence[Sequence[Fact]], rngs: Sequence[Generator]) -> list[list[Fact]]:
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


def _report_questions(facts: Iterable[Fact]) -> Iterator[Question]:
    """Questions on what sentences about the slice state."""
    known = list(facts)
    for fact in known:
        yield _finding(fact)
        if not fact.present:
            continue
        same = [other for other in known if other.present and other.name == fact.name]
        if len(same) == 1 and len(fact.labels) == 1:
            yield _where(fact)
        if len(same) == 1 and fact.size_mm:
            yield _size(fact)
        there = [other for other in known if other.present and other.labels == fact.labels]
        if len(there) == 1 and len(fact.labels) == 1:
            yield _what(fact)


def _from_report(
    family: str, type_: Literal["open", "closed"], fact: Fact, said: Callable[[Lang, int], Said]
) -> Question:
    return Question(
        family=family,
        type=type_,
        label=fact.name,
        source="report" if fact.reports else "mask",
        needs_image=True,
        said=said,
        reports=fact.reports,
    )


def _finding(fact: Fact) -> Question:
    """Is it there? Asked of the structure where the report says so, since a finding may be elsewhere too."""

    def said(lang: Lang, form: int) -> Said:
        answer = _yes_no(fact.present, lang)
        if len(fact.labels) != 1:
            return Said(say("finding", lang, form, finding=fact.accusative(lang)), answer)
        where = templates.fields(fact.labels[0], lang)
        return Said(say("finding-in", lang, form, finding=fact.accusative(lang), **where), answer)

    return _from_report("finding" if len(fact.labels) != 1 else "finding-in", "closed", fact, said)


def _where(fact: Fact) -> Question:
    return _from_report(
        "finding-where",
        "open",
        fact,
        lambda lang, form: Said(
            say("finding-where", lang, form, finding=fact.called(lang)), name(fact.labels[0], lang)
        ),
    )


def _what(fact: Fact) -> Question:
    return _from_report(
        "finding-what",
        "open",
        fact,
        lambda lang, form: Said(
            say("finding-what", lang, form, **templates.fields(fact.labels[0], lang)), fact.called(lang)
        ),
    )


def _size(fact: Fact) -> Question:
    return _from_report(
        "finding-size",
        "open",
        fact,
        lambda lang, form: Said(say("finding-size", lang, form, finding=fact.called(lang)), fact.size(lang)),
    )


# Headers


def _header(slice_: Slice, rng: Generator) -> Iterator[Question]:
    """Questions that the DICOM header answers."""
    if slice_.modality in templates.MODALITIES:
        yield _fixed_choice("modality", templates.MODALITIES, slice_.modality, rng)
    if slice_.plane is not None and slice_.plane in templates.PLANES:
        yield _fixed_choice("plane", templates.PLANES, slice_.plane, rng)
    if (region := templates.REGIONS.get(slice_.body_part or "")) is not None:
        yield Question(
            family="region",
            type="open",
            label="region",
            source="header",
            needs_image=None,
            said=lambda lang, form: Said(say("region", lang, form), region[lang]),
        )
    if slice_.contrast is not None and slice_.modality in ("CT", "MR"):
        given = slice_.contrast
        yield Question(
            family="contrast",
            type="closed",
            label="contrast",
            source="header",
            needs_image=None,
            said=lambda lang, form: Said(say("contrast", lang, form), _yes_no(given, lang)),
        )


def _fixed_choice(family: str, words: Mapping[str, Mapping[Lang, str]], answer: str, rng: Generator) -> Question:
    choices = pick(rng, sorted(words), len(words))
    return Question(
        family=family,
        type="single",
        label=family,
        source="header",
        needs_image=None,
        said=lambda lang, form: Said(
            say(family, lang, form), words[answer][lang], tuple(words[choice][lang] for choice in choices)
        ),
    )
