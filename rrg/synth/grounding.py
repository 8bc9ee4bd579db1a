"""Reports and masks -> grounded samples. The rule: mentioned in a sentence about the slice, and present on it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.geometry import iou
from rrg.pipe import Count, Group, Made
from rrg.records import Anatomy, Lang, Mention, Quantity, Region, Report, Sample, Span, TextSource
from rrg.seeds import rng_for
from rrg.synth import templates
from rrg.synth.facts import (
    NEVER_ASKED,
    Absences,
    Said,
    Seen,
    Study,
    pick,
    read_study,
    sample,
    sections_for,
)
from rrg.synth.reworded import Worded, said_in, worded
from rrg.synth.snippets import Phrase, removed, said_as, snippet, whole_word, with_side

COMMAND = "synth-ground"
TASKS = ("report", "grounded-report", "phrase-to-box", "detect", "box-to-phrase")
ALIKE_IOU = 0.8
"""A box that fits another structure nearly as well can not be named."""


@dataclass(frozen=True)
class Options:
    """What to make."""

    languages: tuple[Lang, ...] = ("de", "en")
    tasks: tuple[str, ...] = TASKS
    slices: str = "40"
    per_slice: int = 4
    """Detect questions per slice and language; half of them for absent structures."""
    min_area_px: int = 20
    components: bool = False
    """One box per connected component instead of the union box."""
    paraphrase: bool = False
    seed: int = 0


def ground(options: Options, group: Group) -> Iterator[Made]:
    """Grounded samples of a study, slice by slice."""
    study = read_study(group, options.slices, options.min_area_px)
    yield from study.counts
    counts: Counter[str] = Counter()
    for seen, asked in zip(study.seen, _detect_plan(study, options), strict=True):
        for lang in options.languages:
            rng = rng_for(options.seed, COMMAND, f"{seen.slice.id} {lang}")
            said = tuple(said_in(study.said.get(seen.slice.id, ()), lang))
            for made in (
                *_from_reports(seen, said, lang, options, rng, counts),
                *_from_masks(seen, asked, lang, options, rng),
            ):
                counts[f"task.{made.task}"] += 1
                yield made
    yield from (Count(name, n) for name, n in sorted(counts.items()))


def _detect_plan(study: Study, options: Options) -> list[tuple[list[str], list[str]]]:
    """Structures to ask for on each slice: (present, absent), the same in all languages."""
    if "detect" not in options.tasks:
        return [([], []) for _ in study.seen]
    rngs = [rng_for(options.seed, COMMAND, seen.slice.id) for seen in study.seen]
    present = [
        pick(
            rng,
            sorted(set(seen.found) - NEVER_ASKED),
            options.per_slice - min(options.per_slice // 2, len(seen.absent)),
        )
        for seen, rng in zip(study.seen, rngs, strict=True)
    ]
    absences = Absences(study, (label for labels in present for label in labels))
    half = options.per_slice // 2
    return [
        (labels, absences.pick(seen, half, rng)) for seen, labels, rng in zip(study.seen, present, rngs, strict=True)
    ]


def _form(family: str, lang: Lang, options: Options, rng: Generator) -> int:
    return int(rng.integers(templates.forms(family, lang))) if options.paraphrase else 0


# Reports


def _from_reports(
    seen: Seen, said: Sequence[Said], lang: Lang, options: Options, rng: Generator, counts: Counter[str]
) -> Iterator[Sample]:
    by_report: dict[str, list[Said]] = {}
    for each in said:
        by_report.setdefault(each.report.id, []).append(each)
    asked: set[tuple[str, tuple[str, ...]]] = set()
    for sentences in by_report.values():
        report = sentences[0].report
        told = worded(report, [each.sentence for each in sentences], lang)
        numbers, source = told.kept, {} if told.wording is None else {"wording": told.wording}
        mentions = grounded_mentions(told.report, told.numbers, seen, components=options.components, counts=counts)
        text = snippet(told.report, told.numbers, [Phrase(m.id, m.source.span) for m in mentions if m.source])
        if not text.plain.strip(" .,;:"):
            counts["dropped.no_text"] += 1
            continue
        shared: dict[str, Any] = {
            "context": sections_for([report]),
            "findings": {f.name: f.state for f in report.findings if f.sentence in numbers and f.time == "current"},
            "measurements": tuple(_quantities(report, numbers)),
        }
        if "report" in options.tasks:
            form = _form("report", lang, options, rng)
            yield sample(
                seen,
                task="report",
                lang=lang,
                question=templates.ask("report", lang, form=form),
                answer_text=templates.escape(text.plain),
                template=f"report/{form}",
                facets={"source": "report", **source},
                reports=(report.id,),
                answer=text.plain,
                needs_image=True,
                **shared,
            )
        if not mentions:
            counts["slices.mentioned_nothing_present"] += 1
            continue
        if "grounded-report" in options.tasks:
            form = _form("grounded-report", lang, options, rng)
            yield sample(
                seen,
                task="grounded-report",
                lang=lang,
                question=templates.ask("grounded-report", lang, form=form),
                answer_text=text.template,
                template=f"grounded-report/{form}",
                facets={"source": "report+mask", **source},
                reports=(report.id,),
                mentions=told.sourced(mentions),
                answer=text.plain,
                needs_image=True,
                **shared,
            )
        if "phrase-to-box" in options.tasks:
            for mention in mentions:
                labels = tuple(region.label for region in mention.regions)
                assert mention.source is not None
                span = whole_word(told.report.text, mention.source.span)
                phrase = said_as(told.report, span)
                if _other_side_too(labels, phrase, seen):
                    counts["dropped.side_not_said"] += 1
                elif (key := (phrase.casefold(), labels)) not in asked:
                    asked.add(key)
                    yield _phrase_to_box(
                        seen,
                        told,
                        replace(mention, phrase=phrase, source=told.source(span)),
                        lang,
                        options,
                        rng,
                    )


def _phrase_to_box(
    seen: Seen,
    told: Worded,
    mention: Mention,
    lang: Lang,
    options: Options,
    rng: Generator,
) -> Sample:
    form = _form("phrase-to-box", lang, options, rng)
    labels = "+".join(region.label for region in mention.regions)
    return sample(
        seen,
        task="phrase-to-box",
        lang=lang,
        question=templates.ask("phrase-to-box", lang, phrase=templates.escape(mention.phrase), form=form),
        answer_text="{m0}",
        template=f"phrase-to-box/{form}",
        facets={
            "source": "report+mask",
            "question": "phrase-to-box",
            "label": labels,
            "state": "present",
            "wording": told.wording,
        },
        reports=(told.report.id,),
        mentions=(replace(mention, id="m0"),),
        answer=mention.phrase,
        needs_image=True,
    )


def _other_side_too(labels: Sequence[str], phrase: str, seen: Seen) -> bool:
    """A phrase without its side ("Niere") while the structure of the other side is on the slice as well."""
    if SIDE_WORD.search(phrase):
        return False
    twins = {label.replace("left", "right") if "left" in label else label.replace("right", "left") for label in labels}
    return any(seen.parts(twin) for twin in twins - set(labels) if twin in LABELS)


SIDE_WORD = re.compile(r"\b(?:link|recht|beid|left|right|both|li\.|re\.|bds)", re.IGNORECASE)


def grounded_mentions(
    report: Report, sentences: Sequence[int], seen: Seen, *, components: bool, counts: Counter[str]
) -> tuple[Mention, ...]:
    """Phrases of `sentences` that mean something present on the slice, in text order, ids m0, m1, ...

    Left out and counted: negated, of an earlier study, absent, inside a slice reference, not present on the slice.
    """
    gone = {at for number in sentences for span in removed(report, number) for at in range(*span)}
    kept: list[tuple[Anatomy, tuple[Region, ...]]] = []
    inside = [fact for fact in report.anatomy if fact.sentence in sentences]
    for fact in sorted(inside, key=lambda f: (f.span[0], -f.span[1])):
        counts["mentions.seen"] += 1
        if reason := _why_not(fact):
            counts[f"dropped.{reason}"] += 1
        elif not gone.isdisjoint(range(*fact.span)):
            counts["dropped.in_reference"] += 1
        elif kept and fact.span[0] < kept[-1][0].span[1]:
            counts["dropped.overlap"] += 1
        elif not seen.masks:
            counts["dropped.no_mask"] += 1
        elif not (regions := _regions(fact, seen, components)):
            small = any(label in seen.small for label in fact.classes)
            counts["dropped.too_small" if small else "dropped.not_on_slice"] += 1
        else:
            counts["mentions.grounded"] += 1
            kept.append((fact, regions))
    spans = _with_sides(report, [(fact.span, regions) for fact, regions in kept], gone)
    return tuple(
        Mention(
            id=f"m{number}",
            phrase=said_as(report, span),
            source=TextSource(report=report.id, span=span),
            regions=regions,
        )
        for number, (span, (_fact, regions)) in enumerate(zip(spans, kept, strict=True))
    )


def _with_sides(report: Report, found: Sequence[tuple[Span, tuple[Region, ...]]], gone: set[int]) -> list[Span]:
    """Spans of phrases, with the word for the side beside them where the structure has a side."""
    spans: list[Span] = []
    for number, (span, regions) in enumerate(found):
        wider = with_side(report.text, span) if any(LABELS[r.label].side for r in regions) else span
        follows = found[number + 1][0][0] if number + 1 < len(found) else len(report.text)
        free = (spans[-1][1] if spans else 0) <= wider[0] and wider[1] <= follows
        sentence = any(s.span[0] <= wider[0] and wider[1] <= s.span[1] for s in report.sentences)
        spans.append(wider if free and sentence and gone.isdisjoint(range(*wider)) else span)
    return spans


def _why_not(fact: Anatomy) -> str | None:
    if fact.negated:
        return "negated"
    if fact.prior:
        return "prior"
    return "absent" if fact.absent else None


def _regions(fact: Anatomy, seen: Seen, components: bool) -> tuple[Region, ...]:
    found = (
        seen.region(label, "report+seg", components=components)
        for label in dict.fromkeys(fact.classes)
        if label in LABELS
    )
    return tuple(region for region in found if region is not None and region.label not in NEVER_ASKED)


def _quantities(report: Report, sentences: Sequence[int]) -> Iterator[Quantity]:
    for finding in report.findings:
        if finding.sentence in sentences and finding.state == "present" and finding.time == "current":
            for measured in finding.measurements:
                yield Quantity(name=finding.name, value=measured.value_mm, unit="mm")


# Masks


def _from_masks(
    seen: Seen, asked: tuple[list[str], list[str]], lang: Lang, options: Options, rng: Generator
) -> Iterator[Sample]:
    present, absent = asked
    for label in present:
        yield _detect(seen, label, lang, options, rng)
    for label in absent:
        yield _detect(seen, label, lang, options, rng)
    if "box-to-phrase" in options.tasks and (names := sorted(set(seen.found) - NEVER_ASKED)):
        label = names[int(rng.integers(len(names)))]
        mine = seen.found[label].box
        if all(iou(mine, other.box) < ALIKE_IOU for name, other in seen.found.items() if name != label):
            yield _box_to_phrase(seen, label, lang, options, rng)


def _detect(seen: Seen, label: str, lang: Lang, options: Options, rng: Generator) -> Sample:
    """Where is it? An absent structure has a region without boxes, which the answer does not name."""
    form = _form("detect", lang, options, rng)
    region = seen.region(label, "seg", components=options.components)
    phrase = templates.name(label, lang)
    nowhere = Region(label=label, class_id=LABELS[label].class_id, boxes=(), origin="seg")
    return sample(
        seen,
        task="detect",
        lang=lang,
        question=templates.ask("detect", lang, phrase=label, form=form),
        answer_text="{m0}" if region else templates.NOT_HERE[lang],
        template=f"detect/{form}",
        facets={
            "source": "mask",
            "question": "detect",
            "label": label,
            "state": "present" if region else "absent",
        },
        mentions=(Mention(id="m0", phrase=phrase, regions=(region or nowhere,)),),
        answer=phrase if region else templates.NOT_HERE[lang],
        needs_image=True,
    )


def _box_to_phrase(seen: Seen, label: str, lang: Lang, options: Options, rng: Generator) -> Sample:
    """What is there? The mention in the question has no phrase, so that only its box is shown."""
    form = _form("box-to-phrase", lang, options, rng)
    region = seen.region(label, "seg")
    assert region is not None
    return sample(
        seen,
        task="box-to-phrase",
        lang=lang,
        question=templates.ask("box-to-phrase", lang, box_text="{m0}", form=form),
        answer_text=templates.escape(templates.name(label, lang)),
        template=f"box-to-phrase/{form}",
        facets={"source": "mask", "question": "box-to-phrase", "label": label, "state": "present"},
        mentions=(Mention(id="m0", phrase="", regions=(region,)),),
        question_type="open",
        answer=templates.name(label, lang),
        needs_image=True,
    )
