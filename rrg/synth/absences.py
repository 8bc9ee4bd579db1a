"""Which structures to ask for where they are absent, and draws without repeats."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.random import Generator

from rrg.synth.facts import Study
from rrg.synth.seen import Seen

NOWHERE_SHARE = 0.25
"""Share of absent structures that are missing in the whole study: resected, or outside of the volume."""


class Absences:
    """Which absent structures to ask for, so that over a study each label is asked about as often when absent.

    A model could else answer by the name alone: organs that fill many slices would nearly always be there.
    """

    def __init__(self, study: Study, present: Iterable[str]) -> None:
        self._owed = Counter(present)
        """Label -> questions with the answer yes that have no partner yet."""
        self._ever = frozenset(label for seen in study.seen for label in (*seen.found, *seen.small))

    def pick(self, seen: Seen, n: int, rng: Generator) -> list[str]:
        """Up to `n` labels that are absent on the slice: mostly those of the study, some that it never shows."""
        elsewhere = [label for label in seen.missing if label in self._ever]
        nowhere = [label for label in seen.missing if label not in self._ever]
        picked: list[str] = []
        for _ in range(min(n, len(seen.missing))):
            if nowhere and (not elsewhere or rng.random() < NOWHERE_SHARE):
                label = nowhere[int(rng.integers(len(nowhere)))]
            else:
                most = max(self._owed[label] for label in elsewhere)
                best = [label for label in elsewhere if self._owed[label] == most]
                label = best[int(rng.integers(len(best)))]
            self._owed[label] -= 1
            (elsewhere if label in self._ever else nowhere).remove(label)
            picked.append(label)
        return picked


def pick(rng: Generator, items: Sequence[Any], n: int) -> list[Any]:
    """Up to `n` of `items`, without repeats, in random order."""
    return [items[int(i)] for i in rng.permutation(len(items))[:n]]
