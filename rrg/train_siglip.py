"""The siglip stage: slices and report snippets of both languages, those that belong together close, all others apart.

It adapts the tower to the kind of pictures at hand, as RadGrounder does before all else. A unit is a slice; of its
snippets one is drawn each time, in a random language.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rrg.errors import UsageError
from rrg.model.contrast import LONGEST, Contrast, Retrieval, retrieval, sigmoid_loss
from rrg.optimise import Optimiser
from rrg.prompt import template_text
from rrg.records import Sample
from rrg.train_data import Pictures

TASKS = ("report", "grounded-report")
"""Whose answers are snippets."""
LOOKED_AT = 256
"""Slices of the validation split among which snippets are sought, at most."""
Report = Callable[[int, dict[str, float], Sequence[str]], None]


class Unit(NamedTuple):
    """A slice and what reports say of it."""

    picture: int
    """Number of its picture."""
    texts: tuple[tuple[tuple[int, ...], ...], ...]
    """Snippets as tokens, by language."""
    id: str
    """Of its first sample."""


def units_of(samples: Iterable[Sample], tokenizer: Any, pictures: Pictures) -> list[Unit]:
    """Slices with snippets, in order; pictures are made when they are new."""
    found: dict[int, dict[str, dict[tuple[int, ...], None]]] = {}
    ids: dict[int, str] = {}
    for sample in samples:
        if sample.task not in TASKS or len(sample.images) != 1:
            continue
        answers = [turn for turn in sample.turns if turn.role == "assistant"]
        told = "".join(part.text or "" for part in answers[-1].content) if answers else ""
        tokens = tokenizer.encode(template_text(told, sample.mentions).strip(), add_special_tokens=False)[:LONGEST]
        if tokens:
            number = pictures.add(sample.images[0])
            ids.setdefault(number, sample.id)
            found.setdefault(number, {}).setdefault(sample.lang, {})[tuple(tokens)] = None
    return [
        Unit(number, tuple(tuple(texts) for _, texts in sorted(by_lang.items())), ids[number])
        for number, by_lang in found.items()
    ]


def check_units(units: Sequence[Unit]) -> None:
    """Raise UsageError where there is nothing to tell apart."""
    if len({text for unit in units for lang in unit.texts for text in lang}) < 2 or len(units) < 2:
        raise UsageError(
            f"--stages siglip: the data set has {len(units)} slices with report sentences; run rrg parse-reports and "
            "rrg synth-ground before rrg pack, or leave the stage out"
        )


def drawn(units: Sequence[Unit], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """One snippet of each unit: (tokens (n, length), where they are, (n, n) True where both say the same)."""
    texts = []
    for unit in units:
        lang = unit.texts[int(torch.randint(len(unit.texts), (1,), generator=generator))]
        texts.append(lang[int(torch.randint(len(lang), (1,), generator=generator))])
    return (*padded(texts), torch.tensor([[a == b for b in texts] for a in texts]))


def padded(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """(tokens (n, length), where they are), padded with 0."""
    longest = max(map(len, texts))
    there = np.arange(longest) < np.array([len(text) for text in texts])[:, None]
    tokens = np.zeros((len(texts), longest), np.int64)
    tokens[there] = np.concatenate([np.array(text, np.int64) for text in texts])
    return torch.from_numpy(tokens), torch.from_numpy(there)


class Order:
    """Without end: `size` different units, in random order, each once a round."""

    def __init__(self, units: Sequence[Unit], size: int, generator: torch.Generator) -> None:
        self._units, self._size, self._generator = units, min(size, len(units)), generator
        self._queue: list[int] = []

    def next(self) -> list[Unit]:
        """The next batch."""
        while len(self._queue) < self._size:
            waiting = set(self._queue)
            fresh = torch.randperm(len(self._units), generator=self._generator).tolist()
            self._queue += sorted(fresh, key=waiting.__contains__)  # none twice in the batch that spans two rounds
        taken, self._queue = self._queue[: self._size], self._queue[self._size :]
        return [self._units[number] for number in taken]

    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""
        return {"queue": self._queue}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self._queue = list(state["queue"])


def contrast_steps(
    contrast: Contrast,
    features: Callable[[Sequence[int]], Tensor],
    order: Order,
    optimiser: Optimiser,
    *,
    steps: Iterable[int],
    generator: torch.Generator,
    report: Report,
) -> None:
    """The steps of the stage. `features`: numbers of pictures -> (n, patches, width) of the tower that learns."""
    for step in steps:
        units = order.next()
        tokens, there, same = drawn(units, generator)
        pictures = contrast.picture(features([unit.picture for unit in units]))
        scores = contrast.scores(pictures, contrast.text(tokens.to(pictures.device), there.to(pictures.device)))
        loss = sigmoid_loss(scores, same.to(pictures.device))
        report(step, {"loss": loss.item()}, [unit.id for unit in units])
        optimiser.backward(loss)
        optimiser.update(step)


@torch.inference_mode()
def found_again(
    contrast: Contrast, features: Callable[[Sequence[int]], Tensor], units: Sequence[Unit], language: int = 0
) -> Retrieval | None:
    """How well unseen slices find their snippets of one language; of equal snippets the first slice alone is asked.

    None where fewer than ten are left.
    """
    asked: dict[tuple[int, ...], Unit] = {}
    for unit in units:
        asked.setdefault(unit.texts[min(language, len(unit.texts) - 1)][0], unit)
    chosen = list(asked.items())[:LOOKED_AT]
    if len(chosen) < 10:
        return None
    parts = [chosen[n : n + 32] for n in range(0, len(chosen), 32)]
    pictures = torch.cat([contrast.picture(features([unit.picture for _, unit in part])) for part in parts])
    texts = torch.cat(
        [contrast.text(*(each.to(pictures.device) for each in padded([text for text, _ in part]))) for part in parts]
    )
    return retrieval(contrast.scores(pictures, texts).cpu())
