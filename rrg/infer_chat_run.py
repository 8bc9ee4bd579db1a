"""`rrg infer --chat`: a conversation in a terminal, or the turns of a file; each answer is a record too.

With records on stdout the text goes to stderr; on a terminal the text is all there is, unless ``--out`` keeps records.
"""

import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from rrg.codec import encode
from rrg.errors import RecordError, RrgError, UsageError
from rrg.infer import Look, Task, answer_work, look_of, model_at, notices
from rrg.infer_chat import Conversation, Said, begin, turn
from rrg.infer_inputs import Asking, Work, picture_work, study_items, study_work
from rrg.infer_pixels import pixels_of
from rrg.infer_request import Request
from rrg.infer_summary import TASK as SUMMARY
from rrg.model.settings import Model
from rrg.outputs.page import UNSHOWABLE
from rrg.pipe import Io, talk
from rrg.records import End, ImageRef, Lang, Prediction, Run, Slice
from rrg.stream import Output, check_stdin
from rrg.study_choice import image_number

HELP: dict[Lang, str] = {
    "de": "/liste  /kurz  /einfach  /englisch  /region X0,Y0,X1,Y1  /bild N  /neu  /ende; alles andere ist eine Frage "
    "oder eine Korrektur (etwa: Es gibt keinen Pleuraerguss.)",
    "en": "/findings  /summary  /plain  /german  /region X0,Y0,X1,Y1  /image N  /reset  /quit; anything else is a "
    "question or a correction (such as: There is no pleural effusion.)",
}
SHORT: dict[str, str] = {
    "/findings": "List all findings.", "/summary": "Summarise that.", "/plain": "Say that in plain language.",
    "/german": "Translate that into German.", "/english": "Translate that into English.",
    "/liste": "Liste alle Befunde.", "/kurz": "Fasse das zusammen.", "/einfach": "Sag das in einfacher Sprache.",
    "/englisch": "Übersetze das auf Englisch.", "/deutsch": "Übersetze das auf Deutsch.",
}  # fmt: skip
END = ("/quit", "/ende", "/exit")
RESET = ("/reset", "/neu")
TOO_MUCH = {
    "de": "{} frühere Wortwechsel passen nicht mehr ins Modell und sind vergessen; der Befund bleibt",
    "en": "{} earlier exchanges no longer fit into what the model reads, and are forgotten; the report stays",
}
IMAGE = {"de": "Bild", "en": "image"}


class Subject(NamedTuple):
    """What the conversation is about."""

    work: Work
    images: tuple[tuple[int, ImageRef], ...]
    """(number as it is asked for, image)."""


def chat(request: Request, io: Io, asking: Asking, task: Task, record: Run, kind: str) -> None:
    """Hold the conversation. RrgError where there is nothing to speak of."""
    model = model_at(task.model)
    subject = _subject(io, asking, kind)
    pixels = functools.partial(pixels_of, store=task.store, held=subject.work.held)
    look = look_of(model, functools.lru_cache(8)(pixels))
    shown, output = _streams(io)
    if output is not None:
        output.write([encode(record)])
    made = 0
    for prediction in _conversation(request, asking, task, model, subject, look, shown):
        made += 1
        if output is not None:
            output.write([encode(dataclasses.replace(prediction, run=record.id))])
    if output is not None:
        output.write([encode(End(run=record.id, counts={"prediction": made}))])
        output.finish()


def _conversation(
    request: Request, asking: Asking, task: Task, model: Model, subject: Subject, look: Look, shown: IO[str]
) -> Iterator[Prediction]:
    lang = asking.lang
    _say(shown, notices(model)[lang])
    number, image = subject.images[len(subject.images) // 2]
    if task.summary and len(subject.images) > 1:
        whole = [each for each in answer_work(subject.work, task) if isinstance(each, Prediction)]
        yield from whole
        for each in whole:
            if each.task == SUMMARY:
                _say(shown, each.text)
    conversation = _new(subject, image, lang)
    said = begin(model, conversation, look, task)
    conversation = said.conversation
    yield said.prediction
    _show(shown, said, f"{IMAGE[lang]} {number}", lang)
    _say(shown, HELP[lang])
    for line in _turns(request, shown):
        text = SHORT.get(line.casefold(), line)
        word, _, rest = text.partition(" ")
        if word in END:
            return
        if word in ("/help", "/hilfe"):
            _say(shown, HELP[lang])
            continue
        try:
            if word in ("/image", "/bild", *RESET):
                if word not in RESET:
                    number, image = _image(subject, rest)
                said = begin(model, _new(subject, image, lang), look, task)
            elif word == "/region":
                said = turn(model, conversation, f"[{rest}]", look, task)
            elif word.startswith("/"):
                raise RecordError("E_WORD", f"{word[:20]}: no such word; /help lists them")
            else:
                said = turn(model, conversation, text, look, task)
        except RecordError as error:
            _say(shown, f"{error.message} [{error.code}]")
            continue
        conversation = said.conversation
        yield said.prediction
        _show(shown, said, f"{IMAGE[lang]} {number}" if word in ("/image", "/bild", *RESET) else "", lang)


def _subject(io: Io, asking: Asking, kind: str) -> Subject:
    """The chosen slices of one study, or one picture."""
    if kind == "picture":
        if len(io.inputs) != 1:
            raise UsageError("--chat is about one picture; give one")
        try:
            work = picture_work(io.inputs[0], asking)
        except RecordError as error:
            raise RrgError(f"{io.inputs[0].name}: {error.message}", error.code) from None
        return Subject(work, ((1, work.samples[0].images[0]),))
    assert asking.wish is not None
    items = [item for item in study_items(io.inputs, asking.wish.key) if item.payload.study is not None]
    if len(items) != 1:
        raise RrgError(f"--chat is about one study, the input holds {len(items)}; give the folder of one")
    try:
        work = study_work(items[0].payload, asking)
    except RecordError as error:
        raise RrgError(error.message, error.code) from None
    known: dict[str, Slice] = {slice_.id: slice_ for slice_ in work.slices}
    images = {each.ref: each for sample in work.samples for each in sample.images}
    if not images:
        raise RrgError("no slice of the study can be read; there is nothing to speak of")
    return Subject(work, tuple((image_number(known[each.slice or ""]), each) for each in images.values()))


def _new(subject: Subject, image: ImageRef, lang: Lang) -> Conversation:
    first = subject.work.samples[0]
    return Conversation(dataclasses.replace(image, id="i0"), first.patient, first.study, lang)


def _image(subject: Subject, text: str) -> tuple[int, ImageRef]:
    found = [each for each in subject.images if text.strip() == str(each[0])]
    if not found:
        there = ", ".join(str(number) for number, _ in subject.images[:20])
        raise RecordError(
            "E_REFERENCE", f"image {text.strip()[:20] or '?'} was not chosen; there are {there} (--slices)"
        )
    return found[0]


def _streams(io: Io) -> tuple[IO[str], Output | None]:
    """Where text goes, and where records go."""
    if io.out is None and io.tee is None and sys.stdout.isatty():
        return sys.stdout, None
    return sys.stderr, Output(io.out, io.tee, resume=False, flush=True)


def _turns(request: Request, shown: IO[str]) -> Iterator[str]:
    """Lines of the file, or of stdin with a prompt on a terminal, without empty ones and those that begin with #."""
    lines: Iterator[str]
    if request.turns is not None:
        try:
            lines = iter(Path(request.turns).read_text(encoding="utf-8-sig").splitlines())
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"--turns {request.turns}: it is no UTF-8 text that can be read") from None
        asked = False
    else:
        check_stdin("turns", terminal=True)
        lines, asked = cast(Iterator[str], iter(sys.stdin.readline, "")), sys.stdin.isatty()
    while True:
        if asked:
            print("> ", end="", file=shown, flush=True)
        line = next(lines, None)
        if line is None:
            return
        if (text := line.strip()) and not text.startswith("#"):
            if not asked:
                _say(shown, f"> {text}")
            yield text


def _show(shown: IO[str], said: Said, head: str, lang: Lang) -> None:
    """An answer with its boxes, as a person reads it."""
    if said.left_out:
        _say(shown, TOO_MUCH[lang].format(said.left_out))
    _say(shown, f"{head}: {said.prediction.text}" if head else said.prediction.text)
    for mention in said.prediction.mentions:
        for region in mention.regions:
            for box in region.boxes:
                sure = "" if region.score is None else f"  {region.score:.0%}"
                _say(shown, f"  {mention.phrase or '-'}: [{', '.join(f'{v:.0f}' for v in box.xyxy)}]{sure}")


def _say(shown: IO[str], text: str) -> None:
    """A text without what a terminal would take for a command."""
    print(UNSHOWABLE.sub("\ufffd", text), file=shown, flush=True)


def end(request: Request, io: Io, asking: Asking, task: Task, record: Run, kind: str) -> None:
    """`chat`, ended by Ctrl-C or the end of input alike."""
    try:
        chat(request, io, asking, task, record, kind)
    except KeyboardInterrupt:
        talk("infer", "the conversation was ended")
        sys.exit(130)
