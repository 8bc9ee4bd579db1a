"""The self-test of an export: torch and llama.cpp are asked the same, and answer alike or the export is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.boxes import Decoded, Dialect, decode
from rrg.errors import RrgError, UsageError
from rrg.export_family import Reference, reference_of
from rrg.model.gguf import GgufModel
from rrg.model.gguf_quantise import Precision
from rrg.model.load import load
from rrg.model.settings import Settings
from rrg.pipe import talk
from rrg.prompt import MEDIA, free_prompt, user_prompt
from rrg.records import ImageRef, Sample
from rrg.seeds import rng_for
from rrg.train_data import Pictures, check_dataset, read_part

PROBES = 8
"""Pictures of the self-test, unless told otherwise."""
MAX_NEW_TOKENS = 64
ROWS = COLUMNS = 512
"""Size of the slice that boxes of the self-test refer to."""


class Limit(NamedTuple):
    """What the self-test asks of a precision."""

    equal: float
    """Part of the answers that must have the same text, and of those whose boxes are within a bin."""
    log_probability: float
    """Largest difference at the first token of an answer, over tokens that torch gives at least 1 %."""


LIMITS: dict[Precision, Limit] = {
    "f32": Limit(0.875, 0.1),
    "f16": Limit(0.875, 0.1),
    "q8_0": Limit(0.75, 0.5),
    "q4_k_m": Limit(0.5, 1.0),
}
"""Never all: two tokens may be equally likely."""


@dataclass(frozen=True)
class Probe:
    """One question of the self-test."""

    pictures: tuple[NDArray[np.uint8], ...]
    prompt: str


@dataclass(frozen=True)
class Agreement:
    """What the self-test found."""

    probes: int
    texts: int
    """Probes with the same text, boxes included."""
    boxes: int
    """Probes with the same boxes, flags included."""
    near: int
    """Probes with the same phrases, and boxes at most one bin apart."""
    log_probability: float
    """Largest difference at the first token of an answer."""


def probes_of(settings: Settings, dataset: Path | None, count: int = PROBES) -> list[Probe]:
    """Questions on `count` pictures: of the test split of a data set, or on random pictures."""
    if dataset is None:
        rng = rng_for(0, "export", settings.run)
        size = (settings.side, settings.side, 3)
        made = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(count)]
        ask = "Wo ist die Leber?" if "de" in settings.languages else "Where is the liver?"
        return [Probe((each,), free_prompt(f"{ask} {number}")) for number, each in enumerate(made)]
    check_dataset(dataset)
    samples = read_part(dataset, "test", settings.languages).samples
    pictures = Pictures(dataset, settings.preset, settings.side)  # type: ignore[arg-type]
    probes = []
    for sample in spread(samples, count):
        chat = user_prompt(sample, settings.dialect)
        images: dict[str, ImageRef] = {each.id: each for each in sample.images}
        numbers = [pictures.add(images[name]) for name in chat.images]
        probes.append(Probe(tuple(pictures.stacked()[number] for number in numbers), chat.text))
    if not probes:
        raise UsageError(f"{dataset}: no samples in its test split; leave --dataset out to test on random pictures")
    return probes


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """`count` samples on different pictures, tasks in turn, in a random order that is always the same."""
    rng = rng_for(0, "export", "probes")
    by_task: dict[str, list[Sample]] = {}
    for number in rng.permutation(len(samples)):
        by_task.setdefault(samples[number].task, []).append(samples[number])
    chosen: list[Sample] = []
    shown: set[str] = set()
    queues = [by_task[task] for task in sorted(by_task)]
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and len(chosen) < count:
                sample = queue.pop()
                if not shown & {image.ref for image in sample.images}:
                    chosen.append(sample)
                    shown |= {image.ref for image in sample.images}
                    break
    return chosen


def self_test(run: Path, folder: Path, probes: Sequence[Probe]) -> Agreement:
    """Ask both back ends the same. Raises RrgError(E_CONVERT) at once when they split a prompt differently."""
    reference: Reference = reference_of(run)
    exported = load(folder)
    assert isinstance(exported, GgufModel)
    texts = boxes = near = 0
    largest = 0.0
    dialect = reference.settings.dialect
    try:
        for probe in probes:
            wanted = reference.tokens(probe.prompt, probe.pictures)
            if (seen := exported.prompt_tokens(probe.prompt, probe.pictures)) != wanted:
                place = next((i for i, (a, b) in enumerate(zip(wanted, seen, strict=False)) if a != b), len(wanted))
                raise RrgError(
                    f"self-test: llama.cpp splits a prompt of {probe.prompt.count(MEDIA)} pictures differently from "
                    f"token {place} on ({len(seen)} tokens, expected {len(wanted)})",
                    "E_CONVERT",
                )
            a, b = (model.answer(probe.pictures, probe.prompt, MAX_NEW_TOKENS) for model in (reference, exported))
            texts += a[:2] == b[:2]
            one, other = (decode(each.raw, ROWS, COLUMNS, dialect) for each in (a, b))
            boxes += one[1:] == other[1:]
            near += within_a_bin(one, other, dialect)
            ours, theirs = (model.log_probabilities(probe.pictures, probe.prompt) for model in (reference, exported))
            likely = ours > np.log(0.01)
            largest = max(largest, float(np.abs(ours - theirs)[likely].max(initial=0)))
    finally:
        exported.close()
    return Agreement(len(probes), texts, boxes, near, round(largest, 5))


def within_a_bin(one: Decoded, other: Decoded, dialect: Dialect) -> bool:
    """Whether two answers have the same phrases, and boxes whose sides are at most a bin apart."""
    if [each.phrase for each in one.mentions] != [each.phrase for each in other.mentions]:
        return False
    bins = 1.001 * max(ROWS, COLUMNS) / dialect.bins
    for a, b in zip(one.mentions, other.mentions, strict=True):
        ours, theirs = ([box.xyxy for region in each.regions for box in region.boxes] for each in (a, b))
        if len(ours) != len(theirs) or not np.allclose(ours, theirs, rtol=0, atol=bins):
            return False
    return True


def report(found: Agreement, folder: Path, precision: Precision, why: Callable[[], str] = str) -> None:
    """Say what the self-test found, add it to the card, and raise RrgError(E_CONVERT) when it is not good enough.

    `why` is asked for more words in that case.
    """
    line = (
        f"self-test on {found.probes} pictures: {found.texts} answers and {found.boxes} sets of boxes equal, "
        f"{found.near} within a bin, log-probabilities within {found.log_probability:.4f}"
    )
    talk("export", line)
    limit = LIMITS[precision]
    fewest = floor(found.probes * limit.equal)
    if found.texts < fewest or found.near < fewest or not found.log_probability <= limit.log_probability:
        raise RrgError(
            f"{line}; expected of {precision} at least {fewest} and at most {limit.log_probability}: the export is "
            f"refused, use --to merged. {why()}".rstrip(". "),
            "E_CONVERT",
        )
    with (folder / "card.md").open("a", encoding="utf-8") as file:
        file.write(f"\nGGUF export ({precision}), {line}.\n")
