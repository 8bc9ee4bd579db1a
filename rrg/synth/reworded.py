"""The rewrites of a report as a text of their own: static wordings in its language, translations in the other.

A report without rewrites is used as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rrg.records import Anatomy, Lang, Mention, Reference, Report, Rewrite, Section, Sentence, Span, TextSource
from rrg.synth.facts import Said


@dataclass(frozen=True)
class Worded:
    """Sentences of a report as a sample says them."""

    report: Report
    """Holds the sentences in these words; the original where nothing was reworded."""
    numbers: tuple[int, ...]
    """Indices of the sentences in `report`."""
    kept: tuple[int, ...]
    """The same sentences in the original."""
    wording: str | None = None
    """``static`` or ``translation``; None: the report's own words."""
    origins: tuple[int | None, ...] = ()
    """For each sentence of `report`, where it begins in the original; None: it has other words there."""

    def source(self, span: Span) -> TextSource | None:
        """Where a phrase of `report` stands in the original."""
        if self.wording is None:
            return TextSource(report=self.report.id, span=span)
        for sentence, origin in zip(self.report.sentences, self.origins, strict=True):
            if sentence.span[0] <= span[0] and span[1] <= sentence.span[1] and origin is not None:
                shift = origin - sentence.span[0]
                return TextSource(report=self.report.id, span=(span[0] + shift, span[1] + shift))
        return None

    def sourced(self, mentions: Sequence[Mention]) -> tuple[Mention, ...]:
        """Mentions with their places in the original; without one where the words are new."""
        if self.wording is None:
            return tuple(mentions)
        return tuple(replace(each, source=each.source and self.source(each.source.span)) for each in mentions)


def said_in(said: Sequence[Said], lang: Lang) -> Iterator[Said]:
    """Sentences of reports in a language; where there are none, those of other reports that are translated to it."""
    own = [each for each in said if each.report.lang == lang]
    yield from own or (each for each in said if _rewrite(each.report, each.sentence, "translation", lang) is not None)


def worded(report: Report, numbers: Sequence[int], lang: Lang) -> Worded:
    """Sentences of a report (indices, in text order) in the words that a sample in `lang` uses."""
    wording = "static" if report.lang == lang else "translation"
    rewrites = {number: each for number in numbers if (each := _rewrite(report, number, wording, lang)) is not None}
    if wording == "static" and not rewrites:
        return Worded(report, tuple(numbers), tuple(numbers))
    kept = tuple(number for number in numbers if number in rewrites or wording == "static")
    text = ""
    sentences: list[Sentence] = []
    anatomy: list[Anatomy] = []
    references: list[Reference] = []
    origins: list[int | None] = []
    for at, number in enumerate(kept):
        text += "\n" if text else ""
        start, rewrite = len(text), rewrites.get(number)
        first, last = report.sentences[number].span
        text += report.text[first:last] if rewrite is None else rewrite.text
        sentences.append(Sentence(span=(start, len(text)), section=0, lang=lang))
        if rewrite is None:
            shift = start - first
            anatomy += [
                replace(each, span=_moved(each.span, shift), sentence=at) for each in _of(report.anatomy, number)
            ]
            references += [
                replace(each, span=_moved(each.span, shift), sentence=at)
                for each in report.references
                if each.sentence == number
            ]
        else:
            anatomy += [replace(each, span=_moved(each.span, start), sentence=at) for each in rewrite.anatomy]
            references += [
                replace(each, span=_moved(each.span, start), sentence=at) for each in _pointing(report, rewrite)
            ]
        origins.append(first if rewrite is None else None)
    told = replace(
        report,
        text=text,
        lang=lang,
        sections=(Section(kind="body", span=(0, len(text))),),
        sentences=tuple(sentences),
        anatomy=tuple(anatomy),
        references=tuple(references),
        findings=(),
        measurements=(),
        rewrites=(),
    )
    return Worded(told, tuple(range(len(kept))), kept, wording, tuple(origins))


def _rewrite(report: Report, sentence: int, kind: str, lang: Lang) -> Rewrite | None:
    found = (
        each
        for each in report.rewrites
        if each.sentence == sentence and each.kind == kind and each.lang == lang and each.text
    )
    return next(found, None)


def _moved(span: Span, shift: int) -> Span:
    return span[0] + shift, span[1] + shift


def _of(anatomy: Sequence[Anatomy], sentence: int) -> Iterator[Anatomy]:
    return (each for each in anatomy if each.sentence == sentence)


def _pointing(report: Report, rewrite: Rewrite) -> Iterator[Reference]:
    """References in the text of a rewrite, so that they are taken out of it."""
    at = 0
    if rewrite.kind == "static":  # the same characters, in the same order
        for one in report.references:
            start = rewrite.text.find(report.text[slice(*one.span)], at)
            if one.sentence == rewrite.sentence and start >= 0:
                at = start + one.span[1] - one.span[0]
                yield replace(one, span=(start, at))
        return
    from rrg.reports.references import references_of  # its patterns take longer to load than all the rest

    for found in references_of(rewrite.text, 0, len(rewrite.text)):
        yield Reference(
            span=found.span, sentence=0, image_numbers=found.images, series_number=found.series, rule=found.rule
        )
