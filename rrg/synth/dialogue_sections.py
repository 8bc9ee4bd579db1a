"""Dialogues on whole reports: the impression for the findings, and the same as points.

Both are the report's own words, where it has both sections, and only where the impression says no more than the
findings do.
"""

from collections.abc import Iterator

from numpy.random import Generator

from rrg.records import Lang, Report
from rrg.synth import templates
from rrg.synth.dialogue_chat import Chat, Exchange
from rrg.synth.dialogue_templates import saying
from rrg.synth.facts import Study
from rrg.synth.seen import Seen
from rrg.synth.snippets import snippet

LONGEST = 4000
"""Characters of a findings section that is given in a prompt."""


def impressions(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """The impression, in the report's own words."""
    for seen, report, findings, points in _reports(study, lang):
        yield _chat(seen, report, lang, rng, findings, "impression", " ".join(points))


def summaries(study: Study, lang: Lang, rng: Generator) -> Iterator[Chat]:
    """The impression of several sentences as a list of points."""
    for seen, report, findings, points in _reports(study, lang):
        if len(points) > 1:
            yield _chat(seen, report, lang, rng, findings, "summary", "\n".join(f"- {point}" for point in points))


def _chat(seen: Seen, report: Report, lang: Lang, rng: Generator, findings: str, task: str, answer: str) -> Chat:
    asked = f"{saying('findings-given', lang, rng, text=templates.escape(findings))}\n{saying(task, lang, rng)}"
    return Chat(
        seen=seen,
        task=task,
        exchanges=(Exchange(asked, templates.escape(answer)),),
        reports=(report.id,),
        facets={"start": "report"},
        provenance={"answer": "the report's own impression"},
        needs_image=False,
    )


def _reports(study: Study, lang: Lang) -> Iterator[tuple[Seen, Report, str, list[str]]]:
    """The first slice that a report speaks of, the report, its findings, and the sentences of its impression."""
    done: set[str] = set()
    for seen in study.seen:
        for said in study.said.get(seen.slice.id, ()):
            report = said.report
            if report.lang != lang or report.id in done:
                continue
            done.add(report.id)
            findings, points = _sentences(report, "findings", lang), _sentences(report, "impression", lang)
            text = " ".join(sentence for _, sentence in findings)
            if findings and points and len(text) <= LONGEST and says_no_more(report, findings, points):
                yield seen, report, text, [sentence for _, sentence in points]


def _sentences(report: Report, kind: str, lang: Lang) -> list[tuple[int, str]]:
    """(number, text without references) of the sentences of a section."""
    return [
        (number, text)
        for number, sentence in enumerate(report.sentences)
        if report.sections[sentence.section].kind == kind and sentence.lang == lang
        if any(map(str.isalpha, text := snippet(report, (number,)).plain))
    ]


def says_no_more(report: Report, findings: list[tuple[int, str]], points: list[tuple[int, str]]) -> bool:
    """Each finding and size of the impression stands in the findings, stated or denied alike."""
    first, second = ({number for number, _ in each} for each in (findings, points))
    known = {(each.name, each.state) for each in report.findings if each.sentence in first}
    told = {(each.name, each.state) for each in report.findings if each.sentence in second}
    sizes = {each.value_mm for each in report.measurements if each.sentence in first}
    said = {each.value_mm for each in report.measurements if each.sentence in second}
    return bool(told) and told <= known and said <= sizes
