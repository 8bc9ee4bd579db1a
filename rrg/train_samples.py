"""A look at the validation split while a model learns: what it writes, and its boxes beside the true ones."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rrg.boxes import Dialect, decode
from rrg.prompt import CONTROL, IMAGE, render, user_prompt
from rrg.records import Box, Sample
from rrg.seeds import rng_for
from rrg.train_log import Log
from rrg.train_text import embeddings

COUNT = 4
"""Samples of a look, of as many tasks as there are."""
TOKENS = 64
"""Most tokens of an answer."""
TILE = 280
TRUE, READ = "#00d000", "#ff3030"
Answer = Callable[[Sequence[NDArray[np.uint8]], str], str]
"""Pictures and prompt -> what the model writes."""


class Look(NamedTuple):
    """What is looked at."""

    samples: Sequence[Sample]
    pictures: Callable[[Sample], list[NDArray[np.uint8]]]
    """Of a sample, in the order of its prompt."""
    dialect: Dialect


def chosen(samples: Sequence[Sample]) -> list[Sample]:
    """The same few samples at every look: one of each task in turn."""
    by_task: dict[str, list[Sample]] = {}
    for number in rng_for(0, "train", "look").permutation(len(samples)):
        if samples[number].images:
            by_task.setdefault(samples[number].task, []).append(samples[number])
    turns = [
        each for row in zip(*(tasks[:COUNT] for _, tasks in sorted(by_task.items())), strict=False) for each in row
    ]
    rest = [each for _, tasks in sorted(by_task.items()) for each in tasks if each not in turns]
    return (turns + rest)[:COUNT]


def look(log: Log, stage: str, step: int, what: Look, answer: Answer) -> None:
    """Answers as ``samples/STAGE-STEP.jsonl`` and, drawn, ``.png``: green is the record, red the model's."""
    from PIL import Image, ImageDraw

    if not what.samples:
        return
    lines, sheet = [], Image.new("RGB", (TILE * max(1, len(what.samples)), TILE), "black")
    pen = ImageDraw.Draw(sheet)
    for number, sample in enumerate(what.samples):
        pictures = what.pictures(sample)
        written = answer(pictures, user_prompt(sample, what.dialect).text)
        expected = [piece.text for piece in render(sample, what.dialect).pieces if piece.loss][-1]
        lines.append({"id": sample.id, "task": sample.task, "lang": sample.lang, "written": written, "true": expected})
        sheet.paste(Image.fromarray(pictures[0]).resize((TILE - 4, TILE - 4)), (number * TILE, 0))
        rows, columns = sample.images[0].rows, sample.images[0].columns
        for text, colour, width in ((expected, TRUE, 3), (written, READ, 1)):
            for box in boxes_in(text, rows, columns, what.dialect):
                corners = [value * (TILE - 4) / size for value, size in zip(box.xyxy, (columns, rows) * 2, strict=True)]
                pen.rectangle([corners[0] + number * TILE, corners[1], corners[2] + number * TILE, corners[3]],
                              outline=colour, width=width)  # fmt: skip
    file = io.BytesIO()
    sheet.save(file, "PNG")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    log.keep(f"samples/{stage}-{step:06d}.jsonl", text.encode())
    log.keep(f"samples/{stage}-{step:06d}.png", file.getvalue())


def boxes_in(text: str, rows: int, columns: int, dialect: Dialect) -> list[Box]:
    """Boxes that are read from a text."""
    if dialect.kind == "none":
        return []
    found = decode(text, rows, columns, dialect).mentions
    return [box for mention in found for region in mention.regions for box in region.boxes]


@contextmanager
def quiet_model(model: Any) -> Iterator[None]:
    """A model that learns, without dropout and gradients for a while."""
    learning = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(learning)


def greedy(model: Any, tokenizer: Any, tokens: Sequence[int], features: torch.Tensor) -> str:
    """What a tiny model writes behind `tokens`; `features` (pictures, patches, width) as its projector takes them."""
    image, *stop = tokenizer.convert_tokens_to_ids([IMAGE, *CONTROL])
    inputs, cache = embeddings(model, torch.tensor([[*tokens]]), image, features), None
    written: list[int] = []
    while len(written) < TOKENS:
        out = model.model.language_model(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
        token, cache = int(model.lm_head(out.last_hidden_state[0, -1]).argmax()), out.past_key_values
        if token in stop:
            break
        written.append(token)
        inputs = model.get_input_embeddings()(torch.tensor([[token]]))
    return str(tokenizer.decode(written))


def every(steps: int, given: int) -> int:
    """Steps between two looks: as given, else a quarter of the stage and at least 25."""
    return given or max(25, steps // 4)
