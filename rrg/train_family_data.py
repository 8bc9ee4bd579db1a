"""Draws of a stage as a family's model reads them: rendered, moved and collated as they are needed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Generic, NamedTuple, Self, TypeVar

import torch

from rrg.errors import RecordError, RrgError, UsageError
from rrg.model.family import IGNORED, Encoded, Loaded, chat_pieces, encode, turns_of
from rrg.prompt import render
from rrg.prompt_context import findings_known, style_of, with_context, with_noisy_findings
from rrg.records import Part, Sample
from rrg.seeds import rng_for
from rrg.train_augment import View, moved_intensity, moved_picture, moved_sample, random_view
from rrg.train_data import Pictures
from rrg.train_family_options import Options
from rrg.train_order import Order

MOST_AGAIN = 100
"""Samples in a row that can not be used before training gives up."""
T = TypeVar("T")


class Drawn(NamedTuple):
    """One draw."""

    sample: Sample
    """As it is learnt: with its context, its boxes in the view."""
    view: View
    encoded: Encoded


class Source(NamedTuple):
    """Samples, and all that turns them into draws."""

    samples: Sequence[Sample]
    order: Order
    loaded: Loaded
    pictures: Pictures
    options: Options
    known: dict[str, tuple[str, ...]]
    """Findings by language, for noise."""


def source_of(samples: Sequence[Sample], order: Order, loaded: Loaded, pictures: Pictures, options: Options) -> Source:
    """A source; what noise is made of is read from all samples."""
    known = findings_known(samples) if options.findings_noise else {}
    return Source(samples, order, loaded, pictures, options, known)


def lower_answers(sample: Sample) -> Sample:
    """A question of vqa with its answers in lower case and single blanks; other tasks as they are."""
    if sample.task != "vqa":
        return sample

    def lower(part: Part) -> Part:
        return part if part.text is None else replace(part, text=" ".join(part.text.lower().split()))

    return replace(sample, turns=tuple(
        replace(turn, content=tuple(map(lower, turn.content))) if turn.role == "assistant" else turn
        for turn in sample.turns
    ))  # fmt: skip


def encoded(sample: Sample, loaded: Loaded, pictures: Pictures, view: View | None = None, seed: int = -1) -> Encoded:
    """A sample as the model reads it. RrgError names the sample that can not be. `seed` >= 0: another intensity."""
    try:
        chat = render(sample, loaded.dialect)
        pieces, _ = chat_pieces(turns_of(chat.pieces), loaded)
        images = {image.id: image for image in sample.images}
        shown = [moved_picture(pictures.of(images[name]), view or View()) for name in chat.images]
        if seed >= 0:
            shown = [moved_intensity(each, rng_for(seed, "train", "intensity")) for each in shown]
        return encode(loaded, pieces, shown)
    except RecordError as error:
        raise RrgError(f"sample {sample.id}: {error.message}", error.code) from None


def drawn(source: Source, stage: str, draw: int) -> tuple[Drawn, int]:
    """(draw number `draw` of a stage, how many samples were passed over for it).

    Passed over is a chat with more tokens than the context, or without a token to learn: nothing is ever cut.
    """
    options = source.options
    for again in range(MOST_AGAIN):
        sample = source.samples[source.order.sample(draw, again)]
        rng = rng_for(options.seed, "train", f"{stage}/{draw}/{again}")
        sample = with_context(sample, style_of(options.prefix, rng))
        sample = with_noisy_findings(sample, options.findings_noise, source.known, rng)
        view = random_view(sample, options.augment, rng) if options.augment else View()
        sample = moved_sample(sample, view) if view != View() else sample
        seed = int(rng.integers(1 << 31)) if "intensity" in options.augment else -1
        made = encoded(sample, source.loaded, source.pictures, view, seed)
        if usable(made, options.context):
            return Drawn(sample, view, made), again
    raise UsageError(
        f"{MOST_AGAIN} samples in a row have more than {options.context} tokens or nothing to learn; raise --context"
    )


def usable(made: Encoded, context: int) -> bool:
    """It fits, and teaches something."""
    return made.length <= context and bool((made.inputs["labels"] != IGNORED).any())


def micro_batches(chats: Sequence[Drawn], size: int) -> Iterator[list[Drawn]]:
    """Draws with equally many pictures in batches of at most `size`, like lengths together, the longest first."""
    ordered = sorted(chats, key=lambda each: (each.encoded.pictures, -each.encoded.length))
    while ordered:
        part = [each for each in ordered[:size] if each.encoded.pictures == ordered[0].encoded.pictures]
        yield part
        ordered = ordered[len(part) :]


def longest(source: Source, count: int, look: int = 16) -> list[Drawn]:
    """`count` times the longest chat that fits, among the `look` whose text promises to be the longest."""
    tokens = 4 * 64  # a picture, in letters of text; only the order matters

    def promise(sample: Sample) -> int:
        parts = [part for turn in sample.turns for part in turn.content]
        return sum(len(part.text or "") if part.type == "text" else tokens for part in parts)

    best: Drawn | None = None
    for sample in sorted(source.samples, key=promise, reverse=True)[:look]:
        full = with_context(sample, "none" if source.options.prefix == "none" else "both")
        made = encoded(full, source.loaded, source.pictures)
        if usable(made, source.options.context) and (best is None or made.length > best.encoded.length):
            best = Drawn(full, View(), made)
    return [best] * count if best is not None else []


class Ahead(Generic[T]):
    """`make`, asked for numbers in order below `end`; the next one is made in a thread while the last one is used."""

    def __init__(self, make: Callable[[int], T], end: int) -> None:
        self._make, self._end = make, end
        self._pool = ThreadPoolExecutor(1)
        self._waiting: dict[int, Future[T]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def get(self, number: int) -> T:
        """What `make` gives for a number."""
        held = self._waiting.pop(number, None) or self._pool.submit(self._make, number)
        if number + 1 < self._end:
            self._waiting[number + 1] = self._pool.submit(self._make, number + 1)
        return held.result()

    def settle(self) -> None:
        """Until nothing is being made: tokenizers do not like two threads."""
        wait(self._waiting.values())


def on(device: torch.device, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors on a device."""
    return {name: value.to(device) for name, value in inputs.items()}
