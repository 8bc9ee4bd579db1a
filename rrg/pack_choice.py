"""Which samples of a data set stay: each is judged alone, by its words, its image and its split."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from rrg.balance import YES_NO, Balance, Stratum
from rrg.pack_leaks import Leaks, number_of, plain
from rrg.pack_split import Split
from rrg.records import Sample
from rrg.synth.terms import NO, YES

Reason = Literal["blind", "inferred", "leak", "copy", "near_copy", "balance"]
"""Why a sample is left out: it can be guessed (``--drop-blind``); its sentence does not cite its slice, and it is not
for training; its image or text is in a split before (``--drop-leaks``); another sample says the same of the same
pixels, or the same but for case, punctuation and the order of choices; its answer is given too often."""


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


class Said(NamedTuple):
    """What a sample says of its pixels, as hashes."""

    same: int
    near: int
    """But for case, punctuation, spaces and the order of choices."""


def said(sample: Sample, images: Mapping[str, int]) -> Said:
    """`images`: reference -> hash of its pixels; one image in two studies is one image."""
    shown = [images.get(image.ref, image.ref) for image in sample.images]
    regions = [
        [mention.id, region.label, *(box.xyxy for box in region.boxes)]
        for mention in sample.mentions
        for region in mention.regions
    ]
    common = [shown, sample.lang, sample.task, regions]
    words = [[turn.role, *(part.text or "" for part in turn.content)] for turn in sample.turns]
    phrases = [mention.phrase for mention in sample.mentions]
    same = [*common, sample.answer, words, phrases, sample.choices]
    bare = [
        *common,
        plain(sample.answer or ""),
        _without_order(words, sample.choices),
        [plain(each) for each in phrases],
    ]
    return Said(_hash(same), _hash([*bare, sorted(map(plain, sample.choices))]))


def _without_order(words: list[list[str]], choices: tuple[str, ...]) -> list[list[str]]:
    """Turns in plain words, without the lines that list the choices."""
    return [[plain(line) for text in turn for line in text.split("\n") if line not in choices] for turn in words]


def _hash(content: Any) -> int:
    return number_of(json.dumps(content).encode())


@dataclass(frozen=True)
class Rules:
    """What samples are judged by."""

    drop_blind: float | None
    """Smallest score of questions to leave out."""
    repeated: frozenset[int]
    """`Said.near` of more than one sample: of these the first stays."""
    leaks: Leaks
    drop_leaks: bool
    balance: Balance | None
    """Settled, or about to be filled."""
    seed: int


class Choice:
    """Judges samples one after the other; the same order gives the same judgement."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[int, int] = {}

    def against(self, sample: Sample, split: Split, images: Mapping[str, int]) -> Reason | None:
        """Why a sample is left out, before the balance; None when it stays. `images`: reference -> hash of pixels."""
        rules = self._rules
        if rules.drop_blind is not None and sample.blind is not None and sample.blind >= rules.drop_blind:
            return "blind"
        if split != "train" and sample.facets.get("pairing") == "inferred":
            return "inferred"
        if rules.drop_leaks and self.is_leak(sample, split, images):
            return "leak"
        if rules.repeated:
            words = said(sample, images)
            if (first := self._known.get(words.near)) is not None:
                return "copy" if first == words.same else "near_copy"
            if words.near in rules.repeated:
                self._known[words.near] = words.same
        return None

    def is_leak(self, sample: Sample, split: Split, images: Mapping[str, int]) -> bool:
        """Its image or text is in a split before."""
        return self._rules.leaks.has(sample, split, images)

    def weigh(self, sample: Sample, split: Split) -> None:
        """Count the answer for the balance."""
        if self._rules.balance is not None and (found := stratum_of(sample, split)):
            self._rules.balance.add(*found, order_of(sample, self._rules.seed))

    def is_surplus(self, sample: Sample, split: Split) -> bool:
        """With a settled balance: its answer is given too often."""
        balance, found = self._rules.balance, stratum_of(sample, split)
        return (
            balance is not None
            and found is not None
            and not balance.keeps(found[0], found[1], order_of(sample, self._rules.seed))
        )
