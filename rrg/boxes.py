"""A box as text, in both directions, for each dialect of models. Records know only pixels of the original slice."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from rrg.boxes_grammars import GRAMMARS, OPEN, SEGMENTS, loc_token
from rrg.records import Box, Mention, Region

Kind = Literal[
    "loc", "json", "text", "none", "seg", "radgrounder", "paligemma", "llava", "qwen2.5-vl", "qwen3-vl", "internvl"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
BINS: dict[str, int] = {
    "radgrounder": 512, "paligemma": 1024, "llava": 1000, "qwen3-vl": 1000, "internvl": 1000, "json": 1000, "text": 1000
}  # fmt: skip
"""Bins of the dialects whose number is fixed by their models, and what is usual for plain text."""
Grid = tuple[int, int]
"""Bins across and down."""
QWEN25_FACTOR, QWEN3_FACTOR = 28, 32
"""Sides of a picture after the resize of Qwen2.5-VL and Qwen3-VL are multiples of this: patch size x merge size."""


@dataclass(frozen=True)
class Dialect:
    """How boxes are written. Numbers refer to the whole slice, whatever size the model's picture has.

    ===============  ==================================================================== ==============
    ``loc``          ``<p>liver<loc12><loc20><loc40><loc44>``, own tokens                 x0 y0 x1 y1
    ``radgrounder``  ``<p bbox=<loc0012><loc0020><loc0040><loc0044> id=<seg005>>liver</p>`` x0 y0 x1 y1
    ``paligemma``    ``<loc0020><loc0012><loc0044><loc0040> liver ;``                     y0 x0 y1 x1
    ``qwen2.5-vl``   ``[{"bbox_2d": [12, 20, 40, 44], "label": "liver"}]``, pixels        x0 y0 x1 y1
    ``qwen3-vl``     the same, 0 to 1000                                                  x0 y0 x1 y1
    ``internvl``     ``<ref>liver</ref><box>[[12, 20, 40, 44]]</box>``, 0 to 1000         x0 y0 x1 y1
    ``llava``        ``liver [0.012, 0.020, 0.040, 0.044]``, shares of the side           x0 y0 x1 y1
    ``json``         ``liver {"box": [120, 200, 400, 440]}``, plain text                  x0 y0 x1 y1
    ``text``         ``liver [120, 200, 400, 440]``, plain text                           x0 y0 x1 y1
    ``none``         ``liver``, boxes are left out
    ``seg``          ``<seg>liver</seg>``, own tokens; the mask head of the model says where
    ===============  ==================================================================== ==============

    Several boxes of one phrase follow each other. Of ``qwen2.5-vl`` `bins` is the side in pixels of the square picture
    that the model sees after its own resize; see `smart_size` for pictures that are not square.
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
        if self.kind == "loc":
            return (OPEN, *(self.loc(number) for number in range(self.bins)))
        if self.kind == "seg":
            return ("<seg>", "</seg>")
        if self.kind == "radgrounder":
            classes = (f"<seg{number:03d}>" for number in range(SEGMENTS))
            return ("<p bbox=", " id=", "</p>", *(f"<loc{number:04d}>" for number in range(self.bins)), *classes)
        if self.kind == "paligemma":
            return tuple(self.loc(number) for number in range(self.bins))
        return ("<ref>", "</ref>", "<box>", "</box>") if self.kind == "internvl" else ()

    def loc(self, number: int) -> str:
        """The token of one bin, zero-padded: ``<loc07>``."""
        return loc_token(number, self.bins)


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


def smart_size(rows: int, columns: int, factor: int, min_pixels: int, max_pixels: int) -> Grid:
    """(columns, rows) of a picture after the resize of the Qwen processors: multiples of `factor`, area in bounds.

    As ``smart_resize`` of transformers' Qwen2-VL image processor. For Qwen2.5-VL this is the grid of its pixel
    coordinates. Raises ValueError for sides that differ by more than 200 times, as it does.
    """
    if max(rows, columns) / min(rows, columns) > 200:
        raise ValueError(f"a picture of {rows} x {columns} pixels is too narrow; one side may be 200 times the other")
    down, across = (round(side / factor) * factor for side in (rows, columns))
    if down * across > max_pixels:
        beta = math.sqrt(rows * columns / max_pixels)
        down, across = (max(factor, math.floor(side / beta / factor) * factor) for side in (rows, columns))
    elif down * across < min_pixels:
        beta = math.sqrt(min_pixels / (rows * columns))
        down, across = (math.ceil(side * beta / factor) * factor for side in (rows, columns))
    return across, down


def quantise(box: Box, rows: int, columns: int, bins: int | Grid, *, edges: bool = False) -> tuple[int, int, int, int]:
    """Bins (x0, y0, x1, y1) of a box in slice pixels; corners outside of the slice go to its edge.

    With `edges` the nearest place 0..bins of the side, both ends included, else the bin 0..bins-1 around the corner.
    """
    across, down = (bins, bins) if isinstance(bins, int) else bins

    def bin_of(value: float, size: int, count: int) -> int:
        if edges:
            return min(max(round(value / size * count), 0), count)
        return min(max(int(value / size * count), 0), count - 1)

    return (
        bin_of(box.x0, columns, across),
        bin_of(box.y0, rows, down),
        bin_of(box.x1, columns, across),
        bin_of(box.y1, rows, down),
    )


def restore(numbers: Sequence[int], rows: int, columns: int, bins: int | Grid, *, edges: bool = False) -> Box | None:
    """Inverse of `quantise`, at bin centres (error at most half a bin); a box within one bin fills it.

    With `edges` at the places themselves; a box between two equal places gets nearly half a bin either way. None when
    the four numbers are no box: out of range, or corners in the wrong order.
    """
    across, down = (bins, bins) if isinstance(bins, int) else bins
    most = (across, down, across, down)
    if len(numbers) != 4 or not all(0 <= each < top + edges for each, top in zip(numbers, most, strict=True)):
        return None
    x0, y0, x1, y1 = numbers
    if x1 < x0 or y1 < y0:
        return None

    def span(low: int, high: int, size: int, count: int) -> tuple[float, float]:
        wide = (low - 0.49, low + 0.49) if low == high else (low, high)
        ends = (max(wide[0], 0.0), min(wide[1], float(count)))
        if not edges:
            ends = (low + 0.01, low + 0.99) if low == high else (low + 0.5, high + 0.5)
        return ends[0] / count * size, ends[1] / count * size

    (left, right), (top, bottom) = span(x0, x1, columns, across), span(y0, y1, rows, down)
    return Box(x0=left, y0=top, x1=right, y1=bottom)


def encode_box(box: Box, rows: int, columns: int, dialect: Dialect) -> str:
    """The text of one box of a slice of `rows` x `columns` pixels without a phrase; empty in the dialect ``none``."""
    return encode_phrase("", [box], rows, columns, dialect).removeprefix(OPEN).strip()


def encode_phrase(
    phrase: str,
    boxes: Sequence[Box],
    rows: int,
    columns: int,
    dialect: Dialect,
    *,
    class_id: int | None = None,
    grid: Grid | None = None,
) -> str:
    """A phrase and its boxes; the bare phrase when there are none. `class_id` is told where the dialect has a place.

    `grid` is the size of the model's picture (columns, rows) for dialects in pixels, when it is not square.
    """
    if not boxes or dialect.kind == "none":
        return phrase
    grammar = GRAMMARS[dialect.kind]
    groups = [quantise(box, rows, columns, grid or dialect.bins, edges=grammar.edges) for box in boxes]
    if grammar.rows_first:
        groups = [(y0, x0, y1, x1) for x0, y0, x1, y1 in groups]
    return grammar.write(phrase, groups, class_id, dialect.bins)


def decode(
    raw: str, rows: int, columns: int, dialect: Dialect, image: str = "i0", *, grid: Grid | None = None
) -> Decoded:
    """Read a model's answer about one slice of `rows` x `columns` pixels. Never raises: what is wrong is flagged.

    In the dialect ``seg`` every ``</seg>`` gives one mention, in order, without boxes: masks are not in the text. In
    plain-text dialects the phrase of a box is what stands before it in its clause. `grid`: see `encode_phrase`.
    """
    if dialect.kind == "none":
        return Decoded(raw.strip(), (), ())
    grammar = GRAMMARS[dialect.kind]
    text = ""
    mentions: list[Mention] = []
    flags: set[str] = set()
    for run in grammar.read(raw):
        text += run.plain
        groups = [[g[1], g[0], g[3], g[2]] if grammar.rows_first and len(g) == 4 else g for g in run.groups]
        boxes = [restore(group, rows, columns, grid or dialect.bins, edges=grammar.edges) for group in groups]
        if any(box is None for box in boxes):
            flags.add("malformed_box")
        if run.tag:
            region = Region(label=run.phrase, image=image, boxes=(), origin="model")
            mentions.append(Mention(id=f"m{len(mentions)}", phrase=run.phrase, regions=(region,)))
        whole = tuple(box for box in boxes if box is not None)
        if whole:
            word = run.phrase.strip()
            region = Region(label=word, image=image, boxes=whole, origin="model", class_id=run.class_id)
            mentions.append(Mention(id=f"m{len(mentions)}", phrase=word, regions=(region,)))
    return Decoded(text.strip(), tuple(mentions), tuple(sorted(flags)))
