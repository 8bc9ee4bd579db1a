"""Dialogues on findings: a report from a list of them, the list, and whether one is there."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from numpy.random import Generator

from rrg.records import Lang, Report
from rrg.synth import dialogue_templates, templates, terms
from rrg.synth.absences import pick
from rrg.synth.dialogue_chat import Chat, Exchange, facts_on, line, opened, spoken_on, what
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import Said, Study
from rrg.synth.report_facts import NAMES_ITS_PLACE, Fact, facts_of
from rrg.synth.seen import Seen
from rrg.synth.vqa_presence import LESION
from rrg.synth.vqa_report import is_denied, with_partners


def listed(facts: Sequence[Fact], lang: Lang) -> list[str]:
    """The findings that are there, one a line."""
    return [line(fact, lang) for fact in facts if fact.present]


def reports(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """The report of a slice, with the list of findings in the prompt."""
    for seen in study.seen:
        spoken = spoken_on(study, seen, lang)
        facts = facts_on(study, seen)
        if spoken is not None and not _left_out(study, seen, facts):
            items = "; ".join(listed(facts, lang)) or dialogue_templates.NOTHING[lang]
            asked = saying("report-with-findings", lang, rng, list=templates.escape(items))
            yield Chat(
                seen=seen,
                task="report",
                exchanges=(Exchange(asked, templates.escape(spoken.text)),),
                reports=(spoken.report.id,),
                facts=facts,
                facets={"start": "findings"},
                needs_image=True,
            )


def lists(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """The findings of a slice as a list; "no findings" where its sentences state none."""
    for seen in study.seen:
        facts = facts_on(study, seen)
        if not study.said.get(seen.slice.id) or _left_out(study, seen, facts):
            continue
        items = listed(facts, lang)
        shown = bool(items) or LESION in seen.absent  # else the picture may hold what these sentences do not speak of
        before, told = opened(study, seen, lang, rng, always=not shown)
        if not (shown or told):
            continue
        answer = "\n".join(f"- {item}" for item in items) or dialogue_templates.NOTHING[lang]
        yield Chat(
            seen=seen,
            task="findings-list",
            exchanges=(*before, Exchange(saying("findings-list", lang, rng), templates.escape(answer))),
            reports=tuple(sorted({said.report.id for said in study.said[seen.slice.id]})),
            facts=facts,
            facets={"start": "report" if told else "image", "state": "present" if items else "absent"},
            needs_image=not told,
        )


def _left_out(study: Study, seen: Seen, facts: Sequence[Fact]) -> bool:
    """A sentence states a finding that is no fact here: it doubts, compares, or has no name to be said by."""
    names = {fact.name for fact in facts if fact.present}
    return any(
        finding.sentence == said.sentence
        and (finding.certainty == "uncertain" or (finding.state == "present" and finding.name not in names))
        for said in study.said.get(seen.slice.id, ())
        for finding in said.report.findings
    )


def questions(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """Two questions, one whose answer is yes and one whose answer is no, in either order.

    What is not there: what a sentence about the slice denies; a finding of another slice, where an engine looked for
    lesions and found none; what a report denies of the whole study.
    """
    own = [list(facts_on(study, seen)) for seen in study.seen]
    partners = with_partners(study, own, [rng] * len(own))
    elsewhere = _denied_everywhere(study)
    for seen, facts in zip(study.seen, partners, strict=True):
        there = [fact for fact in facts if fact.present]
        gone = [fact for fact in facts if not fact.present and is_denied(fact, facts)]
        named = {fact.name for fact in facts}
        gone = gone or [fact for fact in elsewhere if fact.name not in named]
        if not there or not gone:
            continue
        (yes,), (no,) = pick(rng, there, 1), pick(rng, gone, 1)
        pair = [(yes, terms.YES[lang]), (no, terms.NO[lang])]
        if rng.random() < 0.5:
            pair.reverse()
        before, told = opened(study, seen, lang, rng)
        asked = tuple(
            Exchange(templates.escape(saying("is-there", lang, rng, what=what(fact, lang))), answer)
            for fact, answer in pair
        )
        yield Chat(
            seen=seen,
            task="is-there",
            exchanges=(*before, *asked),
            reports=tuple(sorted({*yes.reports, *no.reports})),
            facts=(yes, no),
            type="closed",
            facets={"start": "report" if told else "image", "label": pair[-1][0].name},
            needs_image=not told,
        )


def _denied_everywhere(study: Study) -> list[Fact]:
    """Findings that a report of the study denies without naming a place, and that none states or doubts."""
    reports = {said.report.id: said.report for each in study.said.values() for said in each}
    stated = {f.name for r in reports.values() for f in r.findings if f.state == "present" or f.certainty != "certain"}
    denied = [
        replace(fact, labels=(), size_mm=())
        for report in reports.values()
        for number in range(len(report.sentences))
        for fact in _denials(report, number)
        if fact.name not in stated
    ]
    return list({fact.name: fact for fact in sorted(denied, key=lambda f: f.reports)}.values())


def _denials(report: Report, number: int) -> Iterator[Fact]:
    section = report.sections[report.sentences[number].section].kind
    sided = any(each.side for each in report.findings if each.sentence == number)
    if section in ("findings", "impression", "body") and not sided:
        for fact in facts_of([Said(report, number)]):
            if not fact.present and (not fact.labels or fact.name in NAMES_ITS_PLACE):
                yield fact
