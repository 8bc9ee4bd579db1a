"""Records -> what a page shows: statements whose phrases are character ranges and whose ranges have boxes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rrg.anatomy import LABELS, display
from rrg.records import Box, ImageRef, Mask, Mention, Part, Prediction, Report, Sample, Span

_PLACE = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-ZÄÖÜ(])|\n+")
_SHORT_WORD = re.compile(r"\b(?:\w|ca|bzw|vgl|Nr|Bild|Ser|Se|Im|Dr|Z\. ?n|V\. ?a|a\. ?e)\.$")


@dataclass(frozen=True)
class Mark:
    """A phrase and where it is."""

    span: Span | None
    """In ``Statement.text``, empty for a bare box; None when the phrase does not stand there."""
    phrase: str
    boxes: tuple[tuple[str, Box], ...]
    """(image id of the card, box in slice pixels)."""
    outline: str = ""
    """SVG path of the mask in slice pixels, drawn with the boxes; empty: boxes only."""
    confidence: float | None = None
    """The model's own for the boxes, 0..1; None: not told."""


@dataclass(frozen=True)
class Statement:
    """A text with marks, in text order."""

    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Card:
    """One thing said about some images."""

    kind: str
    """A task, or ``masks``."""
    lang: str
    images: tuple[ImageRef, ...]
    question: Statement | None
    answer: Statement
    reference: Statement | None = None
    flags: tuple[str, ...] = ()
    answered: bool = False
    """The answer is a model's."""
    confidence: float | None = None
    """The model's own, 0..1; None: not told."""


def of_prediction(
    prediction: Prediction, sample: Sample | None = None, outlines: Mapping[str, str] | None = None
) -> Card:
    """An answer of a model; `sample` is what it was asked, with the right answer; `outlines` by mention id."""
    question = Statement(prediction.question)
    reference = None
    if sample is not None:
        asked, answered = _last_exchange(sample)
        question, reference = asked or question, answered
    return Card(
        kind=prediction.task,
        lang=prediction.lang,
        images=prediction.images,
        question=question,
        answer=located(prediction.text, prediction.mentions, outlines),
        reference=reference,
        flags=prediction.flags,
        answered=True,
        confidence=prediction.confidence,
    )


def of_sample(sample: Sample) -> list[Card]:
    """What a model learns: one card per question and answer."""
    cards = []
    question: Statement | None = None
    for turn in sample.turns:
        said = statement(turn.content, sample.mentions)
        if turn.role == "assistant":
            cards.append(Card(sample.task, sample.lang, sample.images, question, said))
            question = None
        elif turn.role == "user":
            question = said
    return cards


def of_mask(mask: Mask, image: ImageRef, lang: str) -> Card:
    """Structures of one slice with their boxes."""
    names = [display(found.label, lang) if found.label in LABELS else found.label for found in mask.labels]
    text, marks = "", []
    for name, found in zip(names, mask.labels, strict=True):
        text += ", " if text else ""
        marks.append(Mark((len(text), len(text) + len(name)), name, ((image.id, found.box),)))
        text += name
    return Card("masks", lang, (image,), None, Statement(text, tuple(marks)), flags=mask.flags)


def of_report(report: Report, image: ImageRef, slice_id: str) -> Card | None:
    """The sentences of a report that point at a slice; None when there are none."""
    cited = sorted({r.sentence for r in report.references if slice_id in r.slices and not r.prior})
    if not cited:
        return None
    spans = [report.sentences[number].span for number in cited]
    return Card(
        "cited", report.lang, (image,), None, Statement("\n".join(report.text[start:end] for start, end in spans))
    )


def statement(parts: Sequence[Part], mentions: Sequence[Mention]) -> Statement:
    """The text of a turn: placeholders become phrases with their boxes, doubled braces single ones."""
    known: Mapping[str, Mention] = {mention.id: mention for mention in mentions}
    text, marks = "", []
    for part in parts:
        source, at = part.text or "", 0
        for match in _PLACE.finditer(source):
            text += source[at : match.start()]
            at = match.end()
            mention = known.get(match.group(1) or "")
            if mention is None:
                text += match.group() if match.group(1) else match.group()[0]
                continue
            start, text = len(text), text + mention.phrase
            marks.append(Mark((start, len(text)), mention.phrase, _boxes(mention)))
        text += source[at:]
    lead = len(text) - len(text.lstrip())
    moved = [Mark((m.span[0] - lead, m.span[1] - lead) if m.span else None, m.phrase, m.boxes) for m in marks]
    return Statement(text.strip(), tuple(moved))


def located(text: str, mentions: Sequence[Mention], outlines: Mapping[str, str] | None = None) -> Statement:
    """A model's text and its mentions, which come in text order, each found behind the one before it."""
    marks, at = [], 0
    for mention in mentions:
        start = text.find(mention.phrase, at) if mention.phrase else -1
        span = (start, start + len(mention.phrase)) if start >= 0 else None
        at = span[1] if span else at
        scores = [r.score for r in mention.regions if r.origin == "model" and r.score is not None]
        outline = (outlines or {}).get(mention.id, "")
        marks.append(Mark(span, mention.phrase, _boxes(mention), outline, min(scores, default=None)))
    return Statement(text, tuple(marks))


def sentences(text: str) -> list[Span]:
    """Ranges that cover the text, one per sentence; only for display."""
    cuts = [0]
    for match in _SENTENCE_END.finditer(text):
        if not _SHORT_WORD.search(text[: match.start()]):
            cuts.append(match.end())
    return [(start, end) for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True) if start < end]


def _boxes(mention: Mention) -> tuple[tuple[str, Box], ...]:
    return tuple((region.image, box) for region in mention.regions for box in region.boxes)


def _last_exchange(sample: Sample) -> tuple[Statement | None, Statement | None]:
    """(question, answer) of the last turn of the assistant, which is the one that a model was asked for."""
    answers = [number for number, turn in enumerate(sample.turns) if turn.role == "assistant"]
    if not answers:
        asked = [turn for turn in sample.turns if turn.role == "user"]
        return (statement(asked[-1].content, sample.mentions) if asked else None), None
    before = [turn for turn in sample.turns[: answers[-1]] if turn.role == "user"]
    question = statement(before[-1].content, sample.mentions) if before else None
    return question, statement(sample.turns[answers[-1]].content, sample.mentions)
