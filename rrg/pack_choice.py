"""Which samples of a data set stay: each is judged alone, by its words, its image and its split."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from rrg.balance import YES_NO, Balance, Stratum
from rrg.pack_leaks import number_of
from rrg.pack_split import Split
from rrg.records import Sample
from rrg.synth.terms import NO, YES

Reason = Literal["blind", "inferred", "copy", "balance"]


def order_of(sample: Sample, seed: int) -> int:
    """A 64-bit number that orders samples at random, whatever the order of the stream."""
    return int.from_bytes(hashlib.sha256(f"rrg balance\0{seed}\0{sample.id}".encode()).digest()[:8], "big")


def stratum_of(sample: Sample, split: str) -> tuple[Stratum, int, int] | None:
    """(stratum, number of the answer, number of answers) of a sample that is balanced, else None."""
    if sample.question_type == "closed" and sample.answer in (YES[sample.lang], NO[sample.lang]):
        about = ": ".join(sample.facets[key] for key in ("question", "label") if key in sample.facets)
        return Stratum(split, sample.lang, YES_NO, about), int(sample.answer == NO[sample.lang]), 2
    if sample.question_type == "single" and sample.answer in sample.choices and len(sample.choices) > 1:
        n = len(sample.choices)
        return Stratum(split, sample.lang, f"{n} choices", ""), sample.choices.index(sample.answer), n
    return None


class Choice:
    """Judges samples one after the other; the same order gives the same judgement."""

    def __init__(self, drop_blind: float | None, repeated: frozenset[int], balance: Balance | None, seed: int) -> None:
        """`repeated`: images that there are more than once. `balance` is None, or settled, or about to be filled."""
        self._limit, self._repeated, self._balance, self._seed = drop_blind, repeated, balance, seed
        self._known: set[int] = set()

    def against(self, sample: Sample, split: Split, images: Mapping[str, int]) -> Reason | None:
        """Why a sample is left out, before the balance; None when it stays. `images`: reference -> hash of pixels."""
        if self._limit is not None and sample.blind is not None and sample.blind >= self._limit:
            return "blind"
        if split != "train" and sample.facets.get("pairing") == "inferred":
            return "inferred"
        if any(images.get(image.ref) in self._repeated for image in sample.images):
            key = _same(sample, images)
            if key in self._known:
                return "copy"
            self._known.add(key)
        return None

    def weigh(self, sample: Sample, split: Split) -> None:
        """Count the answer for the balance."""
        if self._balance is not None and (found := stratum_of(sample, split)):
            self._balance.add(*found, order_of(sample, self._seed))

    def is_surplus(self, sample: Sample, split: Split) -> bool:
        """With a settled balance: its answer is given too often."""
        found = stratum_of(sample, split)
        return (
            self._balance is not None
            and found is not None
            and not self._balance.keeps(found[0], found[1], order_of(sample, self._seed))
        )


def _same(sample: Sample, images: Mapping[str, int]) -> int:
    """What samples of one picture have in common that say the same, in whatever study it lies."""
    said = [
        [images.get(image.ref, image.ref) for image in sample.images],
        sample.lang,
        sample.task,
        sample.answer,
        [[turn.role, *(part.text or "" for part in turn.content)] for turn in sample.turns],
        [
            [mention.phrase, *([box.x0, box.y0, box.x1, box.y1] for region in mention.regions for box in region.boxes)]
            for mention in sample.mentions
        ],
    ]
    return number_of(json.dumps(said).encode())
