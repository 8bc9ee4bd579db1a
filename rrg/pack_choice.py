"""Which samples of a data set stay: each is judged alone, by its words, its image and its split."""

from dataclasses import dataclass
from typing import Literal

from rrg.balance import Balance, Stratum
from rrg.pack_facts import Fact
from rrg.pack_leaks import Leaks
from rrg.pack_split import Split

Reason = Literal["blind", "inferred", "leak", "copy", "near_copy", "balance"]
"""Why a sample is left out: it can be guessed (``--drop-blind``); its sentence does not cite its slice, and it is not
for training; its image or text is in a split before (``--drop-leaks``); another sample says the same of the same
pixels, or the same but for case, punctuation and the order of choices; its answer is given too often."""


@dataclass(frozen=True)
class Rules:
    """What samples are judged by."""

    drop_blind: float | None
    """Smallest score of questions to leave out."""
    repeated: frozenset[int]
    """`Fact.near` of more than one sample: of these the first stays."""
    leaks: Leaks
    drop_leaks: bool
    balance: Balance | None
    """Settled, or about to be filled."""


class Choice:
    """Judges samples one after the other; the same order gives the same judgement."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[int, int] = {}

    def against(self, fact: Fact, blind: float | None, split: Split) -> Reason | None:
        """Why a sample is left out, before the balance; None when it stays. `blind`: its score."""
        rules = self._rules
        if rules.drop_blind is not None and blind is not None and blind >= rules.drop_blind:
            return "blind"
        if split != "train" and fact.is_inferred:
            return "inferred"
        if rules.drop_leaks and self.is_leak(fact, split):
            return "leak"
        if fact.near in rules.repeated:
            if (first := self._known.get(fact.near)) is not None:
                return "copy" if first == fact.same else "near_copy"
            self._known[fact.near] = fact.same
        return None

    def is_leak(self, fact: Fact, split: Split) -> bool:
        """Its image or text is in a split before."""
        return self._rules.leaks.has(fact.shown, fact.text, split)

    def weigh(self, fact: Fact, split: Split) -> None:
        """Count the answer for the balance."""
        if self._rules.balance is not None and (told := fact.answered) is not None:
            stratum = Stratum(split, told.lang, told.question, told.label)
            self._rules.balance.add(stratum, told.answer, told.answers, told.order)

    def is_surplus(self, fact: Fact, split: Split) -> bool:
        """With a settled balance: its answer is given too often."""
        balance, told = self._rules.balance, fact.answered
        if balance is None or told is None:
            return False
        return not balance.keeps(Stratum(split, told.lang, told.question, told.label), told.answer, told.order)
