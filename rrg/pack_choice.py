"""Which samples of a data set stay: each is judged alone, by its words, its image and its split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rrg.balance import Balance
from rrg.pack_facts import Facts
from rrg.pack_leaks import Hashes, place_in
from rrg.pack_split import Split

Reason = Literal["blind", "inferred", "leak", "copy", "near_copy"]
"""Why a sample is left out, before the balance: it can be guessed (``--drop-blind``); its sentence does not cite its
slice, and it is not for training; its image or text is in a split before (``--drop-leaks``); another sample says the
same of the same pixels, or the same but for case, punctuation and the order of choices."""
REASONS: tuple[Reason | None, ...] = (None, *get_args(Reason))
Numbers = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """What samples are judged by."""

    drop_blind: float | None
    """Smallest score of questions to leave out."""
    repeated: Hashes
    """``near`` of more than one sample: of these the first stays."""
    images: Mapping[Split, Hashes]
    """Pixels of each split that a split before it has, too."""
    texts: Mapping[Split, Hashes]
    """Texts of each split that are alike to one of a split before it."""
    drop_leaks: bool
    balance: Balance | None
    """Settled, or about to be filled."""


class Choice:
    """Judges studies one after the other; the same order gives the same judgement."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._firsts = np.zeros(len(rules.repeated), np.uint64)
        """``same`` of the first sample of each of `Rules.repeated`."""
        self._known = np.zeros(len(rules.repeated), bool)

    def against(self, facts: Facts, blind: NDArray[np.float64], split: Split) -> Numbers:
        """Why each sample is left out (its place in `REASONS`), before the balance. `blind`: scores, NaN for none."""
        rules, rows = self._rules, facts.rows
        why = np.zeros(len(rows), np.uint8)

        def leave_out(reason: Reason, which: Flags) -> None:
            why[(why == 0) & which] = REASONS.index(reason)

        if rules.drop_blind is not None:
            leave_out("blind", blind >= rules.drop_blind)
        if split != "train":
            leave_out("inferred", rows["inferred"])
        if rules.drop_leaks:
            leave_out("leak", self.leaks(facts, split))
        place, repeated = place_in(rules.repeated, rows["near"])
        for at in np.flatnonzero(repeated & (why == 0)).tolist():
            first, same = place[at], rows["same"][at]
            if self._known[first]:
                why[at] = REASONS.index("copy" if self._firsts[first] == same else "near_copy")
            else:
                self._firsts[first], self._known[first] = same, True
        return why

    def leaks(self, facts: Facts, split: Split) -> Flags:
        """Samples whose image or text is in a split before."""
        images, texts = self._rules.images[split], self._rules.texts[split]
        text = facts.rows["teaches"] & place_in(texts, facts.rows["text"])[1]
        return text | facts.of_shown(place_in(images, facts.shown)[1])

    def weigh(self, facts: Facts, stays: Flags, split: Split) -> None:
        """Count the answers for the balance."""
        if self._rules.balance is not None:
            counted = facts.rows[stays & (facts.rows["answer"] >= 0)]
            self._rules.balance.add(split, counted["answer"], counted["order"])

    def surplus(self, facts: Facts, split: Split) -> Flags:
        """With a settled balance: samples whose answers are given too often."""
        balance, answers = self._rules.balance, facts.rows["answer"]
        if balance is None:
            return np.zeros(len(answers), bool)
        found = answers >= 0
        found[found] = ~balance.keeps(split, answers[found], facts.rows["order"][found])
        return found
