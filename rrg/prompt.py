"""A sample as chat text, and back. The only place that knows role tokens, the media marker and late rendering.

Text that comes from data (reports, questions, phrases) can never form a token of the model: it is broken first.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rrg.boxes import LOC64, Dialect, encode_phrase
from rrg.boxes_grammars import OPEN
from rrg.errors import RecordError
from rrg.records import Mention, Part, Sample

MEDIA = "<__media__>"
"""Stands for one picture in a prompt, in both back ends (llama.cpp's default marker)."""
IMAGE = "<image>"
"""The token whose embeddings the picture replaces."""
UNKNOWN, BEGIN, END, PAD = "<unk>", "<s>", "</s>", "<pad>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>", "tool": "<|tool|>"}
"""Role -> token that opens a turn."""
CONTROL = (UNKNOWN, BEGIN, END, PAD, IMAGE, *ROLES.values())
"""Tokens that steer and are never shown; any of them ends an answer. In this order they are ids 0, 1, ..."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}" + IMAGE + "{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message.role == 'assistant' %}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""The same form as a Jinja template, for programs that read the exported files."""
MARKS = (OPEN, "<p bbox", "</p>", "<seg>", "</seg>", "<ref>", "</ref>", "<box>", "</box>")
"""What opens and closes phrases and boxes in the dialects of `rrg.boxes`."""
_TOKEN = re.compile(
    "<(?=" + "|".join(re.escape(token[1:]) for token in (*CONTROL, MEDIA, "<__image__>", *MARKS)) + r"|(?:loc|seg)\d+>)"
)
_PLACE = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")


class Piece(NamedTuple):
    """A stretch of chat text: all of it is learnt, or none."""

    text: str
    loss: bool


class Chat(NamedTuple):
    """A sample as chat text."""

    pieces: tuple[Piece, ...]
    """Joined they are the whole text, without the begin token. It holds one `MEDIA` per picture."""
    images: tuple[str, ...]
    """Ids of the sample's images in the order of the markers."""
    tags: tuple[Mention, ...] = ()
    """Mentions that are written with boxes, or as a mask's tag, in order."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(piece.text for piece in self.pieces)


def break_tokens(text: str) -> str:
    """Put a blank behind the ``<`` of everything in `text` that a tokenizer or llama.cpp would take for a token."""
    return _TOKEN.sub("< ", text)


def render(sample: Sample, dialect: Dialect = LOC64) -> Chat:
    """The chat text of all turns of a sample; turns with ``loss`` carry it on their content and their end token."""
    images: list[str] = []
    tags: list[Mention] = []
    pieces: list[Piece] = []
    for turn in sample.turns:
        content = _content(sample, turn.content, dialect, images, tags, answer=turn.role == "assistant")
        if turn.role == "assistant":
            pieces += [Piece(ROLES[turn.role], False), Piece(content + END, turn.loss)]
        else:
            pieces.append(Piece(ROLES[turn.role] + content, False))
    return Chat(tuple(_joined(pieces)), tuple(images), tuple(tags))


def user_prompt(sample: Sample, dialect: Dialect = LOC64) -> Chat:
    """The chat text up to where the model answers: all turns before the last one of the assistant."""
    answers = [number for number, turn in enumerate(sample.turns) if turn.role == "assistant"]
    asked = sample.turns[: answers[-1]] if answers else sample.turns
    images: list[str] = []
    tags: list[Mention] = []
    text = ""
    for turn in asked:
        answer = turn.role == "assistant"
        text += ROLES[turn.role] + _content(sample, turn.content, dialect, images, tags, answer=answer)
        text += END if turn.role == "assistant" else ""
    return Chat((Piece(text + ROLES["assistant"], False),), tuple(images), tuple(tags))


def free_prompt(question: str, pictures: int = 1) -> str:
    """The prompt of a free question about `pictures` pictures, as `user_prompt` writes it."""
    return ROLES["user"] + MEDIA * pictures + break_tokens(question) + ROLES["assistant"]


def template_text(text: str, mentions: tuple[Mention, ...]) -> str:
    """Plain text of a text part: placeholders become their phrases, doubled braces single ones."""
    return "".join(part if isinstance(part, str) else part.phrase for part in split_template(text, mentions))


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """Neighbours of the same kind become one piece."""
    text, loss = "", False
    for piece in pieces:
        if piece.loss != loss and text:
            yield Piece(text, loss)
            text = ""
        text, loss = text + piece.text, piece.loss
    if text:
        yield Piece(text, loss)


def _content(
    sample: Sample, parts: tuple[Part, ...], dialect: Dialect, images: list[str], tags: list[Mention], *, answer: bool
) -> str:
    """Text of one turn. In answers a mention is its phrase with boxes; in questions only its phrase.

    A mention without a phrase is its boxes ("What is at <loc..>?"). Boxes on other images than the first are not
    written: the answer could not say which image is meant.
    """
    sizes = {image.id: (image.rows, image.columns) for image in sample.images}
    first = sample.images[0].id if sample.images else ""
    out, data = "", ""
    for part in parts:
        if part.type == "image":
            assert part.ref is not None
            images.append(part.ref)
            out, data = out + break_tokens(data) + MEDIA, ""
            continue
        for piece in split_template(part.text or "", sample.mentions):
            if isinstance(piece, str):
                data += piece
                continue
            boxes = [box for region in piece.regions if region.image == first for box in region.boxes]
            if not boxes or dialect.kind == "none" or (not answer and piece.phrase):
                data += piece.phrase
                continue
            phrase = break_tokens(piece.phrase)
            classes = {region.class_id for region in piece.regions}
            class_id = classes.pop() if len(classes) == 1 else None
            shown = encode_phrase(phrase, boxes, *sizes[first], dialect, class_id=class_id)
            tags.append(piece)
            out, data = out + break_tokens(data) + shown, ""
    return out + break_tokens(data)


def split_template(text: str, mentions: tuple[Mention, ...]) -> Iterator[str | Mention]:
    """Literal text and mentions of a text part, in order. Raises RecordError(E_SPAN) for an unknown placeholder."""
    known = {mention.id: mention for mention in mentions}
    at = 0
    for match in _PLACE.finditer(text):
        yield text[at : match.start()]
        at = match.end()
        if match.group() in ("{{", "}}"):
            yield match.group()[0]
        elif match.group(1) in known:
            yield known[match.group(1)]
        else:
            raise RecordError(
                "E_SPAN", f"text part holds {match.group()!r}; expected one of {sorted(known)} or {{{{ }}}}"
            )
    yield text[at:]
