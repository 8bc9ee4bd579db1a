"""What is asked about pictures that come without samples: the options of `rrg infer` as samples."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rrg.codec import encode
from rrg.errors import RecordError, UsageError
from rrg.prompt_context import LABELS
from rrg.records import Box, ImageRef, Lang, Mention, Part, Region, Sample, Turn
from rrg.synth.templates import ask, escape

TASKS = ("report", "grounded-report", "detect", "phrase-to-box", "box-to-phrase", "vqa")
"""Tasks that can be asked about a picture without a sample."""
SHORT = {"ground": "phrase-to-box", "describe": "box-to-phrase"}
"""Names of the command line for two of them."""


class Ask(NamedTuple):
    """One thing to ask about every picture."""

    task: str
    phrase: str | None = None
    """The question for ``vqa``, the structure for ``detect``, the phrase for ``phrase-to-box``."""
    box: tuple[float, float, float, float] | None = None
    """Of ``box-to-phrase``: x0, y0, x1, y1 in pixels of the slice."""


def task_name(word: str) -> str:
    """A task by its name, or by its short name. UsageError for any other word."""
    name = SHORT.get(word, word)
    if name not in TASKS:
        raise UsageError(f"--task {word}: expected one of {', '.join((*TASKS, *SHORT))}")
    return name


def box_of(text: str) -> tuple[float, float, float, float]:
    """``10,20,110.5,90`` -> x0, y0, x1, y1 in pixels of the slice. UsageError for anything else."""
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
        box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
    except ValueError:
        raise UsageError(f"--describe {text}: expected x0,y0,x1,y1 in pixels, with x0 < x1 and y0 < y1") from None
    return box.xyxy


def asks_of(
    tasks: Sequence[str],
    questions: Sequence[str],
    phrases: Sequence[str],
    grounds: Sequence[str] = (),
    boxes: Sequence[str] = (),
) -> list[Ask]:
    """What to ask about each picture. Nothing given: a grounded report. UsageError when a task lacks its words."""
    wanted = list(dict.fromkeys(map(task_name, tasks)))
    if questions and "vqa" not in wanted:
        wanted.append("vqa")
    if (grounds or (phrases and "detect" not in wanted)) and "phrase-to-box" not in wanted:
        wanted.append("phrase-to-box")
    if boxes and "box-to-phrase" not in wanted:
        wanted.append("box-to-phrase")
    asks: list[Ask] = []
    for task in wanted or ["grounded-report"]:
        if task == "box-to-phrase":
            if not boxes:
                raise UsageError("--task describe needs --describe x0,y0,x1,y1, once or more")
            asks += [Ask(task, None, box_of(box)) for box in boxes]
            continue
        words: Sequence[str | None] = (None,)
        option = ""
        if task == "vqa":
            words, option = questions, '-q "QUESTION"'
        elif task == "detect":
            words, option = phrases, '--phrase "STRUCTURE"'
        elif task == "phrase-to-box":
            words = [*grounds, *(phrases if "detect" not in wanted or not grounds else ())]
            option = '--ground "PHRASE"'
        if not words:
            raise UsageError(f"--task {task} needs {option}, once or more")
        if any(word is not None and not word.strip() for word in words):
            raise UsageError(f"--task {task}: {option} is empty; say what is asked")
        asks += [Ask(task, word) for word in words]
    return asks


def samples_about(
    image: ImageRef, asks: Sequence[Ask], lang: Lang, *, patient: str, study: str, context: Mapping[str, str]
) -> list[Sample]:
    """One unanswered sample per thing to ask about an image. Ids are hashes of the content.

    RecordError(E_BOX) for a box that does not lie on the image.
    """
    said = "".join(f"{LABELS[lang][name]} {escape(text)}\n" for name, text in sorted(context.items()))
    samples = []
    for each in asks:
        mentions: tuple[Mention, ...] = ()
        if each.box is not None:
            box = Box(x0=each.box[0], y0=each.box[1], x1=each.box[2], y1=each.box[3])
            if not (box.x0 >= 0 and box.y0 >= 0 and box.x1 <= image.columns and box.y1 <= image.rows):
                raise RecordError(
                    "E_BOX", f"--describe {_plain(each.box)}: the image has {image.columns} columns, {image.rows} rows"
                )
            mentions = (Mention(id="m0", phrase="", regions=(Region(label="", boxes=(box,), origin="manual"),)),)
        question = ask(each.task, lang, escape(each.phrase) if each.phrase else None, "{m0}" if mentions else None)
        parts = (Part(type="image", ref=image.id), Part(type="text", text=said + question))
        bare = Sample(
            id="",
            from_=(image.slice,) if image.slice else (),
            patient=patient,
            study=study,
            images=(image,),
            turns=(Turn(role="user", content=parts),),
            mentions=mentions,
            context=dict(context),
            lang=lang,
            task=each.task,
            provenance={"generator": "infer"},
        )
        samples.append(dataclasses.replace(bare, id=hashlib.sha256(encode(bare)).hexdigest()[:20]))
    return samples


def _plain(box: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in box)
