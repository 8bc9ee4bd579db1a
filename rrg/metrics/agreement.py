"""How well reports and masks agree, from the counts of synth-ground: rates with intervals, per source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rrg.metrics.bootstrap import wilson
from rrg.synth.consistency import MILLION, PREFIX


@dataclass(frozen=True)
class Tally:
    """The counts of one source."""

    pairs: int = 0
    """Pairs that could be judged."""
    agree: int = 0
    """The slice shows what the sentence names."""
    neither: int = 0
    """It shows neither that nor, for a structure with a side, its partner."""
    said_alone: int = 0
    """Of a structure with a side, the said side is there and the other is not."""
    other_alone: int = 0
    """The reverse: what a wrong side looks like."""
    neither_ppm: int = 0
    said_alone_ppm: int = 0
    other_alone_ppm: int = 0
    """What a wrong slice would show by chance: sums over pairs, in millionths."""
    not_looked_for: int = 0
    """No mask, or its engine does not know the structure: not judged."""
    one_slice_only: int = 0
    """The series has no other slice with a mask: not judged."""

    def slices(self) -> "Estimate":
        """Estimated share of the pairs whose slice is wrong."""
        exposed = self.neither_ppm / MILLION
        return _scaled(self.neither, self.pairs, self.pairs / exposed if exposed else 0.0)

    def sides(self) -> "Estimate":
        """Estimated share of wrong sides, from pairs whose slice shows one side alone, wrong slices taken out."""
        wrong = self.slices().value or 0.0
        other = self.other_alone - wrong * self.other_alone_ppm / MILLION
        said = self.said_alone - wrong * self.said_alone_ppm / MILLION
        telling = self.other_alone + self.said_alone
        raw = self.other_alone / telling if telling else 0.0
        if not telling or other + said <= 0:
            return Estimate(None, None, None, telling)
        value = other / (other + said)
        plain = _scaled(self.other_alone, telling, 1.0)
        shift = value - raw
        return Estimate(value, (plain.low or 0.0) + shift, (plain.high or 0.0) + shift, telling).cut()


class Estimate(NamedTuple):
    """A share with its 95 % interval; None where nothing was there to count."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def cut(self) -> "Estimate":
        """All values within 0..1."""
        value, low, high = (None if each is None else min(max(each, 0.0), 1.0) for each in self[:3])
        return Estimate(value, low, high, self.n)

    def __str__(self) -> str:
        """``0.047 [0.036, 0.061]``, or ``unknown``."""
        if self.value is None:
            return "unknown"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _scaled(hits: int, n: int, factor: float) -> Estimate:
    """hits / n with its Wilson interval, times `factor`, cut to 0..1."""
    if not n or not factor:
        return Estimate(None, None, None, n)
    low, high = wilson(hits, n)
    return Estimate(factor * hits / n, factor * low, factor * high, n).cut()


def tallies(counts: Mapping[str, int]) -> dict[str, Tally]:
    """Source -> its tally, from the counts of an end record."""
    found: dict[str, dict[str, int]] = {}
    for name, n in counts.items():
        if name.startswith(PREFIX):
            source, _, what = name.removeprefix(PREFIX).rpartition(".")
            found.setdefault(source, {})[what] = n
    return {source: Tally(**found[source]) for source in sorted(found)}


def told(counts: dict[str, int]) -> list[str]:
    """A line per source, for people. Takes the counts out that it speaks of."""
    lines = []
    for source, tally in tallies(counts).items():
        if tally.pairs:
            rate = _scaled(tally.agree, tally.pairs, 1.0)
            sides = tally.sides()
            lines.append(
                f"report and mask ({source}): {tally.agree} of {tally.pairs} pairs agree, {rate}; "
                f"estimated wrong slices {tally.slices()}, wrong sides {sides} of {sides.n} that tell"
            )
    for name in [name for name in counts if name.startswith(PREFIX)]:
        del counts[name]
    return lines
