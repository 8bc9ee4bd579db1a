"""Our own samples and predictions as both sides of a score."""

from collections.abc import Iterable

from rrg.errors import RrgError
from rrg.formats.items import Answer, PhraseBox, Reference, Scalar
from rrg.formats.read import Source
from rrg.geometry import union_box
from rrg.records import Box, Mention, Prediction, Sample

TASKS = {
    "vqa": ("vqa",),
    "report": ("report", "grounded-report"),
    "refer": ("detect", "phrase-to-box"),
    "grounded-text": ("grounded-report",),
}
"""Task of the score -> tasks of the samples that it is about."""


def samples(source: Source) -> list[tuple[int, Sample]]:
    """(line, sample) of a stream."""
    return [(row.line, row.value) for row in source.rows if isinstance(row.value, Sample)]


def predictions(source: Source) -> list[tuple[int, Prediction]]:
    """(line, prediction) of a stream."""
    return [(row.line, row.value) for row in source.rows if isinstance(row.value, Prediction)]


def references(source: Source, task: str) -> list[Reference]:
    """The samples that a score of `task` is about."""
    if task not in TASKS:
        raise RrgError(f"{source.path}: samples of rrg can not be scored by {task}; one of {', '.join(TASKS)}")
    return [_reference(line, sample, task) for line, sample in samples(source) if sample.task in TASKS[task]]


def answers(source: Source, task: str, asked: dict[str, Sample] | None) -> list[Answer]:
    """All predictions; `asked` are the samples by id, None when the references are not ours."""
    return [
        Answer(id=each.id, line=line, value=_answer(each, task, asked.get(each.id) if asked else None))
        for line, each in predictions(source)
    ]


def _reference(line: int, sample: Sample, task: str) -> Reference:
    image = sample.images[0] if sample.images else None
    own: dict[str, Scalar | None] = {
        "lang": sample.lang,
        "modality": image.modality if image else None,
        "task": sample.task,
        "question_type": sample.question_type,
        "needs_image": sample.needs_image,
        "split": sample.split,
        "patient": sample.patient,
        "study": sample.study,
    }
    facets = {**{name: value for name, value in own.items() if value is not None}, **sample.facets}
    value: object
    if task == "refer":
        value = _union(sample.mentions, _image(sample))
        image = next((each for each in sample.images if each.id == _image(sample)), image)
        frame = (float(image.columns), float(image.rows)) if image else None
    elif task == "grounded-text":
        value, frame = phrase_boxes(sample.mentions), None
    else:
        if sample.answer is None:
            raise RrgError(f"sample {sample.id}: no answer to score against; the answer field is empty")
        value, frame = sample.answer, None
    closed = sample.question_type in ("closed", "single", "multi")
    return Reference(
        id=sample.id,
        line=line,
        value=value,
        facets=facets,
        lang=sample.lang,
        answer_type=("closed" if closed else "open") if task == "vqa" else None,
        question=" ".join(
            part.text for turn in sample.turns if turn.role == "user" for part in turn.content if part.text is not None
        ),
        choices=sample.choices,
        frame=frame,
        image=image,
    )


def _answer(prediction: Prediction, task: str, sample: Sample | None) -> object:
    if task == "refer":
        box = _union(prediction.mentions, _image(sample) if sample else "i0")
        malformed = box is None and "malformed_box" in prediction.flags
        return "" if malformed else box  # a text without a box is unparsed; None is an answer: no box
    if task == "grounded-text":
        return phrase_boxes(prediction.mentions)
    return prediction.text


def _image(sample: Sample) -> str:
    """The image on which the reference lies: that of the first region with a box."""
    regions = (region for mention in sample.mentions for region in mention.regions if region.boxes)
    first = next(regions, None)
    return first.image if first else "i0"


def _union(mentions: Iterable[Mention], image: str) -> tuple[float, float, float, float] | None:
    boxes: list[Box] = [
        box for mention in mentions for region in mention.regions if region.image == image for box in region.boxes
    ]
    return union_box(boxes).xyxy if boxes else None


def phrase_boxes(mentions: Iterable[Mention]) -> tuple[PhraseBox, ...]:
    """One entry for each box of each phrase, in text order."""
    return tuple(
        PhraseBox(phrase=mention.phrase.strip().lower(), box=box.xyxy, image=region.image)
        for mention in mentions
        for region in mention.regions
        for box in region.boxes
    )
