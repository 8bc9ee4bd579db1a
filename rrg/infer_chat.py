"""A conversation about one slice: the report first, then turns that see all that was said, as far as there is room."""

import dataclasses
import hashlib
from typing import Any, NamedTuple

from rrg.codec import encode
from rrg.errors import RecordError
from rrg.infer import Look, Task, answer
from rrg.infer_chat_rules import BOX, Intent, answered, intent_of
from rrg.model.settings import Model
from rrg.prompt import user_prompt
from rrg.records import Box, ImageRef, Lang, Mention, Part, Prediction, Region, Sample, Turn
from rrg.synth.dialogue_templates import saying
from rrg.synth.templates import ask, escape

LEAST_ROOM = 64
"""Tokens that must be left for an answer."""
TRAINED: dict[Intent, str] = {
    "findings-list": "findings-list",
    "summary": "summary",
    "plain-language": "plain-language",
    "correction": "correction",
}
"""Intent -> the task that a model must know to do it itself."""


class Exchange(NamedTuple):
    """What was asked and answered. Texts of parts: ``{m0}`` stands for a mention, braces of data are doubled."""

    asked: str
    told: str
    mentions: tuple[Mention, ...]


@dataclasses.dataclass(frozen=True)
class Conversation:
    """Where a conversation is: the picture, what was said, and the report as it stands now."""

    image: ImageRef
    patient: str
    study: str
    lang: Lang
    report: str = ""
    history: tuple[Exchange, ...] = ()
    """The first one is the report."""
    dropped: int = 0
    """Exchanges that no longer fit."""


class Said(NamedTuple):
    """The answer to a turn."""

    conversation: Conversation
    prediction: Prediction
    left_out: int
    """Exchanges that were left out for this turn."""


def begin(model: Model, conversation: Conversation, look: Look, task: Task) -> Said:
    """The report of the slice. RecordError where the picture can not be read."""
    known = "grounded-report" if not model.settings.tasks or "grounded-report" in model.settings.tasks else "report"
    asked = ask(known, conversation.lang)
    said = _asked(model, conversation, asked, (), known, look, task)
    return said._replace(conversation=dataclasses.replace(said.conversation, report=said.prediction.text))


def turn(model: Model, conversation: Conversation, text: str, look: Look, task: Task) -> Said:
    """The answer to what a user typed. RecordError(E_TOKENS) where even the report and this turn have no room."""
    intent = intent_of(text)
    if not _can(model, intent):
        told = answered(intent, conversation.report, text, conversation.lang)
        if told is not None:
            return _by_rules(model, conversation, text, intent, told)
    asked, mentions = _with_boxes(text, conversation)
    if intent in TRAINED and intent != "correction" and model.backend != "server":
        asked = escape(saying(TRAINED[intent], conversation.lang, None))  # as it was trained
    elif intent == "region" and text.strip() == BOX.sub("", text).strip():
        asked = ask("box-to-phrase", conversation.lang, box_text="{" + mentions[0].id + "}")
    said = _asked(model, conversation, asked, mentions, "correction" if intent == "correction" else intent, look, task)
    if intent == "correction":
        said = said._replace(conversation=dataclasses.replace(said.conversation, report=said.prediction.text))
    return said._replace(prediction=dataclasses.replace(said.prediction, question=text))


def _can(model: Model, intent: Intent) -> bool:
    """Whether the model is to answer: a server's always, a trained one's where it knows the task."""
    if model.backend == "server" or intent in ("vqa", "region"):
        return True
    return TRAINED.get(intent, intent) in model.settings.tasks


def _by_rules(model: Model, conversation: Conversation, text: str, intent: Intent, told: str) -> Said:
    from rrg.infer import notices

    report = told if intent == "correction" else conversation.report
    exchange = Exchange(escape(text), escape(told), ())
    exchange_key = "\0".join((conversation.image.ref, conversation.report, text, told))
    prediction = Prediction(
        id=hashlib.sha256(exchange_key.encode()).hexdigest()[:20],
        from_=(conversation.image.slice,) if conversation.image.slice else (),
        patient=conversation.patient,
        study=conversation.study,
        images=(conversation.image,),
        task=intent,
        lang=conversation.lang,
        question=text,
        raw=told,
        text=told,
        flags=("rules",),
        model=model.hash,
        backend=model.backend,  # type: ignore[arg-type]
        notice=notices(model)[conversation.lang],
    )
    moved = dataclasses.replace(conversation, report=report, history=(*conversation.history, exchange))
    return Said(moved, prediction, 0)


def _asked(
    model: Model,
    conversation: Conversation,
    asked: str,
    mentions: tuple[Mention, ...],
    name: str,
    look: Look,
    task: Task,
) -> Said:
    history, left_out = conversation.history, 0
    while True:
        sample = _sample(conversation, history, asked, mentions, name)
        try:
            _check_room(model, sample, look, task)
            prediction = answer(model, sample, look, task)
            break
        except RecordError as error:
            if error.code != "E_TOKENS":
                raise
            if len(history) < 2:
                raise RecordError(
                    "E_TOKENS",
                    f"{error.message}; the report and this turn alone do not fit: shorten it, or say /reset",
                ) from None
            history, left_out = (history[0], *history[2:]), left_out + 1
    exchange = _exchange(asked, mentions, prediction, sum(len(each.mentions) for each in conversation.history))
    moved = dataclasses.replace(conversation, history=(*history, exchange), dropped=conversation.dropped + left_out)
    return Said(moved, prediction, left_out)


def _check_room(model: Model, sample: Sample, look: Look, task: Task) -> None:
    """RecordError(E_TOKENS) where a prompt leaves less room than an answer needs; servers keep their own limit."""
    count: Any = getattr(model, "prompt_tokens", None)
    if count is None:
        return
    chat = user_prompt(sample, model.settings.dialect)
    pictures = ([look(image) for image in sample.images],) if model.backend == "gguf" else ()
    tokens = count(chat.text, *pictures)
    if len(tokens) + min(LEAST_ROOM, task.max_new_tokens) > model.settings.context:
        raise RecordError(
            "E_TOKENS", f"the conversation has {len(tokens)} tokens, the model reads {model.settings.context}"
        )


def _sample(
    conversation: Conversation, history: tuple[Exchange, ...], asked: str, mentions: tuple[Mention, ...], name: str
) -> Sample:
    picture = (Part(type="image", ref=conversation.image.id),)
    turns: list[Turn] = []
    for each in history:
        turns.append(Turn(role="user", content=(*(() if turns else picture), Part(type="text", text=each.asked))))
        turns.append(Turn(role="assistant", content=(Part(type="text", text=each.told),)))
    turns.append(Turn(role="user", content=(*(() if turns else picture), Part(type="text", text=asked))))
    # `user_prompt` ends before the last answer: the answer that is wanted stands there empty
    turns.append(Turn(role="assistant", content=()))
    bare = Sample(
        id="",
        from_=(conversation.image.slice,) if conversation.image.slice else (),
        patient=conversation.patient,
        study=conversation.study,
        images=(conversation.image,),
        turns=tuple(turns),
        mentions=(*(mention for each in history for mention in each.mentions), *mentions),
        lang=conversation.lang,
        task=name,
        provenance={"generator": "infer"},
    )
    return dataclasses.replace(bare, id=hashlib.sha256(encode(bare)).hexdigest()[:20])


def _with_boxes(text: str, conversation: Conversation) -> tuple[str, tuple[Mention, ...]]:
    """A typed text with ``[x0, y0, x1, y1]`` as mentions. RecordError(E_BOX) for a box that is not on the slice."""
    out, at = "", 0
    found: list[Mention] = []
    number = sum(len(each.mentions) for each in conversation.history)
    image = conversation.image
    for match in BOX.finditer(text):
        try:
            x0, y0, x1, y1 = map(float, match.groups())
            box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
        except ValueError:
            box = None
        if box is None or box.x1 > image.columns or box.y1 > image.rows:
            raise RecordError("E_BOX", f"{match.group()}: expected x0 < x1 <= {image.columns}, y0 < y1 <= {image.rows}")
        name = f"m{number + len(found)}"
        found.append(Mention(id=name, phrase="", regions=(Region(label="", boxes=(box,), origin="manual"),)))
        out += escape(text[at : match.start()]) + "{" + name + "}"
        at = match.end()
    return out + escape(text[at:]), tuple(found)


def _exchange(asked: str, given: tuple[Mention, ...], prediction: Prediction, known: int) -> Exchange:
    """The exchange as later turns see it: phrases of the answer keep their boxes."""
    told, at, kept = "", 0, list(given)
    for mention in prediction.mentions:
        start = prediction.text.find(mention.phrase, at) if mention.phrase else -1
        if start < 0:
            continue
        name = f"m{known + len(kept)}"
        told += escape(prediction.text[at:start]) + "{" + name + "}"
        at = start + len(mention.phrase)
        kept.append(dataclasses.replace(mention, id=name))
    return Exchange(asked, told + escape(prediction.text[at:]), tuple(kept))
