"""Grounded samples from reports: what sentences say of a slice, with boxes, and where their phrases are or are not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.records import Lang, Mention, Quantity, Region, Report, Sample
from rrg.synth import templates
from rrg.synth.facts import Said
from rrg.synth.grounding_options import Options, Part, form_of
from rrg.synth.mentions import grounded_mentions, other_side_too
from rrg.synth.negatives import Asked
from rrg.synth.reworded import Worded, worded
from rrg.synth.samples import sample, sections_for
from rrg.synth.seen import Seen
from rrg.synth.snippets import Phrase, said_as, snippet, whole_word


def from_reports(
    part: Part, said: Sequence[Said], options: Options, counts: Counter[str], pairing: str | None
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
            form = form_of("report", lang, options, rng)
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
            form = form_of("grounded-report", lang, options, rng)
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
    form = form_of("phrase-to-box", lang, options, rng)
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


def no_such_phrase(part: Part, asked: Asked, options: Options) -> Sample:
    """The same question on a slice without it: regions without boxes, which the answer does not name."""
    lang, phrase = part.lang, asked.mention.phrase
    form = form_of("phrase-to-box", lang, options, part.rng)
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
