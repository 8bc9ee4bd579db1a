"""Questions whose answer is "not on this image": how many of them, and which phrases they ask for."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from numpy.random import Generator

from rrg.anatomy import LABELS
from rrg.errors import UsageError
from rrg.records import Lang, Mention
from rrg.synth.mentions import other_side_too
from rrg.synth.reworded import Worded
from rrg.synth.seen import Seen

SHARES: Mapping[str, float] = {"detect": 0.5, "phrase-to-box": 0.2}
"""Task -> share of its questions that ask for something that is not there."""


def shares_of(text: str) -> dict[str, float]:
    """``0.3`` for both tasks, or ``detect=0.5,phrase-to-box=0.2``. UsageError for anything else, and for 1 or more."""
    shares = dict(SHARES)
    try:
        if "=" not in text:
            shares = dict.fromkeys(SHARES, float(text))
        else:
            for part in text.split(","):
                task, _, share = part.strip().partition("=")
                shares[task.strip()] = float(share)
        if shares.keys() == SHARES.keys() and all(0 <= share < 1 for share in shares.values()):
            return shares
    except ValueError:
        pass
    raise UsageError(f"--negatives {text}: expected a share from 0 to below 1, or detect=SHARE,phrase-to-box=SHARE")


def rounded(wanted: float, rng: Generator) -> int:
    """`wanted` up or down to a whole number, so that the mean is right. Draws only where there is a choice."""
    whole = int(wanted + 1e-9)
    return whole + int(wanted - whole > 1e-9 and rng.random() < wanted - whole)


class Asked(NamedTuple):
    """A phrase of a report that a slice is asked for."""

    mention: Mention
    """With its regions where it is there."""
    classes: tuple[str, ...]
    told: Worded
    pairing: str | None = None

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """What is the same question on any slice."""
        return self.mention.phrase.casefold(), self.classes


class AbsentPhrases:
    """Phrases of a study in one language to ask for where they are not; each about as often as its share asks for.

    A phrase is asked for in vain only if it is asked for with success elsewhere in the study, so that no phrase gives
    its answer away.
    """

    def __init__(self, lang: Lang, asked: Sequence[Sequence[Asked]], share: float) -> None:
        self.lang = lang
        self._ratio = share / (1 - share)
        self._known = {each.key: each for on_slice in asked for each in on_slice}
        often = Counter(each.key for on_slice in asked for each in on_slice)
        self._owed = {key: n * self._ratio for key, n in often.items()}

    def pick(self, seen: Seen, here: Sequence[Asked], rng: Generator, counts: Counter[str]) -> Iterator[Asked]:
        """Phrases to ask for in vain on a slice that is asked for those of `here`."""
        wanted = rounded(len(here) * self._ratio, rng)
        taken = {each.key for each in here}
        free = sorted(key for key, each in self._known.items() if key not in taken and _not_there(each, seen))
        counts["phrase-to-box.none_to_deny"] += max(wanted - len(free), 0)
        for _ in range(min(wanted, len(free))):
            most = max(self._owed[key] for key in free)
            best = [key for key in free if self._owed[key] == most]
            key = best[int(rng.integers(len(best)))]
            self._owed[key] -= 1
            free.remove(key)
            yield self._known[key]


def _not_there(each: Asked, seen: Seen) -> bool:
    """Every structure of the phrase was looked for and is absent, and so is what the bare phrase could also mean."""
    if not all(label in LABELS and label in seen.absent for label in each.classes):
        return False
    return not other_side_too(each.classes, each.mention.phrase, seen)
