"""Reports and masks -> grounded samples. The rule: mentioned in a sentence about the slice, and present on it."""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.geometry import iou
from rrg.pipe import Count, Group, Made
from rrg.records import Lang, Mention, Quantity, Region, Report, Sample
from rrg.seeds import rng_for
from rrg.synth import templates
from rrg.synth.consistency import agreement
from rrg.synth.facts import (
    NEVER_ASKED,
    Absences,
    Found,
    Said,
    Seen,
    Study,
    at_border,
    pick,
    read_study,
    sample,
    sections_for,
)
from rrg.synth.mentions import grounded_mentions, other_side_too
from rrg.synth.negatives import SHARES, AbsentPhrases, Asked, rounded
from rrg.synth.pairing import by_largest_area
from rrg.synth.reworded import Worded, said_in, worded
from rrg.synth.snippets import Phrase, said_as, snippet, whole_word

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
    """Detect questions per slice and language."""
    negatives_detect: float = SHARES["detect"]
    """Share of them that ask for absent structures."""
    negatives_phrase: float = SHARES["phrase-to-box"]
    """The same for phrase-to-box questions."""
    min_area_px: int = 20
    min_score: float | None = None
    """Structures whose masks were judged worse are left out."""
    border: Literal["keep", "drop"] = "keep"
    """What to do with structures that reach the border of the image."""
    components: bool = False
    """One box per connected component instead of the union box."""
    pair: Literal["mask"] | None = None
    """Give sentences that cite no slice the one where the structure that they name is largest."""
    paraphrase: bool = False
    seed: int = 0


def ground(options: Options, group: Group) -> Iterator[Made]:
    """Grounded samples of a study, slice by slice."""
    gates = (options.min_area_px, options.min_score, options.border == "drop")
    study = read_study(
        *(group, options.slices, options.min_area_px),
        min_score=options.min_score,
        drop_border=options.border == "drop",
        pair=functools.partial(by_largest_area, *gates) if options.pair == "mask" else None,
    )
    yield from study.counts
    counts, inferred = Counter(_structures(study)), Counter[str]()
    counts.update(agreement(study))
    plan = _detect_plan(study, options, counts)
    parts = [
        _Part(seen, lang, rng_for(options.seed, COMMAND, f"{seen.slice.id} {lang}"))
        for seen in study.seen
        for lang in options.languages
    ]
    for part in parts:
        cited, paired = (
            tuple(said_in(said.get(part.seen.slice.id, ()), part.lang)) for said in (study.said, study.paired)
        )
        part.samples += _from_reports(part, cited, options, counts, None)
        part.samples += _from_reports(part, paired, options, inferred, "inferred")
    for lang in options.languages:
        mine = [part for part in parts if part.lang == lang]
        phrases = AbsentPhrases(lang, [part.asked for part in mine], options.negatives_phrase)
        for part in mine:
            part.denied = list(phrases.pick(part.seen, part.asked, part.rng, counts))
    for number, part in enumerate(parts):
        made = (
            *part.samples,
            *(_no_such_phrase(part, each, options) for each in part.denied),
            *_from_masks(part.seen, plan[number // len(options.languages)], part.lang, options, part.rng, counts),
        )
        for each in made:
            (inferred if "pairing" in each.facets else counts)[f"task.{each.task}"] += 1
            if each.task in SHARES:
                counts[f"{each.task}.{each.facets['state']}"] += 1
            yield each
    counts.update({f"inferred.{name}": n for name, n in inferred.items()})
    yield from (Count(name, n) for name, n in sorted(counts.items()) if n)


@dataclass
class _Part:
    """What is made on one slice in one language."""

    seen: Seen
    lang: Lang
    rng: Generator
    samples: list[Sample] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    denied: list[Asked] = field(default_factory=list)


def _structures(study: Study) -> Iterator[str]:
    """What became of each structure on each chosen slice: ``structures.seen`` is the sum of what follows it."""
    for seen in study.seen:
        for found in seen.found.values():
            yield "structures.seen"
            yield "structures.used"
            if at_border(found.box, seen.slice):
                yield "structures_used.at_border"
            if found.score is None:
                yield "structures_used.not_judged"
        for gate in seen.gates.values():
            yield "structures.seen"
            yield f"structures.{gate}"


def _detect_plan(study: Study, options: Options, counts: Counter[str]) -> list[tuple[list[str], list[str]]]:
    """Structures to ask for on each slice: (present, absent), the same in all languages."""
    if "detect" not in options.tasks:
        return [([], []) for _ in study.seen]
    rngs = [rng_for(options.seed, COMMAND, seen.slice.id) for seen in study.seen]
    quota = [rounded(options.per_slice * options.negatives_detect, rng) for rng in rngs]
    present = [
        pick(rng, sorted(set(seen.found) - NEVER_ASKED), options.per_slice - min(absent, len(seen.absent)))
        for seen, absent, rng in zip(study.seen, quota, rngs, strict=True)
    ]
    absences = Absences(study, (label for labels in present for label in labels))
    plan = [
        (labels, absences.pick(seen, absent, rng))
        for seen, labels, absent, rng in zip(study.seen, present, quota, rngs, strict=True)
    ]
    counts["detect.none_to_deny"] += sum(
        max(wanted - len(absent), 0) for wanted, (_, absent) in zip(quota, plan, strict=True)
    )
    return plan


def _form(family: str, lang: Lang, options: Options, rng: Generator) -> int:
    return int(rng.integers(templates.forms(family, lang))) if options.paraphrase else 0


# Reports


def _from_reports(
    part: _Part, said: Sequence[Said], options: Options, counts: Counter[str], pairing: str | None
) -> Iterator[Sample]:
    """What sentences say of a slice; `pairing` is ``inferred`` where they do not cite it. Fills ``part.asked``."""
    seen, lang, rng = part.seen, part.lang, part.rng
    by_report: dict[str, list[Said]] = {}
    for each in said:
        by_report.setdefault(each.report.id, []).append(each)
    taken = {each.key for each in part.asked}
    for sentences in by_report.values():
        report = sentences[0].report
        told = worded(report, [each.sentence for each in sentences], lang)
        numbers = told.kept
        found = grounded_mentions(told.report, told.numbers, seen, components=options.components, counts=counts)
        mentions = tuple(each.mention for each in found)
        text = snippet(told.report, told.numbers, [Phrase(m.id, m.source.span) for m in mentions if m.source])
        counts["texts.seen"] += 1
        if not text.plain.strip(" .,;:"):
            counts["texts.no_text"] += 1
            continue
        shared: dict[str, Any] = {
            "context": sections_for([report]),
            "findings": {f.name: f.state for f in report.findings if f.sentence in numbers and f.time == "current"},
            "measurements": tuple(_quantities(report, numbers)),
            "reports": (report.id,),
            "answer": text.plain,
            "needs_image": True,
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
                **_marked("report", told, pairing),
                **shared,
            )
        counts["texts.grounded" if mentions else "texts.nothing_present"] += 1
        if mentions and "grounded-report" in options.tasks:
            form = _form("grounded-report", lang, options, rng)
            yield sample(
                seen,
                task="grounded-report",
                lang=lang,
                question=templates.ask("grounded-report", lang, form=form),
                answer_text=text.template,
                template=f"grounded-report/{form}",
                mentions=told.sourced(mentions),
                **_marked("report+mask", told, pairing),
                **shared,
            )
        if "phrase-to-box" in options.tasks:
            for mention, classes in found:
                assert mention.source is not None
                span = whole_word(told.report.text, mention.source.span)
                phrase = said_as(told.report, span)
                asked = Asked(replace(mention, phrase=phrase, source=told.source(span)), classes, told, pairing)
                counts["phrases.seen"] += 1
                if other_side_too([region.label for region in mention.regions], phrase, seen):
                    counts["phrases.side_not_said"] += 1
                elif asked.key in taken:
                    counts["phrases.repeated"] += 1
                else:
                    counts["phrases.asked"] += 1
                    taken.add(asked.key)
                    part.asked.append(asked)
                    yield _phrase_to_box(seen, asked, lang, options, rng)


def _marked(source: str, told: Worded, pairing: str | None, **facets: str) -> dict[str, Any]:
    """Facets and provenance of a sample that comes from a report."""
    inferred = {} if pairing is None else {"pairing": pairing}
    return {"facets": {"source": source, **facets, "wording": told.wording, **inferred}, "provenance": inferred}


def _phrase_to_box(seen: Seen, asked: Asked, lang: Lang, options: Options, rng: Generator) -> Sample:
    """Where is what the report names?"""
    mention = asked.mention
    labels = "+".join(region.label for region in mention.regions)
    form = _form("phrase-to-box", lang, options, rng)
    marked = _marked("report+mask", asked.told, asked.pairing, question="phrase-to-box", label=labels, state="present")
    return sample(
        seen,
        task="phrase-to-box",
        lang=lang,
        question=templates.ask("phrase-to-box", lang, phrase=templates.escape(mention.phrase), form=form),
        answer_text="{m0}",
        template=f"phrase-to-box/{form}",
        reports=(asked.told.report.id,),
        mentions=(replace(mention, id="m0"),),
        answer=mention.phrase,
        needs_image=True,
        **marked,
    )


def _no_such_phrase(part: _Part, asked: Asked, options: Options) -> Sample:
    """The same question on a slice without it: regions without boxes, which the answer does not name."""
    lang, phrase = part.lang, asked.mention.phrase
    form = _form("phrase-to-box", lang, options, part.rng)
    nowhere = tuple(
        Region(label=label, class_id=LABELS[label].class_id, boxes=(), origin="report+seg") for label in asked.classes
    )
    labels = "+".join(asked.classes)
    return sample(
        part.seen,
        task="phrase-to-box",
        lang=lang,
        question=templates.ask("phrase-to-box", lang, phrase=templates.escape(phrase), form=form),
        answer_text=templates.NOT_HERE[lang],
        template=f"phrase-to-box/{form}",
        reports=(asked.told.report.id,),
        mentions=(Mention(id="m0", phrase=phrase, source=asked.mention.source, regions=nowhere),),
        answer=templates.NOT_HERE[lang],
        needs_image=True,
        **_marked(*("report+mask", asked.told, asked.pairing), question="phrase-to-box", label=labels, state="absent"),
    )


def _quantities(report: Report, sentences: Sequence[int]) -> Iterator[Quantity]:
    for finding in report.findings:
        if finding.sentence in sentences and finding.state == "present" and finding.time == "current":
            for measured in finding.measurements:
                yield Quantity(name=finding.name, value=measured.value_mm, unit="mm")


# Masks


def _from_masks(
    seen: Seen, asked: tuple[list[str], list[str]], lang: Lang, options: Options, rng: Generator, counts: Counter[str]
) -> Iterator[Sample]:
    for label in (*asked[0], *asked[1]):
        yield _detect(seen, label, lang, options, rng)
    if "box-to-phrase" in options.tasks:
        names = sorted(set(seen.found) - NEVER_ASKED)
        label = names[int(rng.integers(len(names)))] if names else ""
        if not names:
            counts["box-to-phrase.nothing_there"] += 1
        elif any(iou(seen.found[label].box, other.box) >= ALIKE_IOU for other in _others(seen, label)):
            counts["box-to-phrase.looks_alike"] += 1
        else:
            yield _box_to_phrase(seen, label, lang, options, rng)


def _others(seen: Seen, label: str) -> Iterator[Found]:
    return (other for name, other in seen.found.items() if name != label)


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
