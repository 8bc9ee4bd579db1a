"""A model's answers to samples: text, phrases and boxes in pixels of the original slice."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rrg import extract
from rrg.anatomy import LABELS, display
from rrg.boxes import decode
from rrg.errors import RecordError, UsageError
from rrg.infer_confidence import of_answer, with_scores
from rrg.infer_control import another
from rrg.infer_files import Files, write_files
from rrg.infer_forecast import Forecast
from rrg.infer_head import with_head
from rrg.infer_inputs import Asking, Work, picture_work, study_work, wanted
from rrg.infer_masks import masks_of, outlines_of, with_masks
from rrg.infer_pixels import Pixels, pixels_of
from rrg.infer_scope import out_of_scope
from rrg.infer_summary import summary_of
from rrg.model.server import Served
from rrg.model.settings import Model, Settings
from rrg.outputs.cards import of_prediction
from rrg.outputs.draft import draft_fragment
from rrg.outputs.page import fragments
from rrg.outputs.pictures import pictures_of
from rrg.outputs.spool import save_part
from rrg.pipe import Count, Group, Made, error_record, talk
from rrg.prompt import template_text, user_prompt
from rrg.records import Error, ImageRef, Mention, Prediction, Sample, Slice
from rrg.windows import BLANK, Preset, look

Control = Literal["none", "shuffled", "blank"]
Look = Callable[[ImageRef], NDArray[np.uint8]]
"""What the model sees of an image: (side, side, 3)."""
READS = ("CT", "MR")
"""Modalities that `rrg train` makes tiny models for; answers about others are flagged, and said to be worthless."""
NOTICES: dict[bool, dict[str, str]] = {
    True: {
        "de": "Demonstrationsmodell, kein Medizinprodukt, nicht zur Diagnose",
        "en": "demonstration model, not a medical device, not for diagnosis",
    },
    False: {
        "de": "nur für die Forschung, kein Medizinprodukt",
        "en": "research use only, not a medical device",
    },
}
"""What must be shown with every answer: of a demonstration model, of any other; by language."""


@dataclasses.dataclass(frozen=True)
class Task:
    """How samples are answered. Small and picklable: workers load what it names."""

    model: Path | Served
    store: Path | None
    max_new_tokens: int
    seed: int = 0
    control: Control = "none"
    pool: tuple[Path, ...] = ()
    """Streams whose pictures the shuffled control draws from."""
    tasks: tuple[str, ...] = ()
    """Of a stream only samples of these tasks are answered; empty: of all."""
    lang: str | None = None
    """Of a stream only samples of this language are answered."""
    parts: Path | None = None
    """Folder that collects the parts of a page."""
    grammar: bool = False
    """Answers hold whole boxes only (llama.cpp)."""
    masks: tuple[Path, ...] = ()
    """Streams of masks of the slices that are asked about."""
    summary: bool = False
    """The reports of the slices of a study on disk are merged into one draft."""
    files: Files | None = None
    """What is written for viewers."""


@functools.cache
def model_at(where: Path | Served) -> Model:
    """The model of a folder or a server, once per process. UsageError when there is nothing."""
    if isinstance(where, Served):
        from rrg.model.server import ServerModel

        return ServerModel(where)
    path = where
    if not path.is_dir():
        raise UsageError(f"--model {path}: no such folder; give --model RUN or a GGUF folder")
    from rrg.model.load import load

    return load(path)


def notices(model: Model) -> dict[str, str]:
    """The notice of a model, by language."""
    return NOTICES[model.settings.demonstration]


def answer_group(group: Group, task: Task) -> Iterator[Made]:
    """Step for streams: answer the samples of a study that are wanted."""
    samples = tuple(sample for sample in group.of(Sample) if wanted(sample, task.tasks, task.lang))
    yield from answer_work(Work(group.key, samples, group.of(Slice)), task)


def answer_item(payload: Work | extract.Work | Path, task: Task, asking: Asking | None = None) -> Iterator[Made]:
    """Step for everything else: the samples of a data set's study, a study on disk, or a picture file."""
    if isinstance(payload, Work):
        yield from answer_work(payload, task)
        return
    assert asking is not None
    if isinstance(payload, Path):
        try:
            work = picture_work(payload, asking)
        except RecordError as error:
            talk("infer", f"{payload}: {error.message} [{error.code}]")
            raise
    else:
        try:
            work = study_work(payload, asking)
        except RecordError as error:
            talk("infer", f"{error.message} [{error.code}]")
            raise
    yield from work.errors
    yield from answer_work(work, task)


def answer_work(work: Work, task: Task) -> Iterator[Made]:
    """Answer the samples of a study, in their order. Samples of one picture are put to the model together."""
    if not work.samples:
        return
    model = model_at(task.model)
    if task.grammar:
        constrain(model)
    pixels = functools.lru_cache(8)(functools.partial(pixels_of, store=task.store, held=work.held))
    look = look_of(model, pixels)
    made = _answers(model, work, look, task)
    answers = [each for each in made if isinstance(each, Prediction)]
    if any("other_modality" in each.flags for each in answers):
        seen = sorted({image.modality or "" for each in answers for image in each.images} - set(READS))
        talk(
            "infer",
            f"modality {', '.join(seen)}: this model knows {' and '.join(READS)} only; its answers mean nothing",
        )
    summary = None
    if task.summary and work.chosen and answers:
        summary = summary_of(answers, work.slices, answers[0].lang)
    yield from made
    if summary is not None:
        yield summary
    for flag, n in sorted(Counter(flag for each in answers for flag in each.flags).items()):
        yield Count(f"flag.{flag}", n)
    if task.files is not None:
        yield from write_files(task.files, work, answers, summary, model.hash)
    if task.parts is not None:
        asked = {sample.id: sample for sample in work.samples}
        known = {slice_.id: slice_ for slice_ in work.slices}
        shown = [each for each in answers if each.images]
        cards = [of_prediction(each, asked[each.id], outlines=outlines_of(each, task.store)) for each in shown]
        images = [image for each in shown for image in each.images]
        parts = list(fragments(cards, pictures_of(images, pixels, known)))
        drafts = [draft_fragment(summary, shown, cards)] if summary is not None else []
        save_part(task.parts, work.study, [*drafts, *parts])


def constrain(model: Model) -> None:
    """Answers of `model` hold whole boxes from now on. UsageError where its back end can not do that."""
    narrow = getattr(model, "constrain", None)
    if narrow is None:
        raise UsageError(f"--grammar is for llama.cpp; this model runs with {model.backend}: give a GGUF folder")
    narrow()


def _answers(model: Model, work: Work, look: Look, task: Task) -> list[Prediction | Error]:
    """One for each sample, in their order."""
    forecast = Forecast(work) if work.chosen else None
    masks = masks_of(task.masks, frozenset(slice_.id for slice_ in work.slices)) if task.masks else {}
    parts = {slice_.id: slice_.body_part for slice_ in work.slices} if work.chosen else {}

    def one(at: int) -> Prediction | Error:
        sample = work.samples[at]
        try:
            if sample.task == "vqa" and sample.images and (part := parts.get(sample.images[0].slice or "")):
                told = out_of_scope(question_of(sample), part, sample.lang)
                if told is not None:
                    return plain_answer(model, sample, told, "other_body_part")
            return with_masks(answer(model, sample, look, task), masks)
        except RecordError as error:
            return error_record(error, "infer", sample.id, study=sample.study, patient=sample.patient)

    order = sorted(range(len(work.samples)), key=lambda i: tuple(image.ref for image in work.samples[i].images))
    parallel = getattr(model, "parallel", 1)
    made: dict[int, Prediction | Error] = {}
    if parallel > 1:
        with ThreadPoolExecutor(parallel) as pool:
            made = dict(zip(order, pool.map(one, order), strict=True))
    else:
        for at in order:
            if forecast is not None:
                forecast.next(work.samples[at])
            made[at] = one(at)
    return [made[at] for at in range(len(work.samples))]


def answer(model: Model, sample: Sample, look: Look, task: Task) -> Prediction:
    """One answer. `look` makes the pictures that the model sees. Raises RecordError when one can not be read."""
    settings = model.settings
    chat = user_prompt(sample, settings.dialect)
    images = {image.id: image for image in sample.images}
    shown = dict(images)
    if task.control == "shuffled":
        shown = {name: another(image, sample, task.pool, task.seed) for name, image in images.items()}
    blank = np.full((settings.side, settings.side, 3), BLANK, np.uint8)
    views = [blank if task.control == "blank" else look(shown[name]) for name in chat.images]
    generated = model.answer(views, chat.text, task.max_new_tokens)
    flags = {"cut"} if generated.cut else set()
    flags |= {"none": set(), "shuffled": {"shuffled_image"}, "blank": {"no_image"}}[task.control]
    if settings.family == "tiny" and any(image.modality not in (None, *READS) for image in sample.images):
        flags.add("other_modality")
    text, mentions = generated.raw.strip(), tuple[Mention, ...]()
    extra: dict[str, Any] = {}
    if task.control == "shuffled":
        extra["shown"] = {name: image.ref for name, image in shown.items()}
    if sample.images:
        first = sample.images[0]
        decoded = decode(generated.raw, first.rows, first.columns, settings.dialect, first.id)
        text, flags = decoded.text, flags | set(decoded.flags)
        scored = with_scores(
            decoded.mentions, generated.raw, generated.tokens, settings.dialect, first.rows, first.columns
        )
        if settings.dialect.kind == "seg":
            scored, drawn = with_head(model, task.model, views, chat, generated.raw, sample, scored)
            extra["masks"] = drawn
        mentions = tuple(_labelled(mention, sample.lang) for mention in scored)
    return dataclasses.replace(
        plain_answer(model, sample, text),
        raw=generated.raw,
        mentions=mentions,
        flags=tuple(sorted(flags)),
        confidence=of_answer(generated.tokens),
        extra=extra or None,
    )


def plain_answer(model: Model, sample: Sample, text: str, *flags: str) -> Prediction:
    """Words alone, and why, as flags, where the model was not asked."""
    return Prediction(
        id=sample.id,
        from_=sample.from_ if sample.provenance.get("generator") == "infer" else (sample.id,),
        patient=sample.patient,
        study=sample.study,
        images=sample.images,
        task=sample.task,
        lang=sample.lang,
        question=question_of(sample),
        raw=text,
        text=text,
        flags=flags,
        model=model.hash,
        backend=cast(Any, model.backend),
        notice=notices(model)[sample.lang],
    )


def question_of(sample: Sample) -> str:
    """The text of the turn that is answered, without pictures and boxes."""
    answers = [number for number, turn in enumerate(sample.turns) if turn.role == "assistant"]
    before = sample.turns[: answers[-1]] if answers else sample.turns
    asked = [turn for turn in before if turn.role == "user"]
    parts = [part.text for part in (asked[-1].content if asked else ()) if part.text is not None]
    shown = tuple(_named(mention) for mention in sample.mentions)
    return template_text("".join(parts), shown).strip()


def _named(mention: Mention) -> Mention:
    """A box that stands for itself in a question, as its corners."""
    if mention.phrase or not mention.regions:
        return mention
    corners = "; ".join(", ".join(f"{v:g}" for v in box.xyxy) for region in mention.regions for box in region.boxes)
    return dataclasses.replace(mention, phrase=f"[{corners}]")


def look_of(model: Model, pixels: Pixels) -> Look:
    """How a model sees images; the last ones are kept."""
    return functools.lru_cache(8)(functools.partial(_look, pixels=pixels, settings=model.settings))


def _look(image: ImageRef, pixels: Pixels, settings: Settings) -> NDArray[np.uint8]:
    return look(image, pixels(image), cast(Preset, settings.preset), settings.side)[0]


@functools.cache
def _names(lang: str) -> dict[str, str]:
    """Display name -> label."""
    return {display(label, lang).casefold(): label for label in LABELS}


def _labelled(mention: Mention, lang: str) -> Mention:
    """The regions of a phrase that is exactly the name of a structure get its label; any other keeps its phrase."""
    label = LABELS.get(_names(lang).get(mention.phrase.casefold(), ""))
    if label is None:
        return mention
    regions = (dataclasses.replace(region, label=label.name, class_id=label.class_id) for region in mention.regions)
    return dataclasses.replace(mention, regions=tuple(regions))
