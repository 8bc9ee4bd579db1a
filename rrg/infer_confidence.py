"""How sure a model was: of an answer, and of each box, from the probabilities of the tokens it wrote.

Both are geometric means, 0..1: of all tokens of the answer, and of the tokens that overlap the numbers of a box. They
rank answers of one model; they are no probabilities of being right.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

from rrg.boxes import Dialect, restore
from rrg.boxes_grammars import GRAMMARS
from rrg.records import Mention, Span

Tokens = Sequence[tuple[str, float]]
"""(text, probability) in order."""
_LOCS = re.compile(r"(?:<loc\d+>)+")
_LOC = re.compile(r"<loc\d+>")
_LIST = re.compile(r"\[([-\d.,\s]+)\]")
_LEAST = 1e-12


def of_answer(tokens: Tokens) -> float | None:
    """Of a whole answer; None when the back end does not tell, or the answer is empty."""
    return _mean([share for _, share in tokens])


def of_boxes(tokens: Tokens, dialect: Dialect) -> list[float]:
    """Of each group of numbers that could be a box, in order."""
    text = "".join(piece for piece, _ in tokens)
    ends: list[int] = []
    for piece, _ in tokens:
        ends.append((ends[-1] if ends else 0) + len(piece))
    found = []
    for start, end in _groups(text, dialect):
        inside = [
            share
            for (piece, share), stop in zip(tokens, ends, strict=True)
            if start < stop and stop - len(piece) < end and piece
        ]
        found.append(_mean(inside) or 0.0)
    return found


def with_scores(
    mentions: Sequence[Mention], raw: str, tokens: Tokens, dialect: Dialect, rows: int, columns: int
) -> tuple[Mention, ...]:
    """The mentions that `rrg.boxes.decode` read from `raw`, each region with the score of its least sure box."""
    if not mentions or not tokens or dialect.kind == "none":
        return tuple(mentions)
    grammar, scores = GRAMMARS[dialect.kind], iter(of_boxes(tokens, dialect))
    told: list[float | None] = []
    for run in grammar.read(raw):
        own: list[float] = []
        whole = False
        for group in run.groups:
            if not group:
                continue
            score = next(scores, None)
            ordered = [group[1], group[0], group[3], group[2]] if grammar.rows_first and len(group) == 4 else group
            if restore(ordered, rows, columns, dialect.bins, edges=grammar.edges) is not None:
                whole = True
                own += [] if score is None else [score]
        if whole:
            told.append(min(own) if own else None)
    if len(told) != len(mentions) or next(scores, None) is not None:
        return tuple(mentions)  # the text is cut up otherwise than its tokens: better no score than a wrong one
    return tuple(
        dataclasses.replace(
            mention, regions=tuple(dataclasses.replace(region, score=score) for region in mention.regions)
        )
        for mention, score in zip(mentions, told, strict=True)
    )


def _groups(text: str, dialect: Dialect) -> Iterator[Span]:
    if dialect.kind in ("loc", "radgrounder", "paligemma"):
        for match in _LOCS.finditer(text):
            spans = [(match.start() + own.start(), match.start() + own.end()) for own in _LOC.finditer(match.group())]
            for first in range(0, len(spans), 4):
                yield spans[first][0], spans[min(first + 3, len(spans) - 1)][1]
    else:
        yield from (match.span(1) for match in _LIST.finditer(text))


def _mean(shares: Sequence[float]) -> float | None:
    if not shares:
        return None
    return round(math.exp(sum(math.log(max(share, _LEAST)) for share in shares) / len(shares)), 4)
