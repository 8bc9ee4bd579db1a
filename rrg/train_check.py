"""Looks at the collator's work before step 1: what is wrong is told with the ids of the records, not learnt."""

from collections.abc import Iterable, Sequence
from typing import Any

from rrg.boxes import Dialect, decode
from rrg.errors import RecordError, RrgError
from rrg.model.family import IGNORED
from rrg.prompt import render
from rrg.records import Sample
from rrg.train_family_data import Source, encoded
from rrg.train_text import Question

LOOKED_AT = 64
"""Samples of a data set that are looked at, evenly over all of it."""
NAMED = 8


def check_source(source: Source) -> int:
    """Tokens per picture. RrgError(E_MODEL) for chats whose picture tokens do not match, that teach nothing, or whose
    boxes are not read back from their learnt tokens.
    """
    loaded = source.loaded
    token = image_token(loaded.model.config)
    samples = source.samples[:: max(1, len(source.samples) // LOOKED_AT)]
    counts: dict[str, float] = {}
    bad: dict[str, list[str]] = {"pictures": [], "nothing": [], "boxes": []}
    for sample in samples:
        made = encoded(sample, loaded, source.pictures)
        ids, labels = made.inputs["input_ids"][0], made.inputs["labels"][0]
        if made.pictures:
            counts[sample.id] = int((ids == token).sum()) / made.pictures
        if not bool((labels != IGNORED).any()):
            bad["nothing"].append(sample.id)
            continue
        learnt = str(loaded.tokenizer.decode(labels[labels != IGNORED].tolist()))
        if not loaded.family.prefix and not boxes_survive(sample, learnt, loaded.dialect):
            bad["boxes"].append(sample.id)
    usual = max(set(counts.values()), key=list(counts.values()).count) if counts else 0
    bad["pictures"] = [name for name, count in counts.items() if count != usual or count != int(count) or count == 0]
    raise_for(bad)
    return int(usual)


def check_questions(questions: Sequence[Question], image: int, image_tokens: int, boxes: range) -> None:
    """The same for the tiny family: all questions, by their tokens. A box is four box tokens in a row."""
    bad: dict[str, list[str]] = {"pictures": [], "nothing": [], "boxes": []}
    for one in questions:
        if one.tokens.count(image) != image_tokens * len(one.pictures):
            bad["pictures"].append(one.id)
        if not any(one.loss):
            bad["nothing"].append(one.id)
        if boxes and not whole_boxes(one.tokens, boxes):
            bad["boxes"].append(one.id)
    raise_for(bad)


def whole_boxes(tokens: Iterable[int], boxes: range) -> bool:
    """Box tokens come in fours."""
    run = 0
    for token in [*tokens, -1]:
        if token in boxes:
            run += 1
        elif run % 4:
            return False
        else:
            run = 0
    return True


def boxes_survive(sample: Sample, learnt: str, dialect: Dialect) -> bool:
    """As many boxes are read from the learnt text after the tokenizer as from the text before it."""
    if dialect.kind == "none" or not sample.images:
        return True
    first = sample.images[0]
    try:
        said = "".join(piece.text for piece in render(sample, dialect).pieces if piece.loss)
    except RecordError:
        return True  # told where it is encoded
    return _count(said, first.rows, first.columns, dialect) == _count(learnt, first.rows, first.columns, dialect)


def _count(text: str, rows: int, columns: int, dialect: Dialect) -> int:
    found = decode(text, rows, columns, dialect).mentions
    return sum(len(region.boxes) for mention in found for region in mention.regions)


def raise_for(bad: dict[str, list[str]]) -> None:
    """RrgError(E_MODEL) for the first kind of fault that there is."""
    says = {
        "pictures": "tokens of pictures and pictures do not match",
        "nothing": "no token to learn",
        "boxes": "boxes are cut by the tokenizer; take another --box-format",
    }
    for kind, ids in bad.items():
        if ids:
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            raise RrgError(f"before step 1: {says[kind]} in samples {', '.join(ids[:NAMED])}{more}", "E_MODEL")


def image_token(config: Any) -> int:
    """Id of the token that stands for a part of a picture."""
    return int(getattr(config, "image_token_id", None) or config.image_token_index)
