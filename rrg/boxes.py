"""A box as text, in both directions, for each dialect of models. Records know only pixels of the original slice."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rrg.records import Box, Mention, Region

Kind = Literal["loc", "json", "text", "none"]
KINDS: tuple[Kind, ...] = ("loc", "json", "text", "none")
OPEN = "<p>"
"""Opens a phrase that boxes follow (`loc`), so that a phrase can be read back exactly out of a sentence."""


@dataclass(frozen=True)
class Dialect:
    """How boxes are written. Numbers are bins of the whole slice, in the order x0 y0 x1 y1.

    ========  =========================================================
    ``loc``   ``<p>liver<loc12><loc20><loc40><loc44>``, own tokens
    ``json``  ``liver {"box": [120, 200, 400, 440]}``, plain text
    ``text``  ``liver [120, 200, 400, 440]``, plain text
    ``none``  ``liver``, boxes are left out
    ========  =========================================================

    Several boxes of one phrase follow each other.
    """

    kind: Kind = "loc"
    bins: int = 64

    def __post_init__(self) -> None:
        """Refuse unknown kinds and less than two bins."""
        if self.kind not in KINDS or not 2 <= self.bins <= 10_000:
            raise ValueError(f"box dialect {self.kind!r} with {self.bins} bins; expected one of {KINDS}, 2..10000 bins")

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens that the vocabulary needs, in the order of their bins; none for plain text."""
        if self.kind != "loc":
            return ()
        return (OPEN, *(self.loc(number) for number in range(self.bins)))

    def loc(self, number: int) -> str:
        """The token of one bin, zero-padded: ``<loc07>``."""
        return f"<loc{number:0{len(str(self.bins - 1))}d}>"


LOC64 = Dialect("loc", 64)
"""What the tiny model speaks."""


class Decoded(NamedTuple):
    """A model's answer, read."""

    text: str
    """The answer without box tokens."""
    mentions: tuple[Mention, ...]
    """Phrases with boxes in pixels of the original slice. Malformed boxes are not here."""
    flags: tuple[str, ...]
    """``malformed_box`` when a box could not be read."""


def quantise(box: Box, rows: int, columns: int, bins: int) -> tuple[int, int, int, int]:
    """Bins (x0, y0, x1, y1) of a box in slice pixels; corners outside of the slice go to its edge."""

    def bin_of(value: float, size: int) -> int:
        return min(max(int(value / size * bins), 0), bins - 1)

    return bin_of(box.x0, columns), bin_of(box.y0, rows), bin_of(box.x1, columns), bin_of(box.y1, rows)


def restore(numbers: Sequence[int], rows: int, columns: int, bins: int) -> Box | None:
    """Inverse of `quantise`, at bin centres (error at most half a bin); a box within one bin fills it.

    None when the four numbers are no box: out of range, or corners in the wrong order.
    """
    if len(numbers) != 4 or not all(0 <= number < bins for number in numbers):
        return None
    x0, y0, x1, y1 = numbers
    if x1 < x0 or y1 < y0:
        return None

    def span(low: int, high: int, size: int) -> tuple[float, float]:
        edges = (low + 0.01, low + 0.99) if low == high else (low + 0.5, high + 0.5)
        return edges[0] / bins * size, edges[1] / bins * size

    (left, right), (top, bottom) = span(x0, x1, columns), span(y0, y1, rows)
    return Box(x0=left, y0=top, x1=right, y1=bottom)


def encode_box(box: Box, rows: int, columns: int, dialect: Dialect) -> str:
    """The text of one box of a slice of `rows` x `columns` pixels; empty in the dialect ``none``."""
    if dialect.kind == "none":
        return ""
    numbers = quantise(box, rows, columns, dialect.bins)
    if dialect.kind == "loc":
        return "".join(dialect.loc(number) for number in numbers)
    listed = ", ".join(map(str, numbers))
    return f'{{"box": [{listed}]}}' if dialect.kind == "json" else f"[{listed}]"


def encode_phrase(phrase: str, boxes: Sequence[Box], rows: int, columns: int, dialect: Dialect) -> str:
    """A phrase and its boxes; the bare phrase when there are none."""
    texts = [encode_box(box, rows, columns, dialect) for box in boxes]
    if not texts or dialect.kind == "none":
        return phrase
    if dialect.kind == "loc":
        return OPEN + phrase + "".join(texts)
    return f"{phrase} {' '.join(texts)}"


_LOC = re.compile(r"<loc\d+>")
_MARKED = re.compile(r"<p>|(?:<loc\d+>)+")
_NUMBERS = {
    "json": re.compile(r'\s*(?:\{\s*"box"\s*:\s*\[([^\][{}]*)\]\s*\}\s*)+'),
    "text": re.compile(r"\s*(?:\[([-\d.,\s]*)\]\s*)+"),
}
_PHRASE = re.compile(r"[^.:;!?\n\]}]*$")


def decode(raw: str, rows: int, columns: int, dialect: Dialect, image: str = "i0") -> Decoded:
    """Read a model's answer about one slice of `rows` x `columns` pixels. Never raises: what is wrong is flagged.

    In plain-text dialects the phrase of a box is what stands before it in its clause.
    """
    if dialect.kind == "none":
        return Decoded(raw.strip(), (), ())
    runs = _loc_runs(raw) if dialect.kind == "loc" else _number_runs(raw, dialect)
    text = ""
    mentions: list[Mention] = []
    flags: set[str] = set()
    for plain, phrase, groups in runs:
        text += plain
        boxes = [restore(group, rows, columns, dialect.bins) for group in groups]
        if any(box is None for box in boxes):
            flags.add("malformed_box")
        whole = tuple(box for box in boxes if box is not None)
        if whole:
            word = phrase.strip()
            region = Region(label=word, image=image, boxes=whole, origin="model")
            mentions.append(Mention(id=f"m{len(mentions)}", phrase=word, regions=(region,)))
    return Decoded(text.strip(), tuple(mentions), tuple(sorted(flags)))


Run = tuple[str, str, list[list[int]]]
"""Text to keep, the phrase that the boxes belong to, groups of numbers (four each when well-formed)."""


def _loc_runs(raw: str) -> Iterator[Run]:
    at, phrase_start = 0, None
    pending = ""
    for match in _MARKED.finditer(raw):
        pending += raw[at : match.start()]
        at = match.end()
        if match.group() == OPEN:
            if phrase_start is not None:
                yield pending, "", [[]]  # opened and never given a box
                pending = ""
            phrase_start = len(pending)
            continue
        numbers = [int(token[4:-1]) for token in _LOC.findall(match.group())]
        phrase = pending[phrase_start:] if phrase_start is not None else ""
        yield pending, phrase, [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
        pending, phrase_start = "", None
    yield pending + raw[at:], "", [[]] if phrase_start is not None else []


def _number_runs(raw: str, dialect: Dialect) -> Iterator[Run]:
    at = 0
    for match in _NUMBERS[dialect.kind].finditer(raw):
        plain = raw[at : match.start()]
        at = match.end()
        clause = _PHRASE.search(plain)
        groups = [_integers(found) for found in re.findall(r"\[([^\]]*)\]", match.group())]
        tail = " " if match.group()[-1:].isspace() and raw[at:] else ""
        yield plain + tail, clause.group() if clause else "", groups
    yield raw[at:], "", []


def _integers(listed: str) -> list[int]:
    try:
        return [int(number) for number in json.loads(f"[{listed}]")]
    except (ValueError, TypeError):
        return []
