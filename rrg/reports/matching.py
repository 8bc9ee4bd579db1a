"""Which facts that were found are which facts of the gold: pairs by place, then what each pair agrees on."""

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from rrg.records import Span


class Placed(Protocol):
    """Anything with a span."""

    @property
    def span(self) -> Span: ...  # noqa: D102


T = TypeVar("T", bound=Placed)


class Pair(NamedTuple, Generic[T]):
    """A fact of the gold and the one that was found for it; either may be None."""

    gold: T | None
    seen: T | None


class Miss(NamedTuple):
    """One error, for the author of rules."""

    kind: str
    """``missed`` (false negative) or ``wrong`` (false positive)."""
    span: Span
    expected: Any
    seen: Any


@dataclass(slots=True)
class Tally:
    """Counts of one fact, and every error."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    misses: list[Miss] = field(default_factory=list)

    def missed(self, span: Span, expected: Any, seen: Any = None) -> None:
        """Count a false negative."""
        self.fn += 1
        self.misses.append(Miss("missed", span, expected, seen))

    def wrong(self, span: Span, seen: Any, expected: Any = None) -> None:
        """Count a false positive."""
        self.fp += 1
        self.misses.append(Miss("wrong", span, expected, seen))


def overlap(a: Span, b: Span) -> int:
    """Code points that both spans hold."""
    return min(a[1], b[1]) - max(a[0], b[0])


def pairs(
    gold: Sequence[T], seen: Sequence[T], same: Callable[[T, T], bool] = lambda _a, _b: True, *, exact: bool = False
) -> list[Pair[T]]:
    """One-to-one pairs of overlapping facts that are the `same`; the best overlap first. All others stand alone.

    `exact`: only equal spans are a pair.
    """
    order = sorted(range(len(seen)), key=lambda j: seen[j].span)
    starts = [seen[j].span[0] for j in order]
    longest = max((each.span[1] - each.span[0] for each in seen), default=0)
    candidates: list[tuple[tuple[bool, int], int, int]] = []
    for i, one in enumerate(gold):
        first = bisect.bisect_left(starts, one.span[0] - longest)
        for j in order[first : bisect.bisect_left(starts, one.span[1])]:
            equal = one.span == seen[j].span
            if (equal or (not exact and overlap(one.span, seen[j].span) > 0)) and same(one, seen[j]):
                candidates.append(((not equal, -overlap(one.span, seen[j].span)), i, j))
    mine: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in mine and j not in taken:
            mine[i] = j
            taken.add(j)
    found = [Pair(one, seen[mine[i]] if i in mine else None) for i, one in enumerate(gold)]
    return found + [Pair(None, one) for j, one in enumerate(seen) if j not in taken]


def agreeing(gold: Sequence[T], seen: Sequence[T], same: Callable[[T, T], bool]) -> list[Pair[T]]:
    """Pairs by place where those that are the `same` find each other first, and the rest whoever is left there."""
    first = pairs(gold, seen, same)
    whole = [pair for pair in first if pair.gold is not None and pair.seen is not None]
    left = [pair.gold for pair in first if pair.gold is not None and pair.seen is None]
    over = [pair.seen for pair in first if pair.seen is not None and pair.gold is None]
    return whole + pairs(left, over)


def presence(tally: Tally, found: Iterable[Pair[T]], say: Callable[[T], Any]) -> None:
    """Count pairs as true positives, the rest as misses."""
    for gold, seen in found:
        if gold is not None and seen is not None:
            tally.tp += 1
        elif gold is not None:
            tally.missed(gold.span, say(gold))
        elif seen is not None:
            tally.wrong(seen.span, say(seen))


def attribute(tally: Tally, found: Iterable[Pair[T]], value: Callable[[T], Any], default: Any) -> None:
    """Count a value of facts; what has the `default` is no positive. A wrong value is missed and wrong at once."""
    for gold, seen in found:
        expected = value(gold) if gold is not None else default
        given = value(seen) if seen is not None else default
        if expected == given:
            tally.tp += expected != default
            continue
        if gold is not None and expected != default:
            tally.missed(gold.span, expected, given if seen is not None else None)
        if seen is not None and given != default:
            tally.wrong(seen.span, given, expected if gold is not None else None)
