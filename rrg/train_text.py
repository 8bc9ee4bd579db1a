"""The text stage: many questions about the same pictures share one sequence, with the loss on answers only.

Each question sees the pictures and itself, never another question, and its positions go on where the pictures end.
So a question in training is token for token what it is when it is asked alone, at a fraction of the cost.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rrg.boxes import Dialect
from rrg.errors import RecordError, RrgError
from rrg.model.tokenizer import encode_chat
from rrg.prompt import IMAGE, MEDIA, render
from rrg.records import Sample
from rrg.train_data import Pictures

IGNORED = -1
"""Segment of padding."""
LOOKED_AT = 512
"""Groups among which the longest are sought."""
SMOOTH = 1.0
"""Standard deviation, in bins, of the target of a box token: a neighbouring bin is a small mistake."""


class Question(NamedTuple):
    """A sample as tokens. `tokens` is the whole chat with the begin token."""

    id: str
    """Of the sample."""
    tokens: tuple[int, ...]
    loss: tuple[bool, ...]
    """Whether each token is learnt."""
    start: int
    """Tokens before the question proper: up to the last picture's end."""
    pictures: tuple[int, ...]
    """Numbers of the pictures, in order."""
    weight: float = 1.0
    """How often it is drawn, relative to the other questions on its pictures."""
    task: str = ""


KEPT_TEXTS = 100_000
"""Texts whose tokens are kept while questions are read: most questions, and many answers, are there again and again."""


def kinds_of(sample: Sample) -> tuple[str, ...]:
    """The names that ``--mix`` knows a sample by: its task and, of questions, what they ask for."""
    asked = sample.facets.get("question")
    return (sample.task, asked) if isinstance(asked, str) and asked != sample.task else (sample.task,)


def questions_of(
    samples: Iterable[Sample],
    dialect: Dialect,
    tokenizer: Any,
    image_tokens: int,
    context: int,
    pictures: Pictures,
    mix: Mapping[str, float],
) -> Iterator[Question]:
    """Samples as tokens; their pictures are made when they are new. `mix` multiplies the weight of kinds of samples.

    None for samples that teach nothing or are longer than `context`, or are mixed in at 0. Raises RrgError for a sample
    that can not be rendered.
    """
    image = tokenizer.convert_tokens_to_ids(IMAGE)

    @functools.lru_cache(KEPT_TEXTS)
    def encoded(text: str) -> list[int]:
        return encode_chat(tokenizer, text, MEDIA, image_tokens)

    for sample in samples:
        weight = sample.weight * math.prod(mix.get(kind, 1.0) for kind in kinds_of(sample))
        if weight == 0:
            continue
        try:
            chat = render(sample, dialect)
        except RecordError as error:
            raise RrgError(f"sample {sample.id}: {error.message}", error.code) from None
        tokens, loss = [int(tokenizer.bos_token_id)], [False]
        for piece in chat.pieces:
            own = encoded(piece.text)
            tokens += own
            loss += [piece.loss] * len(own)
        if not any(loss) or len(tokens) > context:
            continue
        start = len(tokens) - tokens[::-1].index(image) if image in tokens else 1
        images = {each.id: each for each in sample.images}
        numbers = tuple(pictures.add(images[name]) for name in chat.images)
        yield Question(sample.id, tuple(tokens), tuple(loss), start, numbers, weight, sample.task)


class Batches:
    """Without end: `size` groups of questions that share their pictures, in random order, each group once a round.

    Of a group as many questions are taken, at random by their weights, as fit into `most_tokens`; at least one.
    With `shares` (task -> part of all questions) the task that is furthest behind comes first, and none gets ahead.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        size: int,
        most_tokens: int,
        generator: torch.Generator,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        self._shares = {task: share / sum(shares.values()) for task, share in shares.items()} if shares else None
        self._taken: dict[str, int] = {}
        if self._shares:
            questions = [question for question in questions if self._shares.get(question.task, 0) > 0]
        shared: dict[tuple[object, ...], list[Question]] = {}
        for question in questions:
            shared.setdefault((question.pictures, question.tokens[: question.start]), []).append(question)
        self._groups = list(shared.values())
        self._size, self._most_tokens, self._generator = size, most_tokens, generator
        self._queue: list[int] = []

    def __iter__(self) -> Iterator[list[list[Question]]]:
        return self

    def __next__(self) -> list[list[Question]]:
        while len(self._queue) < self._size:
            self._queue += torch.randperm(len(self._groups), generator=self._generator).tolist()
        taken, self._queue = self._queue[: self._size], self._queue[self._size :]
        return [self._fitting(self._groups[number]) for number in taken]

    def longest(self) -> list[list[Question]]:
        """A batch of the longest sequences that can come; drawing is not touched."""

        def longest(group: Sequence[Question]) -> list[Question]:
            taken: list[Question] = []
            for question in sorted(group, key=lambda each: -len(each.tokens)):
                if not taken or tokens_of([*taken, question]) <= self._most_tokens:
                    taken.append(question)
            return taken

        return sorted(map(longest, self._groups[:LOOKED_AT]), key=tokens_of, reverse=True)[: self._size]

    def _fitting(self, group: Sequence[Question]) -> list[Question]:
        # the order of u^(1/w) is that of draws without replacement by weight (Efraimidis and Spirakis 2006)
        weights = torch.tensor([question.weight for question in group], dtype=torch.float64)
        drawn = torch.rand(len(group), generator=self._generator, dtype=torch.float64).log() / weights
        waiting = [group[number] for number in drawn.argsort(descending=True).tolist()]
        taken: list[Question] = []
        used = group[0].start
        while waiting:
            question = max(waiting, key=lambda each: self._behind(each.task)) if self._shares else waiting[0]
            waiting.remove(question)
            own = len(question.tokens) - question.start
            if not taken or (used + own <= self._most_tokens and self._behind(question.task) > 0):
                taken.append(question)
                used += own
                self._taken[question.task] = self._taken.get(question.task, 0) + 1
        return taken

    def _behind(self, task: str) -> float:
        """How many questions a task is behind its share, were the next one its own."""
        if self._shares is None:
            return 1.0
        return self._shares[task] * (sum(self._taken.values()) + 1) - self._taken.get(task, 0)

    def state_dict(self) -> dict[str, Any]:
        """The place in the data: groups that wait, and the generator."""
        return {"queue": self._queue, "generator": self._generator.get_state(), "taken": self._taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._queue, self._taken = list(state["queue"]), dict(state["taken"])
        self._generator.set_state(state["generator"])


def tokens_of(group: Sequence[Question]) -> int:
    """Tokens of questions that share their pictures, in one sequence."""
    return group[0].start + sum(len(question.tokens) - question.start for question in group)


class Packed(NamedTuple):
    """Questions that share their pictures, as one sequence."""

    tokens: Tensor
    """(length,)"""
    segments: Tensor
    """(length,) 0 for the shared start, then 1, 2, ... per question."""
    positions: Tensor
    """(length,)"""
    weights: Tensor
    """(length,) weight of the token as a target; 0 is not learnt."""


def pack_questions(questions: Sequence[Question]) -> Packed:
    """One sequence of questions with the same start. Each of the n learnt tokens of a question weighs 1/sqrt(n)."""
    start = questions[0].start
    tokens = list(questions[0].tokens[:start])
    segments, positions, weights = [0] * start, list(range(start)), [0.0] * start
    for number, question in enumerate(questions, 1):
        own = question.tokens[start:]
        learnt = question.loss[start:]
        share = 1 / max(1, sum(learnt)) ** 0.5
        tokens += own
        segments += [number] * len(own)
        positions += range(start, start + len(own))
        weights += [share if learn else 0.0 for learn in learnt]
    return Packed(torch.tensor(tokens), torch.tensor(segments), torch.tensor(positions), torch.tensor(weights))


class Batch(NamedTuple):
    """Sequences padded to one length: (n, length) each, and the mask (n, 1, length, length), True where seen."""

    tokens: Tensor
    positions: Tensor
    weights: Tensor
    mask: Tensor


def collate(sequences: Sequence[Packed], pad: int) -> Batch:
    """Pad on the right. Tokens see earlier tokens of the start and of their own question."""

    def padded(field: str, value: float) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(
            [getattr(each, field) for each in sequences], batch_first=True, padding_value=value
        )

    segments = padded("segments", IGNORED)
    length = segments.shape[1]
    own = segments[:, :, None] == segments[:, None]
    seen = torch.ones(length, length, dtype=torch.bool).tril() & (own | (segments[:, None] == 0))
    return Batch(padded("tokens", pad), padded("positions", 0), padded("weights", 0.0), seen[:, None])


def embeddings(model: Any, tokens: Tensor, image: int, features: Tensor) -> Tensor:
    """(n, length, width) input embeddings; `features` (pictures, patches, width) stand where image tokens are."""
    inputs = model.get_input_embeddings()(tokens)
    pictures = model.model.multi_modal_projector(features).flatten(0, 1)
    return inputs.masked_scatter((tokens == image)[..., None], pictures.to(inputs.dtype))  # type: ignore[no-any-return]


def answer_loss(model: Any, batch: Batch, image: int, features: Tensor, boxes: range, smooth: float = SMOOTH) -> Tensor:
    """Mean loss of the learnt tokens. `boxes` are the ids of the box tokens in order; their targets are smoothed."""
    inputs = embeddings(model, batch.tokens, image, features)
    hidden = model.model.language_model(
        inputs_embeds=inputs, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    targets, weights = batch.tokens[:, 1:], batch.weights[:, 1:]
    learnt = weights > 0
    scores = functional.log_softmax(model.lm_head(hidden[:, :-1][learnt]).float(), -1)  # (answer tokens, vocabulary)
    wanted, weight = targets[learnt], weights[learnt]
    losses = -scores.gather(1, wanted[:, None])[:, 0]
    if len(boxes) and smooth:
        in_box = (wanted >= boxes.start) & (wanted < boxes.stop)
        bins = torch.arange(len(boxes))
        near = torch.softmax(-0.5 * ((bins - (wanted[in_box] - boxes.start)[:, None]) / smooth) ** 2, -1)
        losses = losses.masked_scatter(in_box, -(near * scores[in_box][:, boxes.start : boxes.stop]).sum(-1))
    return (losses * weight).sum() / weight.sum()
